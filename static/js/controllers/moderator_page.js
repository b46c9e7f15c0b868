// @ts-check
/** The moderator's page: lines in reading order; nothing moves while somebody reads, and every act is on a key. */
import { byId, clone, field, fill, find, flag, reconcile, say, toast } from "./dom.js";
import { enter } from "./room.js";
import { follow } from "../models/lines.js";
import { clock as clockWords, moment, refused, watching } from "../models/words.js";

/** @typedef {import("../models/show.js").State} State */
/** @typedef {import("../models/lines.js").Seen} Seen */

const UNDO_MS = 8000;
const main = byId("main");
const slug = main.dataset.slug ?? "";
const list = byId("lines");
const { wire, store, clock: serverClock } = enter(slug, {
  // The page itself was drawn without the room's mode: until the room says it, nobody can change it.
  onSnapshot: () => {
    for (const control of [slow, links]) control.disabled = false;
  },
});
const slow = /** @type {HTMLSelectElement} */ (byId("slow"));
const links = /** @type {HTMLInputElement} */ (byId("links"));
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

// ---- acts ----------------------------------------------------------------------------------

/** @param {Seen} seen */
async function remove(seen) {
  const item = /** @type {HTMLElement|null} */ (document.activeElement?.closest('[data-part="mod-line"]') ?? null);
  if (!(await act("line.remove", { line: seen.line.id }))) return;
  fate(seen, "deleted");
  // Its Delete is gone: the line itself keeps the focus, for the next key.
  if (document.activeElement === document.body && item?.dataset.key === seen.line.id) item.focus();
}

/** @param {Seen} seen @param {number} seconds */
async function timeout(seen, seconds) {
  if (!(await act("person.timeout", { person: seen.line.person, seconds, reason: "" }))) return;
  fate(seen, "timed out");
  undoable(`${seen.line.name} is silent for a while.`, () => void act("person.unban", { person: seen.line.person }));
}

/** @param {Seen} seen */
async function ban(seen) {
  if (!(await act("person.ban", { person: seen.line.person, reason: "" }))) return;
  fate(seen, "banned");
  undoable(`${seen.line.name} is banned.`, () => void act("person.unban", { person: seen.line.person }));
}

/** @param {Seen} seen @param {string} words */
function fate(seen, words) {
  fates.set(seen.line.id, words);
  draw();
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

/** @param {HTMLElement} item @param {Seen} seen */
function menu(item, seen) {
  const open = item.querySelector(".menu");
  closeMenus();
  if (open) return;
  const element = clone("timeout-template");
  const button = find(item, '[data-act="timeout"]');
  button.setAttribute("aria-expanded", "true");
  element.addEventListener("click", (event) => {
    const seconds = Number(/** @type {HTMLElement} */ (event.target).dataset.seconds);
    closeMenus();
    button.focus();
    if (seconds) void timeout(seen, seconds);
  });
  element.addEventListener("keydown", (event) => {
    const choices = [...element.querySelectorAll("button")];
    const at = choices.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    if (event.key === "ArrowDown") choices[(at + 1) % choices.length]?.focus();
    else if (event.key === "ArrowUp") choices[(at - 1 + choices.length) % choices.length]?.focus();
    else if (event.key === "Escape") {
      closeMenus();
      button.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  item.append(element);
  // Under the last lines there is no room: it opens upwards there.
  flag(element, "up", element.getBoundingClientRect().bottom > list.getBoundingClientRect().bottom);
  element.querySelector("button")?.focus();
}

function closeMenus() {
  for (const element of document.querySelectorAll(".menu")) element.remove();
  for (const button of document.querySelectorAll('[aria-expanded="true"]')) button.setAttribute("aria-expanded", "false");
}

/** @param {Element|null} element @returns {[HTMLElement, Seen]|null} */
function lineOf(element) {
  const item = /** @type {HTMLElement|null} */ (element?.closest('[data-part="mod-line"]') ?? null);
  const seen = lines.find((one) => one.line.id === item?.dataset.key);
  return item && seen ? [item, seen] : null;
}

list.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  const what = /** @type {HTMLElement|null} */ (target.closest("[data-act]"))?.dataset.act;
  const found = lineOf(target);
  if (!what || !found) return;
  if (what === "delete") void remove(found[1]);
  if (what === "timeout") menu(...found);
  if (what === "ban") void ban(found[1]);
});
document.addEventListener("click", (event) => {
  if (!(/** @type {Element} */ (event.target).closest('.menu, [data-act="timeout"]'))) closeMenus();
});

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, .menu")) return;
  const key = event.key.toLowerCase();
  const here = lineOf(document.activeElement);
  if (key === "j" || key === "k") {
    const items = [...list.children];
    const at = here ? items.indexOf(here[0]) : items.length;
    const to = /** @type {HTMLElement|undefined} */ (items[Math.max(0, Math.min(items.length - 1, at + (key === "j" ? 1 : -1)))]);
    to?.focus();
  } else if (key === "z" && undo) {
    undo();
    undo = null;
    toast("Undone.", { ms: 2000 });
  } else if (here && key === "d") void remove(here[1]);
  else if (here && key === "t") menu(...here);
  else if (here && key === "b") void ban(here[1]);
  else return;
  event.preventDefault();
});

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
  reconcile(list, lines, (seen) => seen.line.id, () => clone("mod-line-template"), (item, seen) => {
    item.tabIndex = 0;
    item.dataset.removed = seen.removed ? "yes" : "no";
    const when = /** @type {HTMLTimeElement} */ (field(item, "when"));
    when.dateTime = new Date(seen.line.wall_ms).toISOString();
    say(when, clockWords(seen.line.wall_ms));
    fill(item, "name", seen.line.badge ? `${seen.line.name} (${seen.line.badge})` : seen.line.name);
    fill(item, "text", seen.line.text);
    fill(item, "fate", fates.get(seen.line.id) ?? (seen.removed ? "deleted" : ""));
    find(item, '[data-act="delete"]').hidden = seen.removed;
    const own = seen.line.person === store.state.you.person;
    find(item, '[data-act="timeout"]').hidden = own;
    find(item, '[data-act="ban"]').hidden = own;
  });
  byId("lines-empty").hidden = lines.length > 0;
  const below = list.scrollHeight - list.scrollTop - list.clientHeight > 24;
  byId("more").hidden = !unseen || !below;
  say(byId("more"), `${unseen} new`);
}

// ---- the pace ------------------------------------------------------------------------------

slow.addEventListener("change", () => void pace({ slow_s: Number(slow.value) }));
links.addEventListener("change", () => void pace({ links: links.checked ? "on" : "off" }));

/** @param {{slow_s?: number, links?: string}} change what the room refuses goes back to how it was */
async function pace(change) {
  const answer = await act("mode.set", change);
  if (answer?.mode) store.set({ ...store.state, mode: answer.mode });
  drawPace();
}

function drawPace() {
  const { slow_s, links: may } = store.state.mode;
  if (![...slow.options].some((option) => Number(option.value) === slow_s)) slow.add(new Option(`every ${slow_s} seconds`, String(slow_s)));
  slow.value = String(slow_s);
  links.checked = may !== "off";
}

// ---- words and people ----------------------------------------------------------------------

byId("terms-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = /** @type {HTMLInputElement} */ (byId("term"));
  const term = input.value.trim();
  if (!term) return;
  const answer = await act("terms.add", { term });
  if (!answer) return;
  input.value = "";
  if (answer.terms) store.set({ ...store.state, terms: answer.terms });
});
byId("terms").addEventListener("click", async (event) => {
  const term = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("button"))?.closest("li")?.dataset.key;
  if (term === undefined) return;
  const answer = await act("terms.remove", { term });
  if (answer?.terms) store.set({ ...store.state, terms: answer.terms });
});
byId("silences").addEventListener("click", (event) => {
  const person = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("button"))?.closest("li")?.dataset.key;
  if (person) void act("person.unban", { person });
});

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
  if (state.mode !== before?.mode) drawPace();
  if (state.terms !== before?.terms) {
    byId("terms-empty").hidden = state.terms.length > 0;
    reconcile(byId("terms"), state.terms, (term) => term, () => clone("named-template"), (item, term) => {
      fill(item, "words", term);
      const button = find(item, "button");
      say(button, "Allow");
      button.setAttribute("aria-label", `Allow ${term} again`);
      button.dataset.testid = "term-remove";
    });
  }
  if (state.silences !== before?.silences) {
    byId("silences-empty").hidden = state.silences.length > 0;
    reconcile(byId("silences"), state.silences, (one) => one.person, () => clone("named-template"), (item, one) => {
      fill(item, "words", `${one.name || "Someone"}, ${one.silence.kind === "ban" ? "banned" : `until ${one.silence.until_ms - serverClock.now() < 86_400_000 ? clockWords(one.silence.until_ms) : moment(one.silence.until_ms)}`}`);
      const button = find(item, "button");
      say(button, "Lift");
      button.setAttribute("aria-label", `Lift: let ${one.name || "them"} speak again`);
      button.dataset.testid = "silence-lift";
    });
  }
}

store.subscribe(render);
render(store.state, null);
wire.start();
