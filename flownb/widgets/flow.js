// What moves along an edge? A dot for what went over it, a few at a time.
import { calm, s } from "./base.js";

const TRAVEL = 650; // milliseconds from end to end
const MOST = 80; // dots at once, in the whole picture
const EACH = 3; // dots at once on one edge
const SAMPLES = 16;

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
 * Let dots run along paths.
 * @param {SVGElement} world where they are drawn
 */
export function dots(world) {
  const layer = s("g", { class: "flownb-dots", "aria-hidden": "true" });
  world.append(layer);
  let alive = [];
  let frame = 0;
  const paths = new Map();

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
    const circle = s("circle", { r: 4, class: queued ? "flownb-dot flownb-queued" : "flownb-dot" });
    layer.append(circle);
    alive.push({ id, points, circle, start: performance.now() });
    if (!frame) frame = requestAnimationFrame(step);
  }
  function step(now) {
    alive = alive.filter((dot) => {
      const t = (now - dot.start) / TRAVEL;
      if (t >= 1) {
        dot.circle.remove();
        return false;
      }
      place(dot, Math.max(0, t));
      return true;
    });
    frame = alive.length ? requestAnimationFrame(step) : 0;
  }
  function end() {
    cancelAnimationFrame(frame);
    alive.forEach((dot) => dot.circle.remove());
    alive = [];
    frame = 0;
    paths.clear();
  }
  return { know, send, end, raise: () => world.append(layer) };
}

function place(dot, t) {
  const eased = t < 0.5 ? 2 * t * t : 1 - 2 * (1 - t) * (1 - t);
  const at = eased * SAMPLES;
  const i = Math.min(SAMPLES - 1, Math.floor(at));
  const [[x0, y0], [x1, y1]] = [dot.points[i], dot.points[i + 1]];
  dot.circle.setAttribute("cx", (x0 + (x1 - x0) * (at - i)).toFixed(1));
  dot.circle.setAttribute("cy", (y0 + (y1 - y0) * (at - i)).toFixed(1));
  dot.circle.setAttribute("opacity", Math.min(1, 6 * t, 6 * (1 - t)).toFixed(2));
}
