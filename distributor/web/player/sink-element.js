// What the browser plays by itself, given its address: sound of every kind, and complete files, in which
// it can seek. A live stream is asked for again after a cut.

const PAUSE = 1000;

export class ElementSink {
  ready = Promise.resolve();
  grown = () => {};
  failed = () => {};
  /** A live stream of sound is no file: the browser does not seek in it. */
  canJump = false;

  #media;
  #url;
  #complete;
  #say;
  #timer = 0;
  #stop = new AbortController();

  /** `say(word, reason)` is told the state. */
  constructor(media, url, complete, say) {
    this.#media = media;
    this.#url = url;
    this.#complete = complete;
    this.#say = say;
    const { signal } = this.#stop;
    for (const event of ["canplay", "playing"]) {
      media.addEventListener(event, () => say("flowing"), { signal });
    }
    media.addEventListener("error", () => this.#error(), { signal });
    media.addEventListener("ended", () => (complete ? say("ended") : this.#again()), { signal });
    media.src = url;
    if (complete) say("flowing");
  }

  push() {
    return null;
  }

  end() {}

  ahead() {
    const { buffered, currentTime } = this.#media;
    return buffered.length > 0 ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : 0;
  }

  close() {
    clearTimeout(this.#timer);
    this.#stop.abort();
    this.#media.removeAttribute("src");
    this.#media.load();
  }

  #error() {
    const { error } = this.#media;
    const network = error?.code === MediaError.MEDIA_ERR_NETWORK;
    if (network || (!this.#complete && error?.code === MediaError.MEDIA_ERR_DECODE)) this.#again();
    else this.#check();
  }

  /** The browser says the same of an address that does not answer and of a format that it cannot play. */
  async #check() {
    const reply = await fetch(this.#url, { method: "HEAD", cache: "no-store" }).catch(() => null);
    if (this.#stop.signal.aborted) return;
    if (reply?.ok) this.failed(this.#media.error?.message ?? "");
    else this.#again();
  }

  #again() {
    this.#say("cut");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#media.src = this.#url;
      this.#media.play().catch(() => {
        // A person has paused it, or has yet to ask for it.
      });
    }, PAUSE * (0.5 + Math.random() / 2));
  }
}
