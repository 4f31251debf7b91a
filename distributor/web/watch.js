// The page `/watch/NAME`: one stream, its controls, and what is measured of it.

import { find, say } from "./dom.js";
import { clock, delay, rate } from "./format.js";
import { Player } from "./player/player.js";

/** How far an arrow key goes, in seconds. */
const STEP = 5;

/** How often figures are told, in milliseconds. */
const TELL_EVERY = 500;

/** How often it is asked how far back the stream is held, in milliseconds. */
const WINDOW_EVERY = 15_000;

const PATHS = {
  play: "M7 4.500v15l12.500-7.500z",
  pause: "M7 5h3.500v14H7zM13.500 5H17v14h-3.500z",
  muted: "M4 9.500v5h3.500L12 18.500v-13L7.500 9.500z",
  loud: "M4 9.500v5h3.500L12 18.500v-13L7.500 9.500zM14.500 8.500q3.500 3.500 0 7zM16.500 5.500q6.500 6.500 0 13l1.200 1.200q8-7.700 0-15.400z",
};

const MESSAGES = {
  connecting: "Connecting…",
  absent: "There is no such stream yet. It plays as soon as it begins.",
  cut: "The connection was lost. It goes on as soon as the distributor answers.",
  damaged: "The stream is damaged here. It goes on at the next place where it can.",
  denied: "This stream needs a token, and the one given is not enough for it.",
};

const name = location.pathname.replace(/^\/watch\//, "");
// Absolute: with a name and password in the page's own address, a relative one is refused.
const address = new URL(`/live/${name}`, location.origin).href;
const elements = { video: find("video"), audio: find("audio") };
const player = new Player(address, elements, changed);

/** Seconds that can be gone back. */
let held = 0;
/** When the oldest byte came that is held, in seconds of the clock here; null before that is known. */
let oldest = null;
let rates = [];
let dragging = false;

find("name").textContent = name;
document.title = `${name} · Freshet`;
say(find("address"), address);
say(find("mpv"), `mpv --profile=low-latency --untimed --cache=no ${address}`);
say(find("vlc"), `vlc --network-caching=0 --live-caching=0 ${address}`);
for (const [id, act] of Object.entries({ play: toggle, sound: toggleSound, live: goLive, full: toggleFull, unblock })) {
  find(id).addEventListener("click", act);
}
for (const media of Object.values(elements)) {
  for (const event of ["play", "pause", "volumechange"]) media.addEventListener(event, controls);
}
find("bar").addEventListener("input", drag);
find("bar").addEventListener("change", () => { dragging = false; });
document.addEventListener("keydown", key);
document.addEventListener("visibilitychange", () => document.hidden || tell());
setInterval(tell, TELL_EVERY);
setInterval(askWindow, WINDOW_EVERY);
player.start();
changed();
askWindow();

/** The state is another one. */
function changed(word) {
  if (word === "blocked") find("unblock").hidden = false;
  const { what, state, reason } = player;
  const message = state === "unplayable" ? unplayable(what, reason) : MESSAGES[state] ?? "";
  const notice = find("state");
  say(notice, message);
  notice.hidden = message === "";
  if (state === "unplayable") find("elsewhere").open = true;
  const sound = what?.kind === "sound";
  find("video").hidden = sound;
  find("sound-only").hidden = !sound;
  find("stage").classList.toggle("sound", sound);
  find("sound").hidden = what !== null && !hasSound(what);
  controls();
}

function unplayable(what, reason) {
  if (what?.kind === "unknown") {
    return "This is not a stream that a browser plays. Another program may: its address is below.";
  }
  const named = reason === "" ? "this stream" : `this stream (${reason})`;
  return `This browser cannot play ${named}. VLC and mpv can, most likely: the address is below.`;
}

/** Where it is not known, there may be. */
function hasSound(what) {
  return what.audio ?? true;
}

function controls() {
  const { media } = player;
  icon("play", media.paused ? "play" : "pause", media.paused ? "Play" : "Pause");
  icon("sound", media.muted ? "muted" : "loud", media.muted ? "Turn sound on" : "Turn sound off");
  find("sound").classList.toggle("call", media.muted);
  if (!media.paused) find("unblock").hidden = true;
}

function icon(id, path, label) {
  const button = find(id);
  button.setAttribute("aria-label", label);
  button.querySelector("path").setAttribute("d", PATHS[path]);
}

function toggle() {
  if (!player.media.paused) {
    player.following = false;
    player.media.pause();
    return;
  }
  player.play().then((allowed) => allowed || changed("blocked"));
}

function unblock() {
  find("unblock").hidden = true;
  player.live();
}

function toggleSound() {
  player.media.muted = !player.media.muted;
}

function goLive() {
  player.live();
  tell();
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else find("stage").requestFullscreen?.();
}

function drag(event) {
  dragging = true;
  const behind = -Number(event.target.value);
  if (behind < 0.2) goLive();
  else player.rewind(behind);
  tell();
}

function step(seconds) {
  const behind = player.behind() - seconds;
  if (behind <= 0.5) goLive();
  else player.rewind(Math.min(behind, Math.max(held, STEP)));
  tell();
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const onButton = event.target.closest("button, summary, a") !== null;
  const onBar = event.target.id === "bar";
  const acts = {
    " ": onButton ? null : toggle,
    ArrowLeft: onBar ? null : () => step(-STEP),
    ArrowRight: onBar ? null : () => step(STEP),
    m: toggleSound,
    f: toggleFull,
    l: goLive,
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

/** Ask when the oldest byte came that the distributor holds. */
async function askWindow() {
  if (document.hidden || player.what?.complete === true) return;
  try {
    const index = new URL(`/index/${name}?from=start&limit=1`, location.origin);
    const reply = await fetch(index, { cache: "no-store" });
    const [line] = (await reply.text()).split("\n");
    const now = Number(reply.headers.get("stream-time"));
    if (!reply.ok || line === "" || !(now > 0)) return;
    oldest = performance.now() / 1000 - (now - JSON.parse(line).receive_time / 1e9);
  } catch {
    // The player says what is wrong.
  }
}

/** How far back one can go: what the distributor holds, and at least what is in the browser. */
function measureWindow() {
  const { media, what } = player;
  if (what?.complete) {
    held = media.duration || 0;
    return;
  }
  const { buffered } = media;
  const here = buffered.length > 0 ? buffered.end(buffered.length - 1) - buffered.start(0) : 0;
  const there = oldest === null ? 0 : performance.now() / 1000 - oldest;
  held = Math.max(here, there);
}

/** Tell what is measured. */
function tell() {
  if (document.hidden) return;
  const { media, what } = player;
  const behind = player.behind();
  const live = player.following && what?.complete !== true;
  measureWindow();
  find("live").classList.toggle("on", live);
  find("live").setAttribute("aria-pressed", String(live));
  find("live").hidden = what?.complete === true;
  position(live ? 0 : behind);
  const latency = player.latency();
  say(find("latency"), latency === null ? "–" : delay(Math.max(0, latency)));
  say(find("latency-note"), latency === null ? "the source tells no times" : "from capture to picture");
  say(find("behind"), what === null ? "–" : delay(behind));
  say(find("rate"), measuredRate());
  say(find("way"), { native: "newest first", plain: "in order", browser: "by the browser" }[player.way] ?? "");
  const size = media.videoWidth > 0 ? `${media.videoWidth} × ${media.videoHeight}` : "–";
  say(find("picture"), size);
  say(find("codecs"), what?.codecs?.join(", ") ?? what?.kind ?? "");
  const quality = media.getVideoPlaybackQuality?.();
  say(find("frames"), quality ? quality.totalVideoFrames.toLocaleString("en") : "–");
  say(find("dropped"), quality ? `${quality.droppedVideoFrames.toLocaleString("en")} dropped` : "");
  say(find("what"), stance(live, what));
}

function stance(live, what) {
  if (what?.complete) return "complete";
  if (player.state !== "flowing") return "";
  return live ? "live" : "from the past";
}

function position(behind) {
  const bar = find("bar");
  const window = Math.max(1, held, behind);
  bar.min = (-window).toFixed(1);
  if (!dragging) bar.value = (-behind).toFixed(1);
  const told = behind < 0.1 ? "" : `−${clock(behind)}`;
  bar.setAttribute("aria-valuetext", behind < 0.1 ? "live" : `${Math.round(behind)} seconds before live`);
  bar.style.setProperty("--at", `${100 - (100 * behind) / window}%`);
  say(find("position"), told);
}

/** Bytes per second over the last few looks. */
function measuredRate() {
  rates = [...rates.slice(-9), { at: performance.now(), received: player.received }];
  const [first, last] = [rates[0], rates.at(-1)];
  if (last.received === 0 || last.at === first.at) return "–";
  return rate(((last.received - first.received) * 1000) / (last.at - first.at));
}
