import assert from "node:assert/strict";
import { test } from "node:test";
import { Diary, marked, wanted } from "../../flownb/widgets/log_list.js";

const ROWS = [{ id: 0, loop: "days", node: "" }, { id: 1, loop: "days", node: "check" }];
const ENTRY = { time: 1, loop: "days", node: "check", iteration: 3, level: "error", text: "ValueError: No", trace: "Traceback: boom" };
const ALL = { loop: "", node: "", level: "everything", search: "" };

test("an entry comes back with the names of who said it", () => {
  const diary = new Diary();
  diary.begin({ rows: ROWS, past: { e: [[0.5, 0, -1, "state", "▶ running", ""]] }, upto: 4 });
  diary.take(5, { e: [[1, 1, 3, "print", "hello", ""]] });
  assert.deepEqual(diary.entries.map((e) => [e.loop, e.node, e.text]), [["days", "", "▶ running"], ["days", "check", "hello"]]);
});

test("a portion counts once, and the past replaces what it holds", () => {
  const diary = new Diary();
  diary.begin({ rows: ROWS, past: { e: [] }, upto: 0 });
  for (const n of [1, 1, 2]) diary.take(n, { e: [[n, 1, n, "print", `line ${n}`, ""]], left: 2 });
  assert.equal(diary.entries.length, 2);
  assert.equal(diary.left, 4);
  diary.begin({ rows: ROWS, past: { e: [[1, 1, 1, "print", "line 1", ""]] }, upto: 1 });
  assert.deepEqual(diary.entries.map((e) => e.text), ["line 1", "line 2"]);
});

test("the oldest go first", () => {
  const diary = new Diary();
  diary.begin({ rows: ROWS, past: { e: [] }, upto: 0 });
  for (let n = 1; n <= 80; n += 1) diary.take(n, { e: Array.from({ length: 100 }, (_, i) => [n, 1, i, "print", String(n * 100 + i), ""]) });
  assert.equal(diary.entries.length, 5000);
  assert.equal(diary.entries.at(-1).text, "8099");
});

test("filters: loop, node, level, and a text in any case, also in the traceback", () => {
  const passes = (filter) => wanted(ENTRY, { ...ALL, ...filter });
  assert.ok(passes({}));
  assert.ok(passes({ loop: "days", node: "check", level: "errors", search: "valueerror" }));
  assert.ok(passes({ search: "BOOM" }));
  assert.ok(passes({ level: "warnings and errors" }));
  assert.ok(!passes({ loop: "storms" }));
  assert.ok(!passes({ node: "rank" }));
  assert.ok(!passes({ level: "prints" }));
  assert.ok(!passes({ level: "states" }));
  assert.ok(!passes({ search: "nothing like it" }));
  assert.ok(wanted({ ...ENTRY, level: "print" }, { ...ALL, level: "prints" }));
});

test("what was searched is marked, nothing is lost", () => {
  assert.deepEqual(marked("Rain, rain", "rain"), ["", "Rain", ", ", "rain", ""]);
  assert.deepEqual(marked("sun", "rain"), ["sun"]);
  assert.deepEqual(marked("<b>", ""), ["<b>"]);
  assert.equal(marked("İİ rain", "rain").join(""), "İİ rain");
});
