// Who works and who waits, right now? A Gantt chart that follows the run, or lets one look back.
import { attr, calm, duration, h, text } from "./base.js";
import { painter } from "./shapes.js";
import { place, Reel, said, second, ticks, what } from "./spans.js";

const SPANS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600]; // seconds in view
const LEAST = 0.005; // seconds in view
const PULLED = 6; // pixels: a narrower box was a click
const HEAD = 22; // pixels of a loop's name
const BAR = 15;
const GAP = 5;
const FRAME = 50; // milliseconds between two pictures, at least
const ARROWS = 80; // messages in view
const TABLE = 100; // rows
const AHEAD = 1; // seconds that the clock goes on without news: a busy kernel sends none

/** Show the timeline. @param {HTMLElement} el @param {import("./base.js").Store} store */
export function timeline(el, store) {
  const reel = new Reel();
  const view = { wide: 10, to: 0, follow: true, now: 0, at: 0, runs: false, open: [] };
  const page = build(view, act);
  const paint = painter(page.canvas);
  let rows = [];
  let [timer, drawn, shown, cost, high] = [0, 0, true, 0, 0];
  el.append(page.element);

  // -- what is known ---------------------------------------------------------------

  function redraw() {
    const { unit, kinds, looks } = store.scene;
    reel.begin(store.scene, unit, kinds);
    paint.use(looks);
    arrange();
    hear(store.state);
  }
  function hear(changed) {
    const { unit, kinds } = store.scene;
    const fresh = Object.keys(changed).filter((key) => /^c\d+$/.test(key) && changed[key]);
    fresh.map((key) => Number(key.slice(1))).sort((a, b) => a - b).forEach((n) => reel.take(n, changed[`c${n}`], unit, kinds));
    if (changed.now) tick(changed.now);
    if (changed.open) view.open = changed.open;
    const deep = rows.reduce((sum, row) => sum + reel.depth(row.id), 0);
    if (deep !== arranged) arrange();
    soon();
  }
  function tick([now, runs]) {
    const here = clock();
    // the clock of the run, as smooth as ours: jumps of a late message are spread
    view.now = runs && view.runs && Math.abs(here - now) < 0.5 ? here + (now - here) * 0.1 : now;
    [view.at, view.runs] = [performance.now(), runs];
  }
  function clock() {
    return view.runs ? view.now + Math.min(AHEAD, (performance.now() - view.at) / 1000) : view.now;
  }

  // -- where everything stands -------------------------------------------------------

  let arranged = 0;
  let focus = ""; // the node that is looked at; its rows are shown alone
  function arrange() {
    let y = 0;
    let loop = null;
    arranged = 0;
    const wanted = store.scene.rows.filter((row) => row.node === focus);
    rows = (wanted.length ? wanted : store.scene.rows).map((row) => {
      if (row.loop !== loop) y += HEAD + (loop === null ? 0 : GAP);
      loop = row.loop;
      const deep = reel.depth(row.id);
      arranged += deep;
      const found = { ...row, y, deep, high: deep * (BAR + 1) - 1 };
      y += found.high + GAP;
      return found;
    });
    high = y + GAP;
    page.name(rows, HEAD, high);
    soon();
  }
  function windowNow() {
    const to = view.follow ? Math.max(clock(), view.wide) : view.to; // a young run begins at the left
    return [to - view.wide, to];
  }

  // -- drawing -------------------------------------------------------------------------

  function soon() {
    if (!timer && shown) timer = requestAnimationFrame(frame);
  }
  function frame() {
    timer = 0;
    if (!shown || !el.isConnected) return;
    const due = drawn + Math.max(calm() ? 500 : FRAME, 4 * cost) - performance.now();
    if (due <= 0) draw();
    if (due > 0 || (view.follow && view.runs)) timer = requestAnimationFrame(frame);
  }
  function draw() {
    const begin = performance.now();
    const [from, to] = windowNow();
    const wide = paint.resize(high);
    if (!wide) return;
    const x = (time) => ((time - from) / view.wide) * wide;
    const axis = ticks(from, to, Math.max(2, wide / 90));
    page.axis(axis, x);
    paint.grid(axis.at.map(x), high);
    const [top, bottom] = page.inView();
    const open = openSpans(to);
    view.boxes = [];
    for (const row of rows) {
      if (row.y > bottom || row.y + row.high < top) continue;
      const spans = [...reel.visible(row.id, from, to), ...(open.get(row.id) ?? [])];
      view.boxes.push(...paint.row(row, spans, x, { bar: BAR, reel, rows }));
    }
    messages(from, to, x, [top, bottom]);
    page.tell(view, from, to, rows, reel);
    drawn = performance.now();
    cost = drawn - begin;
  }
  /** Draw who handed what to whom; a thicket of arrows would tell nothing. */
  function messages(from, to, x, [top, bottom]) {
    const found = reel.arrows(from, to);
    if (found.length > ARROWS) return;
    const known = new Map(rows.map((row) => [row.id, row]));
    for (const { row, reader, pushed, taken, time } of found) {
      const [a, b] = [known.get(row), known.get(reader)];
      if (!a || !b) continue;
      const down = b.y > a.y; // from the near edge of one bar to that of the other
      const y = a.y + pushed.line * (BAR + 1) + (down ? BAR : 0);
      const end = b.y + taken.line * (BAR + 1) + (down ? 0 : BAR);
      if (Math.max(y, end) >= top && Math.min(y, end) <= bottom) paint.hop(x(Math.min(pushed.end, time)), y, x(time), end);
    }
  }
  function openSpans(to) {
    const found = new Map();
    const end = Math.min(clock(), to);
    const lines = new Map();
    for (const [row, iteration, start, kind] of view.open) {
      if (!lines.has(row)) lines.set(row, [...(reel.rows.get(row)?.ends ?? [])]);
      const span = { row, iteration, start, end: Math.max(end, start), kind: store.scene.kinds[kind], open: true };
      span.line = place(lines.get(row), span);
      found.set(row, [...(found.get(row) ?? []), span]);
    }
    return found;
  }

  // -- what one may do -------------------------------------------------------------------

  function act(what, value) {
    if (what === "follow") view.follow = value ?? !view.follow;
    if (what === "zoom") zoom(value.steps, value.share ?? 1);
    if (what === "span") span(value);
    if (what === "move") move(value * view.wide);
    if (what === "rows") page.table(tableRows());
    if (what === "hover") return hover(value);
    if (!view.follow && !view.to) view.to = clock();
    page.buttons(view);
    soon();
    return null;
  }
  function zoom(steps, share) {
    const to = windowNow()[1];
    const at = to - view.wide * (1 - share);
    const i = SPANS.findIndex((wide) => wide >= view.wide);
    view.wide = SPANS[Math.min(SPANS.length - 1, Math.max(0, i + steps))];
    view.to = at + view.wide * (1 - share);
  }
  /** Show what is between two places, as shares of the width. */
  function span([left, right]) {
    const [from] = windowNow();
    view.to = from + view.wide * right;
    view.wide = Math.max(LEAST, view.wide * (right - left));
    view.follow = false;
  }
  function move(seconds) {
    const end = clock();
    view.to = Math.min(end, Math.max(reel.start() + view.wide / 10, Math.min(end, windowNow()[1]) + seconds));
    view.follow = view.to >= end - 1e-6;
  }
  function hover({ x, y }) {
    const found = (view.boxes ?? []).findLast((b) => x >= b.x - 1 && x <= b.x + b.wide + 1 && y >= b.y && y <= b.y + BAR);
    return found ? said(found.span, rows, reel) : "";
  }
  function tableRows() {
    const [from, to] = windowNow();
    return rows
      .flatMap((row) => reel.visible(row.id, from, to).map((span) => [row, span]))
      .sort((a, b) => b[1].start - a[1].start)
      .slice(0, TABLE)
      .map(([row, span]) => [row.loop, row.node, span.kind === "block" ? `${span.iteration} calls` : String(span.iteration), what(span, rows, reel), span.start.toFixed(3), span.end.toFixed(3)]);
  }

  const watch = new IntersectionObserver((seen) => ((shown = seen.at(-1).isIntersecting), soon()));
  watch.observe(page.canvas);
  const grown = new ResizeObserver(() => soon());
  grown.observe(page.canvas.parentElement);
  redraw();
  page.buttons(view);
  store.onScene(redraw);
  store.onState(hear);
  store.onFocus((node) => {
    focus = node;
    arrange();
  });
  store.send({ do: "recall_timeline" });
  return () => {
    watch.disconnect();
    grown.disconnect();
    cancelAnimationFrame(timer);
    shown = false;
  };
}

function build(view, act) {
  const follow = h("button", { type: "button", class: "flownb-button", "aria-pressed": "true", onclick: () => act("follow") }, "follow");
  const plain = (label, words, press) => h("button", { type: "button", class: "flownb-button", "aria-label": label, title: label, onclick: press }, words);
  const buttons = [
    plain("earlier", "◂", () => act("move", -0.5)), plain("later", "▸", () => act("move", 0.5)),
    plain("show more seconds", "−", () => act("zoom", { steps: 1 })), plain("show fewer seconds", "+", () => act("zoom", { steps: -1 })), follow,
  ];
  const words = h("span", { class: "flownb-dim" });
  const bar = h("header", { class: "flownb-bar" }, h("strong", {}, "timeline"), words, h("div", { class: "flownb-tools", role: "group", "aria-label": "timeline" }, ...buttons));
  const names = h("div", { class: "flownb-names" });
  const canvas = h("canvas", { class: "flownb-chart", role: "img", tabindex: "0", "aria-label": "timeline" });
  const tip = h("div", { class: "flownb-tip", role: "tooltip", hidden: "" });
  const box = h("div", { class: "flownb-box", hidden: "" });
  const area = h("div", { class: "flownb-area" }, canvas, box, tip);
  const scroll = h("div", { class: "flownb-scroll" }, names, area);
  const axis = h("div", { class: "flownb-axis", "aria-hidden": "true" });
  const body = h("tbody");
  const heads = ["loop", "node", "iteration", "what", "start", "end"].map((name) => h("th", { scope: "col" }, name));
  const table = h("table", { class: "fnb-table" }, h("thead", {}, h("tr", {}, ...heads)), body);
  const twin = h("details", { ontoggle: () => act("rows") }, h("summary", {}, "as a table"), h("div", { class: "flownb-twin" }, table));
  const keys = h("p", { class: "flownb-legend flownb-dim" }, ...legend());
  const element = h("div", {}, bar, scroll, axis, keys, twin);
  listen(canvas, tip, box, view, act);
  let tabled = 0;
  let labels = [];
  return {
    element, canvas,
    buttons: ({ follow: on }) => attr(follow, "aria-pressed", String(on)),
    inView: () => [scroll.scrollTop, scroll.scrollTop + scroll.clientHeight],
    name: (rows, head, high) => nameRows(names, rows, head, high),
    axis: ({ at, step }, x) => {
      while (labels.length < at.length) axis.append((labels[labels.length] = h("span")));
      labels.forEach((label, i) => {
        label.hidden = i >= at.length;
        if (label.hidden) return;
        text(label, second(at[i], step));
        const half = 4 * label.textContent.length; // the first and the last one stay inside
        const middle = Math.min(Math.max(x(at[i]), half), axis.clientWidth - half);
        label.style.transform = `translateX(${middle.toFixed(1)}px) translateX(-50%)`;
      });
    },
    table: (rows) => {
      if (twin.open) body.replaceChildren(...rows.map((row) => h("tr", {}, ...row.map((word) => h("td", {}, word)))));
    },
    tell: (now, from, to, rows, reel) => {
      const late = now.follow ? "" : `, ${duration(Math.max(0, now.now - to))} ago`;
      const silent = (performance.now() - now.at) / 1000;
      const quiet = now.runs && silent > 2 ? `; no news for ${duration(Math.round(silent))}` : "";
      const left = reel.left ? `; ${reel.left.toLocaleString("en")} earlier spans of busy moments are not drawn` : "";
      text(words, `${second(Math.max(0, from), 0.1)} to ${second(Math.min(to, now.now), 0.1)} s${late}${left}${quiet}`);
      attr(canvas, "aria-label", `timeline of ${rows.length} nodes, ${duration(now.wide)} wide`);
      if (twin.open && performance.now() - tabled > 2000) {
        tabled = performance.now();
        act("rows");
      }
    },
  };
}

function nameRows(names, rows, head, high) {
  names.style.height = `${high}px`;
  const found = [];
  let loop = null;
  for (const row of rows) {
    if (row.loop !== loop) found.push(label("flownb-loop-name", row.y - head, head, row.loop));
    loop = row.loop;
    found.push(label("flownb-node-name", row.y, row.high, row.node));
  }
  names.replaceChildren(...found);
}

function label(name, y, high, words) {
  return h("span", { class: name, title: words, style: `top:${y}px;height:${high}px` }, words);
}

function legend() {
  const keys = [["work", "works"], ["away", "works, the producer does not wait"], ["wait", "waits"], ["failed", "failed"], ["hop", "message"]];
  const found = keys.map(([kind, words]) => h("span", {}, h("i", { class: `flownb-key flownb-key-${kind}`, "aria-hidden": "true" }), words));
  return [...found, h("span", {}, "zoom: Ctrl + wheel, or Shift + drag over a part")];
}

function listen(canvas, tip, box, view, act) {
  let drag = null;
  let begun = null; // where a box was begun, in pixels
  const at = (event) => {
    const { left, top, width } = canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top, wide: width };
  };
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return; // the page scrolls
    event.preventDefault();
    const { x, wide } = at(event);
    if (event.ctrlKey) act("zoom", { steps: Math.sign(event.deltaY), share: view.follow ? 1 : x / wide });
    else act("move", (event.deltaX || event.deltaY) / wide);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.shiftKey) begun = at(event).x;
    else drag = event.clientX;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", (event) => {
    const { x, wide } = at(event);
    const found = begun === null ? [0, 0] : [Math.min(begun, x), Math.max(begun, x)].map((place) => Math.min(wide, Math.max(0, place)));
    [drag, begun, box.hidden] = [null, null, true];
    if (found[1] - found[0] > PULLED) act("span", found.map((place) => place / wide));
  });
  canvas.addEventListener("pointercancel", () => ([drag, begun, box.hidden] = [null, null, true]));
  canvas.addEventListener("pointermove", (event) => {
    const here = at(event);
    if (drag !== null) {
      act("move", (drag - event.clientX) / here.wide);
      drag = event.clientX;
    }
    if (begun !== null) {
      box.hidden = false;
      box.style.left = `${Math.min(begun, here.x)}px`;
      box.style.width = `${Math.abs(here.x - begun)}px`;
    }
    const words = drag === null && begun === null ? act("hover", here) : "";
    tip.hidden = !words;
    if (!words) return;
    text(tip, words);
    tip.style.left = `${Math.max(0, Math.min(here.x + 12, here.wide - tip.offsetWidth))}px`;
    tip.style.top = `${here.y + 16}px`;
  });
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));
  canvas.addEventListener("keydown", (event) => {
    const verbs = { ArrowLeft: ["move", -0.2], ArrowRight: ["move", 0.2], PageUp: ["move", -1], PageDown: ["move", 1], "+": ["zoom", { steps: -1 }], "-": ["zoom", { steps: 1 }], End: ["follow", true], f: ["follow", undefined] };
    const verb = verbs[event.key];
    if (!verb || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation(); // else the notebook takes the key
    act(...verb);
  });
}
