// When the media was captured: pairs of a time in the media and one of the origin's clock.

const KEPT = 4096;

export class Marks {
  #pairs = [];

  /** Media up to `end` seconds was captured at `captured`. */
  add(end, captured) {
    const last = this.#pairs.at(-1);
    if (last && end <= last.end) return;
    this.#pairs.push({ end, captured });
    if (this.#pairs.length > KEPT) this.#pairs.splice(0, KEPT / 2);
  }

  clear() {
    this.#pairs = [];
  }

  /** When what is shown at `time` was captured; null where that is not known. */
  at(time) {
    let [low, high] = [0, this.#pairs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#pairs[middle].end > time + 1e-4) high = middle;
      else low = middle + 1;
    }
    return this.#pairs[low]?.captured ?? null;
  }

  /** The newest time of capture that is known. */
  newest() {
    return this.#pairs.at(-1)?.captured ?? null;
  }
}
