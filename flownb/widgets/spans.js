// Which spans does a live timeline know, where do they stand, what is each? No drawing here.
import { duration } from "./base.js";

const MOST = 60000; // spans that are kept; the oldest go first
const HOPS = 2000; // messages between loops that are kept
const DEEP = 6; // calls of one node under each other
const EPS = 2e-5; // seconds: times travel in steps of 1e-5

/**
 * @typedef {Object} Span
 * @property {number} row @property {number} iteration of a block: how many calls
 * @property {number} start seconds @property {number} end @property {string} kind
 * @property {number} line below which other of its row it stands @property {boolean} [open]
 */

/** The spans of a run, row by row, each row in the order of their ends. */
export class Reel {
  constructor() {
    this.clear();
  }

  clear() {
    this.rows = new Map();
    this.size = 0;
    this.left = 0;
    this.failed = new Set();
    this.hops = [];
    this.portion = 0;
    this.recent = [];
  }

  /** Take the past that a new page gets, in place of all up to portion *upto*. */
  begin({ past, upto }, unit, kinds) {
    const later = this.recent.filter(([number]) => number > upto);
    this.clear();
    this.add(past, unit, kinds);
    this.portion = upto;
    for (const [number, content] of later) this.take(number, content, unit, kinds);
  }

  /** Take a numbered portion, once. */
  take(number, content, unit, kinds) {
    if (number <= this.portion) return;
    this.portion = number;
    this.recent = [...this.recent.slice(-20), [number, content]];
    this.add(content, unit, kinds);
  }

  add({ t, s, f, h, left }, unit, kinds) {
    for (let i = 0; i + 4 < s.length; i += 5) {
      const start = t + s[i + 2] * unit;
      this.put({ row: s[i], iteration: s[i + 1], start, end: start + s[i + 3] * unit, kind: kinds[s[i + 4]], line: 0 });
    }
    for (const [row, iteration] of f ?? []) this.failed.add(`${row}/${iteration}`);
    for (const [row, iteration, reader, read, time] of h ?? []) this.hops.push({ row, iteration, reader, read, time });
    if (this.hops.length > HOPS) this.hops.splice(0, this.hops.length - HOPS);
    this.left += left ?? 0;
    if (this.size > MOST) this.drop();
  }

  put(span) {
    let row = this.rows.get(span.row);
    if (!row) this.rows.set(span.row, (row = { spans: [], ends: [] }));
    span.line = place(row.ends, span);
    row.spans.push(span);
    this.size += 1;
  }

  drop() {
    for (const row of this.rows.values()) {
      const few = Math.ceil(row.spans.length * 0.1);
      row.spans.splice(0, few);
      this.size -= few;
    }
    if (this.failed.size > 1000) this.failed = new Set([...this.failed].slice(-500));
  }

  /** Say how many lines a row needs. */
  depth(row) {
    return Math.max(1, this.rows.get(row)?.ends.length ?? 1);
  }

  /** Give the spans of a row that touch the seconds from *from* to *to*, the newest first. */
  visible(row, from, to) {
    const spans = this.rows.get(row)?.spans ?? [];
    const found = [];
    for (let i = spans.length - 1; i >= 0 && spans[i].end >= from - EPS; i -= 1) {
      if (spans[i].start <= to) found.push(spans[i]);
    }
    return found;
  }

  /** Give the messages that came between two seconds, each with the calls at both its ends. */
  arrows(from, to) {
    const calls = ["work", "room"]; // a push that waited for room is a call, too
    const call = (row, iteration) => this.rows.get(row)?.spans.findLast((s) => calls.includes(s.kind) && s.iteration === iteration);
    return this.hops
      .filter((hop) => hop.time >= from && hop.time <= to)
      .map((hop) => ({ ...hop, pushed: call(hop.row, hop.iteration), taken: call(hop.reader, hop.read) }))
      .filter((hop) => hop.pushed && hop.taken);
  }

  /** Give the second at which the first span that is known starts. */
  start() {
    return Math.min(...[...this.rows.values()].map((row) => row.spans[0]?.start ?? Infinity));
  }

  /** Name the rows for which a producer waited: who ended last before its release. */
  awaited(wait, rows) {
    const others = rows.flatMap((row) =>
      this.visible(row, wait.start, wait.end + EPS).filter(
        (s) => s.kind === "work" && s.iteration === wait.iteration && s.end >= wait.start - EPS && s.end <= wait.end + EPS,
      ),
    );
    const last = Math.max(...others.map((s) => s.end));
    const final = others.filter((s) => s.end >= last - EPS);
    const busy = final.filter((s) => s.end - s.start > EPS);
    return [...new Set((busy.length ? busy : final).map((s) => s.row))];
  }
}

/** Find the line on which a span overlaps none before it, and note its end there. */
export function place(ends, span) {
  let line = ends.findIndex((end) => end <= span.start + EPS);
  if (line < 0) line = ends.length < DEEP ? ends.length : DEEP - 1;
  ends[line] = Math.max(ends[line] ?? 0, span.end);
  return line;
}

/** Give the round seconds that are written on an axis with room for about *most*. */
export function ticks(from, to, most) {
  const raw = (to - from) / Math.max(1, most);
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * size).find((found) => found >= raw * (1 - 1e-9));
  const found = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to; i += 1) found.push(i * step);
  return { step, at: found };
}

/** Write a second with as many digits as the step of the axis needs. */
export function second(value, step) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return (Math.abs(value) < step / 1000 ? 0 : value).toFixed(Math.min(digits, 5));
}

/** Say what a span is: "works", "waits for check", "37 calls". */
export function what(span, rows, reel) {
  const row = rows.find((r) => r.id === span.row);
  if (span.kind === "block") return `${span.iteration} calls`;
  if (span.kind === "work") return (row?.away ? "works, the producer does not wait" : "works") + (span.open ? ", not ended yet" : "") + (reel.failed.has(`${span.row}/${span.iteration}`) ? ", failed" : "");
  if (span.kind === "room") return `waits for room in ${roomOf(span, row, rows, reel)}`;
  if (span.kind === "throttled") return "waits for a slot: max_in_flight items are in flight";
  if (span.kind === "limited") return "waits for a limit";
  if (span.kind === "retry") return "waits for its next attempt";
  const others = rows.filter((r) => r.loop === row?.loop && !r.away && r.id !== span.row);
  const names = reel.awaited(span, others.map((r) => r.id)).map((id) => others.find((r) => r.id === id).node);
  return names.length ? `waits for ${names.join(" and ")}` : "waits for its await set";
}

/** Name the queue in which there is no room: the row's own, or that of its loop which waits as long. */
function roomOf(span, row, rows, reel) {
  const same = (r) => r.id !== span.row && r.loop === row?.loop && reel.visible(r.id, span.start, span.start).some((s) => s.kind === "room" && Math.abs(s.start - span.start) < EPS);
  return (row?.node === row?.loop ? rows.find(same)?.node : row?.node) ?? "a queue";
}

/** Say all of a span in one line. */
export function said(span, rows, reel) {
  const row = rows.find((r) => r.id === span.row);
  const which = span.kind === "block" ? "" : `, iteration ${span.iteration}`;
  return `${row?.node}${which}: ${what(span, rows, reel)}, ${span.start.toFixed(3)} to ${span.end.toFixed(3)} s (${duration(span.end - span.start)})`;
}
