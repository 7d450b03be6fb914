// How is a graph drawn by hand? Boxes and edges to move, link and set; every gesture is an edit
// of the graph in Python, and what is drawn is what comes back from there.
import { attr, h, inAll, rate, text } from "./base.js";
import { canvasForm, nameInPlace } from "./canvas_panel.js";
import { gestures } from "./canvas_gestures.js";
import { around } from "./canvas_shapes.js";
import { layer } from "./canvas_layer.js";
import { ENDED, GLYPHS, button } from "./controls.js";
import { crossed, dots } from "./edge_flow.js";
import { spoken } from "./badges.js";
import { minimap } from "./minimap.js";
import { palette, quickAdd } from "./palette.js";
import { png, save, svgText } from "./picture_file.js";
import { near, stage } from "./viewport.js";

const MANY = 80; // boxes: above this nothing glows by itself
const NAMES = 0.3; // the scale below which boxes have neither names nor ports
const STEP = 10; // pixels that an arrow key moves
const HELD = new Set(["paused", "pausing"]);

/** Show the canvas. @param {HTMLElement} el @param {import("./base.js").Store} store */
export function canvas(el, store) {
  const view = Math.random().toString(36).slice(2);
  const place = stage("the graph, to be drawn", () => seen(), true);
  const drawn = layer(place.world);
  const flow = dots(place.frame, place.at);
  const map = minimap(place);
  const kinds = palette(drop, aim);
  const naming = nameInPlace(() => focusCanvas());
  const quick = quickAdd((what) => added(what), () => focusCanvas());
  const side = canvasForm({
    set: (about, option, value) => send("set", { ...about, option, value }),
    rename: (node, to) => begin("rename", { node, name: to }),
    flip: (node) => send("flip", { nodes: [node] }),
    chooseLoop: (loop) => choose([], null, false, loop),
    close: () => choose([], null),
  });
  let seq = 0;
  let chosen = new Set();
  let chosenEdge = null;
  let chosenLoop = null;
  let chosenFrame = null; // whose name F2 would change
  let places = new Map(); // where the hand has put nodes, until Python says so too
  let pulling = null; // {from, allowed: Set | null}
  let linking = null; // the node from which the keyboard draws an edge
  let adding = null; // what the menu adds to: {position, after}
  let wanted = null; // what to do when a command is answered: {seq, then}
  let frame = 0;
  let bends = false; // whether lines have moved since dots ran along them
  const late = new Set();
  const passed = new Map();
  const begun = new Map();

  // -- what stands around ------------------------------------------------------------

  const title = h("strong");
  const sum = h("span", { class: "flownb-dim flownb-canvas-sum", role: "status" });
  const trouble = h("button", { type: "button", class: "flownb-counts", hidden: "", onclick: () => { problems.hidden = !problems.hidden; } });
  const runs = {
    run: button("start", "run this graph: start all its loops", () => send("run"), "run"),
    resume: button("resume", "go on with every loop", () => store.send({ do: "resume" }), "resume"),
    pause: button("pause", "pause every loop", () => store.send({ do: "pause" }), "pause"),
    stop: button("stop", "stop every loop: no new items, the others end", () => store.send({ do: "stop" }), "stop"),
  };
  const apply = h("button", { type: "button", class: "flownb-primary", hidden: "", title: "what runs goes on as it is drawn now", onclick: () => send("apply") }, "apply");
  const undo = plain("↶", "undo", () => send("undo"));
  const redo = plain("↷", "redo", () => send("redo"));
  const tidy = plain("tidy up", "lay out all, or what is chosen", () => send("tidy", { nodes: [...chosen] }));
  const pack = plain("group", "put what is chosen into a frame, or take the frame away", () => grouped());
  const gone = plain("delete", "delete what is chosen", () => remove());
  const search = h("input", { type: "search", placeholder: "find a node", "aria-label": "find a node", spellcheck: "false", oninput: () => find(0), onkeydown: searching });
  const wide = h("header", { class: "flownb-bar flownb-canvas-bar" }, title, trouble, sum, apply, ...Object.values(runs));
  const tools = h("div", { class: "flownb-bar flownb-canvas-tools", role: "toolbar", "aria-label": "edit" },
    h("span", { class: "flownb-group" }, undo, redo), tidy, pack, gone,
    h("span", { class: "flownb-group" }, plain("−", "zoom out", () => place.zoom(1 / 1.3)), plain("fit", "show all of it", fit), plain("+", "zoom in", () => place.zoom(1.3))),
    search, h("span", { class: "flownb-tools" },
      plain("Python", "copy as the code that makes this graph", () => ask("python")), plain("JSON", "copy as React Flow's JSON", () => ask("json")),
      plain("SVG", "save the picture as SVG", () => kept("svg")), plain("PNG", "save the picture as PNG", () => kept("png"))));
  const words = h("textarea", { readonly: "", spellcheck: "false", "aria-label": "copied" });
  const copied = h("div", { class: "flownb-copied", hidden: "" }, h("header", {}, h("span"), h("button", { type: "button", "aria-label": "close", onclick: () => { copied.hidden = true; } }, "×")), words);
  const problems = h("ul", { class: "flownb-problems", hidden: "" });
  const waits = h("ul", { class: "flownb-waits" });
  const refused = h("p", { class: "flownb-refused", role: "alert", hidden: "" });
  const hint = h("p", { class: "flownb-empty", hidden: "" }, "drag a producer here, or double-click to add by name");
  const left = h("div", { class: "flownb-canvas-left" }, kinds.el, map.el);
  place.frame.append(hint, quick.el, naming.el, refused);
  const middle = h("div", { class: "flownb-canvas-middle", tabindex: "-1" }, place.frame);
  el.append(wide, tools, h("div", { class: "flownb-canvas-split" }, left, middle, side.el), copied, problems, waits);

  // -- up to Python ------------------------------------------------------------------

  function send(verb, about = {}) {
    seq += 1;
    store.send({ do: verb, view, seq, ...about });
    return seq;
  }
  function ask(what) {
    wanted = { seq: send(what), what };
  }
  const ends = (edge) => [edge.source, edge.target];

  // -- what is drawn -----------------------------------------------------------------

  function draw() {
    const { scene } = store;
    const heard = scene.heard[view] ?? 0;
    for (const [id, at] of places) if (at.seq <= heard || !scene.nodes.some((node) => node.id === id)) places.delete(id);
    if (hand.busy()) return late.add(""); // the hand first, then what comes from elsewhere
    if (!place.room().width) return undefined; // once there is room it is drawn, at the right size
    const hasFocus = el.contains(focused()) && !focused().closest("input,select,textarea,button");
    drawn.draw(scene, places);
    place.svg.classList.toggle("flownb-many", scene.nodes.length > MANY);
    for (const id of [...chosen]) if (!drawn.boxes.has(id)) chosen.delete(id);
    if (chosenEdge && !drawn.edges.has(chosenEdge)) chosenEdge = null;
    text(title, scene.name);
    hint.hidden = scene.nodes.length > 0;
    name(undo, scene.undo, "undo");
    name(redo, scene.redo, "redo");
    tell();
    geometry();
    place.show(bounds());
    mark();
    for (const id of drawn.boxes.keys()) late.add(id);
    catchUp();
    stood(store.state);
    made();
    if (hasFocus) focusCanvas(); // what had it may be gone
    return undefined;
  }
  const focused = () => /** @type {any} */ (el.getRootNode()).activeElement ?? document.body;

  function name(el_, done, verb) {
    el_.disabled = !done;
    attr(el_, "title", done ? `${verb}: ${done}` : `nothing to ${verb}`);
    attr(el_, "aria-label", attr_label(done, verb));
  }
  const attr_label = (done, verb) => (done ? `${verb} ${done}` : verb);

  function geometry() {
    bends = true;
    map.draw(store.scene.nodes.filter((node) => drawn.isSeen(node.id)).map((node) => ({ type: node.type, box: drawn.boxes.get(node.id) })));
  }
  function bounds() {
    const frames = [...drawn.rims.values()].filter((one) => one.ids.length).map((one) => one.box);
    return around([...[...drawn.boxes].filter(([id]) => drawn.isSeen(id)).map(([, box]) => box), ...frames]);
  }
  function fit() {
    place.show(bounds());
    place.fit();
  }
  function seen() {
    place.svg.classList.toggle("flownb-tiny", place.isFar(NAMES));
    map?.look();
    naming.follow();
    soon();
  }

  /** Mark what is wrong, on the boxes and below. */
  function tell() {
    const { scene } = store;
    const bad = new Map();
    for (const problem of scene.problems) {
      if (problem.level === "hint") continue;
      for (const id of problem.nodes) if (!bad.has(id)) bad.set(id, problem);
    }
    for (const id of drawn.shown.keys()) drawn.warn(id, bad.get(id));
    const levels = ["error", "warning", "hint"].map((level) => [level, scene.problems.filter((p) => p.level === level).length]).filter(([, n]) => n);
    trouble.hidden = !levels.length;
    attr(trouble, "data-worst", levels[0]?.[0]);
    text(trouble, levels.map(([level, n]) => `${n} ${level}${n === 1 ? "" : "s"}`).join(" · "));
    const rows = scene.problems.map((problem) => h("li", { "data-level": problem.level },
      h("button", { type: "button", onclick: () => choose(problem.nodes, null, false, null, true) }, problem.text)));
    problems.replaceChildren(...rows);
    if (!rows.length) problems.hidden = true;
  }

  /** Show what is chosen. */
  function mark() {
    for (const [id, { group }] of drawn.shown) {
      group.classList.toggle("flownb-chosen", chosen.has(id));
      attr(group, "aria-pressed", String(chosen.has(id)));
    }
    for (const [id, { group }] of drawn.edges) group.classList.toggle("flownb-chosen", id === chosenEdge);
    for (const [, one] of drawn.rims) one.group.classList.toggle("flownb-chosen", Boolean(chosenLoop) && one.loop === chosenLoop);
    gone.disabled = !chosen.size && !chosenEdge;
    pack.disabled = !chosen.size;
    text(tidy, chosen.size > 1 ? "tidy up these" : "tidy up");
    rove();
  }
  function rove() {
    const [first] = chosen.size ? chosen : drawn.boxes.keys();
    for (const [id, { group }] of drawn.shown) attr(group, "tabindex", id === first ? "0" : "-1");
  }

  function choose(ids, edge, more = false, loop = null, far = false) {
    chosen = new Set(more ? [...chosen, ...ids] : ids);
    [chosenEdge, chosenLoop, chosenFrame] = [edge, loop, null];
    mark();
    const [node] = chosen;
    if (far && node && drawn.boxes.has(node)) place.reveal(drawn.boxes.get(node));
    const found = edge ? drawn.edges.get(edge)?.edge : null;
    store.select(found ? { edge: ends(found) } : loop ? { loop } : chosen.size === 1 ? { node } : {});
    panel();
  }

  function panel() {
    const { scene, state } = store;
    const [node] = chosen.size === 1 ? chosen : [];
    const about = chosenEdge ? { edge: chosenEdge } : chosenLoop ? { loop: chosenLoop } : node !== undefined ? { node } : null;
    const edge = chosenEdge ? drawn.edges.get(chosenEdge)?.edge : null;
    side.show({
      about: edge ? { edge: ends(edge) } : about, label: chosenEdge ?? chosenLoop ?? node, many: chosen.size, detail: fits(state.detail, about),
      problems: scene.problems.filter((p) => node !== undefined && p.nodes.includes(node)), words: state.words ?? [], refused: state.refused,
      implied: Boolean(edge?.implied), empty: !scene.nodes.length,
    });
  }
  const fits = (detail, about) => (detail && about && Object.entries(about).every(([key, value]) => detail[key] === value) ? detail : null);

  // -- what has changed --------------------------------------------------------------

  function stood(changed) {
    for (const key of Object.keys(changed)) {
      if (drawn.boxes.has(key)) late.add(key);
      else if (key.startsWith("gauge ")) late.add(key.slice(6));
    }
    soon();
    running();
    move();
    if ("waits" in changed) hold(store.state.waits ?? []);
    if ("tools" in changed) kinds.show(store.state.tools ?? []);
    if ("targets" in changed && pulling && store.state.targets?.source === pulling.from) {
      pulling.allowed = new Set(store.state.targets.nodes);
      dim();
    }
    if ("copied" in changed) answered();
    if ("made" in changed) made();
    complain();
    panel();
  }
  function soon() {
    if (!frame && late.size) frame = requestAnimationFrame(write);
  }
  function write() {
    frame = 0;
    if (late.delete("")) draw();
    else catchUp();
  }
  /** Write on boxes what is new; what nobody sees is written when somebody does. */
  function catchUp() {
    const window = place.seen();
    const unseen = [];
    for (const id of late) {
      const box = drawn.boxes.get(id);
      if (!box) continue;
      const isSeen = near(box, window) && !place.isFar(NAMES);
      if (isSeen) drawn.fill(id);
      if (!isSeen || place.isFar()) {
        unseen.push(id);
        continue;
      }
      drawn.stand(id, store.state[id], store.state[`gauge ${id}`]);
      const { node, group } = drawn.shown.get(id);
      attr(group, "aria-label", spoken({ name: id, kind: node.type, word: node.data.word }, store.state[id]));
    }
    late.clear();
    unseen.forEach((id) => late.add(id));
  }

  function running() {
    const { run } = store.state;
    const loops = Object.entries(store.state).filter(([key]) => key.startsWith("loop ")).map(([, value]) => value);
    const states = run ? run.states : [];
    const lives = run && !run.over;
    waits.hidden = !lives;
    runs.run.hidden = Boolean(lives);
    runs.run.disabled = store.scene.problems.some((p) => p.level === "error") || !store.scene.loops.length;
    runs.pause.hidden = !states.some((state) => state === "running" || state === "starting");
    runs.resume.hidden = !states.some((state) => HELD.has(state));
    runs.stop.hidden = !lives;
    apply.hidden = !run?.unapplied;
    if (run?.unapplied) text(apply, `apply ${run.unapplied} ${run.unapplied === 1 ? "edit" : "edits"}`);
    const total = loops.reduce((all, [, , , perSecond]) => all + perSecond, 0);
    const { nodes, edges } = store.scene;
    const size = `${nodes.length} ${nodes.length === 1 ? "node" : "nodes"}, ${edges.length} ${edges.length === 1 ? "edge" : "edges"}`;
    text(sum, run ? `${size} · ${lives ? "runs" : "has run"}${total ? ` · ${rate(total)}` : ""}` : size);
    for (const one of drawn.rims.values()) {
      if (!one.loop) continue;
      const now = loops.find(([loop]) => loop === one.loop);
      text(one.status, now ? standing(now) : "");
      attr(one.status, "data-state", now?.[1]);
    }
  }
  function standing([, state, released, perSecond, inFlight, , , elapsed]) {
    const done = ENDED.has(state) ? inAll(released, elapsed) : rate(perSecond);
    return `${GLYPHS[state]} ${state} · ${done}${inFlight ? ` · ${inFlight} in flight` : ""}`;
  }

  function move() {
    if (!store.state.run) return;
    const ended = (id) => store.state[id]?.[1] ?? 0;
    const started = (id) => ended(id) + (store.state[id]?.[4] ?? 0);
    const lines = store.scene.edges;
    for (const id of crossed(lines, passed, ended, started, begun)) {
      const one = drawn.edges.get(id);
      const window = place.seen();
      if (!one || !(near(drawn.boxes.get(one.edge.source), window) || near(drawn.boxes.get(one.edge.target), window))) continue;
      if (bends) known.clear();
      bends = false;
      if (!known.has(id)) flow.know(id, one.line);
      known.add(id);
      flow.send(id, one.edge.style === "queued");
    }
  }
  const known = new Set();

  function hold(found) {
    const held = new Set(found.flatMap(([, ids]) => ids));
    for (const [id, { group }] of drawn.shown) group.classList.toggle("flownb-holds", held.has(id));
    waits.replaceChildren(...found.map(([, , said]) => h("li", {}, said)));
  }

  function complain() {
    const said = store.state.refused;
    const where = said && (said.option === null || said.option === undefined);
    refused.hidden = !where || said.seq === complain.closed;
    if (where) text(refused, said.text);
  }
  refused.addEventListener("click", () => {
    complain.closed = store.state.refused?.seq;
    complain();
  });

  /** Choose what a command has made. */
  function made() {
    const found = store.state.made;
    if (!found || wanted?.what !== "made" || found.seq !== wanted.seq) return;
    if (!found.nodes.every((id) => drawn.boxes.has(id))) return; // the drawing comes next
    const { then } = wanted;
    wanted = null;
    choose(found.nodes, null, false, null, true);
    then?.(found.nodes);
  }

  function answered() {
    const found = store.state.copied;
    if (!found || found.seq !== wanted?.seq) return;
    wanted = null;
    words.value = found.text;
    words.rows = Math.min(24, found.text.split("\n").length + 1);
    copied.hidden = false;
    const label = copied.querySelector("header > span");
    text(label, found.what === "python" ? "Python: run it in a cell to have this graph" : "React Flow's JSON");
    const done = globalThis.navigator?.clipboard?.writeText(found.text);
    done?.then(() => { label.textContent += " · copied"; }, () => words.select());
  }

  // -- what the hand asks for --------------------------------------------------------

  const hand = gestures(place, drawn, {
    press: (id, more) => {
      if (more) choose(chosen.has(id) ? [...chosen].filter((one) => one !== id) : [...chosen, id], null);
      else if (!chosen.has(id)) choose([id], null);
      drawn.shown.get(id)?.group.focus({ preventScroll: true });
      return chosen.has(id) ? chosen : [id];
    },
    release: (id) => chosen.size > 1 && choose([id], null),
    choose: (ids, edge, more) => {
      focusCanvas();
      choose(ids, edge, more);
    },
    chooseFrame: (id) => {
      const one = drawn.rims.get(id);
      if (one.loop) choose([], null, false, one.loop);
      else choose(one.ids, null);
      chosenFrame = one.frame ?? null;
    },
    rename,
    fold: (id) => {
      const found = store.scene.frames.find((one) => one.id === id);
      if (found) send("set_group", { group: id, folded: !found.folded });
    },
    dragging: (_, edge) => {
      for (const [id, one] of drawn.edges) one.group.classList.toggle("flownb-aimed", id === edge);
    },
    drop: (now, node, edge, frame_) => {
      const nodes = {};
      const number = seq + 1;
      for (const [id, { x, y }] of now) {
        nodes[id] = [Math.round(x), Math.round(y)];
        places.set(id, { x: Math.round(x), y: Math.round(y), seq: number });
      }
      const found = edge ? drawn.edges.get(edge).edge : null;
      const lonely = node && !store.scene.edges.some((e) => e.source === node || e.target === node);
      if (node) drawn.raise(node); // not before: a finger loses what is taken out of the page
      focusCanvas();
      send("move", { nodes, ...(found && lonely ? { between: ends(found), node } : {}), ...(frame_ === undefined ? {} : { frame: frame_, node }) });
      geometry();
      place.show(bounds());
    },
    pulls: (from) => {
      pulling = { from, allowed: null };
      send("targets", { source: from });
    },
    may: (id) => !pulling?.allowed || pulling.allowed.has(id),
    over: (id) => {
      for (const [one, { group }] of drawn.shown) group.classList.toggle("flownb-aimed", one === id);
    },
    connect: (source, target, when) => send("connect", { source, target, when }),
    reconnect: (edge, grip, to, at) => {
      const [source, target] = grip === "target" ? [edge.source, to] : [to, edge.target];
      const when = grip === "source" ? drawn.verdictAt(to, at) : undefined;
      const isOther = source !== edge.source || target !== edge.target || (when !== undefined && when !== edge.sourceHandle);
      if (isOther) send("reconnect", { edge: ends(edge), source, target, when });
    },
    nowhere: (from, at, event, when) => menu(event.clientX, event.clientY, { position: at, after: from, when }),
    empty: (at, event) => menu(event.clientX, event.clientY, { position: at }),
    open: (id, edge) => {
      choose(id === null ? [] : [id], edge ?? null);
      side.focus();
    },
    cancel: () => {
      pulling = null;
      dim();
      for (const { group } of drawn.edges.values()) group.classList.remove("flownb-aimed");
      if (late.has("")) soon();
    },
  });

  function dim() {
    for (const [id, { group }] of drawn.shown) group.classList.toggle("flownb-barred", Boolean(pulling?.allowed) && id !== pulling.from && !pulling.allowed.has(id));
  }

  function menu(x, y, what) {
    adding = what;
    const bounds_ = place.frame.getBoundingClientRect();
    const [right, low] = [bounds_.width - 216, bounds_.height - 236];
    quick.open(Math.max(4, Math.min(x - bounds_.left, right)), Math.max(4, Math.min(y - bounds_.top, low)), store.state.tools ?? []);
  }

  /** Add from the menu: where it was opened, behind what was pulled. */
  function added({ kind, tool }) {
    const { position, after, when } = adding ?? {};
    adding = null;
    begin("add", { kind, tool, after, when, position: position && [position[0], position[1] - 29] });
  }
  /** Add from the palette: at a place, or behind what is chosen. */
  function drop(what, event) {
    if (!event) {
      const [after] = chosen.size === 1 ? chosen : [];
      return begin("add", { ...what, ...(after === undefined ? {} : after_or_place(after)) });
    }
    const bounds_ = place.frame.getBoundingClientRect();
    const inside = event.clientX > bounds_.left && event.clientX < bounds_.right && event.clientY > bounds_.top && event.clientY < bounds_.bottom;
    if (!inside) return undefined;
    const [x, y] = hand.point(event);
    const edge = [...drawn.edges.values()].find((one) => one.group.classList.contains("flownb-aimed"))?.edge;
    const position = [Math.round(x - 52), Math.round(y - 29)];
    return begin("add", { ...what, position, ...(edge && what.kind !== "producer" && what.kind !== "queue-reader" ? { between: ends(edge) } : {}) });
  }
  const after_or_place = (after) => ({ after });
  function aim(event) {
    place.frame.classList.toggle("flownb-aimed", Boolean(event));
  }
  function begin(verb, about, then) {
    wanted = { seq: send(verb, about), what: "made", then };
  }

  function remove() {
    const edge = chosenEdge ? drawn.edges.get(chosenEdge)?.edge : null;
    if (!chosen.size && (!edge || edge.implied)) return;
    send("delete", { nodes: [...chosen], edges: edge && !edge.implied ? [ends(edge)] : [] });
    choose([], null);
    focusCanvas();
  }
  function grouped() {
    const whole = store.scene.frames.find((one) => one.nodes.length === chosen.size && one.nodes.every((id) => chosen.has(id)));
    if (whole) send("ungroup", { group: whole.id });
    else if (chosen.size) send("group", { nodes: [...chosen] });
  }
  /** Let the name be written where it stands: of a node, or of the frame that is chosen. */
  function rename(id) {
    const group = store.scene.frames.find((one) => one.id === chosenFrame);
    const [node] = id === undefined && chosen.size === 1 ? chosen : [id];
    if (group) naming.open(() => onScreen(drawn.rims.get(group.id)?.box), group.label, (label) => send("set_group", { group: group.id, label }));
    else if (node !== undefined) {
      place.reveal(drawn.boxes.get(node));
      naming.open(() => onScreen(drawn.boxes.get(node)), node, (name_) => begin("rename", { node, name: name_ }));
    }
  }
  function onScreen(box) {
    const { k, x, y } = place.at();
    return box && { x: box.x * k + x, y: box.y * k + y + 2, width: box.width * k };
  }
  let clip = ""; // what was copied here, as React Flow's JSON: for another kernel or tool
  function copy() {
    if (!chosen.size) return false;
    const mark = Math.random().toString(36).slice(2);
    const nodes = store.scene.nodes.filter((one) => chosen.has(one.id));
    const edges = store.scene.edges.filter((one) => !one.implied && chosen.has(one.source) && chosen.has(one.target));
    clip = JSON.stringify({ clip: mark, nodes, edges });
    send("copy", { nodes: [...chosen], clip: mark });
    return true;
  }
  function clipped(event) {
    if (!clip || inField(event)) return;
    event.clipboardData.setData("text/plain", clip);
    claim(event);
  }
  let waiting = 0;
  /** Paste what the page's clipboard holds; a browser that does not give it lets it come from Python. */
  function pasteSoon() {
    waiting = setTimeout(paste, 100);
  }
  function pasteGiven(event) {
    if (inField(event)) return;
    clearTimeout(waiting);
    claim(event);
    const given = event.clipboardData.getData("text/plain").trim();
    if (!/^[{[]/.test(given)) return paste();
    paste({ text: given, clip: given.match(/^\{"clip":"(\w+)"/)?.[1] });
  }
  function claim(event) {
    event.preventDefault();
    event.stopPropagation();
  }
  let pasted = 0;
  function paste(about = {}) {
    const { left: x, top: y, right, bottom } = place.seen();
    pasted = (pasted + 1) % 8;
    const at = pointer ?? [(x + right) / 2 - 80 + 24 * pasted, (y + bottom) / 2 - 30 + 24 * pasted];
    begin("paste", { ...about, position: at.map(Math.round) });
  }
  let pointer = null;
  place.svg.addEventListener("pointermove", (event) => { pointer = hand.point(event); });
  place.svg.addEventListener("pointerleave", () => { pointer = null; });

  function kept(how) {
    for (const id of drawn.boxes.keys()) drawn.fill(id);
    const background = getComputedStyle(place.svg).getPropertyValue("--fnb-bg").trim() || "#fff";
    const source = svgText(place.world, bounds(), background, ".flownb-port,.flownb-port-room,.flownb-halo,.flownb-edge-room,.flownb-frame-bar,.flownb-layer-draft,[display=none]");
    const file = store.scene.name.replace(/[^\w-]+/g, "_") || "graph";
    if (how === "svg") return save(`${file}.svg`, new Blob([source], { type: "image/svg+xml" }));
    return png(source).then((blob) => save(`${file}.png`, blob), (error) => {
      text(refused, error.message);
      refused.hidden = false;
    });
  }

  // -- finding -----------------------------------------------------------------------

  let hit = 0;
  function matches() {
    const word = search.value.trim().toLowerCase();
    return word ? [...drawn.boxes.keys()].filter((id) => id.toLowerCase().includes(word)) : [];
  }
  function find(step) {
    const found = matches();
    place.svg.classList.toggle("flownb-finds", Boolean(search.value.trim()));
    for (const [id, { group }] of drawn.shown) group.classList.toggle("flownb-found", found.includes(id));
    if (!found.length) return;
    hit = step ? (hit + step + found.length) % found.length : 0;
    choose([found[hit]], null, false, null, true);
  }
  function searching(event) {
    if (event.key === "Enter") find(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      search.value = "";
      find(0);
      focusCanvas();
    } else return;
    event.preventDefault();
  }

  // -- keys --------------------------------------------------------------------------

  function focusCanvas() {
    const [id] = chosen;
    (drawn.shown.get(id)?.group ?? middle).focus({ preventScroll: true });
  }
  const PLAIN = {
    Delete: remove, Backspace: remove, Escape: escape, "+": () => place.zoom(1.3), "=": () => place.zoom(1.3), "-": () => place.zoom(1 / 1.3), 0: fit, f: fit,
    t: () => chosen.size && send("flip", { nodes: [...chosen] }), g: grouped, l: link, a: addHere, "/": () => search.focus(), F2: () => rename(),
    Enter: enter, " ": () => side.focus(),
  };
  const WITH_CTRL = {
    z: (event) => send(event.shiftKey ? "redo" : "undo"), y: () => send("redo"), c: () => copy() && false, v: () => { pasteSoon(); return false; }, x: () => copy() && (remove(), false),
    a: () => choose([...drawn.boxes.keys()], null), d: () => copy() && paste(), f: () => search.focus(),
  };

  const inField = (event) => event.target.closest("input,select,textarea,.flownb-quick");
  function typed(event) {
    const ctrl = event.ctrlKey || event.metaKey;
    const passes = event.key === "Tab" || (event.key === "Enter" && (event.shiftKey || ctrl)) || (ctrl && event.key.toLowerCase() === "s");
    if (passes) return;
    if (!ctrl && !event.altKey) event.stopPropagation(); // else JupyterLab takes it for one of its own
    if (inField(event) || (event.target.closest("button") && [" ", "Enter"].includes(event.key))) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.key.startsWith("Arrow")) arrow(event);
    else if (ctrl && WITH_CTRL[key]) {
      if (WITH_CTRL[key](event) === false) return event.stopPropagation(); // the page's clipboard comes with it
    } else if (!ctrl && !event.altKey && PLAIN[key]) PLAIN[key](event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function arrow(event) {
    const [dx, dy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if ((event.shiftKey || event.altKey) && chosen.size) {
      const nodes = {};
      for (const id of chosen) {
        const box = drawn.boxes.get(id);
        const at = { x: Math.round(box.x + dx * STEP), y: Math.round(box.y + dy * STEP), seq: seq + 1 };
        places.set(id, at);
        nodes[id] = [at.x, at.y];
      }
      drawn.move(places);
      send("move", { nodes });
      return;
    }
    const [from] = chosen;
    const next = beside(store.scene, drawn.boxes, from, event.key);
    if (next === undefined) return;
    choose([next], null, false, null, true);
    focusCanvas();
    if (linking) drawn.pull([...out(linking)], [drawn.boxes.get(next).x, drawn.boxes.get(next).y + drawn.boxes.get(next).height / 2], true);
  }
  const out = (id) => [drawn.boxes.get(id).x + drawn.boxes.get(id).width, drawn.boxes.get(id).y + drawn.boxes.get(id).height / 2];

  /** Begin an edge by keyboard: walk to its end with the arrows, and press Enter. */
  function link() {
    const [from] = chosen;
    if (chosen.size === 1) linking = from;
  }
  function enter() {
    const [to] = chosen;
    if (linking && to !== linking) {
      send("connect", { source: linking, target: to });
      linking = null;
      drawn.pull(null);
    } else side.focus();
  }
  function escape() {
    linking = null;
    drawn.pull(null);
    if (chosen.size || chosenEdge || chosenLoop) choose([], null);
    copied.hidden = true;
    focusCanvas();
  }
  function addHere() {
    const [after] = chosen.size === 1 ? chosen : [];
    const bounds_ = place.frame.getBoundingClientRect();
    const box = drawn.boxes.get(after);
    const { k, x, y } = place.at();
    const at = box ? [bounds_.left + (box.x + box.width + 40) * k + x, bounds_.top + box.y * k + y] : [bounds_.left + bounds_.width / 2 - 100, bounds_.top + 60];
    menu(at[0], at[1], { after });
  }

  el.addEventListener("keydown", typed);
  el.addEventListener("copy", clipped);
  el.addEventListener("cut", clipped);
  el.addEventListener("paste", pasteGiven);
  const room = new ResizeObserver(() => {
    if (drawn.boxes.size || !place.room().width) return;
    room.disconnect();
    draw();
  });
  room.observe(place.frame);
  draw();
  store.onScene(draw);
  store.onState(stood);
  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(waiting);
    flow.end();
    map.end();
    room.disconnect();
    place.end();
  };
}

/**
 * Say where an arrow key leads: to the nearest box on that side, along an edge if there is one.
 * @param {{edges: Array<{source: string, target: string}>}} scene @param {Map<string, import("./canvas_shapes.js").Box>} boxes
 */
export function beside(scene, boxes, from, key) {
  const here = boxes.get(from);
  if (!here) return boxes.keys().next().value;
  const along = { ArrowRight: ["source", "target"], ArrowLeft: ["target", "source"] }[key];
  const linked = along ? scene.edges.filter((e) => e[along[0]] === from).map((e) => e[along[1]]) : [];
  const middle = (box) => [box.x + box.width / 2, box.y + box.height / 2];
  const [x, y] = middle(here);
  const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
  let [best, least] = [undefined, Infinity];
  for (const [id, box] of boxes) {
    if (id === from) continue;
    const [dx, dy] = [middle(box)[0] - x, middle(box)[1] - y];
    const ahead = dx * way[0] + dy * way[1];
    const aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
    if (ahead <= 1 && !linked.includes(id)) continue;
    const far = ahead + 2 * aside - (linked.includes(id) ? 1e6 : 0);
    if (far < least) [best, least] = [id, far];
  }
  return best;
}

function plain(label, words, act) {
  return h("button", { type: "button", title: words, "aria-label": words, onclick: act }, label);
}
