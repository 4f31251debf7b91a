// A `<video>` that is where the group is: a little faster or slower for what is little, a jump for what is much.

/** Farther apart than this, in seconds, it jumps. */
const JUMP = 0.5;

/** Nearer than this is together. */
const NEAR = 0.02;

/** Slowest and fastest that is not heard. */
const [SLOWEST, FASTEST] = [0.95, 1.05];

/** A difference is to be gone after so many seconds. */
const WITHIN = 2;

/** How often it is looked at, in milliseconds. */
const EVERY = 200;

export class Together {
  /** Seconds that the picture is ahead of the group; null where nothing plays. */
  apart = null;
  #video;
  #now;
  #state = null;

  /** `now` is the distributor's clock, in microseconds. */
  constructor(video, now) {
    this.#video = video;
    this.#now = now;
    setInterval(() => this.#look(), EVERY);
  }

  /** The group is there now. */
  follow(state) {
    this.#state = state;
    this.#look();
  }

  /** The second of the movie that is played; before it begins, how long until then, below 0. */
  position() {
    const state = this.#state;
    if (state === null || state.movie === null) return null;
    const played = state.position / state.rate;
    if (state.phase === "gathering" || state.phase === "paused") return played;
    const since = (this.#now() - state.since) / 1e6;
    return since < 0 && played === 0 ? since : played + Math.max(0, since);
  }

  #look() {
    const [video, at] = [this.#video, this.position()];
    const plays = this.#state?.phase === "playing" || this.#state?.phase === "ended";
    if (at === null || !plays || at < 0) {
      this.apart = null;
      if (!video.paused) video.pause();
      if (at !== null && at >= 0 && video.readyState > 0 && Math.abs(video.currentTime - at) > NEAR) {
        video.currentTime = at;
      }
      if (at !== null && at < 0) this.#beginIn(-at * 1000);
      return;
    }
    if (video.readyState === 0 || at > video.duration) return;
    if (video.paused) video.play().catch(() => {});
    this.apart = video.currentTime - at;
    if (Math.abs(this.apart) > JUMP) {
      video.currentTime = at;
      video.playbackRate = 1;
    } else if (Math.abs(this.apart) > NEAR) {
      video.playbackRate = Math.min(FASTEST, Math.max(SLOWEST, 1 - this.apart / WITHIN));
    } else {
      video.playbackRate = 1;
    }
  }

  /** What begins between two looks begins in time. */
  #beginIn(milliseconds) {
    if (milliseconds < EVERY) setTimeout(() => this.#look(), milliseconds);
  }
}
