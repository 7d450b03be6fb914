import assert from "node:assert/strict";
import { test } from "node:test";
import { seconds, verdict } from "../../flownb/widgets/quiz.js";

test("a choice says nothing before a guess, and afterwards whether it is right", () => {
  const stands = (guess) => [9, 11, 16].map((choice) => verdict(choice, { guess, answer: 11 }));
  assert.deepEqual(stands(null), ["", "", ""]);
  assert.deepEqual(stands(undefined), ["", "", ""]);
  assert.deepEqual(stands(16), ["other", "right", "wrong"]);
  assert.deepEqual(stands(11), ["other", "right", "other"]);
  assert.deepEqual(verdict(0, { guess: 0, answer: 3 }), "wrong");
});

test("seconds are written with their unit", () => assert.equal(seconds(2.5), "2.5 s"));
