// Fragmented MP4 and WebM into a `<video>` by Media Source Extensions: each fragment as soon as it is
// whole, wherever in time it belongs.

import { Assembly } from "./assembly.js";
import { Marks } from "./marks.js";
import { mp4Unit } from "./mp4.js";

/** Media that is kept behind what is shown, in seconds: so far back one can go without asking again. */
const KEPT = 120;

/** Media ahead of what is shown at which bytes are no longer taken, in seconds. */
const AHEAD_MAX = 30;

export class MseSink {
  marks = new Marks();
  /** Resolves when the element may be told to play. */
  ready = Promise.resolve();
  /** Called when media was added. */
  grown = () => {};
  /** Called when the browser refuses what it was given. */
  failed = () => {};

  #video;
  #media = new MediaSource();
  #buffer = null;
  #queue = [];
  /** What the buffer is busy with. */
  #giving = null;
  #assembly = null;
  #next = 0;
  #ended = false;
  #url;

  /** What a stream with these codecs is called; null where the browser cannot play it. */
  static type({ kind, codecs }) {
    const video = codecs.some((codec) => !/^(mp4a|opus|flac|vorbis|ac-3|ec-3)/.test(codec));
    const type = `${video ? "video" : "audio"}/${kind}; codecs="${codecs.join(", ")}"`;
    return globalThis.MediaSource?.isTypeSupported(type) ? type : null;
  }

  /** Play what has this header and is of that type. */
  constructor(video, type, kind, header) {
    this.#video = video;
    this.#url = URL.createObjectURL(this.#media);
    video.src = this.#url;
    if (kind === "mp4") this.#assembly = new Assembly(mp4Unit, (unit, at) => this.#append(unit, at));
    this.#queue.push({ bytes: header.slice(), captured: null });
    this.#media.addEventListener("sourceopen", () => {
      this.#buffer = this.#media.addSourceBuffer(type);
      this.#buffer.addEventListener("updateend", () => this.#updated());
      this.#buffer.addEventListener("error", () => this.failed("the stream's media is damaged"));
      this.#work();
    }, { once: true });
  }

  /** Take what belongs at `offset`; a promise where that is more than is wanted now. */
  push(offset, bytes, captured) {
    if (this.#assembly !== null) this.#assembly.push(offset, bytes, captured);
    else this.#inOrder(offset, bytes, captured);
    return this.ahead() > AHEAD_MAX ? this.#room() : null;
  }

  /** The stream is complete. */
  end() {
    this.#ended = true;
    this.#work();
  }

  /** Seconds between what is shown and the end of the media that it can run on to. */
  ahead() {
    return Math.max(0, this.edge() - this.#video.currentTime);
  }

  /** The end of the newest media. */
  edge() {
    const { buffered } = this.#video;
    return buffered.length > 0 ? buffered.end(buffered.length - 1) : 0;
  }

  close() {
    this.#queue = [];
    this.#buffer = null;
    this.#video.removeAttribute("src");
    this.#video.load();
    URL.revokeObjectURL(this.#url);
  }

  /** A Cluster is played as it comes; what was left out before one is not asked for again. */
  #inOrder(offset, bytes, captured) {
    if (offset < this.#next) return;
    if (offset > this.#next && this.#next > 0) this.#queue.push({ jump: true });
    this.#next = offset + bytes.length;
    this.#append(bytes.slice(), captured);
  }

  #append(bytes, captured) {
    this.#queue.push({ bytes, captured });
    this.#work();
  }

  #work() {
    const buffer = this.#buffer;
    // `updating` is over before `updateend` is told: it is no sign that what was given has been counted.
    if (buffer === null || this.#giving !== null || this.#media.readyState !== "open") return;
    const next = this.#queue[0];
    if (next === undefined) {
      if (this.#ended) this.#media.endOfStream();
      return;
    }
    if (next.jump) {
      this.#queue.shift();
      buffer.abort();
      this.#work();
      return;
    }
    try {
      buffer.appendBuffer(next.bytes);
      this.#giving = this.#queue.shift();
    } catch (error) {
      if (error.name !== "QuotaExceededError" || !this.#letGo(10)) this.failed(error.message);
    }
  }

  #updated() {
    if (this.#buffer === null) return;
    const { captured = null, removed = false } = this.#giving ?? {};
    this.#giving = null;
    if (captured !== null) this.marks.add(this.edge(), captured);
    if (!removed) this.grown();
    const { buffered, currentTime } = this.#video;
    const isLong = buffered.length > 0 && currentTime - buffered.start(0) > KEPT + 10;
    if (!isLong || !this.#letGo(KEPT)) this.#work();
  }

  /** Let go of what was shown more than `kept` seconds ago; false where there is nothing. */
  #letGo(kept) {
    const { buffered, currentTime } = this.#video;
    const until = currentTime - kept;
    if (buffered.length === 0 || buffered.start(0) >= until) return false;
    this.#giving = { removed: true };
    this.#buffer.remove(0, until);
    return true;
  }

  /** Resolves when there is room again. */
  async #room() {
    while (this.#buffer !== null && this.ahead() > AHEAD_MAX) {
      await new Promise((done) => setTimeout(done, 200));
    }
  }
}
