// How does the graph look while it runs?
import { count, drawPicture, h, s, text } from "./base.js";

/** Show the graph. @param {HTMLElement} el @param {import("./base.js").Store} store */
export function dag(el, store) {
  const svg = s("svg", { class: "fnb fnb-picture" });
  el.append(h("div", { class: "flownb-dag-scroll" }, svg));
  let groups = new Map();
  const labels = new Map();
  function draw() {
    const { picture } = store.scene;
    svg.setAttribute("viewBox", `-4 -4 ${picture.width + 8} ${picture.height + 8}`);
    groups = drawPicture(svg, picture);
    labels.clear();
    show(store.state);
  }
  function show(changed) {
    for (const [id, value] of Object.entries(changed)) {
      const group = groups.get(id);
      if (!group || !value) continue;
      if (!labels.has(id)) {
        const box = group.querySelector("text");
        const label = s("text", { class: "fnb-note", x: box.getAttribute("x"), y: Number(box.getAttribute("y")) + 38 });
        group.append(label);
        labels.set(id, label);
      }
      text(labels.get(id), count(value[1]));
    }
  }
  draw();
  store.onScene(draw);
  store.onState(show);
}
