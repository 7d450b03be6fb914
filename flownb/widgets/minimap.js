// Where in a large drawing is one? A small picture of all of it, and the window that is seen.
import { attr, h, s } from "./base.js";
import { around } from "./canvas_shapes.js";

const WIDE = 135;
const HIGH = 84;

/** Make the map. @param {ReturnType<import("./viewport.js").stage>} place */
export function minimap(place) {
  const shapes = s("g");
  const window = s("rect", { class: "flownb-map-window", rx: 3 });
  const svg = s("svg", { class: "flownb-map", width: WIDE, height: HIGH, "aria-hidden": "true" }, shapes, window);
  let kinds = new Map();
  let scale = { k: 1, x: 0, y: 0 };
  let all = { x: 0, y: 0, width: 1, height: 1 };
  let frame = 0;

  /** Draw boxes, all of one kind as one path. @param {Array<{type: string, box: import("./canvas_shapes.js").Box}>} nodes */
  function draw(nodes) {
    all = around(nodes.map(({ box }) => box));
    const k = Math.min((WIDE - 12) / all.width, (HIGH - 12) / all.height, 0.2);
    scale = { k, x: (WIDE - all.width * k) / 2 - all.x * k, y: (HIGH - all.height * k) / 2 - all.y * k };
    attr(svg, "height", Math.min(HIGH, Math.max(16, all.height * k + 12)).toFixed(0)); // a long row needs a strip only
    scale.y += (Number(svg.getAttribute("height")) - HIGH) / 2;
    const paths = new Map();
    for (const { type, box } of nodes) {
      const [x, y, w, high] = [box.x * k + scale.x, box.y * k + scale.y, Math.max(2, box.width * k), Math.max(2, box.height * k)];
      paths.set(type, `${paths.get(type) ?? ""}M${x.toFixed(1)} ${y.toFixed(1)}h${w.toFixed(1)}v${high.toFixed(1)}h${(-w).toFixed(1)}Z`);
    }
    for (const [type, path] of paths) {
      if (!kinds.has(type)) {
        kinds.set(type, s("path", { class: `flownb-map-node fnb-${type.replaceAll("-", "_")}` }));
        shapes.append(kinds.get(type));
      }
      attr(kinds.get(type), "d", path);
    }
    for (const [type, path] of kinds) if (!paths.has(type)) attr(path, "d", "");
    look();
  }
  /** Show which part is seen; at most once a frame. */
  function look() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      const { left, top, right, bottom } = place.seen();
      attr(window, "x", (left * scale.k + scale.x).toFixed(1));
      attr(window, "y", (top * scale.k + scale.y).toFixed(1));
      attr(window, "width", Math.max(4, (right - left) * scale.k).toFixed(1));
      attr(window, "height", Math.max(4, (bottom - top) * scale.k).toFixed(1));
    });
  }
  function go(event) {
    if (!(event.buttons & 1)) return;
    const bounds = svg.getBoundingClientRect();
    const [x, y] = [(event.clientX - bounds.left - scale.x) / scale.k, (event.clientY - bounds.top - scale.y) / scale.k];
    const { left, top, right, bottom } = place.seen();
    const { k } = place.at();
    place.pan(((left + right) / 2 - x) * k, ((top + bottom) / 2 - y) * k);
  }
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    go(event);
  });
  svg.addEventListener("pointermove", go);
  return { el: h("div", { class: "flownb-map-place" }, svg), draw, look, end: () => cancelAnimationFrame(frame) };
}
