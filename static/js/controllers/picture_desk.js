// @ts-check
/** The picture desk. Asks every 1.5 s while somebody looks; rows are kept, so that scroll and focus stay. */
import { call } from "../http.js";
import { keyWords, layerWords, lineWords, recordingWords, relayWords, stateWords, waysWords } from "../models/seen.js";
import { byId, clone, fill, find, flag, reconcile, say } from "./dom.js";

/** @typedef {import("../models/seen.js").Seen} Seen */

const EVERY_MS = 1500;
const PATIENCE = 2; // answers that may fail before the page says so

const main = byId("main");
let failed = 0;
let last = new Date();

/** @param {Seen} seen */
function draw(seen) {
  say(byId("state-words"), stateWords(seen));
  const { sizes } = seen;
  for (const [id, number] of Object.entries({ total: seen.viewers, losing: seen.losing, smaller: sizes.smaller ?? 0, sound: sizes.sound ?? 0 })) say(byId(id), new Intl.NumberFormat("en").format(number));
  say(byId("key-words"), keyWords(seen));
  say(byId("ways"), waysWords(seen));
  rows("layers", "layer-template", seen.layers, (layer) => `${layer.kind} ${layer.codec} ${layer.rid}`, layerWords);
  rows("relays", "relay-template", seen.relays, (relay) => relay.name, relayWords);
  rows("worst", "line-template", seen.worst, (line) => line.id, lineWords);
  const recording = recordingWords(seen.recording);
  say(byId("recording"), recording.words);
  flag(byId("recording"), "bad", recording.bad);
}

/**
 * @template T
 * @param {string} id
 * @param {string} template
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => Record<string, string | number | boolean>} words
 */
function rows(id, template, items, key, words) {
  const body = byId(id);
  reconcile(body, items, key, () => clone(template), (element, item) => {
    const { bad = false, dim = false, bar, ...texts } = words(item);
    for (const [name, text] of Object.entries(texts)) fill(element, name, String(text));
    if (bar !== undefined) /** @type {HTMLProgressElement} */ (find(element, "progress")).value = Number(bar);
    flag(element, "bad", Boolean(bad));
    flag(element, "dim", Boolean(dim));
  });
  /** @type {HTMLElement} */ (body.closest(".rows")).hidden = !items.length;
  byId(`${id}-empty`).hidden = items.length > 0;
}

async function look() {
  if (document.hidden) return;
  try {
    draw(await call("GET", `/api/shows/${main.dataset.slug}/picture/seen`));
    failed = 0;
    last = new Date();
    say(byId("stale"), "");
  } catch {
    failed += 1;
    if (failed >= PATIENCE) say(byId("stale"), `· no answer since ${last.toLocaleTimeString("en-GB")}`);
  }
}

async function lookForEver() {
  await look();
  setTimeout(lookForEver, EVERY_MS);
}

draw(JSON.parse(byId("state").textContent ?? "{}"));
document.addEventListener("visibilitychange", look);
setTimeout(lookForEver, EVERY_MS);
