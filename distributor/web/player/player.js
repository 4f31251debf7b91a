// One stream in one `<video>` or `<audio>`: where its bytes come from, where they go, and how near to the
// live edge that is.
//
//   Source ──bytes──▶ sink ──▶ <video> ──frames──▶ latency
//                       └────── Pace: faster, slower, a jump

import { Clock } from "./clock.js";
import { Pace } from "./pace.js";
import { Source } from "./source.js";
import { ElementSink } from "./sink-element.js";
import { MseSink } from "./sink-mse.js";
import { TsSink } from "./sink-ts.js";

/** How often it is looked whether to play faster or slower, in milliseconds. */
const LOOK_EVERY = 50;

/** How often the distributor's clock is asked for, in milliseconds. */
const CLOCK_EVERY = 10_000;

/** What a browser refuses more often than that in so many milliseconds it cannot play. */
const FAILURES_MAX = 3;
const FAILURES_OVER = 15_000;

/** Latencies that a figure is the middle of. */
const LATENCIES = 90;

export class Player {
  /** Is what is shown the live edge, and to be kept there? */
  following = true;
  /** What the stream is; null before that is known. */
  what = null;
  /** The last word of the source: "connecting", "absent", "flowing", "cut", "denied", "ended"; or
   * "damaged"; or "unplayable", with `reason`. */
  state = "connecting";
  reason = "";
  /** Bytes that came. */
  received = 0;
  clock = new Clock();

  #url;
  #elements;
  #media;
  #changed;
  #source = null;
  #sink = null;
  #pace = new Pace();
  #latencies = [];
  /** Playing from the past: the media time at which it began, and when that was by the clock here, which only goes
   * on: the distributor's is an estimate that may change meanwhile. */
  #anchor = null;
  #back = null;
  #shown = null;
  #failures = [];

  /** `elements` are a `video` and an `audio`; `changed` is called when the state is another one. */
  constructor(url, elements, changed) {
    this.#url = url;
    this.#elements = elements;
    this.#media = elements.video;
    this.#changed = changed;
    for (const media of Object.values(elements)) {
      media.addEventListener("waiting", () => this.#stalled());
    }
    setInterval(() => this.#look(), LOOK_EVERY);
    this.#ask();
    setInterval(() => this.#ask(), CLOCK_EVERY);
    this.#frames();
  }

  /** The element that plays. */
  get media() {
    return this.#media;
  }

  /** Begin at the live edge; or so many seconds before it. */
  start(back = null) {
    this.#source?.stop();
    // What it still grows by is nothing of what is asked for now.
    if (this.#sink !== null) this.#sink.grown = () => {};
    this.following = back === null;
    this.#back = back;
    this.#anchor = null;
    this.#latencies = [];
    if (this.state === "unplayable") this.state = "connecting";
    const from = back === null ? null : `-${back.toFixed(3)}s`;
    this.#source = new Source(this.#url, {
      opened: (what, header) => this.#opened(what, header),
      bytes: (offset, bytes, captured) => this.#bytes(offset, bytes, captured),
      state: (word) => this.#say(word),
    }, from);
    this.#source.run();
  }

  /** Back to the live edge. */
  live() {
    if (this.#back !== null || this.state === "ended") return this.start();
    this.following = true;
    this.#pace.begin();
    this.play();
    return undefined;
  }

  /** Go to what was live `behind` seconds ago. */
  rewind(behind) {
    if (this.what?.complete) {
      this.#media.currentTime = Math.max(0, this.#media.duration - behind);
      return;
    }
    const to = this.#media.currentTime - (behind - this.behind());
    const { buffered } = this.#media;
    for (let at = 0; at < buffered.length; at += 1) {
      if (buffered.start(at) <= to && to < buffered.end(at)) {
        this.following = false;
        this.#media.currentTime = to;
        return;
      }
    }
    this.start(behind);
  }

  /** Play; false where the browser wants a person to ask for it. */
  async play() {
    try {
      await this.#media.play();
      return true;
    } catch (error) {
      // An AbortError: it was given something else to play meanwhile.
      return error.name !== "NotAllowedError";
    }
  }

  /** How many seconds what is shown lies behind the newest that there is. */
  behind() {
    if (this.what?.complete) return (this.#media.duration || 0) - this.#media.currentTime;
    if (this.#back === null) return this.#sink?.ahead() ?? 0;
    if (this.#anchor === null) return this.#back;
    const { at, media } = this.#anchor;
    return this.#back + (performance.now() - at) / 1000 - (this.#media.currentTime - media);
  }

  /** From capture to picture, in seconds: the middle of the last ones. Null where it is not known. */
  latency() {
    if (this.#latencies.length > 0) {
      return [...this.#latencies].sort((a, b) => a - b)[this.#latencies.length >> 1];
    }
    return null;
  }

  /** How the bytes come: "native", "plain", or "browser". */
  get way() {
    return this.#sink instanceof ElementSink ? "browser" : this.#source?.way ?? "";
  }

  /** The frame that is shown: its media time and how many there were. */
  get frame() {
    return this.#shown;
  }

  /** How much is kept in the buffer, in seconds, as it is aimed at. */
  get target() {
    return this.#pace.target;
  }

  #say(word, reason = "") {
    if (this.state === "unplayable" && word !== "connecting") return;
    [this.state, this.reason] = [word, reason];
    if (word === "ended") this.#sink?.end();
    this.#changed();
  }

  /** A stream begins, or begins anew. */
  #opened(what, header) {
    // Before the old one is closed: mpegts.js pauses what it lets go of.
    const plays = this.#sink === null || !this.#media.paused;
    this.#sink?.close();
    this.#sink = null;
    this.what = what;
    const video = what.kind !== "sound";
    this.#media = video ? this.#elements.video : this.#elements.audio;
    const sink = this.#makeSink(what, header);
    if (sink === null) return false;
    this.#sink = sink;
    this.#pace.begin();
    sink.grown = () => this.#grown();
    sink.failed = (reason) => this.#sink === sink && this.#failed(reason);
    this.#changed();
    sink.ready.then(() => plays && this.play()).then((allowed) => allowed !== false || this.#changed("blocked"));
    return !(sink instanceof ElementSink);
  }

  #makeSink(what, header) {
    const { kind, complete } = what;
    if (kind === "ts" || kind === "flv") return new TsSink(this.#media, kind, header);
    if (kind === "sound" || kind === "file" || complete) {
      return new ElementSink(this.#media, this.#url, complete, (word, reason) => this.#say(word, reason));
    }
    const type = what.codecs ? MseSink.type(what) : null;
    if (type !== null) return new MseSink(this.#media, type, kind, header);
    this.#say("unplayable", what.codecs?.join(", ") ?? "");
    return null;
  }

  #bytes(offset, bytes, captured) {
    this.received += bytes.length;
    try {
      return this.#sink?.push(offset, bytes, captured) ?? null;
    } catch (error) {
      this.#failed(error.message);
      return null;
    }
  }

  /** The browser takes no more of it: damage is left behind by beginning anew, at the next join point. */
  #failed(reason) {
    const now = performance.now();
    this.#failures = [...this.#failures.filter((at) => now - at < FAILURES_OVER), now];
    if (this.#failures.length > FAILURES_MAX) {
      this.#source.stop();
      this.#say("unplayable", reason);
      return;
    }
    this.start(this.#back === null ? null : this.behind());
    this.#say("damaged");
  }

  #grown() {
    this.#pace.arrived(performance.now() / 1000);
    const { buffered } = this.#media;
    if (buffered.length === 0) return;
    if (this.#back !== null && this.#anchor === null) {
      const media = buffered.start(0);
      this.#anchor = { media, at: performance.now() };
      this.#media.currentTime = media;
    } else if (this.#media.currentTime < buffered.start(0)) {
      this.#media.currentTime = buffered.start(0);
    }
  }

  #look() {
    const sink = this.#sink;
    if (sink === null || this.what?.complete) return;
    this.#skipHole();
    if (!this.following || this.#media.paused || this.#media.seeking) {
      if (!this.following) this.#media.playbackRate = 1;
      return;
    }
    const { rate, jump } = this.#pace.decide(sink.ahead(), performance.now() / 1000);
    if (jump > 0 && sink.canJump !== false) this.#media.currentTime += jump;
    if (this.#media.playbackRate !== rate) this.#media.playbackRate = rate;
  }

  /** Where nothing comes before a hole is filled, go on behind it. */
  #skipHole() {
    const { buffered, currentTime, readyState } = this.#media;
    if (readyState > 2 || this.#media.seeking) return;
    for (let at = 0; at < buffered.length; at += 1) {
      if (buffered.start(at) > currentTime) {
        this.#media.currentTime = buffered.start(at);
        return;
      }
    }
  }

  #stalled() {
    if (this.following && this.#sink !== null && !this.#media.seeking) {
      this.#pace.stalled(performance.now() / 1000);
    }
  }

  #ask() {
    if (document.hidden) return;
    this.clock.ask(this.#url).catch(() => {
      // The source says what is wrong.
    });
  }

  /** Measure each frame as it is shown. */
  #frames() {
    const { video } = this.#elements;
    if (!video.requestVideoFrameCallback) return;
    const seen = (now, { mediaTime, expectedDisplayTime, presentedFrames }) => {
      video.requestVideoFrameCallback(seen);
      this.#shown = { mediaTime, presentedFrames };
      const captured = this.#sink?.marks?.at(mediaTime) ?? null;
      if (captured === null) return;
      const shown = this.clock.now() + (expectedDisplayTime - performance.now()) / 1000;
      this.#latencies = [...this.#latencies.slice(1 - LATENCIES), shown - captured];
    };
    video.requestVideoFrameCallback(seen);
  }
}
