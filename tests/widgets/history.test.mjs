import assert from "node:assert/strict";
import { test } from "node:test";
import { steps } from "../../flownb/widgets/history.js";

test("a series is a step for each point, from edge to edge, and the highest reaches the top", () => {
  assert.equal(steps([1, 2, 0], 2), "M0 22.0H100.0V0.0H200.0V44.0H300.0");
  assert.equal(steps([], 0), "");
  assert.equal(steps([0, 0], 0), "M0 44.0H150.0V44.0H300.0");
});
