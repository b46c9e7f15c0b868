// @ts-check
/** A drop on the server's clock, and where this buyer stands for a hot one. Pure. */
import { timer } from "./clock.js";

/**
 * @typedef {import("./types.js").Drop} Drop
 * @typedef {import("./types.js").Place} Place
 * @typedef {import("./types.js").Queue} Queue
 * @typedef {"soon"|"open"|"closed"} Phase
 * @typedef {"soon"|"join"|"lobby"|"open"|"queue"|"drawing"|"line"|"turn"|"closed"} Kind soon: counted down to; join,
 *   lobby: the same of a hot drop, before and after taking a place; open: hold it; queue: no place yet; drawing: the
 *   line is about to be; line, turn: in it, and let in; closed: over
 * @typedef {{kind: Kind, left_ms: number, ahead: number}} Stand `left_ms` of the countdown, or of her turn
 */

/** @type {Drop} */
export const AT_ONCE = { opens_ms: null, closes_ms: null, limit: null, hot: false, commitment: "", work_bits: 0 };

/** @param {Drop} drop @param {number} now_ms @returns {Phase} */
export function phase(drop, now_ms) {
  if (drop.closes_ms !== null && drop.closes_ms <= now_ms) return "closed";
  return (drop.opens_ms ?? 0) > now_ms ? "soon" : "open";
}

/**
 * People before her now, at most: who left at the head since she was told is known, who left between is not.
 * @param {Place} place
 * @param {Queue|undefined} queue
 */
export function ahead(place, queue) {
  return Math.max(0, place.ahead - Math.max(0, (queue?.gone ?? place.gone) - place.gone));
}

/**
 * @param {Drop} drop
 * @param {Place|undefined} place
 * @param {Queue|undefined} queue
 * @param {number} now_ms
 * @returns {Stand}
 */
export function stand(drop, place, queue, now_ms) {
  const now = phase(drop, now_ms);
  const state = place?.state ?? "none";
  const none = { left_ms: 0, ahead: 0 };
  if (now === "closed") return { kind: "closed", ...none };
  if (now === "soon") return { kind: !drop.hot ? "soon" : state === "lobby" ? "lobby" : "join", left_ms: (drop.opens_ms ?? 0) - now_ms, ahead: 0 };
  if (!drop.hot) return { kind: "open", ...none };
  if (place && (state === "turn" || state === "took") && place.until_ms > now_ms) return { kind: "turn", left_ms: place.until_ms - now_ms, ahead: 0 };
  if (state === "lobby") return { kind: "drawing", ...none };
  if (place && state === "line") return { kind: "line", left_ms: 0, ahead: ahead(place, queue) };
  return { kind: "queue", ...none };
}

/** The button, by where she stands. Of `open` it says nothing: the bag and the stock do. @param {Stand} stand */
export function buttonWords({ kind, left_ms, ahead }) {
  switch (kind) {
    case "soon": return `Opens in ${timer(left_ms)}`;
    case "join": return `Join the draw · ${timer(left_ms)}`;
    case "lobby": return `You are in the draw · ${timer(left_ms)}`;
    case "drawing": return "Drawing the line";
    case "queue": return "Stand in line";
    case "line": return ahead ? `${new Intl.NumberFormat("en").format(ahead)} ahead of you` : "You are next";
    case "turn": return `Your turn: hold it · ${timer(left_ms)}`;
    case "closed": return "This drop is over";
    default: return "";
  }
}

/**
 * A quiet line about the drop: what is special about it, and when it ends.
 * @param {Drop} drop
 * @param {number} now_ms
 */
export function terms(drop, now_ms) {
  const said = [];
  if (drop.limit) said.push(drop.limit === 1 ? "One a person" : `${drop.limit} a person`);
  const now = phase(drop, now_ms);
  if (drop.hot && now !== "closed") said.push(now === "soon" ? "Everyone here at the opening is drawn for a place in line" : "Buyers are let in one after another");
  if (now === "open" && drop.closes_ms !== null) said.push(`Closes in ${timer(drop.closes_ms - now_ms)}`);
  return said.join(" · ");
}

/**
 * What is read out when it changed; "" for nothing. Countdowns and places that only tick are not: a voice that counts
 * can't be listened past.
 * @param {Stand} now
 * @param {Stand|null} before
 * @param {string} name of the look
 */
export function spoken(now, before, name) {
  if (before?.kind === now.kind) {
    // In line: every tenth place, and the last three.
    const crossed = now.kind === "line" && now.ahead < before.ahead && (now.ahead < 3 || Math.floor(now.ahead / 10) < Math.floor(before.ahead / 10));
    return crossed ? `${name}: ${buttonWords(now)}` : "";
  }
  const seconds = Math.ceil(now.left_ms / 1000);
  switch (now.kind) {
    case "soon": return `${name} opens in ${seconds} seconds`;
    case "join": return `${name} opens in ${seconds} seconds. Join the draw to be in line for it`;
    case "lobby": return `You are in the draw for ${name}`;
    case "open": return before ? `${name} is open` : "";
    case "queue": return before?.kind === "turn" ? `Your turn for ${name} is over` : before?.kind === "line" || before?.kind === "drawing" ? `You are no longer in line for ${name}` : before ? `${name} is open. Stand in line for it` : "";
    case "line": return `${name}: ${buttonWords(now)}`;
    case "turn": return before?.kind === "turn" ? "" : `It is your turn for ${name}. You have ${seconds} seconds to hold a piece`;
    case "closed": return before ? `${name} is over` : "";
    default: return "";
  }
}
