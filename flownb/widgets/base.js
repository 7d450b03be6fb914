// What do all parts share? The store that they read, and the few helpers that draw.
// Texts come in by textContent and setAttribute only, never as markup.

/**
 * @typedef {Object} Store what a part sees of its model; keys have no prefix here
 * @property {Object} scene what is drawn; replaced as a whole
 * @property {Object<string, any>} state how everything stands; changed in place
 * @property {(fn: () => void) => void} onScene call it when the scene is another one
 * @property {(fn: (changed: Object<string, any>) => void) => void} onState call it with changed keys
 * @property {(command: {do: string}) => void} send ask for something in Python; it never throws
 * @property {(value: any) => void} select tell Python what is chosen, shortly after the last change
 * @property {(node: string) => void} focus let the other parts show only what belongs to a node; "": all
 * @property {(fn: (name: string, words: string, type: string) => void) => void} onFile call it with a file that was asked for
 * @property {(fn: (node: string) => void) => void} onFocus call it with the node that is looked at
 */

const SVG = "http://www.w3.org/2000/svg";
const SELECT_AFTER = 120; // milliseconds
const HERE_EVERY = 15000; // milliseconds: Python takes a page that says nothing for gone
const SILENT = 8000; // milliseconds: all of the state comes every 5 seconds

/**
 * Make an HTML element: properties starting with "on" are listeners, others attributes.
 * @param {string} tag @param {Object} [props] @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  return /** @type {HTMLElement} */ (fill(document.createElement(tag), props, children));
}

/**
 * Make an SVG element, as `h` does.
 * @param {string} tag @param {Object} [props] @param {...(Node|string)} children
 * @returns {SVGElement}
 */
export function s(tag, props = {}, ...children) {
  return /** @type {SVGElement} */ (fill(document.createElementNS(SVG, tag), props, children));
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else attr(element, name, value);
  }
  element.append(...children);
  return element;
}

/** Set an attribute only if it changes; null and false remove it. */
export function attr(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/** Set a text only if it changes. */
export function text(element, value) {
  if (element.textContent !== String(value)) element.textContent = String(value);
}

/**
 * Draw a picture (`shapes()` in part.py) into an SVG element; give its groups by id.
 * @param {SVGElement} svg @param {Object} picture
 * @returns {Map<string, SVGElement>}
 */
export function drawPicture(svg, picture) {
  const groups = new Map();
  svg.replaceChildren(s("title", {}, picture.title), s("desc", {}, picture.description));
  svg.setAttribute("role", "img");
  for (const group of picture.groups) {
    const node = s("g", group.id ? { "data-id": group.id } : {});
    if (group.tip) node.append(s("title", {}, group.tip));
    node.append(...group.parts.map(shape));
    svg.append(node);
    if (group.id) groups.set(group.id, node);
  }
  return groups;
}

function shape(part) {
  if (part.length === 2) return s("path", { class: `fnb-${part[0]}`, d: part[1] });
  const [look, x, y, words, anchor] = part;
  return s("text", { class: `fnb-${look}`, x, y, style: `text-anchor:${anchor}` }, words);
}

/** Write a number of seconds for people, as `duration` in text.py: 1.2 ms, 0.34 s, 2.5 s, 3 min. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !isFinite(seconds)) return "–";
  if (seconds < 5e-7) return "0 s";
  if (seconds < 0.0995) return `${two(seconds * 1000)} ms`;
  if (seconds < 119.5) return `${two(seconds)} s`;
  if (seconds < 7170) return `${two(seconds / 60)} min`;
  return `${two(seconds / 3600)} h`;
}

function two(number) {
  return String(number >= 9.95 ? Math.round(number) : Number(number.toPrecision(2)));
}

/** Write a count for people: 999, 1.2k, 35k, 1.2M. */
export function count(number) {
  if (number < 1000) return String(Math.round(number));
  const [size, unit] = number < 999500 ? [1e3, "k"] : number < 999.5e6 ? [1e6, "M"] : [1e9, "G"];
  return short(number / size) + unit;
}

/** Write a rate per second for people: 0, 0.25/s, 9.8/s, 120/s; – if nobody can say yet. */
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  if (!perSecond) return "0/s";
  return `${perSecond < 1000 ? short(perSecond) : count(perSecond)}/s`;
}

function short(number) {
  if (number >= 99.95) return String(Math.round(number));
  const digits = number >= 9.995 ? 1 : 2;
  return String(Number(number.toFixed(digits)));
}

/**
 * Say that nothing has been heard from Python, and why if that is known; "" as long as all is well.
 * @param {{follows: boolean, silent: number, since: string, gone: boolean, asked: string}} now
 *   follows: Python has promised news; silent: milliseconds; gone: the connection has been closed
 */
export function noNews({ follows, silent, since, gone, asked }) {
  if (gone) return `not connected since ${since}: the kernel has ended`;
  if (!follows || silent < SILENT) return "";
  const sent = asked ? `; ${asked}: sent, not answered yet` : "";
  return `no news since ${since}: the kernel is busy or has ended${sent}`;
}

/** Say how much a loop that has ended did, and in which time: "60 in 6.6 s". */
export function inAll(released, elapsed) {
  return `${count(released)} in ${duration(elapsed)}`;
}

/** Whether the user has asked the system for less motion. */
export function calm() {
  return globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
}

/** Give the keys that start with "part/", without it. */
export function own(part, values) {
  const start = `${part}/`;
  const found = {};
  for (const [key, value] of Object.entries(values)) {
    if (key.startsWith(start)) found[key.slice(start.length)] = value;
  }
  return found;
}

/** Merge changed keys into a state, in place; null removes a key. */
export function merge(state, changed) {
  for (const [key, value] of Object.entries(changed)) {
    if (value === null) delete state[key];
    else state[key] = value;
  }
}

/** Say what turns one state into another. */
export function difference(before, after) {
  const changed = {};
  for (const key of Object.keys(before)) if (!(key in after)) changed[key] = null;
  for (const [key, value] of Object.entries(after)) {
    if (JSON.stringify(before[key]) !== JSON.stringify(value)) changed[key] = value;
  }
  return changed;
}

/**
 * Show parts in an element, and keep them up to date until it is removed.
 * @param {{model: any, el: HTMLElement}} context what anywidget gives to `render`
 * @param {Object<string, (el: HTMLElement, store: Store) => (void | (() => void))>} parts
 */
export function mount({ model, el }, parts) {
  const view = Math.random().toString(36).slice(2);
  const names = Object.keys(parts);
  let [heardAt, gone, asked] = [new Date(), false, ""];
  const trouble = h("span");
  const error = h(
    "div", { class: "flownb-error", role: "alert", hidden: "" }, trouble,
    h("button", { type: "button", "aria-label": "dismiss", onclick: dismiss }, "×"),
  );
  const root = h("div", { class: `flownb fnb flownb-of-${names.length}` });
  const silence = h("div", { class: "flownb-silence", role: "status", hidden: "" });
  const focus = (node) => stores.forEach((store) => store.focused(node));
  const stores = names.map((name) => makeStore(model, name, ask, focus));
  const places = h("div", { class: "flownb-parts" });
  const sections = names.map((name) => h("section", { class: `flownb-part flownb-${name}` }));
  places.append(...(names.length > 2 ? tabbed(names, sections, root) : sections));
  root.append(silence, places, error);
  el.append(root);
  const ends = names.map((name, i) => parts[name](sections[i], stores[i]));
  const blind = followTheme(root);
  const quiet = hideStill(model.get("scene").still);

  /** Send a command to Python, if somebody can still take it. */
  function ask(command) {
    if (gone) return;
    asked = command.view ? asked : command.do;
    try {
      model.send(command);
    } catch {
      lost(); // the kernel has taken the comm with it
    }
  }
  function lost() {
    gone = true;
    for (const element of root.querySelectorAll("[data-do]")) attr(element, "disabled", "");
    listen();
  }
  /** Tell whether there is still news; a page that hears nothing says that it is there. */
  function listen() {
    const silent = Date.now() - heardAt.getTime();
    const follows = Boolean(model.get("state").follows) && !document.hidden;
    const since = heardAt.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const words = noNews({ follows, silent, since, gone, asked });
    if (words && silence.hidden) ask({ do: "here", view });
    text(silence, words);
    silence.hidden = !words;
    root.classList.toggle("flownb-stale", Boolean(words));
  }
  function dismiss() {
    ask({ do: "dismiss" });
    complain("");
  }
  function complain(words) {
    text(trouble, words ?? "");
    error.hidden = !words;
  }
  function tell(changed) {
    stores.forEach((store) => store.changed(changed));
    if ("error" in changed) complain(changed.error);
  }
  let told = performance.now();
  function heard(message) {
    [heardAt, gone, asked] = [new Date(), false, ""];
    if (!silence.hidden) listen();
    if (performance.now() - told > HERE_EVERY && !document.hidden) {
      told = performance.now();
      ask({ do: "here", view });
    }
    if (message.file) stores.forEach((store) => store.filed(message.file));
    const state = model.get("state");
    const changed = message.patch ?? difference(state, message.state ?? state);
    merge(state, changed); // in place: nothing goes back, and what is saved is the last state
    tell(changed);
  }
  const redraw = () => stores.forEach((store) => store.redrawn());
  const leave = () => ask({ do: "hide", view });
  const back = () => document.hidden || ask({ do: "here", view });
  const clock = setInterval(listen, 1000);
  model.on("comm_live_update", lost); // said by the front end when the kernel has been restarted
  model.on("msg:custom", heard);
  model.on("change:scene", redraw);
  globalThis.addEventListener?.("pagehide", leave);
  document.addEventListener?.("visibilitychange", back);
  complain(model.get("state").error);
  ask({ do: "show", view });
  return () => {
    clearInterval(clock);
    model.off("comm_live_update", lost);
    model.off("msg:custom", heard);
    model.off("change:scene", redraw);
    globalThis.removeEventListener?.("pagehide", leave);
    document.removeEventListener?.("visibilitychange", back);
    quiet();
    blind();
    stores.forEach((store) => store.end());
    ends.forEach((end) => end?.());
    leave();
  };
}

const TABS = { dashboard: "figures", timeline: "timeline", logs: "log" };

/** Put the first part above, and of the others the one that is chosen below. */
function tabbed(names, sections, root) {
  const [first, ...others] = sections;
  root.classList.add("flownb-tabbed");
  const tabs = others.map((section, i) => {
    const label = TABS[names[i + 1]] ?? names[i + 1];
    attr(section, "role", "tabpanel");
    attr(section, "aria-label", label);
    return h("button", { type: "button", role: "tab", class: "flownb-tab", onclick: () => open(i), onkeydown: (event) => step(event, i) }, label);
  });
  function open(chosen) {
    others.forEach((section, i) => {
      section.hidden = i !== chosen;
      attr(tabs[i], "aria-selected", String(i === chosen));
      attr(tabs[i], "tabindex", i === chosen ? "0" : "-1");
    });
  }
  function step(event, i) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation(); // else the notebook takes the key
    const next = (i + by + tabs.length) % tabs.length;
    open(next);
    tabs[next].focus();
  }
  open(0);
  return [first, h("div", { class: "flownb-below" }, h("div", { class: "flownb-tabs", role: "tablist" }, ...tabs), ...others)];
}

function makeStore(model, part, send, focus) {
  const scenes = [];
  const states = [];
  const focuses = [];
  const files = [];
  let timer = 0;
  const store = {
    scene: model.get("scene")[part] ?? {},
    state: own(part, model.get("state")),
    onScene: (fn) => scenes.push(fn),
    onState: (fn) => states.push(fn),
    send,
    focus,
    onFocus: (fn) => focuses.push(fn),
    onFile: (fn) => files.push(fn),
    filed: (file) => files.forEach((fn) => fn(...file)),
    focused: (node) => focuses.forEach((fn) => fn(node)),
    select: (value) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        model.set("selection", { ...model.get("selection"), [part]: value });
        model.save_changes();
      }, SELECT_AFTER);
    },
    changed: (values) => {
      const mine = own(part, values);
      if (!Object.keys(mine).length) return;
      merge(store.state, mine);
      states.forEach((fn) => fn(mine));
    },
    redrawn: () => {
      const scene = model.get("scene")[part] ?? {};
      if (JSON.stringify(scene) === JSON.stringify(store.scene)) return;
      store.scene = scene;
      scenes.forEach((fn) => fn());
    },
    end: () => clearTimeout(timer),
  };
  return store;
}

/** The front ends in the dark: JupyterLab, Colab, VS Code, marimo. */
const DARK = '[data-jp-theme-light="false"], .vscode-dark, .dark, .dark-theme';

/** Let an element know whether the page is dark, also from within a shadow root. */
function followTheme(root) {
  const look = () => {
    const dark = document.body.matches(DARK) || document.documentElement.matches('[theme="dark"], .dark');
    root.classList.toggle("flownb-dark", dark);
  };
  const watch = new MutationObserver(look);
  for (const element of [document.documentElement, document.body]) {
    watch.observe(element, { attributes: true, attributeFilter: ["class", "theme", "data-jp-theme-light"] });
  }
  look();
  return () => watch.disconnect();
}

/** Hide the still picture of this view as long as it lives; give the way to end that. */
function hideStill(id) {
  if (!id) return () => {};
  const still = `.flownb-still[data-flownb="${CSS.escape(id)}"]`;
  const rule = h("style", {}, `${still},.jp-OutputArea-child:has(${still}){display:none}`);
  document.head.append(rule);
  return () => rule.remove();
}
