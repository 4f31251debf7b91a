// The page `/operate`: streams, consumers, memory and disk, once a second, for those who look after it.

import { element, find, say } from "./dom.js";
import { ago, bytes, count, duration, rate, state } from "./format.js";

/** How often it is looked, in milliseconds. */
const EVERY = 1000;

/** Rows of a table; those who are farthest behind are the first. */
const ROWS_MAX = 200;

/** The look before this one: rates are what has changed since. */
let before = null;

look();

async function look() {
  try {
    const reply = await fetch(new URL("/status", location.origin), { cache: "no-store" });
    if (!reply.ok) throw new Error(`the distributor answers ${reply.status}`);
    const status = await reply.json();
    show(status);
    before = status;
    tell("");
  } catch (error) {
    tell(`It is not known how it is now: ${error.message}. Trying again…`);
  }
  setTimeout(look, EVERY);
}

function tell(text) {
  find("state").hidden = text === "";
  say(find("state"), text);
}

function show(status) {
  const streams = status.streams.map((stream) => ({ ...stream, rate: rateOf(stream, status) }));
  const consumers = status.consumers.map((consumer) => ({ ...consumer, rate: speedOf(consumer, status) }));
  facts(status, streams, consumers);
  rows(find("streams"), streams.slice(0, ROWS_MAX), (stream) => stream.id, (stream) => [
    element("a", { href: `/watch/${stream.name}` }, stream.name),
    stateOf(stream, status),
    stream.rate === null ? "–" : rate(stream.rate),
    bytes(stream.bytes),
    stream.updated === undefined ? "–" : ago((status.now - stream.updated) / 1e9),
    stream.consumers.toLocaleString("en"),
  ]);
  const names = new Map(streams.map((stream) => [stream.id, stream.name]));
  rows(find("consumers"), consumers.slice(0, ROWS_MAX), key, (consumer) => [
    consumer.peer ?? "–",
    names.get(consumer.stream) ?? "–",
    consumer.way,
    consumer.rate === null ? "–" : rate(consumer.rate),
    behind(consumer),
    duration((status.now - consumer.since) / 1e9),
  ]);
  more("more-streams", streams.length, "");
  more("more-consumers", consumers.length + status.consumers_left_out, " who are less behind");
}

function stateOf(stream, status) {
  return state(stream, status.now / 1e9);
}

function more(id, all, which) {
  const left = all - ROWS_MAX;
  find(id).hidden = left <= 0;
  say(find(id), `and ${left.toLocaleString("en")} more${which}`);
}

function facts(status, streams, consumers) {
  say(find("version"), `${status.version}  ·  up for ${duration((status.now - status.began) / 1e9)}`);
  say(find("in"), flow(status, "received_bytes"));
  say(find("in-note"), count(streams.filter((stream) => stateOf(stream, status) === "live").length, "live stream"));
  say(find("out"), flow(status, "sent_bytes"));
  say(find("out-note"), count(consumers.length + status.consumers_left_out, "consumer"));
  say(find("behind"), consumers.length === 0 ? "–" : behind(consumers[0]));
  say(find("behind-note"), consumers.length === 0 ? "" : consumers[0].peer ?? "");
  say(find("memory"), bytes(status.memory.ring_bytes));
  say(find("memory-note"), `of ${bytes(status.memory.ring_bytes_max)} for rings`);
  const { disk } = status;
  say(find("disk"), disk === null ? "none" : disk.free_bytes === null ? "unknown" : `${bytes(disk.free_bytes)} free`);
  const held = bytes(streams.reduce((total, stream) => total + stream.bytes, 0));
  say(find("disk-note"), `${held} held, ${disk === null ? "in memory alone" : `${disk.durability}, ${disk.data}`}`);
}

/** How much goes one way, of everything. */
function flow(status, way) {
  if (before === null) return "–";
  return rate((status[way] - before[way]) / ((status.now - before.now) / 1e9));
}

function behind({ behind_bytes: count, behind_ms: ms }) {
  if (count === null) return "nothing given yet";
  if (count === 0) return "at the edge";
  return ms === null ? bytes(count) : `${bytes(count)}, ${ms < 1000 ? `${Math.round(ms)} ms` : duration(ms / 1000)}`;
}

function key({ stream, peer, since }) {
  return `${stream} ${peer} ${since}`;
}

/** Bytes a second that came in since the last look. */
function rateOf(stream, { now }) {
  const known = before?.streams.find(({ id }) => id === stream.id);
  return known === undefined ? null : (stream.received - known.received) / ((now - before.now) / 1e9);
}

/** Bytes a second that a consumer has come on. */
function speedOf(consumer, { now }) {
  const known = before?.consumers.find((other) => key(other) === key(consumer));
  if ((known?.at ?? null) === null) return null;
  return (consumer.at - known.at) / ((now - before.now) / 1e9);
}

/** Show `items` in a table's body, each in the row that it had before. */
function rows(body, items, keyOf, cells) {
  const known = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const wanted = items.map((item) => {
    const made = cells(item);
    const id = String(keyOf(item));
    const row = known.get(id) ?? element("tr", { "data-key": id }, ...made.map(() => element("td")));
    made.forEach((cell, at) => {
      const place = row.children[at];
      if (typeof cell === "string") say(place, cell);
      else if (place.textContent !== cell.textContent) place.replaceChildren(cell);
    });
    return row;
  });
  if (wanted.some((row, at) => body.children[at] !== row) || body.children.length > wanted.length) {
    body.replaceChildren(...wanted);
  }
}
