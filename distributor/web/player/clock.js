// The distributor's clock, as it is told with every reply: `Stream-Time`. Asked for as NTP does; the
// estimate of the shortest of the last round trips is the best one.

const KEPT = 8;

export class Clock {
  #trips = [];

  /** Ask at `url`; true if it answered. */
  async ask(url, options) {
    const asked = Date.now() / 1000;
    const here = performance.now() / 1000;
    const reply = await fetch(url, { method: "HEAD", cache: "no-store", ...options });
    const trip = performance.now() / 1000 - here;
    const told = Number(reply.headers.get("stream-time"));
    if (told > 0) {
      this.#trips = [...this.#trips.slice(1 - KEPT), { trip, offset: told - (asked + trip / 2) }];
    }
    return reply;
  }

  /** What the distributor's clock says now, in seconds since the Unix epoch. */
  now() {
    return Date.now() / 1000 + this.offset();
  }

  /** What is to be added to the clock here. */
  offset() {
    const best = this.#trips.reduce((one, other) => (one && one.trip <= other.trip ? one : other), null);
    return best?.offset ?? 0;
  }

  /** The estimate is wrong by no more than that, in seconds. */
  error() {
    return Math.min(...this.#trips.map(({ trip }) => trip / 2));
  }
}
