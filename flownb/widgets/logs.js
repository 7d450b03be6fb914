// What do the nodes say? Their lines as they come, and those that one looks for.
import { attr, h, text } from "./base.js";
import { Diary, LEVELS, marked, wanted } from "./log_list.js";

const SHOWN = 400; // lines in the page
const AFTER = 150; // milliseconds after the last key of a search
const GLYPHS = { error: "✕", critical: "✕", warning: "▲", stderr: "▲", state: "●" };

/** Show the logs. @param {HTMLElement} el @param {import("./base.js").Store} store */
export function logs(el, store) {
  const diary = new Diary();
  const filter = { loop: "", node: "", level: "everything", search: "" };
  const page = build(filter, again, follow);
  let [follows, matching, timer] = [true, 0, 0];
  el.append(page.element);

  function redraw() {
    diary.begin(store.scene);
    page.choices(store.scene.rows, filter);
    hear(store.state);
    fill();
  }
  function hear(changed) {
    const fresh = Object.keys(changed).filter((key) => /^c\d+$/.test(key) && changed[key]);
    const entries = fresh.map((key) => Number(key.slice(1))).sort((a, b) => a - b).flatMap((n) => diary.take(n, changed[`c${n}`]));
    append(entries.filter((entry) => wanted(entry, filter)));
  }
  function fill() {
    page.list.replaceChildren();
    matching = 0;
    append(diary.entries.filter((entry) => wanted(entry, filter)));
  }
  function append(entries) {
    if (entries.length) {
      page.list.append(...entries.slice(-SHOWN).map((entry) => line(entry, filter.search)));
      while (page.list.childElementCount > SHOWN) page.list.firstElementChild.remove();
      matching += entries.length;
    }
    page.tell(Math.min(matching, diary.entries.length), diary);
    if (follows) page.list.scrollTop = page.list.scrollHeight;
  }
  function again() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      page.choices(store.scene.rows, filter);
      fill();
    }, AFTER);
  }
  function follow(on) {
    follows = on;
    page.follows(on);
    if (on) page.list.scrollTop = page.list.scrollHeight;
  }
  redraw();
  store.onScene(redraw);
  store.onState(hear);
  store.onFocus((node) => {
    if (filter.node === node) return;
    [filter.node, filter.loop] = [node, ""];
    again();
  });
  store.send({ do: "recall_logs" });
  return () => clearTimeout(timer);
}

function line(entry, search) {
  const at = entry.iteration < 0 ? "" : `[${entry.iteration}]`;
  const who = entry.node && entry.node !== entry.loop ? `${entry.loop}/${entry.node}${at}` : `${entry.loop}${at}`;
  const glyph = h("span", { class: "flownb-log-glyph", title: entry.level }, GLYPHS[entry.level] ?? "");
  const said = h("span", { class: "flownb-log-text" }, ...found(entry.text, search));
  if (entry.trace) {
    const shut = search && entry.trace.toLowerCase().includes(search.toLowerCase()) ? { open: "" } : {};
    said.replaceChildren(h("details", shut, h("summary", {}, ...found(entry.text, search)), h("pre", {}, ...found(entry.trace, search))));
  }
  const level = h("span", { class: "flownb-hidden" }, `${entry.level}: `);
  const element = h("div", { class: "flownb-log" }, h("span", { class: "flownb-log-time" }, entry.time.toFixed(2)), glyph, h("span", { class: "flownb-log-who", title: who }, who), level, said);
  attr(element, "data-level", entry.level);
  return element;
}

function found(words, search) {
  return marked(words, search).map((part, i) => (i % 2 ? h("mark", {}, part) : part));
}

function build(filter, again, follow) {
  const choose = (name, label) => h("select", { "aria-label": label, onchange: (event) => ((filter[name] = event.target.value), again()) });
  const [loop, node, level] = [choose("loop", "loop"), choose("node", "node"), choose("level", "level")];
  level.append(...Object.keys(LEVELS).map((name) => h("option", { value: name }, name)));
  const search = h("input", { type: "search", placeholder: "search", "aria-label": "search the log", oninput: (event) => ((filter.search = event.target.value), again()) });
  search.addEventListener("keydown", (event) => event.stopPropagation()); // else the notebook takes the key
  const words = h("span", { class: "flownb-dim", role: "status" });
  const press = h("button", { type: "button", class: "flownb-button", "aria-pressed": "true", onclick: () => follow(press.getAttribute("aria-pressed") !== "true") }, "follow");
  const bar = h("header", { class: "flownb-bar" }, h("strong", {}, "log"), loop, node, level, search, words, h("div", { class: "flownb-tools" }, press));
  const list = h("div", { class: "flownb-lines", role: "log", "aria-live": "off", "aria-label": "log lines", tabindex: "0" });
  // only a person scrolls back: lines that go at the top move the rest as well
  let [before, moved] = [0, -Infinity];
  for (const kind of ["wheel", "keydown", "pointerdown", "touchmove"]) list.addEventListener(kind, () => (moved = performance.now()), { passive: true });
  list.addEventListener("scroll", () => {
    const up = list.scrollTop < before - 2;
    const bottom = list.scrollHeight - list.scrollTop - list.clientHeight < 8;
    before = list.scrollTop;
    if (performance.now() - moved > 1000) return;
    if (up && !bottom) follow(false);
    else if (bottom) follow(true);
  });
  return {
    element: h("div", {}, bar, list), list,
    follows: (on) => attr(press, "aria-pressed", String(on)),
    choices: (rows, chosen) => {
      const loops = [...new Set(rows.map((row) => row.loop))];
      const nodes = [...new Set(rows.filter((row) => !chosen.loop || row.loop === chosen.loop).map((row) => row.node))].filter(Boolean);
      if (chosen.node && !nodes.includes(chosen.node)) chosen.node = "";
      options(loop, "every loop", loops, chosen.loop);
      options(node, "every node", nodes, chosen.node);
    },
    tell: (matching, diary) => {
      const all = diary.entries.length;
      const count = matching === all ? `${all.toLocaleString("en")} lines` : `${matching.toLocaleString("en")} of ${all.toLocaleString("en")} lines`;
      text(words, count + (diary.left ? `, ${diary.left.toLocaleString("en")} more were too many` : ""));
    },
  };
}

function options(select, all, names, chosen) {
  const wanted = [["", all], ...names.map((name) => [name, name])];
  if ([...select.options].map((o) => o.value).join("\n") !== wanted.map(([value]) => value).join("\n")) {
    select.replaceChildren(...wanted.map(([value, words]) => h("option", { value }, words)));
  }
  select.value = chosen;
}
