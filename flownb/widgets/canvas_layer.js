// What is drawn on the canvas? Frames, edges and boxes, each made once and changed where it has changed.
import { attr, s, text } from "./base.js";
import { chip } from "./badges.js";
import { curve, framed, into, outline, outOf, port, rim } from "./canvas_shapes.js";

const LETTER = 6.6; // pixels of an 11 pixel letter
const SIDE = { "queue-reader": 4, queue: -4 }; // how far the middle is off the middle
const FOLDED = 30; // pixels: how high a folded frame is
const FREE = 40; // pixels that a chip may stand out on both sides

/**
 * Make the layer. @param {SVGElement} world
 */
export function layer(world) {
  const [frames, links, draft, nodes] = ["frames", "links", "draft", "nodes"].map((name) => s("g", { class: `flownb-layer-${name}` }));
  world.append(frames, links, draft, nodes);
  const boxes = new Map(); // id -> where it is
  const shown = new Map(); // id -> {group, look, chip}
  const edges = new Map(); // id -> {group, edge, ...}
  const rims = new Map(); // id -> {group, ids, title}
  let ends = new Map(); // node id -> ids of its edges
  let held = new Map(); // node id -> ids of its frames
  let folded = new Map(); // node id -> the id of the frame that is folded over it

  /** Draw a scene; *places* are where the hand has just put nodes. */
  function draw(scene, places) {
    sync(shown, scene.nodes, (node) => node.id, (node, old) => drawNode(node, old, places), (gone, id) => {
      gone.group.remove();
      boxes.delete(id);
    });
    const made = [
      ...scene.loops.map((loop) => ({ id: `loop ${loop.names.join(" ")}`, title: loop.title, nodes: loop.nodes, loop: loop.names[0], more: 0 })),
      ...scene.frames.map((frame) => ({ id: frame.id, title: frame.label, nodes: frame.nodes, frame: frame.id, more: -6, folded: frame.folded })),
    ];
    folded = new Map(scene.frames.filter((one) => one.folded).flatMap((one) => one.nodes.map((id) => [id, one.id])));
    for (const [id, { group }] of shown) attr(group, "display", folded.has(id) ? "none" : null);
    held = new Map();
    for (const one of made) for (const id of one.nodes) held.set(id, [...(held.get(id) ?? []), one.id]);
    sync(rims, made, (one) => one.id, drawFrame, (gone) => gone.group.remove());
    for (const one of inOrder([...rims.values()])) surround(one);
    ends = new Map(scene.nodes.map((node) => [node.id, []]));
    for (const edge of scene.edges) for (const end of [edge.source, edge.target]) ends.get(end)?.push(edge.id);
    sync(edges, scene.edges.filter((e) => boxes.has(e.source) && boxes.has(e.target)), (edge) => edge.id, drawEdge, (gone) => gone.group.remove());
  }

  /** Frames that are folded first: others are measured by them. */
  const inOrder = (list) => list.sort((a, b) => Number(Boolean(b.frame)) - Number(Boolean(a.frame)));
  /** Give where a node is seen: its own box, or that of the frame which is folded over it. */
  const seenAt = (id) => (folded.has(id) ? rims.get(folded.get(id)).box : boxes.get(id));

  function drawNode(node, old, places) {
    const at = places.get(node.id) ?? node.position;
    const look = JSON.stringify([node.type, node.width, node.height, node.data]);
    const kept = old?.look === look ? old : { group: old?.group ?? blank(node), look, chip: null, isFull: false };
    if (kept !== old) dress(kept.group, node);
    if (!kept.group.parentNode) nodes.append(kept.group);
    kept.node = node;
    put(node.id, kept, { x: at.x, y: at.y, width: node.width, height: node.height });
    return kept;
  }

  function blank(node) {
    return s("g", { class: "flownb-node", "data-id": node.id, tabindex: "-1", role: "button" });
  }

  /** Draw the outline: of a large graph that is seen as a whole it is all that one sees. */
  function dress(group, { id, type, width: w, height: high, data }) {
    const look = type.replaceAll("-", "_");
    const shape = outline(type, w, high);
    const inner = rim(type, w, high);
    group.replaceChildren(
      s("title", {}, `${id}: ${data.word}`),
      s("path", { class: "flownb-halo", d: shape }),
      s("path", { class: `fnb-${look}`, d: shape }),
      ...(inner ? [s("path", { class: `fnb-${look}`, d: inner })] : []),
    );
  }

  /** Write on a box what it says, and put its ports there, where somebody can see them. */
  function fill(id) {
    const one = shown.get(id);
    if (!one || one.isFull) return;
    one.isFull = true;
    const { type, width: w, height: high, data } = one.node;
    const middle = w / 2 + (SIDE[type] ?? 0);
    const wide = data.badge ? data.badge.length * 6.4 + 12 : 0;
    one.group.append(
      s("text", { class: "fnb-name", x: middle, y: 22 }, data.label),
      s("text", { class: "fnb-word", x: middle, y: 38 }, data.word),
      ...(wide ? [s("g", {}, s("rect", { class: "fnb-badge", x: 8, y: -8, width: wide, height: 16, rx: 8 }), s("text", { class: "fnb-badge-text", x: 8 + wide / 2, y: 3.5 }, data.badge))] : []),
      ...(type === "producer" ? [] : [s("circle", { class: "flownb-port", cx: 0, cy: high / 2, r: 4 })]),
      ...(data.ports ?? [null]).map((one, i, all) => socket(one, one ? port(w, high, i, all.length) : [w, high / 2], high)),
    );
  }

  /** Draw where an edge can be pulled out: of an if, for one verdict. */
  function socket(verdict, [cx, cy], high) {
    const label = verdict && s("text", { class: "flownb-port-label", x: cx + 9, y: cy + (cy > high / 2 ? 13 : -5) }, verdict.label);
    return s("g", { class: "flownb-out", "data-port": verdict?.id }, s("circle", { class: "flownb-port", cx, cy, r: 5 }), s("circle", { class: "flownb-port-room", cx, cy, r: 1 }), ...(label ? [label] : []));
  }
  const verdicts = (id) => (folded.has(id) ? [] : shown.get(id)?.node.data.ports ?? []);
  /** Give where an edge leaves a node: at the port of its verdict, else in the middle. */
  function leaves(id, verdict) {
    const box = seenAt(id);
    const all = verdicts(id);
    const i = all.findIndex((one) => one.id === verdict);
    if (i < 0) return outOf(box);
    const [x, y] = port(box.width, box.height, i, all.length);
    return [box.x + x, box.y + y];
  }
  /** Give the verdict of an if whose port is nearest to a point; undefined for another node. */
  function verdictAt(id, [x, y]) {
    const far = ({ id: verdict }) => Math.hypot(leaves(id, verdict)[0] - x, leaves(id, verdict)[1] - y);
    return [...verdicts(id)].sort((a, b) => far(a) - far(b))[0]?.id;
  }

  /** Mark a box that something is wrong with; null: nothing is. */
  function warn(id, problem) {
    const one = shown.get(id);
    attr(one.group, "data-problem", problem?.level);
    const mark = one.group.querySelector(":scope > .flownb-trouble");
    if (!problem) return mark?.remove();
    if (mark) return text(mark.firstChild, problem.text);
    return one.group.append(s("g", { class: "flownb-trouble", transform: `translate(${one.node.width - 6} 0)` }, s("title", {}, problem.text), s("circle", { r: 8 }), s("text", { y: 4 }, "!")));
  }

  /** Bring a box before all others. */
  function raise(id) {
    const one = shown.get(id);
    if (one && nodes.lastChild !== one.group) nodes.append(one.group);
  }

  function put(id, one, box) {
    boxes.set(id, box);
    attr(one.group, "transform", `translate(${box.x.toFixed(1)} ${box.y.toFixed(1)})`);
  }

  function drawEdge(edge, old) {
    const isSaid = (shown.get(edge.source)?.node.data.ports ?? []).some((one) => one.id === edge.sourceHandle);
    const label = isSaid ? "" : edge.label; // else the port says it
    const look = JSON.stringify([edge.style, label, edge.implied]);
    const kept = old?.look === look ? old : { group: old?.group ?? s("g", { class: "flownb-edge", "data-edge": edge.id }), look };
    if (kept !== old) {
      kept.room = s("path", { class: "flownb-edge-room" });
      kept.line = s("path", { class: `fnb-${edge.style} flownb-edge-line` });
      kept.head = s("path", { class: `fnb-${edge.style}-head` });
      kept.label = label ? s("g", { class: "flownb-edge-label" }, s("rect", { class: "fnb-chip", x: -label.length * LETTER / 2 - 6, y: -9, width: label.length * LETTER + 12, height: 18, rx: 9 }), s("text", { class: "fnb-chip-text", y: 4 }, label)) : null;
      kept.group.replaceChildren(kept.room, kept.line, kept.head, ...(kept.label ? [kept.label] : []));
      kept.group.classList.toggle("flownb-implied", Boolean(edge.implied));
    }
    if (!kept.group.parentNode) links.append(kept.group);
    kept.edge = edge;
    lead(kept);
    return kept;
  }

  function lead(one) {
    const { source, target, sourceHandle } = one.edge;
    const [a, b] = [seenAt(source), seenAt(target)];
    attr(one.group, "display", folded.has(source) && folded.get(source) === folded.get(target) ? "none" : null);
    if (!a || !b) return;
    const { line, head, middle } = curve(leaves(source, sourceHandle), into(b));
    attr(one.room, "d", line);
    attr(one.line, "d", line);
    attr(one.head, "d", head);
    if (one.label) attr(one.label, "transform", `translate(${middle[0].toFixed(1)} ${middle[1].toFixed(1)})`);
  }

  function drawFrame(one, old) {
    const kept = old ?? { group: s("g", { class: one.frame ? "flownb-hand-frame" : "flownb-loop-frame" }), look: "" };
    if (!old) {
      kept.body = s("rect", { class: "fnb-lane", rx: 8 });
      kept.title = s("text", { class: "fnb-lane-title", style: "text-anchor:start" });
      kept.status = s("text", { class: "flownb-small flownb-loop", style: "text-anchor:end" });
      kept.bar = s("rect", { class: "flownb-frame-bar", height: 28, rx: 8 });
      kept.group.append(kept.body, kept.bar, kept.title, kept.status);
      frames.append(kept.group);
    }
    attr(kept.group, "data-frame", one.id);
    Object.assign(kept, { ids: one.nodes, loop: one.loop, frame: one.frame, more: one.more, folded: one.folded });
    kept.wide = one.title.length * LETTER + (one.loop ? 190 : 70);
    text(kept.title, one.frame ? `${one.folded ? "▸" : "▾"} ${one.title}` : one.title);
    if (one.frame) text(kept.status, one.folded ? `${one.nodes.length} nodes` : "");
    kept.group.classList.toggle("flownb-folded", Boolean(one.folded));
    return kept;
  }

  /** Give what a loop's frame is drawn around: nodes, and frames that stand in it as a whole. */
  function contents({ ids }) {
    const mine = new Set(ids);
    const whole = [...rims.values()].filter((one) => one.frame && one.ids.every((id) => mine.has(id)));
    return [...whole.filter((one) => one.ids.length).map((one) => one.box), ...ids.map(seenAt)];
  }

  function surround(one) {
    const inside = (one.frame ? one.ids.map((id) => boxes.get(id)) : contents(one)).filter(Boolean);
    attr(one.group, "display", inside.length ? null : "none");
    one.box = framed(inside, one.wide, one.more);
    if (one.folded) one.box = { ...one.box, width: one.wide + 28, height: FOLDED };
    const { x, y, width, height } = one.box;
    for (const [name, value] of Object.entries({ x, y, width, height })) attr(one.body, name, value.toFixed(1));
    for (const [name, value] of Object.entries({ x, y, width })) attr(one.bar, name, value.toFixed(1));
    attr(one.title, "x", (x + 14).toFixed(1));
    attr(one.title, "y", (y + 20).toFixed(1));
    attr(one.status, "x", (x + width - 14).toFixed(1));
    attr(one.status, "y", (y + 20).toFixed(1));
  }

  /** Put nodes elsewhere, with their edges and frames. @param {Map<string, {x: number, y: number}>} places */
  function move(places) {
    const touched = new Set();
    const around = new Set();
    for (const [id, at] of places) {
      const one = shown.get(id);
      if (!one) continue;
      put(id, one, { ...boxes.get(id), x: at.x, y: at.y });
      for (const edge of ends.get(id) ?? []) touched.add(edge);
      for (const frame of held.get(id) ?? []) around.add(frame);
    }
    for (const one of inOrder([...around].map((id) => rims.get(id)))) surround(one);
    for (const id of touched) if (edges.has(id)) lead(edges.get(id));
  }

  /** Draw the line that is being pulled; null: there is none. */
  function pull(from, to, good) {
    if (!from) return draft.replaceChildren();
    const { line, head } = curve(from, to);
    const look = good ? "flownb-pull flownb-good-pull" : "flownb-pull";
    draft.replaceChildren(s("path", { class: look, d: line }), s("path", { class: "flownb-pull-head", d: head }));
  }

  /** Draw the box that is being opened to choose what is in it. */
  function lasso(box) {
    draft.replaceChildren(...(box ? [s("rect", { class: "flownb-lasso", ...box })] : []));
  }

  /** Write on a box how its node stands. */
  function stand(id, now, gauge) {
    const one = shown.get(id);
    if (!one) return;
    if (!now) {
      one.chip?.group.remove();
      one.chip = null;
      one.group.classList.remove("flownb-works");
      return;
    }
    if (!one.chip) {
      one.chip = chip({ x: 0, y: 0, width: one.node.width, height: one.node.height, room: one.node.width + FREE });
    }
    if (one.chip.group.parentNode !== one.group) one.group.append(one.chip.group);
    one.group.classList.toggle("flownb-works", now[4] > 0);
    one.chip.show(now, gauge);
  }

  return { draw, move, pull, lasso, leaves, verdictAt, fill, stand, warn, raise, isSeen: (id) => !folded.has(id), boxes, shown, edges, rims };
}

/** Keep a map of what is drawn in step with a list: make, change, remove. */
function sync(kept, list, key, made, removed) {
  const now = new Set(list.map(key));
  for (const [id, one] of kept) {
    if (now.has(id)) continue;
    removed(one, id);
    kept.delete(id);
  }
  for (const item of list) kept.set(key(item), made(item, kept.get(key(item))));
}
