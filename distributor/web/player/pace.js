// How fast to play, so that the picture stays as near to the live edge as the stream lets it: slightly
// faster or slower for what is small, a jump for what is large.

/** Least distance to the end of the buffer that is aimed at, in seconds, and the most. */
const TARGET_MIN = 0.05;
const TARGET_MAX = 1.5;

/** Speeds that a person does not notice. */
const SLOW = 0.95;
const FAST = 1.05;

/** Beyond so many seconds more than is aimed at, or so many times that, playing faster takes too long. */
const JUMP = 0.7;
const JUMP_TIMES = 2;

/** The same in the first moments, when there is a whole group of pictures before the live edge. */
const JUMP_FIRST = 0.1;
const FIRST = 1.5;

/** What is near enough, in seconds. */
const NEAR = 0.015;

/** Without a stall for so long, the aim comes closer again: seconds, and by how much each second. */
const CALM = 10;
const CLOSER = 0.97;

export class Pace {
  target = TARGET_MIN + 0.03;

  #seen = [];
  #arrivals = [];
  #stalled = -Infinity;
  #tightened = 0;
  #began = null;

  /** New media has come at `now`. */
  arrived(now) {
    this.#arrivals = [...this.#arrivals.slice(-7), now];
  }

  /** Playing ran dry at `now`: aim at more. */
  stalled(now) {
    // Several reports of one stall are one.
    if (now - this.#stalled < 0.5) return;
    this.#stalled = now;
    this.target = Math.min(TARGET_MAX, this.target * 1.3 + 0.02);
  }

  /** It begins again, or goes back to the live edge. */
  begin() {
    this.#seen = [];
    this.#began = null;
  }

  /** With `ahead` seconds in the buffer at `now`: the speed, and how far to jump (0: not at all). */
  decide(ahead, now) {
    this.#tighten(now);
    // Media comes in fragments: what counts is how little was left just before one came.
    const span = Math.max(0.3, 1.5 * this.#gap());
    this.#seen = [...this.#seen.filter(({ at }) => now - at < span), { at: now, ahead }];
    const least = Math.min(...this.#seen.map((each) => each.ahead));
    const excess = least - this.target;
    this.#began ??= now;
    const first = now - this.#began < FIRST;
    if (excess > (first ? JUMP_FIRST : Math.max(JUMP, JUMP_TIMES * this.target))) {
      this.#seen = [];
      return { rate: 1, jump: excess };
    }
    if (Math.abs(excess) < NEAR) return { rate: 1, jump: 0 };
    const rate = Math.min(FAST, Math.max(SLOW, 1 + excess / 2));
    return { rate: Math.round(rate * 100) / 100, jump: 0 };
  }

  /** The longest time between two of the last arrivals. */
  #gap() {
    const gaps = this.#arrivals.slice(1).map((at, before) => at - this.#arrivals[before]);
    return Math.max(0, ...gaps);
  }

  #tighten(now) {
    if (now - this.#stalled < CALM || now - this.#tightened < 1) return;
    this.#tightened = now;
    this.target = Math.max(TARGET_MIN, this.target * CLOSER);
  }
}
