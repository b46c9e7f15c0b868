// @ts-check
/** The moderator's desk: lines in reading order; nothing moves while somebody reads, and every act is on a key. */
import { byId, clone, field, fill, find, reconcile, say, toast } from "./dom.js";
import { KeptView } from "./moderator_kept.js";
import { PersonView } from "./moderator_person.js";
import { QueueView } from "./moderator_queue.js";
import { askSilence, closeMenus } from "./moderator_silence.js";
import { enter } from "./room.js";
import { follow } from "../models/lines.js";
import { clock as clockWords, refused, watching } from "../models/words.js";

/** @typedef {import("../models/show.js").State} State */
/** @typedef {import("../models/lines.js").Seen} Seen */
/** @typedef {{id: string, name: string}} Person */

const UNDO_MS = 8000;
const main = byId("main");
const list = byId("lines");
const { wire, store, clock: serverClock } = enter(main.dataset.slug ?? "", {
  onSnapshot: () => kept.enable(),
  onEvent: ({ kind, body }) => {
    if (kind === "case.closed") queue.closed(body);
    if (kind === "line.shadowed") shadowed(body.line);
    if (kind === "silences.changed") void person.again();
  },
});
/** Removed lines stay on this page, struck out: who removed the wrong one wants to know which. @type {Seen[]} */
let lines = follow([], store.state.lines, new Map());
/** @type {Map<string, string>} */
const fates = new Map();
let unseen = 0; // lines that came below while somebody reads
let reading = false;
/** @type {(() => void)|null} */
let undo = null;

/** @param {string} kind @param {object} [body] */
async function act(kind, body) {
  try {
    return (await wire.send(kind, body)) ?? {};
  } catch (refusal) {
    toast(refused(/** @type {any} */ (refusal)));
    return null;
  }
}

const queue = new QueueView({ store, clock: serverClock, act, person: (id) => void person.open(id) });
const person = new PersonView({ act, show: showTab, may: () => store.state.you.roles.includes("staff"), silence: (what, who, near) => silence(what, who, near) });
const kept = new KeptView({ store, clock: serverClock, act });

/** On a phone one part is seen at a time. @param {string} tab */
function showTab(tab) {
  byId("watch").dataset.tab = tab;
  for (const button of document.querySelectorAll("[data-tab][aria-pressed]")) button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.tab === tab));
}
for (const button of document.querySelectorAll("[data-tab][aria-pressed]")) button.addEventListener("click", () => showTab(/** @type {HTMLElement} */ (button).dataset.tab ?? "lines"));

// ---- acts ----------------------------------------------------------------------------------

/** @param {Seen} seen */
async function remove(seen) {
  const item = /** @type {HTMLElement|null} */ (document.activeElement?.closest('[data-part="mod-line"]') ?? null);
  if (!(await act("line.remove", { line: seen.line.id }))) return;
  fate(seen.line.id, "deleted");
  // Its Delete is gone: the line itself keeps the focus, for the next key.
  if (document.activeElement === document.body && item?.dataset.key === seen.line.id) item.focus();
}

/**
 * Timeout, ban (at once, or "why": with a reason), shadow ban or the end of it.
 * @param {string} what
 * @param {Person} who
 * @param {HTMLElement} near where a menu opens
 * @param {string} [line] that it was done at
 */
function silence(what, who, near, line = "") {
  if (!who.id || who.id === store.state.you.person) return;
  const ban = (/** @type {string} */ reason) => void done("person.ban", { person: who.id, reason }, who, `${who.name} is banned.`, line, "banned");
  if (what === "timeout") askSilence(near, "timeout", ({ seconds, reason }) => void done("person.timeout", { person: who.id, seconds, reason }, who, `${who.name} is silent for a while.`, line, "timed out"));
  else if (what === "ban") ban("");
  else if (what === "why") askSilence(near, "ban", ({ reason }) => ban(reason));
  else if (what === "shadow") void done("person.ban", { person: who.id, reason: "", shadow: true }, who, `Nobody hears ${who.name} any more, and ${who.name} is not told.`, line, "shadow banned");
  else if (what === "lift") void act("person.unban", { person: who.id });
}

/** @param {string} kind @param {object} body @param {Person} who @param {string} words @param {string} line @param {string} mark */
async function done(kind, body, who, words, line, mark) {
  if (!(await act(kind, body))) return;
  if (line) fate(line, mark);
  undoable(words, () => void act("person.unban", { person: who.id }));
}

/** @param {string} line @param {string} words */
function fate(line, words) {
  fates.set(line, words);
  draw();
}

/** A line that only its author sees: it stands among the others here, and says so. @param {import("../models/types.js").Line} line */
function shadowed(line) {
  fates.set(line.id, "seen by its author alone");
  if (!lines.some((seen) => seen.line.id === line.id)) lines = [...lines, { line, removed: false }];
  if (busy()) {
    unseen += 1;
    draw();
  } else catchUp();
}

/** @param {string} words @param {() => void} act */
function undoable(words, act) {
  undo = act;
  toast(words, { act: "Undo", ms: UNDO_MS, onAct: () => {
    undo = null;
    act();
  } });
  setTimeout(() => {
    if (undo === act) undo = null;
  }, UNDO_MS);
}

/** @param {Element|null} element @returns {[HTMLElement, Seen]|null} */
function lineOf(element) {
  const item = /** @type {HTMLElement|null} */ (element?.closest('[data-part="mod-line"]') ?? null);
  const seen = lines.find((one) => one.line.id === item?.dataset.key);
  return item && seen ? [item, seen] : null;
}

/** @param {string} what @param {HTMLElement} item @param {Seen} seen */
function onLine(what, item, { line, removed }) {
  if (what === "delete") void (removed || remove({ line, removed }));
  else if (what === "person") void person.open(line.person);
  else if (what === "pin") void act("line.pin", { line: line.id });
  else silence(what, { id: line.person, name: line.name || "Someone" }, item, line.id);
}

list.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  const what = /** @type {HTMLElement|null} */ (target.closest("[data-act]"))?.dataset.act;
  const found = lineOf(target);
  if (what && found) onLine(what, ...found);
});
document.addEventListener("click", (event) => {
  if (!(/** @type {Element} */ (event.target).closest('.menu, [data-act="timeout"], [data-act="why"]'))) closeMenus();
});
byId("unpin").addEventListener("click", () => void act("line.pin", { line: "" }));

// ---- keys ----------------------------------------------------------------------------------

const SILENCE_KEYS = /** @type {Record<string, string>} */ ({ t: "timeout", b: "ban", B: "why", s: "shadow" });
const LINE_KEYS = /** @type {Record<string, string>} */ ({ ...SILENCE_KEYS, d: "delete", p: "person", i: "pin" });
const CASE_KEYS = /** @type {Record<string, string>} */ ({ a: "approve", x: "refuse", c: "claim", p: "person" });
const keys = /** @type {HTMLDialogElement} */ (byId("keys"));
byId("keys-button").addEventListener("click", () => keys.showModal());

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.key === "Escape" && person.isOpen && !target.closest(".menu, dialog")) return person.close();
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, .menu, dialog")) return;
  if (pressed(event.key === "B" ? "B" : event.key.toLowerCase())) event.preventDefault();
});

/** @param {string} key @returns {boolean} whether it was one of ours */
function pressed(key) {
  const here = lineOf(document.activeElement);
  const waits = /** @type {HTMLElement|null} */ (document.activeElement?.closest('[data-part="case"]') ?? null);
  if (key === "j" || key === "k") step(key === "j" ? 1 : -1, waits);
  else if (key === "l") to("lines", /** @type {HTMLElement|null} */ (list.lastElementChild) ?? list);
  else if (key === "q") to("queue", /** @type {HTMLElement|null} */ (queue.list.firstElementChild ?? queue.questions.firstElementChild));
  else if (key === "/") byId("search-words").focus();
  else if (key === "?") keys.showModal();
  else if (key === "r") void kept.toggleRaid();
  else if (key === "z" && undo) {
    undo();
    undo = null;
    toast("Undone.", { ms: 2000 });
  } else if (here && LINE_KEYS[key]) onLine(LINE_KEYS[key], ...here);
  else if (waits && CASE_KEYS[key]) void queue.do(CASE_KEYS[key], waits);
  else if (waits && SILENCE_KEYS[key]) void person.open(waits.dataset.person ?? "").then((is) => is && person.do(SILENCE_KEYS[key] ?? ""));
  else if (SILENCE_KEYS[key] && document.activeElement?.closest("#person")) person.do(SILENCE_KEYS[key]);
  else return false;
  return true;
}

/** @param {number} by @param {HTMLElement|null} waits the case that has the focus */
function step(by, waits) {
  const items = /** @type {HTMLElement[]} */ (waits ? [...queue.list.children, ...queue.questions.children] : [...list.children]);
  const at = items.findIndex((item) => item.contains(document.activeElement));
  items[Math.max(0, Math.min(items.length - 1, (at < 0 ? items.length : at) + by))]?.focus();
}

/** @param {string} tab @param {HTMLElement|null} element */
function to(tab, element) {
  showTab(tab);
  element?.focus();
}

// ---- reading -------------------------------------------------------------------------------

function busy() {
  const scrolledUp = list.scrollHeight - list.scrollTop - list.clientHeight > 24;
  return reading || scrolledUp || list.contains(document.activeElement) && document.activeElement !== list;
}
list.addEventListener("pointerenter", (event) => (reading = event.pointerType === "mouse"));
list.addEventListener("pointerleave", () => {
  reading = false;
  if (!busy()) catchUp();
});
list.addEventListener("focusout", () => setTimeout(() => busy() || catchUp()));
list.addEventListener("scroll", () => busy() || catchUp());
byId("more").addEventListener("click", () => {
  catchUp();
  list.scrollTop = list.scrollHeight;
});

/** To the newest line. New lines are always drawn below; only this moves the page under the reader. */
function catchUp() {
  unseen = 0;
  draw();
  list.scrollTop = list.scrollHeight;
}

function draw() {
  reconcile(list, lines, (seen) => seen.line.id, () => clone("mod-line-template"), (item, { line, removed }) => {
    item.tabIndex = 0;
    item.dataset.removed = removed ? "yes" : "no";
    const when = /** @type {HTMLTimeElement} */ (field(item, "when"));
    when.dateTime = new Date(line.wall_ms).toISOString();
    say(when, clockWords(line.wall_ms));
    fill(item, "name", line.badge ? `${line.name} (${line.badge})` : line.name || "Someone");
    fill(item, "text", line.reply ? `↳ ${line.reply.name}: ${line.text}` : line.text);
    fill(item, "fate", fates.get(line.id) ?? (removed ? "deleted" : ""));
    find(item, '[data-act="delete"]').hidden = removed;
    const own = line.person === store.state.you.person;
    find(item, '[data-act="timeout"]').hidden = own;
    find(item, '[data-act="ban"]').hidden = own;
  });
  byId("lines-empty").hidden = lines.length > 0;
  const below = list.scrollHeight - list.scrollTop - list.clientHeight > 24;
  byId("more").hidden = !unseen || !below;
  say(byId("more"), `${unseen} new`);
}

/** @param {State} state @param {State|null} before */
function render(state, before) {
  if (state.viewers !== before?.viewers) say(byId("viewers"), watching(state.viewers));
  if (state.lines !== before?.lines) {
    const known = lines.length;
    lines = follow(lines, state.lines, fates);
    if (busy()) {
      unseen += Math.max(0, lines.length - known);
      draw();
    } else catchUp();
  }
  if (state.pinnedLine !== before?.pinnedLine) {
    byId("pinned-line").hidden = !state.pinnedLine;
    if (state.pinnedLine) fill(byId("pinned-line"), "text", `${state.pinnedLine.name}: ${state.pinnedLine.text}`);
  }
  if (state.cases !== before?.cases || state.questions !== before?.questions) {
    const waits = state.cases.length - (before?.cases.length ?? 0);
    if (before && waits > 0) say(byId("announce"), `${state.cases.length} waiting`);
    queue.render();
  }
  if (state.mode !== before?.mode) kept.drawMode();
  if (state.terms !== before?.terms) kept.drawTerms();
  if (state.silences !== before?.silences) kept.drawSilences();
}

store.subscribe(render);
render(store.state, null);
setInterval(() => {
  kept.tick();
  queue.render(); // a claim runs out by itself
}, 5000);
wire.start();
