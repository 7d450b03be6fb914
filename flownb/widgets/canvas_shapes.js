// Where does everything on the canvas stand, and what is its outline? Pure geometry, as the
// static picture's: a kind shows by its outline, an edge leaves on the right and arrives on the left.

const ARC = 0.5523; // how far the control points of a quarter circle stand out
const CAP = 9; // how deep the round ends of a cylinder are
const TIP = 14; // how far the tips of an if stand out
const HEAD = 10; // the length of an arrow's head
const PAD = 16; // between a frame and what it holds
const TITLE = 26; // what a frame's title needs

/**
 * @typedef {{x: number, y: number, width: number, height: number}} Box
 */

const n = (value) => Number(value.toFixed(1));

function rounded(w, h, radius) {
  const r = Math.min(radius, w / 2, h / 2);
  return `M${n(r)} 0H${n(w - r)}A${n(r)} ${n(r)} 0 0 1 ${n(w)} ${n(r)}V${n(h - r)}A${n(r)} ${n(r)} 0 0 1 ${n(w - r)} ${n(h)}H${n(r)}A${n(r)} ${n(r)} 0 0 1 0 ${n(h - r)}V${n(r)}A${n(r)} ${n(r)} 0 0 1 ${n(r)} 0Z`;
}

/** Give the outline of a node of this kind, at 0, 0. */
export function outline(kind, w, h) {
  const k = ((1 - ARC) * h) / 2;
  const at = (...points) => points.map(n).join(" ");
  if (kind === "producer") return rounded(w, h, h / 2);
  if (kind === "non-blocking") return rounded(w, h, 12);
  if (kind === "if") return `M0 ${n(h / 2)}L${at(TIP, 0)}L${at(w - TIP, 0)}L${at(w, h / 2)}L${at(w - TIP, h)}L${at(TIP, h)}Z`;
  if (kind === "queue") {
    const [left, right] = [CAP, w - CAP];
    return `M${at(left, 0)}H${n(right)}C${at(right + CAP * ARC, 0, w, k, w, h / 2)}C${at(w, h - k, right + CAP * ARC, h, right, h)}H${n(left)}C${at(left - CAP * ARC, h, 0, h - k, 0, h / 2)}C${at(0, k, left - CAP * ARC, 0, left, 0)}Z`;
  }
  if (kind === "queue-reader") {
    const r = h / 2;
    const c = r * (1 - ARC);
    return `M0 0H${n(w - r)}C${at(w - c, 0, w, c, w, r)}C${at(w, h - c, w - c, h, w - r, h)}H0C${at(CAP * ARC, h, CAP, h - k, CAP, r)}C${at(CAP, k, CAP * ARC, 0, 0, 0)}Z`;
  }
  return rounded(w, h, 3);
}

/** Give the line inside the outline: the rim that makes a queue a cylinder. */
export function rim(kind, w, h) {
  if (kind !== "queue") return "";
  const right = w - CAP;
  const k = ((1 - ARC) * h) / 2;
  return `M${n(right)} 0C${[right - CAP * ARC, 0, right - CAP, k, right - CAP, h / 2].map(n).join(" ")}C${[right - CAP, h - k, right - CAP * ARC, h, right, h].map(n).join(" ")}`;
}

/**
 * Lead from a point to a point: level at both ends, with a wide bend where it leads back.
 * @returns {{line: string, head: string, middle: [number, number]}}
 */
export function curve([x0, y0], [x3, y3]) {
  const ahead = x3 - x0;
  const bend = ahead >= 0 ? ahead / 2 : 6.25 * Math.sqrt(-ahead);
  const [x1, x2] = [x0 + bend, x3 - bend];
  const end = x3 - HEAD * 0.7;
  return {
    line: `M${n(x0)} ${n(y0)}C${n(x1)} ${n(y0)} ${n(Math.min(x2, end))} ${n(y3)} ${n(end)} ${n(y3)}`,
    head: `M${n(x3)} ${n(y3)}L${n(x3 - HEAD)} ${n(y3 - HEAD * 0.42)}L${n(x3 - HEAD)} ${n(y3 + HEAD * 0.42)}Z`,
    middle: [(x0 + 3 * x1 + 3 * x2 + x3) / 8, (y0 + y3) / 2],
  };
}

/** Give where on the right side of an if, whose tip stands out, its i-th of *many* ports is. */
export function port(w, h, i, many) {
  const y = (h * (2 * i + 1)) / (2 * many);
  return [w - TIP * Math.abs((2 * y) / h - 1), y];
}

/** Where edges leave a box, and where they arrive. */
export const outOf = (box) => [box.x + box.width, box.y + box.height / 2];
export const into = (box) => [box.x, box.y + box.height / 2];

/** Give the box around boxes. @param {Box[]} boxes @returns {Box} */
export function around(boxes) {
  if (!boxes.length) return { x: 0, y: 0, width: 1, height: 1 };
  const left = Math.min(...boxes.map((b) => b.x));
  const top = Math.min(...boxes.map((b) => b.y));
  const right = Math.max(...boxes.map((b) => b.x + b.width));
  const bottom = Math.max(...boxes.map((b) => b.y + b.height));
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** Give the frame around boxes, with room for a title. @returns {Box} */
export function framed(boxes, title = 0, more = 0) {
  const { x, y, width, height } = around(boxes);
  const pad = PAD + more;
  return { x: x - pad, y: y - pad - TITLE, width: Math.max(width + 2 * pad, title + 28), height: height + 2 * pad + TITLE };
}

/** Say whether a point is in a box, or at most *margin* away from it. */
export function holds(box, [x, y], margin = 0) {
  return x >= box.x - margin && x <= box.x + box.width + margin && y >= box.y - margin && y <= box.y + box.height + margin;
}

/** Say whether two boxes overlap. */
export function meets(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/** Give the box between two corners. @returns {Box} */
export function between([x0, y0], [x1, y1]) {
  return { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) };
}

/** Give the id of the box that is nearest to a point, at most *reach* away. @param {Map<string, Box>} boxes */
export function nearest(boxes, point, reach, allowed = () => true) {
  let best = null;
  let least = reach;
  for (const [id, box] of boxes) {
    if (!allowed(id)) continue;
    const dx = Math.max(box.x - point[0], 0, point[0] - box.x - box.width);
    const dy = Math.max(box.y - point[1], 0, point[1] - box.y - box.height);
    const far = Math.hypot(dx, dy);
    if (far <= least) [best, least] = [id, far];
  }
  return best;
}

/** Say how far a point is from the edge that leads from a point to a point. */
export function offEdge(point, from, to) {
  const ahead = to[0] - from[0];
  const bend = ahead >= 0 ? ahead / 2 : 6.25 * Math.sqrt(-ahead);
  let least = Infinity;
  for (let i = 0; i <= 16; i += 1) {
    const t = i / 16;
    const [a, b, c, d] = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t ** 3];
    const x = a * from[0] + b * (from[0] + bend) + c * (to[0] - bend) + d * to[0];
    const y = (a + b) * from[1] + (c + d) * to[1];
    least = Math.min(least, Math.hypot(point[0] - x, point[1] - y));
  }
  return least;
}
