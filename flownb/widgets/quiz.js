// Who waits? The graph, a question, four answers to choose from; then why, and the Gantt.
import { drawPicture, h, s, text } from "./base.js";

/** Write seconds as a choice. */
export function seconds(value) {
  return `${value} s`;
}

/** Say how a choice stands: "", or once somebody has guessed "right", "wrong" or "other". */
export function verdict(choice, { guess, answer }) {
  if (guess === null || guess === undefined) return "";
  if (choice === answer) return "right";
  return choice === guess ? "wrong" : "other";
}

/** Show the quiz. @param {HTMLElement} el @param {import("./base.js").Store} store */
export function quiz(el, store) {
  const title = h("strong", { class: "flownb-title" });
  const score = h("span", { class: "flownb-dim flownb-gap" });
  const back = button("back", () => store.send({ do: "go", way: "back" }));
  const next = button("next", () => store.send({ do: "go", way: "next" }));
  const anew = button("begin anew", () => store.send({ do: "anew" }));
  const graph = h("div", { class: "flownb-drawn" });
  const ask = h("p", { class: "flownb-ask" });
  const choices = h("div", { class: "flownb-choices", role: "group" });
  const told = h("div", { class: "flownb-told", role: "status" });
  const gantt = h("div", { class: "flownb-drawn" });
  el.append(
    h("header", { class: "flownb-bar" }, title, score, anew, back, next),
    graph, h("div", { class: "flownb-question" }, ask, choices, told), gantt,
  );

  function draw() {
    const { scene } = store;
    text(title, `Who waits? Question ${scene.number} of ${scene.of}`);
    text(score, scene.guessed ? `${scene.right} of ${scene.guessed} right` : "");
    back.disabled = scene.number === 1;
    next.disabled = scene.number === scene.of;
    anew.disabled = !scene.guessed;
    show(graph, scene.picture);
    show(gantt, scene.gantt);
    text(ask, scene.ask);
    const focused = choices.contains(document.activeElement);
    choices.replaceChildren(...scene.choices.map((choice) => one(choice, scene)));
    choices.setAttribute("aria-label", scene.ask);
    told.replaceChildren(...answer(scene));
    if (focused) (next.disabled ? anew : next).focus();
  }

  function one(choice, scene) {
    const how = verdict(choice, scene);
    const mark = { right: "✓ ", wrong: "✗ " }[how] ?? "";
    const made = button(mark + seconds(choice), () => store.send({ do: "guess", seconds: choice }));
    if (how) made.classList.add(`flownb-${how}`);
    made.disabled = how !== "";
    return made;
  }

  draw();
  store.onScene(draw);
  return () => {};
}

function answer({ verdict: said, because }) {
  if (!said) return [];
  return [h("strong", {}, said), h("ul", {}, ...because.map((words) => h("li", {}, words)))];
}

function show(place, picture) {
  place.hidden = !picture;
  if (!picture) return;
  const svg = s("svg", { class: "fnb fnb-picture", viewBox: `-4 -4 ${picture.width + 8} ${picture.height + 8}`, width: picture.width + 8 });
  drawPicture(svg, picture);
  place.replaceChildren(svg);
}

function button(label, act) {
  return h("button", { type: "button", onclick: act }, label);
}
