// Is it keeping up, and who holds it back? A row for each loop, a row for each queue.
import { attr, count, duration, h, inAll, rate, s, text } from "./base.js";
import { ASKED, button, ENDED, GLYPHS, PATIENCE, tell } from "./controls.js";
import { history } from "./history.js";

const COLUMNS = ["state", "loop", "per second", "last minute", "producer's time", "in flight", "p50 · p99", "trouble", ""];
const QUEUE_COLUMNS = ["queue", "depth", "not delivered", "not acked", "grows"];
const YOUNG = 15; // seconds
const VERBS = ["start", "pause", "resume", "step", "stop"];

/** Show the dashboard. @param {HTMLElement} el @param {import("./base.js").Store} store */
export function dashboard(el, store) {
  let rows = new Map();
  let queues = new Map();
  const top = header(store);
  const says = h("ul", { class: "flownb-says", role: "status", "aria-label": "what is wrong" });
  const body = h("div", { class: "flownb-board" });
  const past = history(store);
  el.append(top.element, says, body, past.element);

  function draw() {
    const { loops, queues: named } = store.scene;
    rows = new Map(loops.map((loop) => [loop.id, loopRow(loop, store)]));
    queues = new Map(named.map((queue) => [queue.id, queueRow(queue)]));
    body.replaceChildren(grid("loops", "loop", COLUMNS, [...rows.values()]));
    if (queues.size) body.append(grid("queues", "queue", QUEUE_COLUMNS, [...queues.values()]));
    past.draw();
    show(store.state);
  }
  function show(changed) {
    for (const [key, value] of Object.entries(changed)) {
      const [id, what] = key.split(".");
      (rows.get(id) ?? queues.get(id))?.show(what, value);
    }
    if ("says" in changed) tell(says, changed.says ?? []);
    past.show(changed);
    top.show(store.scene, store.state);
  }
  draw();
  store.onScene(draw);
  store.onState(show);
}

/** Say which loops are in which state: "3 loops: 2 running, 1 paused". */
export function summary(states) {
  const counts = new Map();
  for (const state of states) counts.set(state, (counts.get(state) ?? 0) + 1);
  const loops = states.length === 1 ? "1 loop" : `${states.length} loops`;
  if (counts.size === 1) return `${loops} ${states[0]}`;
  return `${loops}: ${[...counts].map(([state, n]) => `${n} ${state}`).join(", ")}`;
}

/** Give the points of a sparkline in a box, the newest at the right; of a young run fewer seconds fill it. */
export function spark(ring, wide, high, seconds = Math.max(YOUNG, ring.length)) {
  const top = Math.max(...ring, 1e-9);
  const x = (i) => wide - ((ring.length - 1 - i) * wide) / Math.max(1, seconds - 1);
  return ring.map((value, i) => [x(i), high - (value / top) * high]);
}

/** Say where a producer's time goes: "works 10%, waits 85% for check". */
export function whereTimeGoes([working, waiting, throttled], held, room = "") {
  const parts = [`works ${working}%`];
  if (waiting) parts.push(`waits ${waiting}%${held ? ` for ${held}` : ""}`);
  if (throttled) parts.push(`waits ${throttled}% for ${room ? `room in ${room}` : "a slot"}`);
  return parts.join(", ");
}

function grid(kind, label, columns, rows) {
  const head = h("div", { class: "flownb-row flownb-head", role: "row" });
  head.append(...columns.map((name) => h("span", { role: "columnheader" }, name)));
  const table = h("div", { class: `flownb-rows flownb-${kind}`, role: "table", "aria-label": `${label}s` });
  table.append(head, ...rows.map((row) => row.element));
  return table;
}

function cell(name, label, ...children) {
  const caption = label ? [h("span", { class: "flownb-label" }, label)] : [];
  return h("div", { class: `flownb-cell flownb-c-${name}`, role: "cell" }, ...caption, ...children);
}

// -- the head --------------------------------------------------------------------

function header(store) {
  const title = h("strong");
  const words = h("span", { class: "flownb-dim" });
  const kernel = h("span", { class: "flownb-dim", title: "how often the notebook's event loop was late in the last seconds" });
  const all = VERBS.map((verb) =>
    button(verb, `${verb} all loops`, () => store.send({ do: verb }), verb),
  );
  const tools = h("div", { class: "flownb-tools", role: "group", "aria-label": "all loops" }, ...all);
  const element = h("header", { class: "flownb-bar" }, title, words, kernel, tools);
  return {
    element,
    show: (scene, state) => {
      const states = scene.loops.map((loop) => state[`${loop.id}.state`]?.[0]).filter(Boolean);
      text(title, scene.graph);
      if (states.length) text(words, summary(states));
      text(kernel, state.busy ? `the kernel is busy ${Math.round(100 * state.busy)}%` : "the kernel is free");
      kernel.classList.toggle("flownb-warned", (state.busy ?? 0) >= 0.2);
      const can = possible(states);
      all.forEach((element, i) => (element.disabled = !can[i]));
    },
  };
}

/** Say whether [start, pause, resume, step, stop] make sense for loops in these states. */
export function possible(states) {
  const some = (...wanted) => states.some((state) => wanted.includes(state));
  const going = states.some((state) => state !== "stopping" && !ENDED.has(state));
  return [some(...ENDED), some("running", "starting"), some("paused", "pausing"), some("paused"), going];
}

// -- a loop ----------------------------------------------------------------------

function loopRow(loop, store) {
  const state = stateCell();
  const parts = [state, nameCell(loop), rateCell(), sparkCell(), splitCell(), slotsCell(), takesCell(), troubleCell(), toolsCell(loop, store, state.asked)];
  const element = h("div", { class: "flownb-row", role: "row" }, ...parts.map((part) => part.element));
  const takers = {};
  for (const part of parts) {
    for (const [what, take] of Object.entries(part.takes)) (takers[what] ??= []).push(take);
  }
  return { element, show: (what, value) => value !== null && takers[what]?.forEach((take) => take(value)) };
}

function stateCell() {
  const glyph = h("span", { class: "flownb-glyph", "aria-hidden": "true" });
  const word = h("span");
  const element = cell("state", "", glyph, word);
  let now = ["", ""];
  const state = ([name, reason]) => {
    now = [name, reason];
    attr(element, "data-state", name);
    attr(element, "title", reason || null);
    text(glyph, GLYPHS[name] ?? "○");
    text(word, name);
  };
  const asked = (verb) => (verb ? text(word, ASKED[verb]) : state(now));
  return { element, asked, takes: { state } };
}

function nameCell(loop) {
  const element = cell("name", "", h("strong", { title: `${loop.shown} (${loop.pool})` }, loop.shown));
  return { element, takes: {} };
}

function rateCell() {
  const words = h("span", { class: "flownb-big" });
  const items = h("span", { class: "flownb-dim" });
  const element = cell("rate", "", words, items);
  return {
    element,
    takes: {
      rate: ([value, ended]) => text(words, ended ? inAll(...ended) : rate(value)),
      items: ([released]) => {
        text(items, `${count(released)} item${released === 1 ? "" : "s"}`);
        attr(items, "title", `${released.toLocaleString("en")} items`);
      },
    },
  };
}

function sparkCell() {
  const [wide, high] = [120, 24];
  const area = s("path", { class: "flownb-spark-area" });
  const line = s("path", { class: "flownb-spark" });
  const end = s("path", { class: "flownb-spark-end" });
  const svg = s("svg", { viewBox: `-1 -3 ${wide + 4} ${high + 5}`, preserveAspectRatio: "none", role: "img", "aria-label": "rate of the last minute" }, area, line, end);
  return {
    element: cell("spark", "", svg),
    takes: {
      ring: (ring) => {
        const points = spark(ring, wide, high);
        const d = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
        attr(line, "d", d);
        attr(area, "d", points.length > 1 ? `${d}L${wide} ${high}L${points[0][0].toFixed(1)} ${high}Z` : null);
        attr(end, "d", points.length ? `M${points.at(-1).map((v) => v.toFixed(1)).join(" ")}h0` : null);
        const most = ring.length ? Math.max(...ring) : 0;
        attr(svg, "aria-label", `rate of the last minute: at most ${rate(most)}, now ${rate(ring.at(-1) ?? 0)}`);
      },
    },
  };
}

function splitCell() {
  const bars = ["work", "wait", "throttled"].map((kind) => h("span", { class: `flownb-share flownb-share-${kind}` }));
  const words = h("span", { class: "flownb-dim" });
  const bar = h("div", { class: "flownb-split", "aria-hidden": "true" }, ...bars);
  let [shares, held, room] = [[0, 0, 0], "", ""];
  const show = () => {
    bars.forEach((element, i) => (element.style.width = `${shares[i]}%`));
    text(words, whereTimeGoes(shares, held, room));
  };
  return {
    element: cell("split", "", bar, words),
    takes: {
      split: (value) => ((shares = value), show()),
      held: (value) => ((held = value), show()),
      room: (value) => ((room = value), show()),
    },
  };
}

function slotsCell() {
  const fill = h("span");
  const words = h("span");
  const element = cell("slots", "in flight", words, h("div", { class: "flownb-meter", "aria-hidden": "true" }, fill));
  const slots = ([held, size]) => {
    text(words, `${held} of ${size}`);
    fill.style.width = `${Math.min(100, (100 * held) / size)}%`;
    element.classList.toggle("flownb-full", held >= size);
  };
  return { element, takes: { slots } };
}

function takesCell() {
  const words = h("span");
  const title = "from the making of an item to the end of all its work: half of them, 99 of 100";
  const takes = ([p50, p99]) => text(words, p99 ? `${duration(p50)} · ${duration(p99)}` : "–");
  return { element: cell("takes", "p50 · p99", h("span", { title }, words)), takes: { takes } };
}

function troubleCell() {
  const words = h("span");
  const element = cell("trouble", "trouble", words);
  let [failed, dropped, missed, retries] = [0, 0, 0, 0];
  const show = () => {
    const found = [[failed, "failed"], [retries, retries === 1 ? "retry" : "retries"], [dropped, "dropped"], [missed, missed === 1 ? "tick missed" : "ticks missed"]];
    const said = found.filter(([n]) => n).map(([n, word]) => `${count(n)} ${word}`);
    text(words, said.join(", ") || "none");
    element.classList.toggle("flownb-dim", !said.length);
    element.classList.toggle("flownb-failed", failed > 0);
  };
  return {
    element,
    takes: {
      items: (value) => (([, , failed, dropped, missed] = value), show()),
      retries: (value) => ((retries = value), show()),
      error: (value) => attr(element, "title", value || null),
    },
  };
}

function toolsCell(loop, store, asked) {
  const ask = (verb) => () => {
    store.send({ do: verb, loop: loop.name });
    [waiting, waited] = [verb, setTimeout(forget, PATIENCE)];
    asked(verb);
    allow();
  };
  const forget = () => {
    clearTimeout(waited);
    waiting = "";
    asked("");
    allow();
  };
  const all = VERBS.map((verb) => button(verb, `${verb} ${loop.shown}`, ask(verb)));
  let [state, waiting, waited] = ["", "", 0];
  const allow = () => {
    const can = possible(state ? [state] : []);
    const first = ENDED.has(state) ? "start" : can[2] ? "resume" : "pause"; // one of three has room
    all.forEach((element, i) => {
      element.disabled = !can[i] || (waiting === VERBS[i] && waiting !== "step");
      element.hidden = i < 3 && VERBS[i] !== first;
    });
  };
  allow();
  const tools = h("div", { class: "flownb-tools", role: "group", "aria-label": loop.shown }, ...all);
  return { element: cell("tools", "", tools), takes: { state: ([name]) => ((state = name), forget()) } };
}

// -- a queue ---------------------------------------------------------------------

function queueRow(queue) {
  const figures = ["depth", "not delivered", "not acked", "grows"].map((label) => [h("span"), label]);
  const fill = h("span");
  const bar = h("div", { class: "flownb-meter flownb-gauge", "aria-hidden": "true" }, fill);
  const name = cell("name", "", h("strong", { title: `${queue.shown} (${queue.mode})` }, queue.shown));
  const cells = figures.map(([element, label], i) => cell("figure", label, element, ...(i === 0 ? [bar] : [])));
  const element = h("div", { class: "flownb-row", role: "row" }, name, ...cells);
  let most = queue.maxlen ?? 10;
  const unknown = () => {
    fill.style.width = "0";
    figures.forEach(([element]) => text(element, "–"));
    element.classList.remove("flownb-growing");
  };
  const now = ([depth, lag, pending, grows]) => {
    most = queue.maxlen ?? Math.max(most, depth);
    fill.style.width = `${Math.min(100, (100 * depth) / most)}%`;
    const limit = queue.maxlen === null ? "" : ` of ${count(queue.maxlen)}`;
    const words = [`${count(depth)}${limit}`, count(lag), count(pending), growth(grows)];
    words.forEach((word, i) => text(figures[i][0], word));
    element.classList.toggle("flownb-growing", grows > 0.5 && depth > 10);
  };
  return { element, show: (what, value) => what === "now" && (value ? now(value) : unknown()) };
}

/** Write by how much a queue grows: "+12/s", "-3/s", "no". */
export function growth(perSecond) {
  if (Math.abs(perSecond) < 0.05) return "no";
  return `${perSecond > 0 ? "+" : "−"}${rate(Math.abs(perSecond))}`;
}
