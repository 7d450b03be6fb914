// Which entries does a log view know, and which does a filter let through? No drawing here.

const MOST = 5000;

/** The groups of levels that one can choose, and what each lets through. */
export const LEVELS = {
  everything: () => true,
  "warnings and errors": (level) => ["warning", "error", "critical", "stderr"].includes(level),
  errors: (level) => ["error", "critical"].includes(level),
  prints: (level) => ["print", "stderr"].includes(level),
  states: (level) => level === "state",
};

/** The entries of a run, the oldest first. */
export class Diary {
  constructor() {
    this.entries = [];
    this.portion = 0;
    this.left = 0;
    this.recent = [];
  }

  /** Take the past that a new page gets, in place of all up to portion *upto*. */
  begin({ past, upto, rows }) {
    const later = this.recent.filter(([number]) => number > upto);
    this.names = new Map(rows.map((row) => [row.id, row]));
    this.entries = [];
    this.left = 0;
    this.add(past);
    this.portion = upto;
    for (const [number, content] of later) this.take(number, content);
  }

  /** Take a numbered portion, once; give its entries. */
  take(number, content) {
    if (number <= this.portion) return [];
    this.portion = number;
    this.recent = [...this.recent.slice(-20), [number, content]];
    return this.add(content);
  }

  add({ e, left }) {
    const found = e.map(([time, row, iteration, level, text, trace]) => {
      const { loop, node } = this.names?.get(row) ?? { loop: "", node: "" };
      return { time, loop, node, iteration, level, text, trace };
    });
    this.entries.push(...found);
    this.left += left ?? 0;
    if (this.entries.length > MOST) this.entries.splice(0, this.entries.length - MOST);
    return found;
  }
}

/** Say whether an entry is wanted: by loop, node, level, and a text in any case of letters. */
export function wanted(entry, { loop, node, level, search }) {
  if (loop && entry.loop !== loop) return false;
  if (node && entry.node !== node) return false;
  if (!(LEVELS[level] ?? LEVELS.everything)(entry.level)) return false;
  if (!search) return true;
  const words = `${entry.text}\n${entry.node}\n${entry.loop}\n${entry.trace ?? ""}`;
  return words.toLowerCase().includes(search.toLowerCase());
}

/** Cut a text at what was searched: [plain, found, plain, found, ...]. */
export function marked(text, search) {
  if (!search) return [text];
  const [low, find] = [text.toLowerCase(), search.toLowerCase()];
  if (low.length !== text.length) return [text]; // lower case has another length: places would be wrong
  const parts = [];
  let from = 0;
  for (let at = low.indexOf(find); at >= 0 && parts.length < 40; at = low.indexOf(find, from)) {
    parts.push(text.slice(from, at), text.slice(at, at + find.length));
    from = at + find.length;
  }
  return [...parts, text.slice(from)];
}
