// @ts-check
/**
 * Which cards are up at the moment of the show that is on screen. A picture that runs seconds behind (HLS, a replay)
 * must not be told its cards ahead: what happened at media time `at` waits until the picture is there. A page whose
 * picture is live, or that has none, says `null` for its media time: nothing waits. Pure.
 *
 * It never goes back: a card that was shown stays, also when the picture falls over to a later one (decision 0079).
 */
import { applyEvent } from "./show.js";

/**
 * @typedef {import("./types.js").Card} Card
 * @typedef {import("./types.js").Envelope} Envelope
 * @typedef {{cards: Card[], pinned: string | null, waiting: Envelope[]}} Cues `waiting` in the order it happened
 * @typedef {{cards: Card[], pinned: string | null}} Told
 */

const KINDS = new Set(["card.dropped", "card.withdrawn"]);

/**
 * What a snapshot says, as far as the picture has come.
 * @param {Told} told
 * @param {number | null} mediaMs of the picture on screen
 * @param {Cues | null} [before] what is shown already stays
 * @returns {Cues}
 */
export function fromSnapshot(told, mediaMs, before = null) {
  const due = (/** @type {Card} */ card) => mediaMs === null || card.at <= mediaMs || Boolean(before?.cards.some((one) => one.look === card.look && one.dropped_ms === card.dropped_ms));
  const cards = told.cards.filter(due);
  const late = told.cards.filter((card) => !due(card)).sort((one, other) => one.at - other.at || one.dropped_ms - other.dropped_ms);
  const last = late.at(-1);
  if (!last) return { cards, pinned: told.pinned, waiting: [] };
  // What was up before the cards that are still to come: as it was shown, or the newest of those that are out.
  const up = [before?.pinned, told.pinned].find((look) => look && cards.some((card) => card.look === look)) ?? cards.at(-1)?.look ?? null;
  const waiting = late.map((card) => /** @type {Envelope} */ ({ kind: "card.dropped", at: card.at, body: { card, stock: {} } }));
  if (told.pinned !== last.look) waiting.push({ kind: "card.withdrawn", at: last.at, body: { look: "", pinned: told.pinned } });
  return { cards, pinned: up, waiting };
}

/**
 * News of the room. The same object where it is none of ours.
 * @param {Cues} cues
 * @param {Envelope} envelope
 * @param {number | null} mediaMs
 * @param {number} [longestMs]
 * @returns {Cues}
 */
export function hear(cues, envelope, mediaMs, longestMs) {
  if (envelope.kind === "card.changed") return revised(cues, envelope.body.card);
  if (envelope.kind === "drop.changed") {
    const { look, drop } = envelope.body;
    const known = [...cues.cards, ...cues.waiting.flatMap((one) => one.body.card ?? [])].findLast((/** @type {Card} */ one) => one.look === look);
    return known ? revised(cues, { ...known, drop }) : cues;
  }
  return KINDS.has(envelope.kind) ? advance({ ...cues, waiting: [...cues.waiting, envelope] }, mediaMs, longestMs) : cues;
}

/**
 * A card says something else now: where it is shown and where it still waits. Prices and closings are never late.
 * @param {Cues} cues
 * @param {Card} card
 * @returns {Cues}
 */
function revised(cues, card) {
  const now = (/** @type {Card} */ one) => (one.look === card.look ? card : one);
  const waiting = cues.waiting.map((one) => (one.body.card?.look === card.look ? { ...one, body: { ...one.body, card } } : one));
  return { ...cues, cards: cues.cards.map(now), waiting };
}

/**
 * The picture has come to `mediaMs`. The same object where nothing was due.
 * @param {Cues} cues
 * @param {number | null} mediaMs
 * @param {number} [longestMs] nothing waits longer: a clock that is far off must not cost anybody a card
 * @returns {Cues}
 */
export function advance(cues, mediaMs, longestMs = Infinity) {
  let { cards, pinned } = cues;
  let taken = 0;
  for (const envelope of cues.waiting) {
    const early = mediaMs === null ? 0 : (envelope.at ?? 0) - mediaMs;
    if (early > 0 && early < longestMs) break;
    ({ cards, pinned } = after({ cards, pinned }, envelope));
    taken += 1;
  }
  return taken ? { cards, pinned, waiting: cues.waiting.slice(taken) } : cues;
}

/** When the next one is due, ms of media time, or null. @param {Cues} cues */
export function nextAt(cues) {
  return cues.waiting[0]?.at ?? null;
}

/** By the page's one rule for these events. @param {Told} told @param {Envelope} envelope @returns {Told} */
function after(told, envelope) {
  const state = /** @type {import("./show.js").State} */ (/** @type {unknown} */ ({ live: { ...told, stock: {} } }));
  const { cards, pinned } = applyEvent(state, envelope).live;
  return { cards, pinned };
}
