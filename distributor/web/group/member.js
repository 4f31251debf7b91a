// What a member of a group asks for and is told, and the distributor's clock.

/** Times that the clock is asked for; the quickest answer is believed. */
const ASKED = 5;

async function ask(path, method = "GET", body = undefined) {
  const asked = body === undefined ? {} : { body: JSON.stringify(body) };
  const headers = { Accept: "application/json" };
  const reply = await fetch(new URL(path, location.origin), { method, headers, cache: "no-store", ...asked });
  const text = await reply.text();
  if (!reply.ok) throw new Error(detail(text) ?? `the distributor answers ${reply.status}`);
  return text === "" ? null : JSON.parse(text);
}

function detail(text) {
  try {
    return JSON.parse(text).detail ?? null;
  } catch {
    return null;
  }
}

/** All groups. */
export function groups() {
  return ask("/groups");
}

/** A new group, and the token of its leader. */
export function create() {
  return ask("/groups", "POST");
}

/** The streams that can be watched. */
export async function movies() {
  return (await ask("/live/")).streams;
}

/** One group, as a member or as somebody who looks on. */
export class Group {
  /** How far the distributor's clock is ahead of `performance.now()`, in milliseconds. */
  #ahead = 0;
  #path;
  #leader;
  #member = null;
  #source = null;

  constructor(id, leader) {
    this.#path = `/groups/${id}`;
    this.#leader = leader;
  }

  /** This member's number; null before it has joined. */
  get member() {
    return this.#member?.member ?? null;
  }

  get leads() {
    return this.#leader !== null;
  }

  /** The distributor's clock, in microseconds. */
  now() {
    return (performance.now() + this.#ahead) * 1000;
  }

  /** Find out what the distributor's clock says. */
  async setClock() {
    let best = Infinity;
    for (let asked = 0; asked < ASKED; asked += 1) {
      const begun = performance.now();
      const { clock } = await ask(`${this.#path}/state`);
      const took = performance.now() - begun;
      if (took < best) [best, this.#ahead] = [took, clock / 1000 - begun - took / 2];
    }
  }

  state() {
    return ask(`${this.#path}/state`);
  }

  async join() {
    this.#member = await ask(`${this.#path}/members${this.#leader ? `?token=${this.#leader}` : ""}`, "POST");
  }

  /** `changed` is told each state, `cut` when the distributor is not heard; it is listened to on. */
  follow(changed, cut) {
    const source = new EventSource(new URL(`${this.#path}/events${this.#proof()}`, location.origin));
    source.addEventListener("state", (event) => changed(JSON.parse(event.data)));
    source.addEventListener("error", cut);
    this.#source?.close();
    this.#source = source;
  }

  ready() {
    return ask(`${this.#path}/members/${this.member}${this.#proof()}`, "PUT", { ready: true });
  }

  /** Leave, even when the page is about to go. */
  leave() {
    this.#source?.close();
    if (this.member === null) return;
    const url = new URL(`${this.#path}/members/${this.member}${this.#proof()}`, location.origin);
    fetch(url, { method: "DELETE", keepalive: true }).catch(() => {});
    this.#member = null;
  }

  choose(movie, rate) {
    const choice = rate === null ? { movie } : { movie, rate };
    return ask(`${this.#path}/choice?token=${this.#leader}`, "PUT", choice);
  }

  play(phase) {
    return ask(`${this.#path}/state?token=${this.#leader}`, "PUT", { phase });
  }

  #proof() {
    return this.#member === null ? "" : `?token=${this.#member.token}`;
  }
}
