import assert from "node:assert/strict";
import { test } from "node:test";
import { place, Reel, said, second, ticks, what } from "../../flownb/widgets/spans.js";

const KINDS = ["work", "wait", "throttled", "limited", "retry", "block", "room"];
const ROWS = [
  { id: 0, loop: "days", node: "days", away: false },
  { id: 1, loop: "days", node: "check", away: false },
  { id: 2, loop: "days", node: "audit", away: true },
  { id: 3, loop: "storms", node: "rank", away: false },
];

/** A portion of [row, iteration, start, end, kind], in milliseconds. */
function portion(...spans) {
  return { t: 0, s: spans.flatMap(([row, i, a, b, kind]) => [row, i, a, b - a, KINDS.indexOf(kind)]) };
}

function filled(...spans) {
  const reel = new Reel();
  reel.add(portion(...spans), 0.001, KINDS);
  return reel;
}

test("a message is an arrow between the call that pushed it and the one that took it", () => {
  const reel = filled([1, 4, 0, 10, "work"], [3, 9, 12, 20, "work"]);
  reel.add({ ...portion(), h: [[1, 4, 3, 9, 0.012], [1, 5, 3, 10, 0.013]] }, 0.001, KINDS);
  const [arrow, ...others] = reel.arrows(0, 1);
  assert.deepEqual([arrow.pushed.end, arrow.taken.start, arrow.time], [0.01, 0.012, 0.012]);
  assert.equal(others.length, 0); // its calls are not known (yet)
  assert.equal(reel.arrows(0.02, 1).length, 0);
});

test("a message of a push that had to wait for room is an arrow, too", () => {
  const reel = filled([1, 4, 0, 10, "room"], [3, 9, 12, 20, "work"]);
  reel.add({ ...portion(), h: [[1, 4, 3, 9, 0.012]] }, 0.001, KINDS);
  assert.equal(reel.arrows(0, 1)[0].pushed.end, 0.01);
});

test("a portion is taken once, and the order of numbers is kept", () => {
  const reel = new Reel();
  reel.take(1, portion([0, 0, 0, 10, "work"]), 0.001, KINDS);
  reel.take(1, portion([0, 0, 0, 10, "work"]), 0.001, KINDS);
  reel.take(2, portion([0, 1, 10, 20, "work"]), 0.001, KINDS);
  assert.equal(reel.size, 2);
});

test("the past takes the place of all up to its number, what came later stays", () => {
  const reel = new Reel();
  for (const n of [1, 2, 3]) reel.take(n, portion([0, n, n * 10, n * 10 + 5, "work"]), 0.001, KINDS);
  reel.begin({ past: portion([0, 0, 0, 5, "work"], [0, 1, 10, 15, "work"], [0, 2, 20, 25, "work"]), upto: 2 }, 0.001, KINDS);
  assert.deepEqual(reel.rows.get(0).spans.map((s) => s.iteration), [0, 1, 2, 3]);
  assert.equal(reel.portion, 3);
});

test("only what touches the window is visible, a long span too", () => {
  const reel = filled([0, 0, 0, 10, "work"], [0, 1, 50, 60, "work"], [0, 2, 5, 90, "work"], [0, 3, 95, 99, "work"]);
  assert.deepEqual(reel.visible(0, 0.055, 0.08).map((s) => s.iteration), [2, 1]);
  assert.deepEqual(reel.visible(7, 0, 1), []);
});

test("calls that overlap stand under each other, six deep at most", () => {
  const ends = [];
  const lines = [0, 1, 2].map((i) => place(ends, { start: i, end: i + 1.5 }));
  assert.deepEqual(lines, [0, 1, 0]);
  for (let i = 0; i < 20; i += 1) place(ends, { start: 10, end: 99 });
  assert.equal(ends.length, 6);
});

test("a wait names who ended last before the release, and nobody else's item", () => {
  const reel = filled([1, 4, 0, 30, "work"], [1, 5, 30, 80, "work"], [2, 5, 30, 75, "work"], [3, 5, 30, 80, "work"], [0, 5, 30, 80, "wait"]);
  const wait = reel.visible(0, 0, 1)[0];
  assert.equal(what(wait, ROWS, reel), "waits for check");
  assert.equal(said(wait, ROWS, reel), "days, iteration 5: waits for check, 0.030 to 0.080 s (50 ms)");
});

test("a wait of which nothing is known is still a wait", () => {
  const reel = filled([0, 5, 30, 80, "wait"]);
  assert.equal(what(reel.visible(0, 0, 1)[0], ROWS, reel), "waits for its await set");
});

test("each kind has its words", () => {
  const reel = new Reel();
  reel.add({ ...portion([1, 3, 0, 9, "work"], [2, 37, 0, 9, "block"], [2, 4, 10, 12, "work"]), f: [[1, 3, 0.009]] }, 0.001, KINDS);
  const [call] = reel.visible(1, 0, 1);
  const [away, block] = reel.visible(2, 0, 1);
  assert.equal(what(call, ROWS, reel), "works, failed");
  assert.equal(what(away, ROWS, reel), "works, the producer does not wait");
  assert.equal(said(block, ROWS, reel), "audit: 37 calls, 0.000 to 0.009 s (9 ms)");
});

test("the oldest go first, and memory is bounded", () => {
  const reel = new Reel();
  for (let n = 1; n <= 200; n += 1) {
    const spans = Array.from({ length: 600 }, (_, i) => [i % 7, n * 600 + i, n, n + 1, "work"]);
    reel.take(n, portion(...spans), 0.001, KINDS);
  }
  assert.ok(reel.size <= 60_000);
  const kept = [...reel.rows.values()].map((row) => row.spans.length).reduce((a, b) => a + b);
  assert.equal(kept, reel.size);
  assert.equal(reel.rows.get(0).spans.at(-1).iteration, 200 * 600 + 595);
  assert.ok(reel.recent.length <= 21);
});

test("ticks stand at round seconds and are written as short as they can be", () => {
  assert.deepEqual(ticks(4.6, 14.6, 5).at, [6, 8, 10, 12, 14]);
  assert.equal(second(0.30000000000000004, 0.1), "0.3");
  assert.equal(second(12, 2), "12");
  assert.equal(second(-1e-9, 0.5), "0.0");
  for (const wide of [0.05, 0.2, 10, 600]) {
    const found = ticks(100, 100 + wide, 8).at;
    assert.ok(found.length >= 2 && found.length <= 10, `${wide}: ${found.length}`);
  }
});

test("a wait for room in a queue is not one for a slot, and names the queue in both rows", () => {
  const rows = [{ id: 0, loop: "cam", node: "cam", away: false }, { id: 1, loop: "cam", node: "shots", away: true }];
  const reel = filled([0, 4, 10, 90, "room"], [1, 4, 10, 90, "room"], [0, 2, 0, 5, "throttled"]);
  const of = (row, kind) => reel.visible(row, 0, 1).find((span) => span.kind === kind);
  assert.equal(what(of(1, "room"), rows, reel), "waits for room in shots");
  assert.equal(what(of(0, "room"), rows, reel), "waits for room in shots");
  assert.match(what(of(0, "throttled"), rows, reel), /^waits for a slot/);
});
