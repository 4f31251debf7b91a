// Figures as people read them.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** 1234567 is "1.2 MB". */
export function bytes(count) {
  return scaled(count, UNITS, 1000);
}

/** Bytes per second as bits: 150000 is "1.2 Mbit/s". */
export function rate(bytesPerSecond) {
  return scaled(bytesPerSecond * 8, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"], 1000);
}

/** 5025 seconds are "1 h 23 min". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  const told = parts.slice(first, first + (first === 3 ? 1 : 2));
  return told.filter(([count], at) => at === 0 || count > 0)
    .map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** 5025 seconds are "1:23:45". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (count) => String(count).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** How long ago that was, coarsely: what is younger than two seconds is "now". */
export function ago(seconds) {
  return seconds < 2 ? "now" : `${duration(seconds)} ago`;
}

/** 0.0834 seconds are "83 ms", 1.26 are "1.3 s". */
export function delay(seconds) {
  const milliseconds = Math.round(seconds * 1000);
  if (milliseconds < 1000) return `${milliseconds} ms`;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : duration(seconds);
}

/** A source that posts chunk by chunk is not gone between two of them: seconds that one keeps its stream
 * for itself (docs/protocol.md, section 6.5). */
const LEASE = 10;

/** What a stream is at the time `now`, in seconds: complete, live, or waiting for its source. */
export function state(stream, now) {
  if (stream.length !== null) return "complete";
  const silent = now - (stream.updated ?? stream.created) / 1e9;
  return stream.live || silent < LEASE ? "live" : "waiting";
}

/** "1 viewer", "2 viewers". */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

function scaled(value, units, step) {
  let at = 0;
  while (value >= step && at < units.length - 1) {
    value /= step;
    at += 1;
  }
  return `${at > 0 && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}
