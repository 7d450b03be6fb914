// What does one see of a node that was clicked? Its figures, errors, outputs and log.
import { duration, h } from "./base.js";

const FIGURES = ["last call", "calls", "failed", "retries", "timeouts", "mean", "p50", "p99", "longest"];

/**
 * Make the panel of one node; `show(null)` closes it.
 * @param {() => void} close @param {(command: {do: string}) => void} send
 */
export function panel(close, send) {
  const title = h("h3");
  const body = h("div", { class: "flownb-panel-body" });
  const el = h(
    "aside", { class: "flownb-panel", hidden: "", "aria-label": "the chosen node" },
    h("header", {}, title, h("button", { type: "button", "aria-label": "close", onclick: close }, "×")),
    hands(send), body,
  );
  const [again, inject] = el.querySelectorAll(".flownb-hands > *");
  let opened = false;
  function show(detail) {
    el.hidden = !detail;
    if (!detail) return;
    const trace = body.querySelector("details");
    opened = trace ? trace.open : opened;
    title.textContent = detail.name;
    again.hidden = !detail.error?.kept;
    inject.hidden = !detail.messages;
    body.replaceChildren(h("p", { class: "flownb-dim" }, detail.about), ...happened(detail, opened));
  }
  return { el, show };
}

/** Show what a node has done: its figures, its last error, outputs and log. */
export function happened(detail, opened) {
  const old = (id) => duration(Math.max(0, Date.now() - Number(id.split("-")[0])) / 1000);
  const waiting = (detail.messages ?? []).map(([id, deliveries, words]) => `${words}  ${old(id)} old${deliveries ? ", delivered" : ""}`);
  return [
    ...(detail.told ? [h("p", { role: "status" }, detail.told)] : []),
    figures(detail.figures),
    ...(detail.messages ? list("the oldest messages in it", waiting.length ? waiting : ["none"]) : []),
    ...(detail.error ? [failure(detail.error, opened)] : []),
    ...list("last outputs", detail.outputs),
    ...list("log", detail.lines),
  ];
}

/** What may be done with a failed item, and with a queue; it stays while figures change. */
function hands(send) {
  const plain = (words, about, press) => h("button", { type: "button", title: about, onclick: press }, words);
  const data = h("input", { type: "text", class: "flownb-search", "aria-label": "a message, as JSON", placeholder: "a message, as JSON", spellcheck: "false" });
  data.addEventListener("keydown", (event) => {
    event.stopPropagation(); // else the notebook takes the key
    if (event.key === "Enter") push();
  });
  const push = () => data.value && send({ do: "inject", text: data.value });
  return h(
    "div", { class: "flownb-hands" },
    h("div", { hidden: "" }, plain("try again", "offer the last failed item to its loop once more", () => send({ do: "again" })), plain("drop", "throw the last failed item away", () => send({ do: "drop" }))),
    h("div", { hidden: "" }, data, plain("push", "push it to this queue", push)),
  );
}

function figures(rows) {
  if (rows.length === 1) {
    const [[, ...values]] = rows;
    const tiles = FIGURES.map((name, i) => h(
      "div", { role: "listitem" }, h("span", { class: "flownb-tile-name" }, name),
      h("span", { class: "flownb-tile-value" }, written(values, i)),
    ));
    return h("div", { class: "flownb-tiles", role: "list" }, ...tiles);
  }
  const head = h("tr", {}, h("th"), ...rows.map(([loop]) => h("th", { scope: "col" }, loop)));
  const lines = FIGURES.map((name, i) => h(
    "tr", {}, h("th", { scope: "row" }, name), ...rows.map(([, ...values]) => h("td", {}, written(values, i))),
  ));
  return h("table", { class: "flownb-figures" }, head, ...lines);
}

function written(values, i) {
  return i < FIGURES.indexOf("mean") ? String(values[i]) : duration(values[i]);
}

function failure(error, open) {
  const trace = h("details", open ? { open: "" } : {}, h("summary", {}, "traceback"), h("pre", {}, error.traceback.join("\n")));
  return h("section", { class: "flownb-failure" }, h("strong", {}, error.text), h("p", { class: "flownb-dim" }, error.where), trace);
}

function list(title, lines) {
  if (!lines.length) return [];
  return [h("h4", {}, title), h("pre", {}, lines.join("\n"))];
}
