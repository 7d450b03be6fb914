import assert from "node:assert/strict";
import { test } from "node:test";
import { chipWords, fullness, shownState, spoken } from "../../flownb/widgets/badges.js";
import { summary } from "../../flownb/widgets/dag.js";
import { neighbour } from "../../flownb/widgets/viewport.js";
import { along, crossed } from "../../flownb/widgets/edge_flow.js";
import { fitted, frameHeight, near, zoomed } from "../../flownb/widgets/viewport.js";
import { rows } from "../../flownb/widgets/text_twin.js";

const box = (id, x, y) => ({ id, name: id, kind: "blocking", word: "blocking", x, y, width: 80, height: 50 });

test("a chip says calls, rate and failures, of a queue its depth", () => {
  assert.equal(chipWords(["healthy", 1234, 0, 9.8, 0]), "1.23k · 9.8/s");
  assert.equal(chipWords(["failing", 3, 2, 0, 1]), "3 · 2 failed");
  assert.equal(chipWords(["healthy", 3, 0, 1, 0], [12, 2, 50]), "12/50 deep · 1/s");
  assert.equal(chipWords(["healthy", 3, 0, 0, 0], [12, 0, 0]), "12 deep");
});

test("a node is spoken in full", () => {
  assert.equal(
    spoken(box("check", 0, 0), ["failing", 3, 1, 2.5, 1]),
    "check, blocking, failing, 3 calls, 2.5/s, 1 failed, 1 running",
  );
});

test("a chip says what there is room for, its failures always", () => {
  const now = ["failing", 1234, 25, 10.3, 1];
  assert.equal(chipWords(now), "1.23k · 10.3/s · 25 failed");
  assert.equal(chipWords(now, undefined, 160), "1.23k · 10.3/s · 25 ✕");
  assert.equal(chipWords(now, undefined, 20), "1.23k · 25 ✕");
  assert.equal(chipWords(["healthy", 7, 0, 2, 0], undefined, 20), "7");
});

test("what has failed in the last minute is not healthy, and its count stays until it was looked at", () => {
  const now = ["healthy", 57, 6, 3.4, 0, 0, 2];
  assert.equal(shownState(now), "failing");
  assert.equal(shownState(["healthy", 57, 6, 3.4, 0, 0, 0]), "healthy");
  assert.equal(chipWords(now), "57 · 3.4/s · 6 failed");
  assert.equal(chipWords(now, undefined, Infinity, 6), "57 · 3.4/s");
  assert.equal(chipWords(now, undefined, Infinity, 5), "57 · 3.4/s · 6 failed");
});

test("pushes that wait for room are told, they are not at work", () => {
  assert.equal(chipWords(["healthy", 3, 0, 1, 0], [40, 2, 40, 4]), "40/40 deep · 4 wait");
});

test("a frame is as high as its picture is at the scale at which it is shown", () => {
  assert.equal(frameHeight({ width: 1368, height: 300 }, 700), Math.round(300 * 0.82 + 16));
  assert.equal(frameHeight({ width: 600, height: 5000 }, 700, 360), 360);
});

test("what is near the window is written, what is far from it is not", () => {
  const window = { left: 0, top: 0, right: 100, bottom: 100 };
  assert.ok(near({ x: 110, y: 0, width: 20, height: 20 }, window));
  assert.ok(!near({ x: 150, y: 0, width: 20, height: 20 }, window));
  assert.ok(!near({ x: 0, y: -60, width: 20, height: 20 }, window));
});

test("a dot is at both ends of its path when it should be", () => {
  const points = [[0, 0], [10, 0], [10, 10]];
  assert.deepEqual([0, 0.5, 1].map((t) => along(points, t)), [[0, 0], [10, 0], [10, 10]]);
});

test("a queue is as full as its greatest length says, else on a log scale", () => {
  assert.equal(fullness(5, 10), 0.5);
  assert.equal(fullness(50, 10), 1);
  assert.equal(fullness(0, 0), 0);
  assert.ok(fullness(10, 0) < fullness(1000, 0));
});

test("something went over an edge when its source ended and its target began", () => {
  const lines = [{ id: "e0", source: "a", target: "b" }, { id: "e1", source: "a", target: "c" }];
  const [seen, before] = [new Map(), new Map()];
  const at = (ended, begun) => crossed(lines, seen, (id) => ended[id], (id) => begun[id], before);
  assert.deepEqual(at({ a: 0 }, { b: 0, c: 0 }), []);
  assert.deepEqual(at({ a: 1 }, { b: 1, c: 0 }), ["e0"]); // c is a dead arm
  assert.deepEqual(at({ a: 1 }, { b: 2, c: 0 }), []); // b has another source
  assert.deepEqual(at({ a: 3 }, { b: 3, c: 1 }), ["e0", "e1"]);
  assert.deepEqual(at({ a: 0 }, { b: 0, c: 0 }), []); // its loop was started once more
  assert.deepEqual(at({ a: 1 }, { b: 1, c: 0 }), ["e0"]);
});

test("a picture is fitted into its frame, and never shrunk until nobody can read it", () => {
  assert.deepEqual(fitted({ width: 400, height: 100 }, 700, 300), { k: 1, x: 150, y: 8 });
  assert.equal(fitted({ width: 1368, height: 100 }, 700, 300).k, 0.5);
  assert.equal(fitted({ width: 600, height: 5000 }, 700, 560, 0.6).k, 1);
  assert.equal(frameHeight({ width: 684, height: 100 }, 700), 116);
  assert.equal(frameHeight({ width: 600, height: 5000 }, 700), 560);
});

test("zooming keeps the point under the pointer", () => {
  const next = zoomed({ k: 1, x: 10, y: 20 }, 2, 110, 220);
  assert.deepEqual(next, { k: 2, x: -90, y: -180 });
  assert.equal(zoomed({ k: 3, x: 0, y: 0 }, 5, 0, 0).k, 3);
});

test("arrow keys go along edges, and up and down", () => {
  const scene = {
    boxes: [box("a", 0, 0), box("b", 100, 0), box("c", 100, 90)],
    lines: [{ source: "a", target: "c" }, { source: "a", target: "b" }],
  };
  assert.equal(neighbour(scene, scene.boxes[0], "ArrowRight"), "b");
  assert.equal(neighbour(scene, scene.boxes[2], "ArrowLeft"), "a");
  assert.equal(neighbour(scene, scene.boxes[1], "ArrowDown"), "c");
  assert.equal(neighbour(scene, scene.boxes[0], "ArrowUp"), undefined);
  assert.equal(neighbour(scene, scene.boxes[0], "x"), undefined);
});

test("the loops are summed up in words", () => {
  assert.equal(summary([["a", "running", 5, 2], ["b", "running", 5, 3], ["c", "paused", 1, 0]]), "2 loops running · 1 loop paused");
  assert.equal(summary([]), "");
});

test("the table says what the picture says", () => {
  assert.deepEqual(rows([box("a", 0, 0), box("b", 0, 0)], { a: ["healthy", 3, 0, 1.5, 1, 2] }), [
    ["a", "blocking", "healthy", "1", "3", "1.5/s", "0", "2"], ["b", "blocking", "", "", "", "", "", ""],
  ]);
});
