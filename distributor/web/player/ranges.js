// Sets of byte ranges, as `Content-Range` writes them: which bytes of a stream are held here.

/** Most ranges that are written; the oldest are left out (docs/protocol.md, section 2). */
const WRITTEN_MAX = 128;

export class Ranges {
  /** Ascending, disjoint, never touching; each [first, one past the last]. */
  #runs = [];

  /** Add the bytes from `start` to before `end`. */
  add(start, end) {
    if (start >= end) return;
    const before = this.#runs.filter((run) => run[1] < start);
    const after = this.#runs.filter((run) => run[0] > end);
    const touched = this.#runs.slice(before.length, this.#runs.length - after.length);
    const first = Math.min(start, ...touched.map((run) => run[0]));
    const last = Math.max(end, ...touched.map((run) => run[1]));
    this.#runs = [...before, [first, last], ...after];
  }

  /** One past the newest byte. */
  end() {
    return this.#runs.at(-1)?.[1] ?? 0;
  }

  /** As the field's value of a stream whose length is not known. */
  toString() {
    const runs = this.#runs.slice(-WRITTEN_MAX).map(([start, end]) => `${start}-${end - 1}`);
    return `bytes ${runs.join(",") || "*"}/*`;
  }
}
