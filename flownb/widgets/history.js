// How has it gone for longer than a minute? A chart of each loop and queue, when one asks.
import { attr, count, duration, h, rate, s, text } from "./base.js";

const [WIDE, HIGH] = [300, 44];
const CHARTS = {
  rate: (value) => rate(value), "in flight": (value) => count(value), failed: (value) => count(value), depth: (value) => count(value),
};

/** Make the part that unfolds. @param {import("./base.js").Store} store */
export function history(store) {
  const body = h("div", { class: "flownb-past" });
  const since = h("span", { class: "flownb-dim" });
  const element = h("details", { class: "flownb-history", ontoggle: () => store.send({ do: "history", on: element.open }) }, h("summary", {}, "history ", since), body);
  let rows = new Map();

  /** Name the loops and queues of a scene. */
  function draw() {
    const { loops, queues } = store.scene;
    rows = new Map([
      ...loops.map(({ id, shown }) => [id, row(`loop ${shown}`, ["rate", "in flight", "failed"])]),
      ...queues.map(({ id, shown }) => [id, row(`queue ${shown}`, ["depth"])]),
    ]);
    body.replaceChildren(...[...rows.values()].map((one) => one.element));
    show(store.state);
  }
  /** Show the points that have come. */
  function show(changed) {
    const { past } = store.state;
    text(since, past ? `of the last ${duration(past)}` : "");
    for (const [key, value] of Object.entries(changed)) {
      const [id, what] = key.split(".");
      if (what === "past" && value) rows.get(id)?.show(value, past);
    }
  }
  return { element, draw, show };
}

function row(name, kinds) {
  const charts = kinds.map((kind) => chart(kind));
  const element = h("div", { class: "flownb-past-row" }, h("strong", {}, name), ...charts.map((one) => one.element));
  return { element, show: (series, past) => charts.forEach((one, i) => one.show(series[i], past)) };
}

function chart(kind) {
  const write = CHARTS[kind];
  const area = s("path", { class: "flownb-spark-area" });
  const line = s("path", { class: "flownb-spark" });
  const svg = s("svg", { viewBox: `0 -2 ${WIDE} ${HIGH + 4}`, preserveAspectRatio: "none", role: "img" }, area, line);
  const words = h("figcaption");
  const show = (values, past) => {
    const top = Math.max(0, ...values); // what it is now stands in the figures
    const said = kind === "failed" ? `failed · ${write(values.reduce((a, b) => a + b, 0))} in all` : `${kind} · at most ${write(top)}`;
    text(words, said);
    attr(svg, "aria-label", `${said}, in the last ${duration(past)}`);
    attr(line, "d", steps(values, top));
    attr(area, "d", values.length ? `${steps(values, top)}V${HIGH}H0Z` : null);
  };
  return { element: h("figure", { class: `flownb-past-${kind.replace(" ", "-")}` }, words, svg), show };
}

/** Give the path of a series, a step for each point: nothing is known of between. */
export function steps(values, top) {
  const wide = WIDE / Math.max(1, values.length);
  return values.map((value, i) => `${i ? "V" : "M0 "}${(HIGH - (value / (top || 1)) * HIGH).toFixed(1)}H${((i + 1) * wide).toFixed(1)}`).join("");
}
