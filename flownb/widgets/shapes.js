// How does a bar look on a canvas? As in our static Gantt charts: the looks come from there.
import { what } from "./spans.js";

const THIN = 4; // pixels: below, outline and hatching would cover everything
const LINE = 1.5; // pixels: what takes no time is a line
const FRESH = 1000; // milliseconds for which the colours of the theme are kept
const FONT = "10px var(--jp-ui-font-family, sans-serif)";

/** Give a painter for a canvas. @param {HTMLCanvasElement} canvas */
export function painter(canvas) {
  const ink = canvas.getContext("2d");
  let looks = {};
  let [inks, asked, hatch] = [{}, -FRESH, null];

  function colour(name) {
    if (name === "none") return null;
    if (!name.startsWith("--")) return name;
    return (inks[name] ??= getComputedStyle(canvas).getPropertyValue(name).trim() || "gray");
  }
  function refresh() {
    if (performance.now() - asked < FRESH) return;
    asked = performance.now();
    inks = {};
    hatch = hatching(ink, colour(looks.hatch[1]));
    ink.font = FONT.replace(/var\(.*\)/, getComputedStyle(canvas).fontFamily);
  }
  function outline(look, x, y, wide, high) {
    const [, stroke, thick, dash] = looks[look];
    if (stroke === "none") return;
    ink.strokeStyle = colour(stroke);
    ink.lineWidth = thick;
    ink.setLineDash(dash);
    ink.strokeRect(x + 0.5, y + 0.5, Math.max(0, wide - 1), high - 1);
    ink.setLineDash([]);
  }
  function fill(style, x, y, wide, high) {
    ink.fillStyle = style;
    ink.fillRect(x, y, wide, high);
  }
  function words(said, x, y, wide, high, look) {
    if (ink.measureText(said).width > wide - 4) return;
    ink.fillStyle = colour(looks[look][0]);
    ink.textAlign = "center";
    ink.textBaseline = "middle";
    ink.fillText(said, x + wide / 2, y + high / 2 + 0.5);
  }

  // -- one bar -----------------------------------------------------------------------

  function bar(span, row, x, y, wide, high, context) {
    const works = span.kind === "work" || span.kind === "block";
    if (wide < THIN) {
      const look = !works ? "thin-wait" : context.bad(span) ? "thin-bad" : row.away ? "thin-away" : "thin-work";
      return fill(colour(looks[look][0]), x, y, Math.max(LINE, wide), high);
    }
    if (!works) return waiting(span, x, y, wide, high, context);
    const look = context.bad(span) ? "bad" : row.away ? "away" : "work";
    fill(colour(looks[look][0]), x, y, wide, high);
    outline(look, x, y, wide, high);
    const said = span.kind === "block" ? `${span.iteration} ×` : String(span.iteration);
    return words(said, x, y, wide, high, row.away ? "away-number" : "bar-number");
  }
  function waiting(span, x, y, wide, high, { rows, reel }) {
    fill(hatch, x, y, wide, high);
    outline("waiting", x, y, wide, high);
    const said = what(span, rows, reel);
    const item = String(span.iteration);
    const fits = [`${item} ${said}`, `${item} ${said.split(":")[0].replace("waits ", "")}`, item].find((text) => ink.measureText(text).width <= wide - 14);
    if (!fits) return;
    const room = ink.measureText(fits).width + 6;
    fill(colour("--fnb-bg"), x + (wide - room) / 2, y + 1.5, room, high - 3);
    words(fits, x, y, wide, high, "away-number");
  }
  function failed(x, y, high) {
    ink.fillStyle = ink.strokeStyle = colour("--flownb-bad");
    ink.lineWidth = 2;
    ink.beginPath();
    const [a, b] = [x - 3, y + high / 2 - 3];
    ink.moveTo(a, b);
    ink.lineTo(a + 6, b + 6);
    ink.moveTo(a + 6, b);
    ink.lineTo(a, b + 6);
    ink.stroke();
  }

  function hop(x, y, to, end) {
    const [, stroke, thick] = looks.hop;
    ink.strokeStyle = ink.fillStyle = colour(stroke);
    ink.lineWidth = thick;
    ink.beginPath();
    ink.moveTo(x, y);
    ink.lineTo(to, end);
    ink.stroke();
    const slope = Math.atan2(end - y, to - x);
    ink.beginPath();
    ink.moveTo(to, end);
    for (const side of [-1, 1]) ink.lineTo(to - 7 * Math.cos(slope + side * 0.4), end - 7 * Math.sin(slope + side * 0.4));
    ink.fill();
  }

  return {
    hop,
    use: (found) => ((looks = found), (asked = -FRESH)),
    resize: (high) => {
      const wide = canvas.parentElement.clientWidth;
      const dense = globalThis.devicePixelRatio || 1;
      const [w, tall] = [Math.round(wide * dense), Math.round(high * dense)];
      if (canvas.width !== w || canvas.height !== tall) {
        [canvas.width, canvas.height, canvas.style.height] = [w, tall, `${high}px`];
        asked = -FRESH;
      }
      ink.setTransform(dense, 0, 0, dense, 0, 0);
      ink.clearRect(0, 0, wide, high);
      refresh();
      return wide;
    },
    grid: (xs, high) => {
      ink.strokeStyle = colour(looks.grid[1]);
      ink.lineWidth = 1;
      ink.beginPath();
      for (const x of xs) {
        ink.moveTo(Math.round(x) + 0.5, 0);
        ink.lineTo(Math.round(x) + 0.5, high);
      }
      ink.stroke();
    },
    row: (row, spans, x, context) => {
      const boxes = [];
      const marks = [];
      context.bad = (span) => span.kind === "work" && !span.open && context.reel.failed.has(`${span.row}/${span.iteration}`);
      for (const span of spans) {
        const left = Math.max(-2, x(span.start));
        const wide = Math.min(x(span.end), canvas.parentElement.clientWidth + 2) - left;
        const y = row.y + span.line * (context.bar + 1);
        bar(span, row, left, y, wide, context.bar, context);
        boxes.push({ span, x: left, wide: Math.max(LINE, wide), y });
        if (context.bad(span)) marks.push([left + wide, y]);
      }
      marks.forEach(([at, y]) => failed(at, y, context.bar));
      return boxes;
    },
  };
}

/** Make the pattern of a wait: slanting lines. */
function hatching(ink, colour) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const lines = tile.getContext("2d");
  lines.strokeStyle = colour;
  lines.lineWidth = 0.9;
  lines.beginPath();
  for (const shift of [-6, 0, 6]) {
    lines.moveTo(shift, 6);
    lines.lineTo(shift + 6, 0);
  }
  lines.stroke();
  return ink.createPattern(tile, "repeat");
}
