// The page `/`: which streams there are, and how they are.

import { drawing, element, find, say } from "./dom.js";
import { Catalogue } from "./events.js";
import { ago, bytes, count, duration, rate, state } from "./format.js";

/** Rows of one section; whoever has more finds them by name. */
const ROWS_MAX = 200;

/** So many streams need a field to look for one. */
const FILTER_FROM = 12;

const rows = new Map();
const catalogue = new Catalogue(draw);
setInterval(draw, 1000);
find("filter").addEventListener("input", draw);

function draw() {
  const all = [...catalogue.streams.values()];
  const search = find("filter").closest(".search");
  search.hidden = all.length < FILTER_FROM;
  const wanted = search.hidden ? "" : find("filter").value.trim().toLowerCase();
  const shown = all.filter((stream) => stream.name.toLowerCase().includes(wanted));
  const those = (state) => shown.filter((stream) => stateOf(stream) === state);
  const byName = (one, other) => one.name.localeCompare(other.name);
  section(find("live"), those("live").sort(byName), nothing(all.length));
  section(find("waiting"), those("waiting").sort(byNewest));
  section(find("complete"), those("complete").sort(byNewest));
  for (const id of rows.keys()) if (!catalogue.streams.has(id)) rows.delete(id);
  summarise(all);
}

function stateOf(stream) {
  return state(stream, catalogue.now());
}

function byNewest(one, other) {
  return (other.updated ?? other.created) - (one.updated ?? one.created);
}

function summarise(all) {
  const live = all.filter((stream) => stateOf(stream) === "live");
  const sum = (of) => all.reduce((total, stream) => total + of(stream), 0);
  const state = find("state");
  state.hidden = catalogue.connected;
  say(state, catalogue.connected ? "" : "The distributor does not answer. Trying again…");
  if (!catalogue.connected && all.length === 0) return;
  const figures = [
    count(live.length, "stream"),
    count(sum((stream) => stream.consumers), "viewer"),
    rate(sum((stream) => stream.rate ?? 0)),
  ];
  say(find("summary"), figures.join("  ·  "));
  document.title = live.length > 0 ? `${live.length} live · Freshet` : "Freshet: live now";
}

/** Show `streams` in a section, each in the row that it had before. */
function section(place, streams, empty = null) {
  place.hidden = streams.length === 0 && empty === null;
  let list = place.querySelector("ul");
  if (list === null) place.append(list = element("ul", { class: "streams" }));
  const wanted = streams.slice(0, ROWS_MAX).map(row);
  if (wanted.some((node, at) => list.children[at] !== node) || list.children.length > wanted.length) {
    const focused = document.activeElement;
    list.replaceChildren(...wanted);
    if (list.contains(focused)) focused.focus();
  }
  const more = streams.length - wanted.length;
  const note = more > 0 ? element("p", { class: "soft" }, `and ${more} more`) : empty;
  place.querySelector(":scope > :not(ul, h2)")?.remove();
  if (more > 0 || (streams.length === 0 && note)) place.append(note);
}

/** What stands where no stream is live: how to make one. */
function nothing(known) {
  const commands = [
    `origin capture testcard --to ${location.origin}/live/card`,
    `curl -T film.mp4 ${location.origin}/live/film`,
  ];
  return element("div", { class: "empty" },
    element("p", {}, known > 0 ? "No stream is live at the moment." : "There is no stream yet."),
    element("p", { class: "soft" }, "Begin one, and it is here at once:"),
    ...commands.map((command) => element("pre", {}, element("code", {}, command))));
}

function row(stream) {
  const state = stateOf(stream);
  if (rows.get(stream.id)?.state !== state) rows.set(stream.id, make(stream, state));
  const { node, parts } = rows.get(stream.id);
  say(parts.type, stream.content_type?.split(";")[0] ?? "unknown type");
  const now = catalogue.now();
  for (const [key, text] of Object.entries(figures(stream, now))) say(parts[key], text);
  parts.line.setAttribute("points", line(stream.rates));
  return node;
}

/** What is told of a stream, by the part of its row. */
function figures(stream, now) {
  const [created, updated] = [stream.created / 1e9, (stream.updated ?? stream.created) / 1e9];
  const complete = stream.length !== null;
  return {
    viewers: stream.consumers.toLocaleString("en"),
    rate: !complete && stream.rate !== null ? rate(stream.rate) : "–",
    length: bytes(complete ? stream.length : stream.bytes),
    age: stateOf(stream) === "live" ? duration(now - created) : ago(now - updated),
  };
}

function make(stream, state) {
  const parts = { type: element("span", { class: "type" }) };
  const figure = (key, label) => {
    parts[key] = element("dd");
    return element("div", {}, element("dt", {}, label), parts[key]);
  };
  parts.line = drawing("polyline");
  const spark = drawing("svg", { class: "spark", viewBox: "0 0 120 24", "aria-hidden": "true",
    preserveAspectRatio: "none" }, parts.line);
  const name = element("a", { href: `/watch/${stream.name}` }, stream.name);
  const dot = element("span", { class: `dot ${state}`, "aria-hidden": "true" });
  const node = element("li", { "data-stream": stream.name },
    element("div", { class: "name" }, element("div", { class: "title" }, dot, name), parts.type),
    spark,
    element("dl", {},
      figure("viewers", "Viewers"), figure("rate", "Rate"),
      figure("age", state === "live" ? "On air" : "Newest byte"), figure("length", "Length")));
  return { node, parts, state };
}

/** The rates of the last minute as a line: the newest at the right. */
function line(rates) {
  const most = Math.max(1, ...rates);
  return rates.map((each, at) => {
    const x = 120 - (rates.length - 1 - at) * 2;
    return `${x},${(22 - 20 * each / most).toFixed(1)}`;
  }).join(" ");
}
