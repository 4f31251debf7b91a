// `multipart/byteranges` as it comes in: bytes are given on as they arrive, each with its place.

/** Bytes of a part's head; what is longer is no reply of ours. */
const HEAD_MAX = 4096;

const decoder = new TextDecoder();

export class Parts {
  /** Was the closing boundary read? */
  ended = false;

  #boundary;
  #head = "";
  #at = 0;
  #left = 0;
  #captured = null;
  #give;

  /** `give(offset, bytes, captured)` is called for what comes; `captured` in seconds, or null. */
  constructor(contentType, give) {
    this.#boundary = `--${/boundary="?([^";]+)/.exec(contentType)[1]}`;
    this.#give = give;
  }

  /** The next bytes of the body. */
  push(bytes) {
    while (bytes.length > 0 && !this.ended) {
      bytes = this.#left > 0 ? this.#body(bytes) : this.#headOf(bytes);
    }
  }

  #body(bytes) {
    const taken = bytes.subarray(0, this.#left);
    this.#give(this.#at, taken, this.#captured);
    this.#at += taken.length;
    this.#left -= taken.length;
    return bytes.subarray(taken.length);
  }

  /** A part's head, byte by byte up to its empty line: it may come in any slices. */
  #headOf(bytes) {
    for (let at = 0; at < bytes.length; at += 1) {
      this.#head += decoder.decode(bytes.subarray(at, at + 1));
      if (this.#head.endsWith("\r\n\r\n") && this.#head.trim() !== "") {
        this.#begin(this.#head);
        this.#head = "";
        return bytes.subarray(at + 1);
      }
      if (this.#head.endsWith(`${this.#boundary}--`)) {
        this.ended = true;
        return bytes.subarray(at + 1);
      }
      if (this.#head.length > HEAD_MAX) throw new Error("a part of the reply has no head");
    }
    return bytes.subarray(bytes.length);
  }

  #begin(head) {
    const field = (name) => new RegExp(`^${name}: *(.*?) *$`, "im").exec(head)?.[1];
    const range = /^bytes (\d+)-(\d+)\//.exec(field("content-range") ?? "");
    if (!head.includes(this.#boundary) || range === null) throw new Error("a part without its place");
    this.#at = Number(range[1]);
    this.#left = Number(range[2]) - this.#at + 1;
    const captured = field("origin-time");
    this.#captured = captured === undefined ? null : Number(captured);
  }
}
