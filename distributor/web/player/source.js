// The bytes of one stream as they come from the distributor, through every cut, until told to stop.
//
//   plain GET ──▶ header, place of the join point
//        └─▶ native GET, "I hold everything before that" ──▶ newest bytes first, each with its place
//            ▲                                    │
//            └──────── cut: "I hold this" ────────┘
//
// Where the native GET is not answered as such (something between that does not let it through), the
// plain one goes on instead; after a cut it begins anew. So does one that plays from the past.

import { opened } from "./container.js";
import { Parts } from "./multipart.js";
import { Ranges } from "./ranges.js";

/** Pauses between attempts, in milliseconds: doubled each time, and half of it chance. */
const PAUSE_MIN = 200;
const PAUSE_MAX = 5000;

/** How long a request waits for a stream that is not there yet, in seconds. */
const WAIT = 30;

/** The reply says that it makes no sense to ask again in the same way. */
class Anew extends Error {}

/** There is no such stream. */
class Absent extends Anew {}

export class Source {
  /** `native`, `plain` or nothing: how the bytes come now. */
  way = "";

  #url;
  #from;
  #hear;
  #stop = new AbortController();
  #etag = null;
  #held = new Ranges();
  #failures = 0;

  /**
   * `hear` is told what happens: `opened({ kind, codecs, complete, … }, header)` at each beginning, which
   * answers whether the bytes are wanted; `bytes(offset, bytes, captured)`, which may return a promise to
   * wait for; `state(word)` with "connecting", "absent", "flowing", "cut", "denied" or "ended".
   * `from` is where to begin, as the query has it; null is the live edge.
   */
  constructor(url, hear, from = null) {
    this.#url = url;
    this.#hear = hear;
    this.#from = from;
  }

  stop() {
    this.#stop.abort();
  }

  /** Bring the bytes until the stream ends, or until stopped. */
  async run() {
    const { signal } = this.#stop;
    this.#hear.state("connecting");
    while (!signal.aborted) {
      try {
        const ended = this.#etag === null ? await this.#begin() : await this.#goOn();
        if (ended) return;
        this.#hear.state("cut");
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Anew) this.#etag = null;
        this.#hear.state(error instanceof Absent ? "absent" : "cut");
      }
      if (signal.aborted) return;
      await this.#pause();
    }
  }

  /** The first request: what it is and where it begins. True if nothing more is to come. */
  async #begin() {
    const query = this.#from === null ? "" : `?from=${encodeURIComponent(this.#from)}`;
    const plain = new AbortController();
    const reply = await this.#ask(query, { Prefer: `wait=${WAIT}` }, plain.signal);
    if (reply.status === 401 || reply.status === 403) {
      this.#hear.state("denied");
      return true;
    }
    if (reply.status === 404) throw new Absent("nobody has begun it");
    if (!reply.ok) throw new Anew(`status ${reply.status}`);
    const reader = reply.body.getReader();
    const { what, rest } = await firstOf(reader);
    what.complete = reply.headers.has("content-length");
    const [header, remainder] = [rest.subarray(0, what.header), rest.subarray(what.header)];
    if (!this.#hear.opened(what, header)) {
      plain.abort();
      return true;
    }
    const join = Number(reply.headers.get("stream-join") ?? 0);
    this.#held = new Ranges();
    this.#held.add(0, join > 0 ? join : what.header);
    this.#etag = reply.headers.get("etag");
    this.#failures = 0;
    if (this.#from === null && this.#etag !== null) {
      const native = await this.#native().catch(() => null);
      if (native !== null) {
        plain.abort();
        return this.#parts(native);
      }
    }
    return this.#plain(reader, remainder);
  }

  /** After a cut: what is missing of what is newest; or, where that cannot be had, anew. */
  async #goOn() {
    if (this.way !== "native") throw new Anew("a plain reply was cut");
    const reply = await this.#native();
    if (reply === null) throw new Anew("another incarnation");
    this.#failures = 0;
    return this.#parts(reply);
  }

  async #native() {
    const reply = await this.#ask("", {
      Accept: "multipart/byteranges",
      "Content-Range": String(this.#held),
      "If-Match": this.#etag,
    });
    const type = reply.headers.get("content-type") ?? "";
    if (reply.status === 206 && type.startsWith("multipart/byteranges")) return reply;
    // Without its body the connection is free.
    await reply.body?.cancel();
    return null;
  }

  async #parts(reply) {
    this.way = "native";
    let waiting = null;
    const parts = new Parts(reply.headers.get("content-type"), (offset, bytes, captured) => {
      this.#held.add(offset, offset + bytes.length);
      waiting = this.#hear.bytes(offset, bytes, captured) ?? waiting;
    });
    this.#hear.state("flowing");
    for await (const bytes of chunks(reply.body.getReader())) {
      parts.push(bytes);
      if (waiting !== null) await waiting;
      waiting = null;
      if (parts.ended) break;
    }
    if (parts.ended) this.#hear.state("ended");
    return parts.ended;
  }

  /** Bytes in order, without a place that is sure. */
  async #plain(reader, first) {
    this.way = "plain";
    this.#hear.state("flowing");
    let at = this.#held.end();
    const give = async (bytes) => {
      const place = at;
      at += bytes.length;
      await this.#hear.bytes(place, bytes, null);
    };
    if (first.length > 0) await give(first);
    for await (const bytes of chunks(reader)) await give(bytes);
    this.#hear.state("ended");
    return true;
  }

  #ask(query, headers, also = null) {
    const { signal } = this.#stop;
    const both = also === null ? signal : AbortSignal.any([signal, also]);
    const fields = { "Connection-Type": "consumer", ...headers };
    return fetch(this.#url + query, { headers: fields, cache: "no-store", signal: both });
  }

  async #pause() {
    const pause = Math.min(PAUSE_MAX, PAUSE_MIN * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 10);
    const time = pause * (0.5 + Math.random() / 2);
    await new Promise((done) => {
      const timer = setTimeout(done, time);
      this.#stop.signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
    });
  }
}

/** What the stream is, and all bytes that were read to know it. */
async function firstOf(reader) {
  let rest = new Uint8Array(0);
  for await (const bytes of chunks(reader)) {
    const longer = new Uint8Array(rest.length + bytes.length);
    longer.set(rest);
    longer.set(bytes, rest.length);
    rest = longer;
    const what = opened(rest);
    if (what !== null) return { what, rest };
  }
  throw new Anew("the stream has ended in its header");
}

/** What a reader gives, one piece after the other; throws where the body is cut. */
async function* chunks(reader) {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
