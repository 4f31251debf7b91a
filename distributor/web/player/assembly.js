// Bytes that come newest first, put together to whole units: fragments that can be given to a decoder.
//
//   ── run ──┤ hole, filled from its newer end ├── newest run ──▶
//            ▲ a unit that began here is whole when the hole is filled

/** Bytes that wait for what is missing before them; beyond it the oldest are let go. */
const WAITING_MAX = 16 << 20;

/** Places where bytes may go on: the newest, and before each hole. */
const RUNS_MAX = 64;

export class Assembly {
  #unit;
  #give;
  /** Ascending; each with the place of its first byte, and whether a unit begins there. */
  #runs = [];
  #newest = 0;

  /** `unit(bytes)` is the length of the first whole unit, 0 or -1; `give(bytes, captured)` takes one. */
  constructor(unit, give) {
    this.#unit = unit;
    this.#give = give;
  }

  /** What belongs at `offset`. What is newer than anything before begins with a unit: a join point. */
  push(offset, bytes, captured) {
    const end = offset + bytes.length;
    let run = this.#runs.find((each) => each.at + each.size === offset);
    if (run === undefined) {
      run = { at: offset, size: 0, pieces: [], aligned: offset >= this.#newest };
      this.#runs.push(run);
      this.#runs.sort((one, other) => one.at - other.at);
    }
    run.pieces.push(bytes.slice());
    run.size += bytes.length;
    run.captured = captured ?? run.captured;
    this.#newest = Math.max(this.#newest, end);
    this.#join(run);
    if (run.aligned) this.#take(run);
    this.#forget();
  }

  /** Add to `run` what follows it, if that waits for it. */
  #join(run) {
    const next = this.#runs.find((each) => each !== run && each.at === run.at + run.size);
    if (next === undefined || next.aligned) return;
    run.pieces.push(...next.pieces);
    run.size += next.size;
    this.#runs.splice(this.#runs.indexOf(next), 1);
  }

  #take(run) {
    let bytes = joined(run.pieces, run.size);
    for (;;) {
      const length = this.#unit(bytes);
      if (length < 0) throw new Error(`no fragment begins at byte ${run.at}`);
      if (length === 0) break;
      this.#give(bytes.slice(0, length), run.captured ?? null);
      run.at += length;
      bytes = bytes.subarray(length);
    }
    run.pieces = bytes.length > 0 ? [bytes.slice()] : [];
    run.size = bytes.length;
  }

  #forget() {
    const waiting = () => this.#runs.reduce((sum, run) => sum + run.size, 0);
    const many = () => this.#runs.length > RUNS_MAX || waiting() > WAITING_MAX;
    while (this.#runs.length > 1 && many()) this.#runs.shift();
  }
}

function joined(pieces, size) {
  if (pieces.length === 1) return pieces[0];
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
