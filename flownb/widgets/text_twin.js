// What does the picture say, as a table? For screen readers, and for who likes tables.
import { h, rate } from "./base.js";

const COLUMNS = ["node", "kind", "state", "running", "calls", "per second", "failed", "retries"];

/** Give the rows of the table: one for each box, cells as text. */
export function rows(boxes, state) {
  return boxes.map((box) => {
    const [how, calls, failed, perSecond, running, retries] = state[box.id] ?? [];
    const cells = [box.name, box.kind, how, running, calls, perSecond === undefined ? "" : rate(perSecond), failed, retries];
    return cells.map((cell) => String(cell ?? ""));
  });
}

/** Make the table; it is filled when it is shown. */
export function twin() {
  const body = h("tbody");
  const head = h("tr", {}, ...COLUMNS.map((name) => h("th", { scope: "col" }, name)));
  const el = h("div", { class: "flownb-dag-table", hidden: "" }, h("table", { class: "fnb-table" }, h("thead", {}, head), body));
  function show(boxes, state) {
    body.replaceChildren(...rows(boxes, state).map((cells) => h("tr", {}, ...cells.map((cell) => h("td", {}, cell)))));
  }
  return { el, show };
}
