import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, fromSlider, toSlider } from "../../flownb/widgets/explore.js";

test("the slider is 0 at its left end, then logarithmic, and comes back to where it was", () => {
  assert.equal(toSlider(0, 3600), 0);
  assert.equal(fromSlider(0, 3600), 0);
  assert.equal(toSlider(3600, 3600), 600);
  assert.equal(fromSlider(600, 3600), 3600);
  for (const seconds of [0.002, 0.05, 0.7, 12, 900]) {
    const back = fromSlider(toSlider(seconds, 3600), 3600);
    assert.ok(Math.abs(back - seconds) / seconds < 0.06, `${seconds} came back as ${back}`);
  }
});

test("a figure that has changed shows both values", () => {
  assert.equal(changed([1, 1], String), "1");
  assert.equal(changed([1, 2], String), "1 → 2");
});

test("0 and the shortest duration stand apart on the slider, and between them lies one of the two", () => {
  assert.ok(toSlider(0.001, 3600) > 30);
  assert.equal(fromSlider(5, 3600), 0);
  assert.equal(fromSlider(30, 3600), 0.001);
});
