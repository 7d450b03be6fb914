// What stands beside the canvas? The name, kind and options of what is chosen, and what is said of it.
import { attr, h, text } from "./base.js";
import { optionForm } from "./option_form.js";
import { happened } from "./panel.js";

/**
 * Make the panel.
 * @param {{set: Function, rename: Function, flip: Function, chooseLoop: Function, close: Function}} on
 */
export function canvasForm(on) {
  let about = null;
  const name = h("input", { type: "text", class: "flownb-name", "aria-label": "name", spellcheck: "false", onchange: () => {
    if (about?.node !== undefined && name.value.trim() && name.value !== about.node) on.rename(about.node, name.value.trim());
  } });
  const what = h("h3", {});
  const waits = h("button", { type: "button", onclick: () => flip("blocking") }, "blocking");
  const goes = h("button", { type: "button", onclick: () => flip("non-blocking") }, "non-blocking");
  const kind = h("p", { class: "flownb-dim" });
  const flips = h("span", { class: "flownb-group flownb-flip", role: "group", "aria-label": "blocking or non-blocking" }, waits, goes);
  const troubles = h("ul", { class: "flownb-troubles" });
  const said = h("ul", { class: "flownb-said" });
  const form = optionForm((option, value) => about && on.set(about, option, value));
  const live = h("div", { class: "flownb-live" });
  const close = h("button", { type: "button", "aria-label": "close", onclick: () => on.close() }, "×");
  const el = h("aside", { class: "flownb-side", "aria-label": "options" }, h("header", {}, what, name, close), h("div", { class: "flownb-kind" }, kind, flips), troubles, said, form.el, live);
  let isBlocking = true;
  let seen = "";

  function flip(to) {
    if ((to === "blocking") !== isBlocking && about?.node !== undefined) on.flip(about.node);
  }

  function show({ about: next, label, many, detail, problems, words, refused, implied, empty }) {
    const other = JSON.stringify(next) !== JSON.stringify(about);
    about = next;
    const isNode = next?.node !== undefined;
    name.hidden = !isNode;
    what.hidden = isNode;
    close.hidden = !next && many < 2;
    if (isNode && (other || name.getRootNode().activeElement !== name)) name.value = label;
    text(what, next ? (next.loop ? `loop ${label}` : label) : many > 1 ? `${many} nodes` : "who waits for whom");
    if (other) seen = "";
    overview(next, many, words, empty);
    if (!next || !detail) {
      for (const one of [flips, troubles]) one.hidden = true;
      kind.hidden = !implied;
      text(kind, implied ? "these two share a queue: no edge is needed" : "");
      if (!next) form.show([], null);
      if (!next) live.replaceChildren();
      return;
    }
    const flag = detail.kind === "queue" ? null : detail.kind;
    isBlocking = detail.blocking ?? flag === "blocking";
    kind.hidden = flag === "blocking" || flag === "non-blocking" || !detail.kind;
    text(kind, detail.kind ? detail.kind.replace("-", " ") : "");
    flips.hidden = detail.blocking === undefined || detail.blocking === null;
    attr(waits, "aria-pressed", String(isBlocking));
    attr(goes, "aria-pressed", String(!isBlocking));
    troubles.hidden = !problems.length;
    troubles.replaceChildren(...problems.map((p) => h("li", { "data-level": p.level }, p.text)));
    form.show(detail.form, refused && same(refused, next) ? refused : null);
    const now = JSON.stringify(detail.live ?? null);
    if (now !== seen) live.replaceChildren(...(detail.live ? happened(detail.live, live.querySelector("details")?.open) : []));
    seen = now;
    said.replaceChildren(...(detail.words ?? []).map((line) => h("li", {}, line)));
  }

  /** Say of all loops who waits for whom, where nothing is chosen. */
  function overview(next, many, words, empty) {
    if (next) return;
    const lines = words.map(([loop, waiting, line]) => h("li", { class: `flownb-arm-${waiting.replace(" ", "-")}` }, h("button", { type: "button", onclick: () => on.chooseLoop(loop) }, line)));
    const none = empty ? "Nothing is drawn yet. A loop begins with a producer: what it leads to is done for each item." : "No producer leads anywhere yet.";
    said.replaceChildren(...(lines.length || many > 1 ? lines : [h("li", {}, none)]));
  }

  return {
    el, show, focus: () => form.focus(),
  };
}

/**
 * Make the field in which a name is written where it stands: Enter and a click elsewhere take it,
 * Escape does not.
 * @param {() => void} closed called when a key has closed it
 */
export function nameInPlace(closed) {
  const el = h("input", { type: "text", class: "flownb-in-place", "aria-label": "name", spellcheck: "false", hidden: "", onkeydown: typed, onblur: () => close(true) });
  let where = null;
  let take = null;

  function typed(event) {
    if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
    close(event.key === "Enter");
    closed();
    event.preventDefault();
  }
  function close(isTaken) {
    if (el.hidden) return;
    el.hidden = true;
    const name = el.value.trim();
    if (isTaken && name && name !== el.defaultValue) take(name);
  }
  /** Write it over the box that *place* gives, in pixels of the frame. */
  function open(place, name, then) {
    [where, take] = [place, then];
    el.value = name;
    el.defaultValue = name;
    el.hidden = false;
    follow();
    el.focus({ preventScroll: true });
    el.select();
  }
  /** The drawing has been moved below it. */
  function follow() {
    const box = !el.hidden && where();
    if (!box) return;
    const wide = Math.max(120, box.width);
    Object.assign(el.style, { left: `${box.x + (box.width - wide) / 2}px`, top: `${box.y}px`, width: `${wide}px` });
  }
  return { el, open, follow };
}

const same = (refused, about) => ["node", "loop"].some((key) => about[key] !== undefined && refused[key] === about[key]) || (about.edge && JSON.stringify(about.edge) === JSON.stringify(refused.edge));
