// What would happen if? Switch a policy, flip a node, drag a duration: all of it answers.
import { attr, drawPicture, duration, h, rate, s, text } from "./base.js";
import { neighbour, stage } from "./viewport.js";

const SHORTEST = 0.001; // seconds: where the slider begins; its left end is 0
const STEPS = 600;
const OFTEN = 60; // milliseconds between two answers while one drags
const FIRST = 36; // the place of the shortest; what is left of it stands apart from 0
// Seconds that stand under the slider; where there is little room only every other.
const SCALE = { 0: "0", 0.001: "1 ms", 0.01: "10 ms", 0.1: "0.1 s", 1: "1 s", 10: "10 s", 60: "60 s", 600: "10 min", 3600: "60 min" };

/** Say where on the slider a duration is: 0 at its left end, then on a log scale. */
export function toSlider(seconds, longest) {
  if (!(seconds > 0)) return 0;
  const share = Math.log(Math.max(seconds, SHORTEST) / SHORTEST) / Math.log(longest / SHORTEST);
  return Math.round(FIRST + share * (STEPS - FIRST));
}

/** Say which duration a place on the slider is, with two digits. */
export function fromSlider(place, longest) {
  if (place < FIRST / 2) return 0;
  const share = Math.max(0, place - FIRST) / (STEPS - FIRST);
  return Number((SHORTEST * (longest / SHORTEST) ** share).toPrecision(2));
}

/** Say what a figure was and is. */
export function changed([before, now], write) {
  return before === now ? write(now) : `${write(before)} → ${write(now)}`;
}

const perSecond = (value) => (value === null ? "unlimited" : rate(value));

/** Show the explorer. @param {HTMLElement} el @param {import("./base.js").Store} store */
export function explore(el, store) {
  const place = stage("the graph, to play with");
  const title = h("strong", { class: "flownb-title" });
  const edits = h("span", { class: "flownb-dim flownb-gap" });
  const apply = button("apply", () => store.send({ do: "apply" }), "hand the edits to the graph, and to what runs");
  const reset = button("reset", () => store.send({ do: "reset" }), "forget the edits");
  const loops = h("div", { class: "flownb-loops" });
  const gantt = h("div", { class: "flownb-gantt" });
  const knobs = makeKnobs(store, () => choose(null));
  const python = button("copy as Python", () => store.send({ do: "share", how: "py" }), "copy the graph with these edits as Python");
  const words = h("textarea", { readonly: "", spellcheck: "false", "aria-label": "the graph as Python" });
  const label = h("span");
  const written = h("div", { class: "flownb-written", hidden: "" }, h("header", {}, label, button("×", () => (written.hidden = true), "close")), words);
  el.append(
    h("header", { class: "flownb-bar" }, title, edits, python, reset, apply),
    h("div", { class: "flownb-try" }, h("div", {}, place.frame, knobs.el, gantt), loops),
    written,
  );
  let chosen = null;
  let size = "";

  function draw() {
    const { scene } = store;
    const held = document.activeElement?.closest?.(".flownb-node")?.getAttribute("data-id");
    const groups = drawPicture(place.world, scene.picture);
    place.world.removeAttribute("role");
    for (const box of scene.boxes) dress(groups.get(box.id), box);
    const now = `${scene.picture.width} ${scene.picture.height}`;
    if (now !== size) place.show(scene.picture);
    size = now;
    text(title, `${scene.title}: what if?`);
    text(edits, scene.told || scene.edits.join(", ") || "click a node; nothing is changed before “apply”");
    apply.disabled = reset.disabled = !scene.edits.length;
    loops.replaceChildren(...scene.loops.map((loop) => card(loop, scene.policies)));
    rehearse(scene.gantt);
    rove(held ?? chosen ?? scene.boxes[0]?.id);
    if (held) groupOf(held)?.focus({ preventScroll: true }); // the picture is a new one
    choose(scene.boxes.some((box) => box.id === chosen) ? chosen : null);
  }

  function dress(group, box) {
    group.classList.add("flownb-node");
    for (const [name, value] of Object.entries({
      role: "button", "aria-label": `${box.name}, ${box.kind.replace("_", "-")}. ${box.why}`,
    })) attr(group, name, value);
    group.addEventListener("click", () => choose(box.id));
    group.addEventListener("dblclick", (event) => {
      event.stopPropagation();
      if (box.may_flip) store.send({ do: "flip", box: box.id });
    });
    group.addEventListener("keydown", (event) => typed(event, box));
  }

  /** One node is a tab stop; arrow keys lead from it to the others. */
  function rove(id) {
    for (const box of store.scene.boxes) attr(groupOf(box.id), "tabindex", box.id === id ? "0" : "-1");
  }
  function groupOf(id) {
    return place.world.querySelector(`[data-id="${CSS.escape(id)}"]`);
  }
  function typed(event, box) {
    const next = neighbour(store.scene, box, event.key);
    const keys = {
      Enter: () => choose(box.id), " ": () => choose(box.id), Escape: () => choose(null),
      b: () => box.may_flip && store.send({ do: "flip", box: box.id }),
    };
    if (next) {
      rove(next);
      groupOf(next).focus({ preventScroll: true });
      place.reveal(store.scene.boxes.find((other) => other.id === next));
    } else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation(); // else JupyterLab takes it for one of its own
  }

  function choose(id) {
    chosen = id;
    for (const group of place.world.querySelectorAll("[data-id]")) {
      group.classList.toggle("flownb-picked", group.getAttribute("data-id") === id);
    }
    knobs.show(store.scene.boxes.find((box) => box.id === id) ?? null, store.scene.longest);
  }

  function card(loop, policies) {
    const choice = h(
      "select", { "aria-label": `await policy of ${loop.loop}`, onchange: (event) => {
        store.send({ do: "policy", loop: loop.loop, policy: event.target.value });
      } },
      ...policies.map((name) => h("option", { value: name, ...(name === loop.policy ? { selected: "" } : {}) }, name)),
    );
    const facts = [
      ["released after", changed(loop.release, duration)], [loop.given ? `at least, if ${loop.given}` : "at most", changed(loop.ceiling, perSecond)],
      ["waits for", loop.awaited.join(", ") || "nothing"], ["does not wait for", loop.detached.join(", ") || "nothing"],
    ];
    return h(
      "section", {}, h("h3", {}, loop.loop, h("label", {}, " await policy ", choice)),
      h("table", { class: "flownb-figures" }, ...facts.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)))),
      h("ul", {}, ...loop.arms.map(([waits, because]) => h("li", { class: `flownb-arm-${waits.replace(" ", "-")}` }, because))),
    );
  }

  function rehearse({ picture, words }) {
    if (!picture) {
      gantt.replaceChildren(h("p", { class: "flownb-dim" }, words ?? ""));
      return;
    }
    const svg = s("svg", { class: "fnb fnb-picture", viewBox: `-4 -4 ${picture.width + 8} ${picture.height + 8}`, width: picture.width + 8 });
    drawPicture(svg, picture);
    gantt.replaceChildren(svg);
  }

  /** Copy the Python that has come, and show it where the browser does not copy. */
  function copy(name, code) {
    words.value = code;
    words.rows = Math.min(24, code.split("\n").length + 1);
    written.hidden = false;
    text(label, "Python: run it in a cell to have this graph");
    const done = globalThis.navigator?.clipboard?.writeText(code);
    done?.then(() => text(label, `${label.textContent} · copied`), () => words.select());
  }

  draw();
  store.onScene(draw);
  store.onFile(copy);
  return () => place.end();
}

/** Make the knobs of one node: its kind and its duration. */
function makeKnobs(store, close) {
  const name = h("strong");
  const why = h("p", { class: "flownb-dim" });
  const flip = button("flip", () => store.send({ do: "flip", box: box.id }), "blocking or non-blocking");
  const slider = h("input", { type: "range", min: 0, max: STEPS, "aria-label": "duration", oninput: drag });
  const scale = h("span", { class: "flownb-scale", "aria-hidden": "true" });
  const now = h("output", {});
  const number = h("input", { type: "number", min: 0, step: "any", "aria-label": "duration in seconds", onchange: typed });
  const el = h(
    "div", { class: "flownb-knobs", hidden: "" }, name, flip,
    h("label", {}, "takes ", h("span", { class: "flownb-slide" }, slider, scale), now),
    h("label", { class: "flownb-exact" }, number, " s"), button("×", close, "close"), why,
  );
  let box = { id: "" };
  let longest = 0;
  let timer = 0;
  let dragging = false;

  function send(seconds) {
    store.send({ do: "take", box: box.id, seconds });
  }
  function drag() {
    dragging = true;
    const seconds = fromSlider(Number(slider.value), longest);
    number.value = seconds;
    tell(seconds);
    clearTimeout(timer);
    timer = setTimeout(() => {
      dragging = false;
      send(seconds);
    }, OFTEN);
  }
  function typed() {
    if (number.value !== "") send(Number(number.value));
  }
  function tell(seconds) {
    text(now, duration(seconds));
    attr(slider, "aria-valuetext", duration(seconds));
  }
  function ruled() {
    const known = Object.entries(SCALE).sort(([a], [b]) => a - b).filter(([seconds]) => seconds <= longest);
    const marks = known.map(([seconds, words]) => {
      const share = toSlider(Number(seconds), longest) / STEPS;
      return h("span", { style: `left:${(100 * share).toFixed(1)}%` }, words.replace(" ", "\u00a0"));
    });
    scale.replaceChildren(...marks);
  }
  function show(next, most) {
    el.hidden = !next;
    if (!next) return;
    if (most !== longest) {
      longest = most;
      ruled();
    }
    box = next;
    text(name, next.name);
    text(why, next.why);
    flip.hidden = !next.may_flip;
    text(flip, next.kind === "blocking" ? "make it non-blocking" : "make it blocking");
    if (dragging) return; // the hand is ahead of the answer
    slider.value = toSlider(next.takes ?? 0, longest);
    tell(next.takes);
    if (document.activeElement !== number) number.value = next.takes ?? "";
  }
  return { el, show };
}

function button(label, act, words) {
  return h("button", { type: "button", title: words, onclick: act }, label);
}
