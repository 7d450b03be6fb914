// What is written on a box while it runs? A chip below, what is under way above, a gauge.
import { attr, count, rate, s, text } from "./base.js";

export const GLYPHS = { idle: "○", healthy: "●", retrying: "↻", failing: "✕" };
const LETTER = 6.3; // pixels of an 11 pixel letter, on the wide side

/**
 * Say what the chip of a node says: all of it, or what there is room for.
 * @param {Array} now [state, calls, failed, rate, running, retries, failed lately]
 * @param {Array} [queue] [depth, pending, greatest length or 0, pushes that wait for room]
 * @param {number} [room] pixels @param {number} [looked] how many failures somebody has looked at
 */
export function chipWords([, calls, failures, perSecond], queue, room = Infinity, looked = 0) {
  const [depth, , maxlen, waiting] = queue ?? [];
  const failed = failures > looked ? failures : 0;
  const many = queue ? `${count(depth)}${maxlen ? `/${count(maxlen)}` : ""} deep` : count(calls);
  const all = [many, ...(waiting ? [`${count(waiting)} wait`] : perSecond ? [rate(perSecond)] : [])].join(" · ");
  const ways = failed
    ? [`${all} · ${count(failed)} failed`, `${all} · ${count(failed)} ✕`, `${many} · ${count(failed)} ✕`]
    : [all, many];
  return ways.find((words) => chipWidth(words) <= room) ?? ways.at(-1);
}

function chipWidth(words) {
  return Math.ceil((words.length + 2) * LETTER + 14);
}

/** Say how a node is shown: what has failed in the last minute is not healthy, whatever the last call did. */
export function shownState([state, , , , , , lately]) {
  return lately ? "failing" : state;
}

/** Say how a node stands, for those who do not see it. */
export function spoken(box, now) {
  const what = box.word.startsWith(box.kind) || !box.word ? box.word || box.kind : `${box.kind}, ${box.word}`;
  if (!now) return `${box.name}, ${what}`;
  const [, calls, failed, perSecond, running] = now;
  const state = shownState(now);
  const bad = failed ? `, ${failed} failed` : "";
  const busy = running ? `, ${running} running` : "";
  return `${box.name}, ${what}, ${state}, ${calls} calls, ${rate(perSecond)}${bad}${busy}`;
}

/** Say how full a queue looks: of its greatest length if it has one, else on a log scale. */
export function fullness(depth, maxlen) {
  if (maxlen) return Math.min(1, depth / maxlen);
  return Math.min(1, Math.log10(1 + depth) / 4); // 10,000 messages fill it
}

/**
 * Make what is written on a box.
 * @param {{x: number, y: number, width: number, height: number, room: number}} box
 */
export function chip(box) {
  const middle = box.x + box.width / 2;
  const bottom = box.y + box.height;
  const pill = s("rect", { class: "flownb-pill", y: bottom - 9, height: 18, rx: 9 });
  const level = s("rect", { class: "flownb-level", x: box.x + 8, y: bottom - 14, height: 4, rx: 2, width: 0 });
  const glyph = s("tspan", { class: "flownb-mark" });
  const words = s("tspan", { dx: 4 });
  const label = s("text", { class: "flownb-small", x: middle, y: bottom + 4 }, glyph, words);
  const busyPill = s("rect", { class: "flownb-pill flownb-busy-pill", y: box.y - 9, height: 18, rx: 9 });
  const busyText = s("text", { class: "flownb-small flownb-busy-text", y: box.y + 4 });
  const busy = s("g", { class: "flownb-running" }, busyPill, busyText);
  const group = s("g", { class: "flownb-chip", "aria-hidden": "true" }, level, pill, label, busy);

  function show(now, queue, looked = 0) {
    const running = now[4];
    const state = shownState(now);
    const written = chipWords(now, queue, box.room, looked);
    attr(group, "data-state", state);
    text(glyph, GLYPHS[state] ?? "");
    text(words, written);
    const wide = chipWidth(written);
    attr(pill, "width", wide);
    attr(pill, "x", middle - wide / 2);
    if (queue) {
      attr(level, "width", (fullness(queue[0], queue[2]) * (box.width - 24)).toFixed(1));
      level.classList.toggle("flownb-brim", queue[2] > 0 && queue[0] >= queue[2]);
    }
    busy.classList.toggle("flownb-on", running > 0);
    if (!running) return;
    const many = `▸ ${count(running)}`;
    text(busyText, many);
    const broad = Math.ceil(many.length * LETTER + 12);
    attr(busyPill, "width", broad);
    attr(busyPill, "x", box.x + box.width - broad - 4);
    attr(busyText, "x", box.x + box.width - broad / 2 - 4);
  }
  return { group, show };
}
