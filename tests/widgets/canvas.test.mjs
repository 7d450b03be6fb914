import assert from "node:assert/strict";
import { test } from "node:test";
import { beside } from "../../flownb/widgets/canvas.js";
import { around, between, curve, framed, holds, meets, nearest, offEdge, outline, rim } from "../../flownb/widgets/canvas_shapes.js";
import { read, written } from "../../flownb/widgets/option_form.js";
import { matching } from "../../flownb/widgets/palette.js";

const box = (x, y, width = 100, height = 50) => ({ x, y, width, height });

test("each kind has an outline of its own, and only a queue has a rim", () => {
  const kinds = ["producer", "blocking", "non-blocking", "if", "queue", "queue-reader"];
  assert.equal(new Set(kinds.map((kind) => outline(kind, 100, 50))).size, kinds.length);
  for (const kind of kinds) assert.match(outline(kind, 100, 50), /^M[\d. MHVLCAZ-]+Z$/);
  assert.deepEqual(kinds.filter((kind) => rim(kind, 100, 50)), ["queue"]);
});

test("an edge is level at both ends and ends in its head", () => {
  const { line, head, middle } = curve([100, 20], [200, 80]);
  assert.equal(line, "M100 20C150 20 150 80 193 80");
  assert.match(head, /^M200 80/);
  assert.deepEqual(middle, [150, 50]);
  assert.match(curve([200, 20], [100, 80]).line, /^M200 20C262.5 20 /); // it leads back in a bend
});

test("boxes, frames and points know each other", () => {
  assert.deepEqual(around([box(0, 0), box(150, 100)]), box(0, 0, 250, 150));
  assert.deepEqual(framed([box(0, 0)]), { x: -16, y: -42, width: 132, height: 108 });
  assert.equal(framed([box(0, 0)], 400).width, 428);
  assert.ok(holds(box(0, 0), [105, 20], 6) && !holds(box(0, 0), [105, 20]));
  assert.ok(meets(box(0, 0), box(90, 40)) && !meets(box(0, 0), box(101, 0)));
  assert.deepEqual(between([5, 9], [1, 2]), { x: 1, y: 2, width: 4, height: 7 });
});

test("the nearest box counts within reach, and only where it is allowed", () => {
  const boxes = new Map([["a", box(0, 0)], ["b", box(200, 0)]]);
  assert.equal(nearest(boxes, [120, 25], 20), "a");
  assert.equal(nearest(boxes, [150, 25], 20), null);
  assert.equal(nearest(boxes, [50, 25], 20, (id) => id !== "a"), null);
});

test("a point on an edge is near it", () => {
  assert.ok(offEdge([150, 50], [100, 20], [200, 80]) < 3);
  assert.ok(offEdge([150, 90], [100, 20], [200, 80]) > 20);
});

test("arrow keys go along edges first, else to what is nearest on that side", () => {
  const boxes = new Map([["a", box(0, 0)], ["b", box(300, 200)], ["c", box(150, 0)], ["d", box(0, 90)]]);
  const scene = { edges: [{ source: "a", target: "b" }] };
  assert.equal(beside(scene, boxes, "a", "ArrowRight"), "b");
  assert.equal(beside(scene, boxes, "b", "ArrowLeft"), "a");
  assert.equal(beside(scene, boxes, "a", "ArrowDown"), "d");
  assert.equal(beside(scene, boxes, "c", "ArrowUp"), undefined);
  assert.equal(beside(scene, boxes, "gone", "ArrowUp"), "a");
});

test("what is typed into a field is a value, or is refused", () => {
  const number = { type: "number", may_be_empty: true };
  assert.deepEqual(["0,5", "2", "", "x", "Infinity"].map((word) => read(number, word)), [0.5, 2, null, undefined, undefined]);
  assert.deepEqual(["3", "3.5"].map((word) => read({ type: "integer" }, word)), [3, undefined]);
  assert.equal(read({ type: "integer", default: 64 }, ""), 64);
  assert.deepEqual(read({ type: "json" }, '{"a": [1]}'), { a: [1] });
  assert.equal(read({ type: "json" }, "{"), undefined);
  assert.equal(read({ type: "flag" }, true), true);
  assert.equal(read({ type: "open", may_be_empty: true }, " check "), "check");
  assert.equal(written({ type: "json" }, { a: 1 }), '{"a":1}');
  assert.equal(written({ type: "text" }, null), "");
});

test("the menu finds kinds and functions by letters of name and description", () => {
  const tools = [["check", "look at one day"], ["rank", ""]];
  assert.deepEqual(matching(tools, "look day").map(({ tool }) => tool), ["check"]);
  assert.deepEqual(matching(tools, "queue").map(({ kind }) => kind), ["queue", "queue-reader"]);
  assert.equal(matching(tools, "").length, 8);
});
