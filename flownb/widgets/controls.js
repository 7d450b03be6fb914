// How do states and buttons look, in every view? A glyph and a word; icons are drawn, not typed.
import { h, s } from "./base.js";

/** The glyph of each state of a loop, as in the static tables. */
export const GLYPHS = {
  created: "○", starting: "○", running: "▶", pausing: "‖", paused: "‖",
  stopping: "■", stopped: "■", completed: "✓", error: "✕",
};

/** The states in which a loop does nothing any more, unless it is started. */
export const ENDED = new Set(["stopped", "completed", "error"]);

/** What a loop is said to do from the click on, until Python says how it stands. */
export const ASKED = { start: "starting", pause: "pausing", resume: "resuming", step: "stepping", stop: "stopping" };

/** Milliseconds until a click that has changed nothing is forgotten. */
export const PATIENCE = 2000;

export const ICONS = {
  start: "M4 2.5l9 5.5-9 5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  resume: "M2.5 3H5v10H2.5zM6.5 2.5l7.5 5.5-7.5 5.5z",
  step: "M3 2.5l7 5.5-7 5.5zM11 3h2.5v10H11z",
  stop: "M3.5 3.5h9v9h-9z",
};

const FIRST = 3; // sentences that are seen at once

/**
 * Say what is wrong, the worst first: [level, words, loop, id of a box, its name]; a name is a link to its box.
 * @param {HTMLElement} list @param {Array} said @param {(id: string) => void} [go]
 */
export function tell(list, said, go) {
  const now = JSON.stringify(said);
  if (list.dataset.told === now) return; // else a link would go from under the pointer
  list.dataset.told = now;
  const open = list.querySelector("details")?.open ?? false;
  const items = said.map(([level, words, , id, name]) =>
    h("li", { class: `flownb-${level}` }, h("span", { "aria-hidden": "true" }, level === "bad" ? "✕" : "▲"), h("span", {}, ...linked(words, id, name, go))),
  );
  const more = items.splice(items.length > FIRST + 1 ? FIRST : items.length);
  const rest = h("details", open ? { open: "" } : {}, h("summary", {}, `and ${more.length} more`), h("ul", { class: "flownb-says" }, ...more));
  list.replaceChildren(...items, ...(more.length ? [h("li", { class: "flownb-rest" }, rest)] : []));
}

function linked(words, id, name, go) {
  const at = go && id && name ? words.indexOf(name) : -1;
  if (at < 0) return [words];
  const link = h("button", { type: "button", class: "flownb-link", title: `show ${name}`, onclick: () => go(id) }, name);
  return [words.slice(0, at), link, words.slice(at + name.length)];
}

/**
 * Make a button with an icon; *word* stands beside it where there is room.
 * @param {string} icon @param {string} label @param {() => void} press @param {string} [word]
 */
export function button(icon, label, press, word = "") {
  const drawn = s("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" }, s("path", { d: ICONS[icon], fill: "currentColor" }));
  const words = word ? [h("span", { class: "flownb-button-word" }, word)] : [];
  return h("button", { type: "button", class: "flownb-button", "data-do": icon, "aria-label": label, title: label, onclick: press }, drawn, ...words);
}
