// What moves along an edge? A dot for what went over it, a few at a time.
import { calm, h } from "./base.js";

const TRAVEL = 650; // milliseconds from end to end
const MOST = 80; // dots at once, in the whole picture
const EACH = 3; // dots at once on one edge
const SAMPLES = 16;
const FRESH = 1000; // milliseconds for which the colours of the theme are kept

/**
 * Say over which edges something went: the target has begun more calls, and the source has
 * ended some since something last went over this edge.
 * @param {Array<{id: string, source: string, target: string}>} lines
 * @param {Map<string, number>} seen calls of the source when something last went over the edge
 * @param {(id: string) => number} ended @param {(id: string) => number} begun
 * @param {Map<string, number>} before what `begun` was
 */
export function crossed(lines, seen, ended, begun, before) {
  const found = [];
  for (const line of lines) {
    const [gone, come] = [ended(line.source), begun(line.target)];
    const last = seen.get(line.id);
    if (last === undefined || gone < last) seen.set(line.id, gone); // new, or started once more
    else if (gone > last && come > (before.get(line.target) ?? come)) {
      seen.set(line.id, gone);
      found.push(line.id);
    }
  }
  for (const { target } of lines) before.set(target, begun(target));
  return found;
}

/**
 * Let dots run along paths, on a canvas of their own: the picture below is not drawn again.
 * @param {HTMLElement} frame what the canvas covers @param {() => {k: number, x: number, y: number}} at
 */
export function dots(frame, at) {
  const canvas = h("canvas", { class: "flownb-dots", "aria-hidden": "true" });
  frame.append(canvas);
  const ink = canvas.getContext("2d");
  const paths = new Map();
  let alive = [];
  let request = 0;
  let [colours, asked] = [[], -FRESH];

  function know(id, path) {
    const length = path.getTotalLength();
    const points = Array.from({ length: SAMPLES + 1 }, (_, i) => {
      const point = path.getPointAtLength((length * i) / SAMPLES);
      return [point.x, point.y];
    });
    paths.set(id, points);
  }
  function send(id, queued) {
    const points = paths.get(id);
    if (!points || calm() || document.hidden || alive.length >= MOST) return;
    if (alive.filter((dot) => dot.id === id).length >= EACH) return;
    alive.push({ id, points, queued, start: performance.now() });
    if (!request) request = requestAnimationFrame(step);
  }
  function step(now) {
    wipe(now);
    alive = alive.filter((dot) => now - dot.start < TRAVEL);
    for (const dot of alive) draw(dot, Math.max(0, (now - dot.start) / TRAVEL));
    request = alive.length ? requestAnimationFrame(step) : 0;
  }
  function wipe(now) {
    const dense = globalThis.devicePixelRatio || 1;
    const [wide, high] = [frame.clientWidth * dense, frame.clientHeight * dense].map(Math.round);
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    ink.setTransform(1, 0, 0, 1, 0, 0);
    ink.clearRect(0, 0, wide, high);
    const { k, x, y } = at();
    ink.setTransform(k * dense, 0, 0, k * dense, x * dense, y * dense);
    ink.lineWidth = 1.5;
    if (now - asked < FRESH) return; // the theme changes seldom
    asked = now;
    const style = getComputedStyle(canvas);
    colours = ["--flownb-info", "--fnb-queue", "--fnb-bg"].map((name) => style.getPropertyValue(name).trim() || "gray");
  }
  function draw({ points, queued }, t) {
    const [x, y] = along(points, t);
    ink.globalAlpha = Math.min(1, 6 * t, 6 * (1 - t));
    ink.fillStyle = colours[queued ? 1 : 0];
    ink.strokeStyle = colours[2];
    ink.beginPath();
    ink.arc(x, y, 4, 0, 2 * Math.PI);
    ink.fill();
    ink.stroke();
  }
  function end() {
    cancelAnimationFrame(request);
    canvas.remove();
  }
  return { know, send, end };
}

/** Say where on a path of points something is that has gone the share *t* of its time. */
export function along(points, t) {
  const eased = t < 0.5 ? 2 * t * t : 1 - 2 * (1 - t) * (1 - t);
  const at = eased * (points.length - 1);
  const i = Math.min(points.length - 2, Math.floor(at));
  const [[x0, y0], [x1, y1]] = [points[i], points[i + 1]];
  return [x0 + (x1 - x0) * (at - i), y0 + (y1 - y0) * (at - i)];
}
