import assert from "node:assert/strict";
import { test } from "node:test";
import { growth, possible, spark, summary, whereTimeGoes } from "../../flownb/widgets/dashboard.js";

test("a summary counts loops by state", () => {
  assert.equal(summary(["running"]), "1 loop running");
  assert.equal(summary(["running", "running"]), "2 loops running");
  assert.equal(summary(["running", "paused", "running"]), "3 loops: 2 running, 1 paused");
});

test("a sparkline ends at the right and its highest point touches the top", () => {
  assert.deepEqual(spark([0, 5, 10], 120, 24, 3), [[0, 24], [60, 12], [120, 0]]);
  assert.deepEqual(spark([], 120, 24), []);
  assert.deepEqual(spark([0], 120, 24), [[120, 24]]);
});

test("a young loop fills the sparkline from the right", () => {
  const points = spark([1, 1], 118, 10, 60);
  assert.deepEqual(points, [[116, 0], [118, 0]]);
});

test("the producer's time is said in words", () => {
  assert.equal(whereTimeGoes([10, 0, 0], ""), "works 10%");
  assert.equal(whereTimeGoes([1, 85, 0], "check"), "works 1%, waits 85% for check");
  assert.equal(whereTimeGoes([0, 0, 75], "", "shots"), "works 0%, waits 75% for room in shots");
  assert.equal(whereTimeGoes([1, 5, 90], ""), "works 1%, waits 5%, waits 90% for a slot");
});

test("only what makes sense may be asked: start, pause, resume, step, stop", () => {
  assert.deepEqual(possible(["running"]), [false, true, false, false, true]);
  assert.deepEqual(possible(["pausing"]), [false, false, true, false, true]);
  assert.deepEqual(possible(["paused"]), [false, false, true, true, true]);
  assert.deepEqual(possible(["stopping"]), [false, false, false, false, false]);
  assert.deepEqual(possible(["completed", "error", "stopped"]), [true, false, false, false, false]);
  assert.deepEqual(possible(["paused", "running", "stopped"]), [true, true, true, true, true]);
  assert.deepEqual(possible([]), [false, false, false, false, false]);
});

test("growth has a sign", () => {
  assert.deepEqual([12, -3, 0.01, 0].map(growth), ["+12/s", "−3/s", "no", "no"]);
});
