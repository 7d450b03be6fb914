import assert from "node:assert/strict";
import { test } from "node:test";
import { count, difference, duration, inAll, merge, noNews, own, rate } from "../../flownb/widgets/base.js";

test("durations are written for people", () => {
  const found = [0, 0.00123, 0.0994, 0.34, 0.9996, 2.5, 119, 180, 7200, null, NaN].map(duration);
  assert.deepEqual(found, [
    "0 s", "1.2 ms", "99 ms", "0.34 s", "1 s", "2.5 s", "119 s", "3 min", "2 h", "–", "–",
  ]);
});

test("counts and rates are written for people", () => {
  assert.deepEqual(
    [0, 999, 1234, 34_999, 999_499, 999_500, 1.5e9].map(count),
    ["0", "999", "1.23k", "35k", "999k", "1M", "1.5G"],
  );
  assert.equal(inAll(60, 6.62), "60 in 6.6 s");
  assert.equal(rate(null), "–");
  assert.deepEqual([0, 0.25, 9.99, 120.4, 4321].map(rate), ["0/s", "0.25/s", "9.99/s", "120/s", "4.32k/s"]);
});

test("a difference, merged, gives the later state", () => {
  const before = { a: 1, b: [1, 2], c: { x: 1 } };
  const after = { a: 1, b: [1, 3], d: "new" };
  const changed = difference(before, after);
  assert.deepEqual(changed, { b: [1, 3], c: null, d: "new" });
  merge(before, changed);
  assert.deepEqual(before, after);
});

test("a part sees its own keys only, without their prefix", () => {
  assert.deepEqual(own("dag", { "dag/n0": 1, "dagger/n0": 2, error: "x" }), { n0: 1 });
});

test("a key named like a property of every object is a key", () => {
  const state = {};
  merge(state, JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'));
  assert.equal({}.polluted, undefined);
  assert.equal(state.constructor, 1);
});

test("a view that hears nothing says so, and why only if that is known", () => {
  const now = { follows: true, silent: 9000, since: "15:31", gone: false, asked: "" };
  assert.equal(noNews({ ...now, silent: 5000 }), "");
  assert.equal(noNews({ ...now, follows: false }), "");
  assert.equal(noNews(now), "no news since 15:31: the kernel is busy or has ended");
  assert.match(noNews({ ...now, asked: "pause" }), /; pause: sent, not answered yet$/);
  assert.equal(noNews({ ...now, gone: true }), "not connected since 15:31: the kernel has ended");
});
