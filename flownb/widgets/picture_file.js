// How does a picture on the page become a file? As SVG with its colours in it, or as PNG.
import { s } from "./base.js";

const WRITTEN = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "font-family", "font-size", "font-weight", "text-anchor", "opacity"];
const MARGIN = 24;

/**
 * Give a picture as the text of an SVG file: what the page's style says is written into it.
 * @param {SVGElement} world what is drawn @param {import("./canvas_shapes.js").Box} box where it is
 * @param {string} background @param {string} left_out a selector of what is no picture
 */
export function svgText(world, box, background, left_out) {
  const [wide, high] = [box.width + 2 * MARGIN, box.height + 2 * MARGIN];
  const at = { x: box.x - MARGIN, y: box.y - MARGIN, width: wide, height: high };
  const copy = /** @type {SVGElement} */ (world.cloneNode(true));
  copy.removeAttribute("transform");
  dressed(world, copy);
  for (const gone of copy.querySelectorAll(left_out)) gone.remove();
  for (const one of [copy, ...copy.querySelectorAll("*")]) {
    for (const name of ["class", "tabindex", "role", "data-id", "aria-label", "aria-hidden"]) one.removeAttribute(name);
  }
  const svg = s("svg", { viewBox: `${at.x} ${at.y} ${wide} ${high}`, width: wide, height: high }, s("rect", { ...at, fill: background }), copy);
  return new XMLSerializer().serializeToString(svg);
}

function dressed(from, to) {
  const style = getComputedStyle(from);
  const hidden = style.display === "none" || style.visibility === "hidden";
  if (hidden) return to.setAttribute("display", "none");
  if (!from.children.length || from.tagName === "text" || from.tagName === "tspan") {
    for (const name of WRITTEN) {
      const value = style.getPropertyValue(name);
      if (value && value !== "none" || name === "fill") to.setAttribute(name, value);
    }
  }
  for (let i = 0; i < from.children.length; i += 1) dressed(from.children[i], to.children[i]);
}

/** Let the reader keep a text or a picture as a file. */
export function save(name, data) {
  const address = URL.createObjectURL(data);
  const link = document.createElement("a");
  [link.href, link.download] = [address, name];
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Give an SVG file as a PNG, twice as dense as the page. @returns {Promise<Blob>} */
export function png(source) {
  return new Promise((done, failed) => {
    const picture = new Image();
    const address = URL.createObjectURL(new Blob([source], { type: "image/svg+xml" }));
    picture.onload = () => {
      const canvas = document.createElement("canvas");
      const dense = Math.min(2, 16_000 / Math.max(picture.width, picture.height));
      [canvas.width, canvas.height] = [picture.width * dense, picture.height * dense];
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      URL.revokeObjectURL(address);
      canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("the picture is too large for a PNG"))));
    };
    picture.onerror = () => failed(new Error("the picture could not be drawn"));
    picture.src = address;
  });
}
