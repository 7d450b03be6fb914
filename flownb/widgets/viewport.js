// How does one move about in a large picture? Drag, wheel with Ctrl, buttons and keys.
import { attr, h, s } from "./base.js";

const MARGIN = 8;
const EDGE = 12; // what is cut off less than this is not missed
const LEAST = 0.05;
const MOST = 3;
const TALLEST = 560; // pixels; the user may drag the lower edge
const LOW = 360; // pixels, where other parts stand below
const LEGIBLE = 0.82; // a picture is not shrunk below this to fit, it scrolls: letters of 11 pixels are 9
const FAR = 0.7; // below this the names, of 13 pixels, are smaller than 9

/**
 * Say at which scale and place all of a picture is shown, or as much as stays legible.
 * @param {{width: number, height: number}} picture @param {number} width @param {number} height
 */
export function fitted(picture, width, height, legible = 0) {
  const broad = Math.min((width - 2 * MARGIN) / picture.width, 1);
  const whole = Math.min(broad, (height - 2 * MARGIN) / picture.height);
  const k = whole < legible ? Math.max(broad, legible) : Math.max(whole, LEAST);
  const [left, top] = [picture.x ?? 0, picture.y ?? 0]; // a picture that is drawn by hand begins anywhere
  return { k, x: Math.max(MARGIN, (width - picture.width * k) / 2) - left * k, y: MARGIN - top * k };
}

/** Say how high the frame of a picture is that is *width* wide: as high as it needs at the scale it is shown at. */
export function frameHeight(picture, width, most = TALLEST) {
  const k = Math.min((width - 2 * MARGIN) / picture.width, 1);
  return Math.round(Math.min(most, picture.height * Math.max(k, LEGIBLE) + 2 * MARGIN));
}

/** Zoom by a factor so that the point under the pointer stays where it is. */
export function zoomed(at, factor, px, py) {
  const k = Math.min(MOST, Math.max(LEAST, at.k * factor));
  const ratio = k / at.k;
  return { k, x: px - (px - at.x) * ratio, y: py - (py - at.y) * ratio };
}

/** Say whether a box is inside a window, or less than its own size away from it. */
export function near(box, window) {
  const { x, y, width, height } = box;
  return x + 2 * width > window.left && x - width < window.right && y + 2 * height > window.top && y - height < window.bottom;
}

/**
 * Make a stage: a frame, the SVG in it, and the world that is moved.
 * @param {string} label @param {() => void} [moved] called when another part of the picture is seen
 * @param {boolean} [steady] whether it keeps height and zoom when its picture or its room changes
 */
export function stage(label, moved = () => {}, steady = false) {
  const world = s("g", { class: "flownb-world" });
  const svg = s("svg", {
    class: "fnb fnb-picture flownb-stage", role: "group", "aria-label": label,
  }, world);
  const frame = h("div", { class: "flownb-frame" }, svg);
  let picture = { width: 1, height: 1 };
  let room = { width: 0, height: 0 }; // of the frame; asking the page for it would lay out all that is new
  let at = { k: 1, x: 0, y: 0 };
  let touched = false;
  let begin = null;
  let drag = null;
  const fingers = new Map();

  function move(next) {
    at = next;
    attr(world, "transform", `translate(${at.x} ${at.y}) scale(${at.k})`);
    svg.classList.toggle("flownb-far", isFar());
    const { right, bottom, left, top } = seen();
    const [x, y] = [picture.x ?? 0, picture.y ?? 0];
    const beyond = {
      left: left > x + EDGE, right: right < x + picture.width - EDGE,
      top: top > y + EDGE, bottom: bottom < y + picture.height - EDGE,
    };
    attr(frame, "data-beyond", Object.keys(beyond).filter((side) => beyond[side]).join(" ") || null);
    moved();
  }
  /** Whether nobody could read what is written: small words, or what needs at least the scale *least*. */
  function isFar(least = FAR) {
    return at.k < least;
  }
  /** Give the part of the picture that is seen. */
  function seen() {
    const [left, top] = [-at.x / at.k, -at.y / at.k];
    return { left, top, right: left + room.width / at.k, bottom: top + room.height / at.k };
  }
  function fit() {
    touched = false;
    if (!room.width) return;
    const whole = fitted(picture, room.width, room.height);
    const spare = room.height - picture.height * whole.k;
    move(steady && spare > 0 ? { ...whole, y: spare / 2 - (picture.y ?? 0) * whole.k } : whole);
  }
  function zoom(factor, px = room.width / 2, py = room.height / 2) {
    touched = true;
    move(zoomed(at, factor, px, py));
  }
  function pan(dx, dy) {
    touched = true;
    move({ ...at, x: at.x + dx, y: at.y + dy });
  }
  /** Bring a rectangle of the picture into the frame. */
  function reveal(box) {
    const left = at.x + box.x * at.k;
    const top = at.y + box.y * at.k;
    const right = left + box.width * at.k - room.width;
    const bottom = top + box.height * at.k - room.height;
    const dx = left < MARGIN ? MARGIN - left : right > -MARGIN ? -MARGIN - right : 0;
    const dy = top < MARGIN ? MARGIN - top : bottom > -MARGIN ? -MARGIN - bottom : 0;
    if (dx || dy) pan(dx, dy);
  }
  /** Show a picture; *first* is the box that is to be seen when not all of it is. */
  function show(next, first) {
    [picture, begin] = [next, first];
    if (!room.width) return;
    if (steady) return touched ? move(at) : fit();
    frame.style.height = `${frameHeight(picture, room.width, frame.closest(".flownb-tabbed") ? LOW : TALLEST)}px`;
    measure();
    touched = false;
    move(fitted(picture, room.width, room.height, LEGIBLE));
    const high = room.height / at.k;
    if (!begin || picture.height <= high) return;
    const top = Math.min(Math.max(0, begin.y + (begin.height - high) / 2), picture.height - high);
    move({ ...at, y: MARGIN - top * at.k });
  }
  function measure() {
    room = { width: frame.clientWidth, height: frame.clientHeight };
  }

  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // else the notebook scrolls
    event.preventDefault();
    const bounds = svg.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - bounds.left, event.clientY - bounds.top);
  }, { passive: false });
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") fingers.set(event.pointerId, event);
    if (event.button === 0) drag = { x: event.clientX, y: event.clientY, moved: false };
  });
  svg.addEventListener("pointermove", (event) => {
    if (fingers.size === 2 && fingers.has(event.pointerId)) return pinch(event);
    if (!drag || !(event.buttons & 1)) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    if (!drag.moved) svg.setPointerCapture(event.pointerId);
    drag = { x: event.clientX, y: event.clientY, moved: true };
    pan(dx, dy);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, (event) => {
      fingers.delete(event.pointerId);
      drag = null;
    });
  }
  if (!steady) svg.addEventListener("dblclick", fit);

  /** Two fingers zoom, and pan. */
  function pinch(event) {
    const [[, other]] = [...fingers].filter(([id]) => id !== event.pointerId);
    const last = fingers.get(event.pointerId);
    fingers.set(event.pointerId, event);
    const far = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY) || 1;
    const bounds = svg.getBoundingClientRect();
    const [x, y] = [(event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2];
    zoom(far(event) / far(last), x - bounds.left, y - bounds.top);
    pan((event.clientX - last.clientX) / 2, (event.clientY - last.clientY) / 2);
  }

  const sizes = new ResizeObserver(() => {
    const { width } = room;
    measure();
    moved(); // the user may have drawn it higher
    if (room.width === width) return;
    if (!touched && !steady) show(picture, begin);
    if (!touched && steady) fit();
  });
  sizes.observe(frame);
  return { frame, svg, world, show, fit, zoom, pan, reveal, isFar, seen, at: () => at, room: () => room, end: () => sizes.disconnect() };
}

/**
 * Say where an arrow key leads: along an edge, or to the box above or below.
 * @returns {string | undefined} the id of a box
 */
export function neighbour(scene, box, key) {
  const boxes = new Map(scene.boxes.map((b) => [b.id, b]));
  const along = (from, to) => scene.lines.filter((l) => l[from] === box.id).map((l) => boxes.get(l[to]));
  const beside = (sign) => scene.boxes.filter((b) => sign * (b.y - box.y) > 1);
  const found = {
    ArrowRight: () => along("source", "target"), ArrowLeft: () => along("target", "source"),
    ArrowDown: () => beside(1), ArrowUp: () => beside(-1),
  }[key]?.() ?? [];
  const far = (b) => Math.abs(b.x - box.x) + 2 * Math.abs(b.y - box.y);
  return found.reduce((best, b) => (best && far(best) <= far(b) ? best : b), undefined)?.id;
}
