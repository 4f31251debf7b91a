// The catalogue as it changes: one connection for as long as the page is in view, made again after any
// cut. A page that nobody looks at holds none.

/** Pause before the first new attempt, in milliseconds; the longest is sixteen times that. */
const PAUSE = 500;

export class Catalogue {
  /** Every stream by its number, as told last; each with `rates`, the newest of them. */
  streams = new Map();
  /** Is the distributor being heard? */
  connected = false;

  #source = null;
  #timer = 0;
  #failures = 0;
  #clock = { server: 0, here: 0 };
  #changed;

  /** `changed` is called after every event, and when the connection comes or goes. */
  constructor(changed) {
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => this.#follow());
    this.#follow();
  }

  /** The distributor's clock, in seconds since the Unix epoch. */
  now() {
    return this.#clock.server + (performance.now() - this.#clock.here) / 1000;
  }

  #follow() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
    if (document.hidden) return;
    // Not a relative address: with a name and password in the page's own, that is refused.
    const source = new EventSource(new URL("/events", location.origin));
    source.addEventListener("catalogue", (event) => this.#hear(event, true));
    source.addEventListener("change", (event) => this.#hear(event, false));
    source.addEventListener("error", () => this.#fail());
    this.#source = source;
  }

  #hear(event, whole) {
    const { now, streams, gone } = JSON.parse(event.data);
    this.#clock = { server: now / 1e9, here: performance.now() };
    const before = this.streams;
    if (whole) this.streams = new Map();
    for (const id of gone) this.streams.delete(id);
    for (const stream of streams) {
      const rates = before.get(stream.id)?.rates ?? [];
      if (stream.rate !== null) rates.push(stream.rate);
      stream.rates = rates.slice(-60);
      this.streams.set(stream.id, stream);
    }
    this.#failures = 0;
    this.connected = true;
    this.#changed();
  }

  #fail() {
    this.#source?.close();
    this.connected = false;
    this.#changed();
    const pause = PAUSE * 2 ** Math.min(this.#failures, 4);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#follow(), pause * (0.5 + Math.random() / 2));
  }
}
