// What does a hand do on the canvas? It chooses, moves, links, and opens a box around nodes.
import { between, holds, into, meets, nearest, offEdge } from "./canvas_shapes.js";

const STILL = 4; // pixels that a hand trembles
const SNAP = 20; // pixels from a box that count as on it
const NAME = 27; // pixels of a box that its name has, at the top
const TWICE = 350; // milliseconds between two clicks

/**
 * Follow the pointer.
 * @param {ReturnType<import("./viewport.js").stage>} place
 * @param {ReturnType<import("./canvas_layer.js").layer>} drawn
 * @param {Object} on what the hand asks for
 */
export function gestures(place, drawn, on) {
  const { svg, world } = place;
  let hand = null;
  let last = { id: null, time: 0 };

  /** Give the point of the drawing under the pointer. */
  function point(event) {
    const bounds = svg.getBoundingClientRect();
    const { k, x, y } = place.at();
    return [(event.clientX - bounds.left - x) / k, (event.clientY - bounds.top - y) / k];
  }

  function found(event) {
    const target = /** @type {Element} */ (event.target);
    const node = target.closest(".flownb-node")?.getAttribute("data-id");
    const out = target.closest(".flownb-out");
    if (node !== null && node !== undefined) return { node, out: Boolean(out), port: out?.getAttribute("data-port") ?? undefined };
    const edge = target.closest(".flownb-edge")?.getAttribute("data-edge");
    if (edge !== null && edge !== undefined) return { edge };
    const frame = target.closest(".flownb-frame-bar") && target.closest("[data-frame]")?.getAttribute("data-frame");
    return frame ? { frame } : {};
  }

  function down(event) {
    if (event.button !== 0 || hand) return;
    const at = point(event);
    const on_what = found(event);
    const more = event.shiftKey || event.ctrlKey || event.metaKey;
    if (on_what.node === undefined && !on_what.edge && !on_what.frame && !event.shiftKey) {
      hand = { does: "click", at, event };
      return; // the stage pans
    }
    event.stopImmediatePropagation();
    svg.setPointerCapture(event.pointerId);
    if (on_what.out) hand = { does: "pull", from: on_what.node, port: on_what.port, at };
    else if (on_what.node !== undefined) {
      const chosen = on.press(on_what.node, more);
      hand = { does: "move", at, node: on_what.node, more, places: starts(chosen) };
    } else if (on_what.edge) hand = { does: "edge", at, edge: on_what.edge, grip: grip(on_what.edge, at) };
    else if (on_what.frame) hand = { does: "move", at, frame: on_what.frame, places: starts(drawn.rims.get(on_what.frame).ids) };
    else hand = { does: "lasso", at, more };
    hand.event = event;
  }

  function starts(ids) {
    return new Map([...ids].filter((id) => drawn.boxes.has(id)).map((id) => [id, { ...drawn.boxes.get(id) }]));
  }

  /** Say which end of an edge was taken, if it was near one. */
  function grip(id, at) {
    const { edge } = drawn.edges.get(id);
    if (edge.implied) return null;
    const b = drawn.boxes.get(edge.target);
    const reach = 34 / place.at().k;
    const [out, end] = [drawn.leaves(edge.source, edge.sourceHandle), into(b)];
    const [far, near] = [Math.hypot(at[0] - out[0], at[1] - out[1]), Math.hypot(at[0] - end[0], at[1] - end[1])];
    if (Math.min(far, near) > reach) return null;
    return near <= far ? "target" : "source";
  }

  function moved(event) {
    if (!hand) return;
    const at = point(event);
    const far = Math.hypot(event.clientX - hand.event.clientX, event.clientY - hand.event.clientY);
    if (!hand.moved && far < STILL) return;
    const begins = !hand.moved;
    hand.moved = true;
    const [dx, dy] = [at[0] - hand.at[0], at[1] - hand.at[1]];
    if (hand.does === "move") {
      const places = new Map([...hand.places].map(([id, box]) => [id, { x: box.x + dx, y: box.y + dy }]));
      hand.now = places;
      drawn.move(places);
      on.dragging(hand.node, hand.node && places.size === 1 ? edgeUnder(hand.node) : null);
    } else if (hand.does === "pull") {
      if (begins) on.pulls(hand.from);
      follow(hand.from, at, event);
    } else if (hand.does === "edge" && hand.grip) {
      const { edge } = drawn.edges.get(hand.edge);
      if (begins) on.pulls(edge.source, edge);
      hand.port = edge.sourceHandle;
      follow(hand.grip === "target" ? edge.source : edge.target, at, event, hand.grip === "source");
    } else if (hand.does === "lasso") drawn.lasso(between(hand.at, at));
    rim(event);
  }

  function follow(from, at, event, backwards = false) {
    const box = drawn.boxes.get(from);
    const to = under(event, at, from, backwards);
    hand.to = to;
    on.over(to);
    const end = to ? (backwards ? drawn.leaves(to, drawn.verdictAt(to, at)) : into(drawn.boxes.get(to))) : at;
    if (backwards) drawn.pull(end, into(box), Boolean(to));
    else drawn.pull(drawn.leaves(from, hand.port), end, Boolean(to));
  }

  function under(_, at, from, backwards) {
    return nearest(drawn.boxes, at, SNAP / place.at().k, (id) => id !== from && drawn.isSeen(id) && (backwards || on.may(id)));
  }

  /** Name the edge that a single node is held over. */
  function edgeUnder(node) {
    const box = drawn.boxes.get(node);
    const middle = [box.x + box.width / 2, box.y + box.height / 2];
    for (const [id, { edge, group }] of drawn.edges) {
      if (edge.implied || edge.source === node || edge.target === node || group.getAttribute("display") === "none") continue;
      if (offEdge(middle, drawn.leaves(edge.source, edge.sourceHandle), into(drawn.boxes.get(edge.target))) < 14) return id;
    }
    return null;
  }

  /** Pan when the hand is at the rim. */
  function rim(event) {
    if (hand.does === "click") return;
    const bounds = svg.getBoundingClientRect();
    const push = (low, high, value) => (value < low + 24 ? 8 : value > high - 24 ? -8 : 0);
    const [dx, dy] = [push(bounds.left, bounds.right, event.clientX), push(bounds.top, bounds.bottom, event.clientY)];
    if (dx || dy) place.pan(dx, dy);
  }

  function up(event) {
    const was = hand;
    hand = null;
    if (!was) return;
    const at = point(event);
    drawn.pull(null);
    drawn.lasso(null);
    on.over(null);
    if (event.type === "pointercancel") return on.cancel();
    if (was.does === "click") {
      if (was.moved || Math.hypot(event.clientX - was.event.clientX, event.clientY - was.event.clientY) >= STILL) return;
      if (isSecond("")) on.empty(at, event);
      else on.choose([], null);
    } else if (was.does === "lasso") {
      const box = between(was.at, at);
      const inside = [...drawn.boxes].filter(([id, one]) => drawn.isSeen(id) && meets(one, box)).map(([id]) => id);
      on.choose(was.moved ? inside : [], null, was.more);
    } else if (was.does === "move" && was.moved) {
      on.drop(was.now, was.node, was.node && was.now.size === 1 ? edgeUnder(was.node) : null, frameAt(at, was.node));
    } else if (was.does === "move") {
      if (was.frame && isSecond(was.frame)) on.fold(was.frame);
      else if (was.frame) on.chooseFrame(was.frame);
      else if (isSecond(was.node)) (isOnName(was.node, at) ? on.rename : on.open)(was.node);
      else if (!was.more) on.release(was.node);
    } else if (was.does === "pull" && was.moved) {
      if (was.to) on.connect(was.from, was.to, was.port);
      else on.nowhere(was.from, at, event, was.port);
    } else if (was.does === "pull") on.release(was.from);
    else if (was.does === "edge") {
      const { edge } = drawn.edges.get(was.edge);
      if (was.moved && was.grip && was.to) on.reconnect(edge, was.grip, was.to, at);
      else on.choose([], was.edge);
      if (!was.moved && isSecond(was.edge)) on.open(null, was.edge);
    }
    on.cancel();
  }

  function isOnName(id, [, y]) {
    return y - drawn.boxes.get(id).y < NAME;
  }

  function isSecond(id) {
    const second = last.id === id && performance.now() - last.time < TWICE;
    last = { id: second ? null : id, time: performance.now() };
    return second;
  }

  function frameAt(at, node) {
    if (!node) return undefined;
    for (const [, { frame, box }] of drawn.rims) if (frame && holds(box, at)) return frame;
    return null;
  }

  svg.addEventListener("pointerdown", down, true);
  svg.addEventListener("pointermove", moved);
  svg.addEventListener("pointerup", up);
  svg.addEventListener("pointercancel", up);
  return { point, busy: () => Boolean(hand?.moved && hand.does !== "click"), world };
}
