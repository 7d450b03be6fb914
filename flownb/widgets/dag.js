// How does the graph look while it runs? Its picture, and on it what happens.
import { attr, drawPicture, h, inAll, rate, s, text } from "./base.js";
import { chip, spoken } from "./badges.js";
import { minimap } from "./minimap.js";
import { png, save, svgText } from "./picture_file.js";
import { ASKED, ENDED, GLYPHS, ICONS, PATIENCE, button, tell } from "./controls.js";
import { crossed, dots } from "./edge_flow.js";
import { panel } from "./panel.js";
import { near, neighbour, stage } from "./viewport.js";
import { twin } from "./text_twin.js";

const HELD = new Set(["paused", "pausing"]);
const MANY = 80; // boxes: above this nothing glows by itself
const MAPPED = 12; // boxes: a smaller graph needs no map and no search
const LANE = 30; // pixels of a lane's title
const FADES = 24; // pixels at the right edge where a picture that goes on fades out

/** Show the graph. @param {HTMLElement} el @param {import("./base.js").Store} store */
export function dag(el, store) {
  const place = stage("the graph", () => {
    soon();
    map?.look();
    stick();
  });
  let map = null;
  const side = panel(() => choose(null), store.send);
  const table = twin();
  const waits = h("ul", { class: "flownb-waits" });
  const title = h("strong");
  const sum = h("span", { class: "flownb-dim" });
  const asks = [
    ["start", "start every loop that has ended", ENDED],
    ["resume", "go on with every loop", HELD],
    ["pause", "pause every loop", new Set(["running", "starting"])],
    ["step", "let every paused loop make one item", new Set(["paused"])],
    ["stop", "stop every loop: no new items, the others end", new Set(["running", "starting", ...HELD])],
  ].map(([verb, words, when]) => ({ el: button(verb, words, () => store.send({ do: verb }), verb), when }));
  const says = h("ul", { class: "flownb-says", role: "status", "aria-label": "what is wrong" });
  const search = h("input", { type: "search", class: "flownb-search", placeholder: "find: /", "aria-label": "find a node", spellcheck: "false", oninput: () => find(0), onkeydown: searching });
  const fold = plain("fold", "fold every loop into one box, or unfold them all", () => store.send({ do: "fold" }));
  const share = h("select", { class: "flownb-share-menu", "aria-label": "share", title: "share", onchange: () => shared() },
    ...[["", "share"], ["png", "PNG"], ["svg", "SVG"], ["json", "graph as JSON"], ["html", "HTML of its own"], ["full", "full screen"]].map(([value, words]) => h("option", { value }, words)));
  const bar = h(
    "header", { class: "flownb-bar" }, title, sum, h("span", { class: "flownb-tools", role: "group", "aria-label": "all loops" }, ...asks.map((ask) => ask.el)), search,
    h("span", { class: "flownb-group" },
      plain("−", "zoom out", () => place.zoom(1 / 1.3)), plain("fit", "show all of it", place.fit),
      plain("+", "zoom in", () => place.zoom(1.3))),
    fold,
    plain("table", "the same as a table", () => {
      table.el.hidden = !table.el.hidden;
      if (!table.el.hidden) table.show(store.scene.boxes, store.state);
    }), share,
  );
  map = minimap(place);
  place.frame.append(map.el);
  el.append(bar, says, h("div", { class: "flownb-dag-split" }, place.frame, side.el), waits, table.el);

  let groups = new Map();
  let boxes = new Map();
  let chips = new Map();
  let lanes = new Map();
  let heads = new Map(); // the titles of lanes, by id
  let turned = ""; // the loop that was last folded or unfolded: it stays in sight
  let ends = new Map();
  let flow = null;
  let chosen = null;
  const seen = new Map();
  const begun = new Map();
  const looked = new Map(); // how many failures of a box somebody has looked at
  const late = new Set(); // boxes on which other figures are to be written
  let frame = 0;

  // -- the picture, once and after edits --------------------------------------

  function draw() {
    const { picture } = store.scene;
    late.clear();
    flow?.end();
    groups = drawPicture(place.world, picture);
    place.world.removeAttribute("role");
    boxes = new Map(store.scene.boxes.map((box) => [box.id, box]));
    place.svg.classList.toggle("flownb-many", boxes.size > MANY);
    flow = dots(place.frame, place.at);
    ends = new Map(store.scene.lines.map((line) => [line.id, line]));
    for (const line of store.scene.lines) {
      const path = groups.get(line.id)?.querySelector("path");
      if (path) flow.know(line.id, path);
    }
    chips = new Map();
    for (const box of boxes.values()) dress(box);
    heads = new Map();
    lanes = new Map(store.scene.lanes.flatMap(titled));
    fold.hidden = store.scene.lanes.length < 2;
    text(fold, store.scene.lanes.every((lane) => lane.folded) ? "unfold" : "fold");
    text(title, store.scene.title);
    const large = boxes.size > MAPPED;
    map.el.hidden = !large;
    search.hidden = store.scene.boxes.reduce((sum, box) => sum + (box.nodes?.length ?? 1), 0) <= MAPPED;
    if (large) map.draw(store.scene.boxes.map((box) => ({ type: box.kind, box })));
    place.show(picture, store.scene.boxes.find((box) => box.kind === "producer"));
    const lane = store.scene.lanes.find(({ loops }) => loops.includes(turned));
    turned = "";
    if (lane) place.reveal({ ...lane, width: 1 }); // where it begins
    rove(boxes.keys().next().value);
    if (search.value) find(0);
    show(store.state);
  }

  function dress(box) {
    const group = groups.get(box.id);
    group.classList.add("flownb-node");
    group.setAttribute("role", "button");
    group.addEventListener("click", () => choose(box.id === chosen ? null : box.id));
    group.addEventListener("keydown", (event) => typed(event, box));
    const outline = group.querySelector("path");
    const halo = outline.cloneNode();
    halo.setAttribute("class", "flownb-halo");
    outline.before(halo);
  }

  /** Write beside the title of a lane how each of its loops stands, and what to do about it. */
  function titled(lane) {
    const wide = store.scene.spare;
    const start = lane.x + lane.width - wide * lane.loops.length;
    heads.set(lane.id, foldable(lane));
    return lane.loops.map((loop, i) => {
      const right = start + wide * (i + 1) - 10;
      const words = s("text", { class: "flownb-small flownb-loop", x: right - 66, y: lane.y + 20 });
      const hold = small(right - 40, lane.y + 15.5);
      const stop = small(right - 8, lane.y + 15.5);
      place.world.append(words, hold.el, stop.el);
      const name = lane.loops.length > 1 ? `${loop} ` : "";
      return [loop, { words, hold, stop, name, room: Math.max(24, Math.floor((lane.width - lane.said - 104) / 6.4)) }];
    });
  }

  /** Make the title of a lane a button that folds its loops into one box, or unfolds them. */
  function foldable(lane) {
    const words = groups.get(lane.id).querySelector("text");
    const act = () => {
      turned = lane.loops[0];
      store.send({ do: "fold", loops: lane.loops });
    };
    const head = s("g", { class: "flownb-fold", role: "button", tabindex: "0", "aria-expanded": String(!lane.folded), "aria-label": `${lane.folded ? "unfold" : "fold"} ${words.textContent}` },
      s("title", {}, lane.folded ? "unfold: show its nodes" : "fold into one box"),
      s("rect", { class: "flownb-ask-room", x: lane.x + 4, y: lane.y + 2, width: lane.said, height: 26 }), words);
    words.textContent = `${lane.folded ? "▸" : "▾"} ${words.textContent}`;
    head.addEventListener("click", act);
    head.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      act();
    });
    place.world.append(head);
    return head;
  }

  /** Keep the titles of lanes in the frame, and what stands beside them: they tell which loop one sees. */
  function stick() {
    if (!lanes.size) return;
    const { left, right, top } = place.seen();
    const edge = right < store.scene.picture.width ? FADES / place.at().k : 0;
    for (const lane of store.scene.lanes) {
      const down = Math.min(Math.max(0, top - lane.y), Math.max(0, lane.height - LANE));
      const along = Math.min(Math.max(0, left - lane.x), Math.max(0, lane.width - lane.said - 280));
      const back = Math.max(Math.min(0, right - edge - lane.x - lane.width), Math.min(0, lane.said + 280 + along - lane.width));
      attr(heads.get(lane.id), "transform", along || down ? `translate(${along} ${down})` : null);
      for (const loop of lane.loops) {
        const { words, hold, stop } = lanes.get(loop);
        for (const one of [words, hold.el, stop.el]) attr(one, "transform", back || down ? `translate(${back} ${down})` : null);
      }
    }
  }

  function small(x, y) {
    const icon = s("path", { transform: `translate(${x - 5.5} ${y - 5.5}) scale(0.7)` });
    const el = s("g", { class: "flownb-ask", role: "button", tabindex: "0" },
      s("rect", { class: "flownb-ask-room", x: x - 16, y: y - 16, width: 32, height: 32 }),
      s("rect", { x: x - 11, y: y - 9, width: 22, height: 18, rx: 5 }), icon);
    const control = { el, act: () => {}, icon };
    el.addEventListener("click", (event) => {
      event.stopPropagation();
      control.act();
    });
    el.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        control.act();
      }
    });
    return control;
  }

  // -- what has changed -------------------------------------------------------

  function show(changed) {
    for (const [key, value] of Object.entries(changed)) {
      if (!value) continue;
      if (boxes.has(key)) late.add(key);
      else if (key.startsWith("gauge ")) late.add(key.slice(6));
      else if (key.startsWith("loop ")) loop(value);
    }
    soon();
    move();
    if ("waits" in changed || "says" in changed) hold(store.state.waits ?? []);
    if ("says" in changed) tell(says, changed.says ?? [], go);
    if ("detail" in changed) side.show(chosen ? changed.detail : null);
    if (!table.el.hidden) table.show(store.scene.boxes, store.state);
    const loops = Object.entries(store.state).filter(([k]) => k.startsWith("loop ")).map(([, v]) => v);
    text(sum, summary(loops));
    for (const { el: ask, when } of asks) ask.disabled = !loops.some(([, state]) => when.has(state));
  }

  /** Write with the next frame: what nobody sees is written when somebody does. */
  function soon() {
    if (!frame && late.size) frame = requestAnimationFrame(write);
  }
  function write() {
    frame = 0;
    const window = place.seen();
    for (const id of late) {
      if (boxes.has(id) && !near(boxes.get(id), window)) continue;
      if (!place.isFar()) late.delete(id);
      if (store.state[id] && boxes.has(id)) node(id, store.state[id]);
    }
  }

  function node(id, now) {
    groups.get(id).classList.toggle("flownb-works", now[4] > 0);
    groups.get(id).classList.toggle("flownb-fails", now[6] > 0);
    if (id === chosen) looked.set(id, now[2]);
    attr(groups.get(id), "aria-label", spoken(boxes.get(id), now));
    if (place.isFar()) return;
    if (!chips.has(id)) {
      const made = chip(boxes.get(id));
      chips.set(id, made);
      groups.get(id).append(made.group);
    }
    chips.get(id).show(now, store.state[`gauge ${id}`], looked.get(id));
  }

  function loop([name, state, released, perSecond, inFlight, slots, , elapsed, reason]) {
    const lane = lanes.get(name);
    if (!lane) return;
    const flight = inFlight ? ` · ${inFlight}/${slots} in flight` : "";
    const done = ENDED.has(state) ? inAll(released, elapsed) : rate(perSecond);
    const why = reason && state !== "running" ? `: ${cut(reason, lane.room)}` : ` · ${done}${flight}`;
    text(lane.words, `${lane.name}${GLYPHS[state]} ${state}${why}`);
    attr(lane.words, "data-state", state);
    ask(lane.hold, ENDED.has(state) ? "start" : HELD.has(state) ? "resume" : "pause", name);
    ask(lane.stop, "stop", name);
    lane.stop.el.classList.toggle("flownb-gone", ENDED.has(state));
    attr(lane.stop.el, "tabindex", ENDED.has(state) ? "-1" : "0");
  }

  function ask(control, verb, name) {
    attr(control.icon, "d", ICONS[verb]);
    attr(control.el, "aria-label", `${verb} ${name}`);
    control.act = () => {
      store.send({ do: verb, loop: name });
      text(lanes.get(name).words, `${lanes.get(name).name}${ASKED[verb]}`);
      setTimeout(() => Object.entries(store.state).forEach(([key, now]) => key.startsWith("loop ") && now[0] === name && loop(now)), PATIENCE);
    };
  }

  function move() {
    const ended = (id) => store.state[id]?.[1] ?? 0;
    const started = (id) => ended(id) + (store.state[id]?.[4] ?? 0);
    for (const id of crossed(store.scene.lines, seen, ended, started, begun)) {
      if (seesLine(id)) flow.send(id, id.startsWith("q"));
    }
  }

  function seesLine(id) {
    const { source, target } = ends.get(id);
    const window = place.seen();
    return near(boxes.get(source), window) || near(boxes.get(target), window);
  }

  function hold(found) {
    const held = new Set(found.flatMap(([, ids]) => ids));
    for (const [id, group] of groups) {
      if (boxes.has(id)) group.classList.toggle("flownb-holds", held.has(id));
    }
    const told = new Set((store.state.says ?? []).map(([, , name]) => name));
    const left = found.filter(([name]) => !told.has(name)).map(([, , words]) => h("li", {}, words));
    waits.replaceChildren(...left);
    waits.hidden = !left.length && told.size > 0;
  }

  // -- choosing ---------------------------------------------------------------

  function choose(id) {
    groups.get(chosen)?.classList.remove("flownb-chosen");
    chosen = id;
    groups.get(chosen)?.classList.add("flownb-chosen");
    if (!id) side.show(null);
    else if (store.state[id]) {
      looked.set(id, store.state[id][2]);
      late.add(id);
      soon();
    }
    store.select(id);
    store.focus(boxes.get(id)?.key ?? "");
  }

  /** Choose a box and bring it into the frame. */
  function go(id) {
    if (!boxes.has(id)) return;
    if (id !== chosen) choose(id);
    rove(id);
    place.reveal(boxes.get(id));
  }

  // -- finding, and sharing -----------------------------------------------------------

  let at = -1;
  function find(step) {
    const word = search.value.trim().toLowerCase();
    const found = word ? [...boxes.values()].filter((box) => [box.name, ...(box.nodes ?? [])].some((name) => name.toLowerCase().includes(word))) : [];
    place.svg.classList.toggle("flownb-finds", Boolean(word));
    for (const [id, box] of boxes) groups.get(id).classList.toggle("flownb-found", found.includes(box));
    at = found.length ? (step ? (at + step + found.length) % found.length : 0) : -1;
    if (found.length) {
      if (place.isFar()) place.zoom(1 / place.at().k);
      place.reveal(found[at]);
    }
    return found[at];
  }
  function searching(event) {
    if (event.key === "Enter") {
      const box = find(event.shiftKey ? -1 : 1);
      if (box?.nodes && !box.name.toLowerCase().includes(search.value.trim().toLowerCase())) {
        store.send({ do: "fold", loops: store.scene.lanes.find((lane) => lane.loops.includes(box.key)).loops });
      } else if (box) go(box.id);
    } else if (event.key === "Escape") {
      search.value = "";
      find(0);
      groups.get(chosen ?? boxes.keys().next().value)?.focus({ preventScroll: true });
    }
    event.stopPropagation(); // else the notebook takes the key
  }
  function shared() {
    const how = share.value;
    share.value = "";
    if (how === "full") return el.closest(".flownb")?.requestFullscreen?.();
    if (how === "json" || how === "html") return store.send({ do: "share", how });
    const background = getComputedStyle(el).backgroundColor;
    const { width, height } = store.scene.picture;
    const source = svgText(place.world, { x: 0, y: 0, width, height }, background, ".flownb-ask,.flownb-ask-room,.flownb-halo,[display=none]");
    if (how === "svg") return save(`${store.scene.title}.svg`, new Blob([source], { type: "image/svg+xml" }));
    return png(source).then((blob) => save(`${store.scene.title}.png`, blob));
  }

  function rove(id) {
    for (const box of boxes.keys()) attr(groups.get(box), "tabindex", box === id ? "0" : "-1");
  }

  function typed(event, box) {
    const next = neighbour(store.scene, box, event.key);
    if (next) {
      rove(next);
      groups.get(next).focus({ preventScroll: true });
      place.reveal(boxes.get(next));
    } else if (event.key === "Enter" || event.key === " ") choose(box.id === chosen ? null : box.id);
    else if (event.key === "Escape") choose(null);
    else if (event.key === "+") place.zoom(1.3);
    else if (event.key === "-") place.zoom(1 / 1.3);
    else if (event.key === "0") place.fit();
    else if (event.key === "/" && !search.hidden) search.focus();
    else return;
    event.preventDefault();
    event.stopPropagation(); // else JupyterLab takes it for one of its own
  }

  draw();
  store.onScene(draw);
  store.onState(show);
  store.onFile((name, words, type) => save(name, new Blob([words], { type })));
  return () => {
    cancelAnimationFrame(frame);
    flow?.end();
    place.end();
    map.end();
  };
}

function cut(words, most) {
  return words.length > most ? `${words.slice(0, most - 1)}…` : words;
}

/** Say how all loops stand, in a few words. */
export function summary(loops) {
  const states = new Map();
  for (const [, state] of loops) states.set(state, (states.get(state) ?? 0) + 1);
  return [...states].map(([state, n]) => `${n} ${n === 1 ? "loop" : "loops"} ${state}`).join(" · ");
}

function plain(label, words, act) {
  return h("button", { type: "button", title: words, "aria-label": words, onclick: act }, label);
}
