// MPEG-TS and FLV through mpegts.js: it is given the bytes that come here instead of asking by itself.

import { Marks } from "./marks.js";

/** Media that is kept behind what is shown, in seconds. */
const KEPT = 120;

let loading = null;

/** The library, loaded when it is needed first. */
export function library() {
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "/assets/vendor/mpegts.js";
    script.addEventListener("load", () => done(globalThis.mpegts));
    script.addEventListener("error", () => failed(new Error("mpegts.js cannot be loaded")));
    document.head.append(script);
  });
  return loading;
}

export class TsSink {
  marks = new Marks();
  ready;
  grown = () => {};
  failed = () => {};

  #video;
  #player = null;
  #loader = null;
  #waiting = [];
  #given = 0;
  #next = 0;
  #captured = null;
  #closed = false;

  constructor(video, kind, header) {
    this.#video = video;
    this.#waiting.push(header.slice());
    this.ready = library()
      .then((mpegts) => this.#open(mpegts, kind))
      .catch((error) => this.failed(error.message));
  }

  #open(mpegts, kind) {
    if (this.#closed) return;
    const sink = this;
    /** Hands on what `push` is given. */
    class Loader extends mpegts.BaseLoader {
      constructor() {
        super("freshet");
        this._needStash = false;
      }

      open() {
        this._status = 2;
        sink.#loader = this;
        for (const bytes of sink.#waiting.splice(0)) sink.#give(bytes);
      }

      abort() {
        this._status = 0;
        sink.#loader = null;
      }

      destroy() {
        sink.#loader = null;
        super.destroy();
      }
    }
    mpegts.LoggingControl.enableAll = false;
    this.#player = mpegts.createPlayer(
      { type: kind === "ts" ? "mpegts" : "flv", isLive: true, url: location.origin },
      {
        isLive: true, enableStashBuffer: false, lazyLoad: false, deferLoadAfterSourceOpen: false,
        customLoader: Loader, autoCleanupSourceBuffer: true,
        autoCleanupMaxBackwardDuration: KEPT + 10, autoCleanupMinBackwardDuration: KEPT,
      },
    );
    this.#player.on(mpegts.Events.ERROR, (type, detail, info) => {
      this.failed(info?.msg ?? `${type}: ${detail}`);
    });
    this.#player.attachMediaElement(this.#video);
    this.#player.load();
  }

  push(offset, bytes, captured) {
    if (offset < this.#next) return null;
    this.#next = offset + bytes.length;
    // What has come before is in the buffer by now, or nearly so.
    if (this.#captured !== null) this.marks.add(this.edge(), this.#captured);
    this.#captured = captured;
    if (this.#loader === null) this.#waiting.push(bytes.slice());
    else this.#give(bytes.slice());
    this.grown();
    return null;
  }

  #give(bytes) {
    const at = this.#given;
    this.#given += bytes.length;
    if (bytes.length > 0) this.#loader.onDataArrival(bytes.buffer, at, this.#given);
  }

  end() {
    this.#loader?.onComplete?.(0, this.#given - 1);
  }

  ahead() {
    return Math.max(0, this.edge() - this.#video.currentTime);
  }

  edge() {
    const { buffered } = this.#video;
    return buffered.length > 0 ? buffered.end(buffered.length - 1) : 0;
  }

  close() {
    this.#closed = true;
    this.#player?.destroy();
    this.#player = null;
  }
}
