// The page `/groups` and `/groups/ID`: one movie for all who are here.
//
// Whoever has made a group has the token of its leader behind `#` in the address; an address without it is for
// the others.

import { element, find, say } from "./dom.js";
import { duration } from "./format.js";
import { Group, create, groups, movies } from "./group/member.js";
import { Together } from "./group/together.js";

/** How often lists are asked for anew, in milliseconds. */
const EVERY = 2000;

/** What is drawn is drawn so often, in milliseconds. */
const DRAWN = 100;

const PHASES = {
  gathering: "waiting for everybody",
  playing: "playing",
  paused: "paused",
  ended: "over",
};

const id = location.pathname.match(/^\/groups\/(\d+)$/)?.[1] ?? null;
if (id === null) lobby();
else room();

function tell(text) {
  find("state").hidden = text === "";
  say(find("state"), text);
}

/** Do it, and say what went wrong. */
async function attempt(act) {
  try {
    await act();
    tell("");
  } catch (error) {
    tell(`That did not work: ${error.message}`);
  }
}

function lobby() {
  document.title = "Freshet: groups";
  say(find("title"), "Groups");
  find("list").hidden = false;
  find("new").addEventListener("click", () => attempt(async () => {
    const { group, token } = await create();
    location.href = `/groups/${group}#${token}`;
  }));
  const look = () => attempt(async () => {
    const rows = (await groups()).map((group) => element("li", {},
      element("a", { href: `/groups/${group.group}` }, `Group ${group.group}`),
      element("span", { class: "soft" },
        `${group.members} here, ${PHASES[group.phase]}${group.movie ? `: ${group.movie.name}` : ""}`)));
    find("groups").replaceChildren(...rows);
  });
  look();
  setInterval(look, EVERY);
}

function room() {
  const group = new Group(id, location.hash.slice(1) || null);
  const together = new Together(find("video"), () => group.now());
  let state = null;
  document.title = `Freshet: group ${id}`;
  say(find("title"), `Group ${id}`);
  find("room").hidden = false;

  const changed = (next) => {
    state = next;
    tell("");
    show(state, group, together);
  };
  const cut = () => tell("The distributor does not answer, or the group is over. Trying again…");
  attempt(async () => {
    await group.setClock();
    group.follow(changed, cut);
  });
  setInterval(() => draw(state, group, together), DRAWN);

  find("join").addEventListener("click", () => attempt(async () => {
    await group.join();
    await group.setClock();
    // Somebody has pressed a button: from now on it may play with sound.
    find("video").load();
    group.follow(changed, cut);
  }));
  find("ready").addEventListener("click", () => attempt(() => group.ready()));
  find("leave").addEventListener("click", () => {
    group.leave();
    location.href = "/groups";
  });
  find("play").addEventListener("click", () => attempt(() =>
    group.play(state.phase === "playing" ? "paused" : "playing")));
  addEventListener("pagehide", () => group.leave());
  if (group.leads) chooser(group);
}

/** The leader chooses. */
function chooser(group) {
  const select = find("movie");
  const fill = () => attempt(async () => {
    const known = new Set([...select.options].map((option) => option.value));
    for (const { id: number, name, content_type: type } of await movies()) {
      if (known.has(String(number)) || !/^(video|audio)\//.test(type ?? "")) continue;
      select.append(element("option", { value: number }, name));
    }
  });
  fill();
  select.addEventListener("focus", fill);
  select.addEventListener("change", () => attempt(async () => {
    if (select.value === "") return;
    const movie = Number(select.value);
    const stream = (await movies()).find(({ id: number }) => number === movie);
    await group.choose(movie, await rateOf(stream));
  }));
}

/** Bytes a second of a complete movie, by its own length; null where that is not known. */
async function rateOf({ name, length }) {
  if (length === null) return null;
  const probe = element("video", { preload: "metadata", src: `/live/${name}` });
  const seconds = await new Promise((resolve) => {
    probe.addEventListener("loadedmetadata", () => resolve(probe.duration), { once: true });
    probe.addEventListener("error", () => resolve(NaN), { once: true });
  });
  probe.removeAttribute("src");
  probe.load();
  return Number.isFinite(seconds) && seconds > 0 ? Math.max(1, Math.round(length / seconds)) : null;
}

/** What changes when the group does. */
function show(state, group, together) {
  const video = find("video");
  const source = state.movie === null ? null : `/live/${state.movie.name}`;
  if (source !== null && video.getAttribute("src") !== source) video.src = source;
  const isIn = group.member !== null;
  find("door").hidden = isIn;
  find("stage").hidden = !isIn;
  find("choose").hidden = !group.leads || state.phase !== "gathering";
  find("play").hidden = !group.leads || state.movie === null || state.phase === "ended";
  say(find("play"), { gathering: "Start", playing: "Pause" }[state.phase] ?? "Go on");
  find("ready").disabled = state.members.some(({ member, ready }) => member === group.member && ready);
  find("members").replaceChildren(...state.members.map((member) => row(member, state, group)));
  if (isIn) together.follow(state);
}

function row({ member, ready, sent, lost }, { leader }, group) {
  const words = [
    member === group.member ? "you" : null,
    member === leader ? "leads" : null,
    ready ? "ready" : null,
    sent > 0 ? `by datagrams, ${lost} lost` : null,
  ];
  return element("li", { "data-member": member },
    element("span", {}, `Member ${member}`),
    element("span", { class: "soft" }, words.filter((word) => word !== null).join(", ")));
}

/** What changes with time. */
function draw(state, group, together) {
  if (state === null) return;
  const clock = new Date(group.now() / 1000).toISOString().slice(11, 21);
  say(find("clock"), `${PHASES[state.phase]}  ·  ${clock} UTC`);
  const at = together.position();
  const text = at === null ? "" : at < 0 ? `in ${(-at).toFixed(1)} s` : duration(at);
  say(find("position"), text);
  const { apart } = together;
  say(find("apart"), apart === null ? "" : `${Math.round(apart * 1000)} ms apart`);
  find("apart").dataset.apart = apart ?? "";
}
