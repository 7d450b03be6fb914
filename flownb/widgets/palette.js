// What can be added to a graph? The kinds of node, and the functions that have a name.
import { h, s } from "./base.js";
import { outline, rim } from "./canvas_shapes.js";

export const KINDS = [
  ["producer", "producer", "makes the items of a loop"],
  ["blocking", "blocking", "the producer waits for it"],
  ["non-blocking", "non-blocking", "the producer does not wait for it"],
  ["if", "if", "decides which way an item goes"],
  ["queue", "queue", "hands items to another loop"],
  ["queue-reader", "queue reader", "begins a loop with what a queue holds"],
];

/** Draw a kind small. */
export function icon(kind) {
  const look = `fnb-${kind.replaceAll("-", "_")}`;
  const inner = rim(kind, 34, 20);
  return s("svg", { class: "fnb fnb-picture flownb-icon", width: 26, height: 16, viewBox: "-2 -2 38 24", "aria-hidden": "true" },
    s("path", { class: look, d: outline(kind, 34, 20) }), ...(inner ? [s("path", { class: look, d: inner })] : []));
}

/** Give what may be added and has all letters of *words* in its name or description. */
export function matching(tools, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [
    ...KINDS.map(([kind, label, about]) => ({ kind, label, about })),
    ...tools.map(([tool, about]) => ({ kind: "blocking", tool, label: tool, about })),
  ];
  return all.filter(({ label, about }) => wanted.every((word) => `${label} ${about}`.toLowerCase().includes(word)));
}

/**
 * Make the palette: press to add, or drag to a place.
 * @param {(what: {kind: string, tool?: string}, event?: PointerEvent) => void} add
 * @param {(event: PointerEvent | null) => void} over called while one drags
 */
export function palette(add, over) {
  const kinds = h("div", { role: "list" });
  const tools = h("div", { role: "list" });
  const el = h("div", { class: "flownb-palette" }, h("h4", {}, "add"), kinds, h("h4", {}, "functions"), tools);
  let known = "";

  function item({ kind, tool, label, about }) {
    const button = h("button", { type: "button", class: "flownb-palette-item", title: about, "aria-label": `add ${label}` },
      ...(tool ? [h("span", { class: "flownb-fn", "aria-hidden": "true" }, "ƒ")] : [icon(kind)]), h("span", { class: "flownb-clip" }, label));
    let from = null;
    let ghost = null;
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      from = [event.clientX, event.clientY];
      button.setPointerCapture(event.pointerId);
    });
    button.addEventListener("pointermove", (event) => {
      if (!from || (!ghost && Math.hypot(event.clientX - from[0], event.clientY - from[1]) < 5)) return;
      if (!ghost) {
        ghost = button.cloneNode(true);
        ghost.classList.add("flownb-ghost");
        el.append(ghost);
      }
      const bounds = el.getBoundingClientRect();
      ghost.style.left = `${event.clientX - bounds.left}px`;
      ghost.style.top = `${event.clientY - bounds.top + el.scrollTop}px`;
      over(event);
    });
    const drop = (event) => {
      const dragged = Boolean(ghost);
      ghost?.remove();
      [from, ghost] = [null, null];
      over(null);
      if (dragged && event.type === "pointerup") {
        add({ kind, tool }, event);
        button.dataset.dragged = "yes";
        setTimeout(() => delete button.dataset.dragged);
      }
    };
    button.addEventListener("pointerup", drop);
    button.addEventListener("pointercancel", drop);
    button.addEventListener("click", () => button.dataset.dragged || add({ kind, tool }));
    return button;
  }
  kinds.append(...matching([], "").map(item));

  function show(list) {
    if (JSON.stringify(list) === known) return;
    known = JSON.stringify(list);
    const found = matching(list, "").filter(({ tool }) => tool);
    tools.replaceChildren(...(found.length ? found.map(item) : [h("p", { class: "flownb-dim" }, "define a function in a cell, or register a tool: it is here then")]));
  }
  show([]);
  return { el, show };
}

/**
 * Make the menu that adds by name: type, choose with the arrows, press Enter.
 * @param {(what: {kind: string, tool?: string}) => void} add @param {() => void} closed
 */
export function quickAdd(add, closed) {
  const input = h("input", { type: "text", placeholder: "add …", "aria-label": "what to add", spellcheck: "false", oninput: fill, onkeydown: typed });
  const list = h("div", { class: "flownb-quick-list", role: "listbox" });
  const el = h("div", { class: "flownb-quick", hidden: "" }, input, list);
  let tools = [];
  let found = [];
  let at = 0;

  function fill() {
    found = matching(tools, input.value).slice(0, 12);
    at = 0;
    list.replaceChildren(...found.map((what, i) => h("button", { type: "button", role: "option", onclick: () => take(i) },
      ...(what.tool ? [h("span", { class: "flownb-fn" }, "ƒ")] : [icon(what.kind)]), h("span", { class: "flownb-clip" }, what.label))));
    mark();
  }
  function mark() {
    [...list.children].forEach((one, i) => one.setAttribute("aria-selected", String(i === at)));
    list.children[at]?.scrollIntoView({ block: "nearest" });
  }
  function take(i) {
    const what = found[i];
    close();
    if (what) add(what);
  }
  function typed(event) {
    if (event.key === "ArrowDown") at = Math.min(found.length - 1, at + 1);
    else if (event.key === "ArrowUp") at = Math.max(0, at - 1);
    else if (event.key === "Enter") return take(at);
    else if (event.key === "Escape") return close();
    else return undefined;
    event.preventDefault();
    return mark();
  }
  function open(x, y, known) {
    tools = known;
    el.hidden = false;
    input.value = "";
    [el.style.left, el.style.top] = [`${x}px`, `${y}px`];
    fill();
    input.focus({ preventScroll: true });
  }
  function close() {
    if (el.hidden) return;
    el.hidden = true;
    closed();
  }
  el.addEventListener("focusout", (event) => {
    if (!el.contains(event.relatedTarget)) close();
  });
  return { el, open, close };
}
