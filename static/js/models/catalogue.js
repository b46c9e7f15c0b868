// @ts-check
/** The catalogue's words and amounts. Pure. */

/**
 * @typedef {"waiting"|"checking"|"checked"|"queued"|"importing"|"done"|"failed"|"stopped"} State
 * @typedef {{id: string, name: string, state: State, actor: string, why: string, percent: number, new: number,
 *   changed: number, same: number, rejected: number, created_ms: number, ended_ms: number|null,
 *   changes?: {line: number, sku: string, kind: "new"|"changed", words: string}[],
 *   rejects?: {line: number, column: string, why: string}[]}} Import
 */

/** @type {Record<string, string>} */
const NAMES = { alt: "The text", limit: "The number", "sale.minor": "The sale price", "sale.until_ms": "The sale's end", price_minor: "The price" };

export const OPEN = new Set(["waiting", "checking", "checked", "queued", "importing"]);
export const MOVING = new Set(["waiting", "checking", "queued", "importing"]);

/**
 * What somebody typed as an amount, in minor units; null when it is none, or may be a thousand: 1,000 and 1.000, but for
 * the point of a currency that has three decimals.
 * @param {string} text
 * @param {number} places of the currency
 */
export function minor(text, places) {
  const match = /^(\d{1,9})(?:([.,])(\d{1,3}))?$/.exec(text.trim());
  if (!match) return null;
  if (match[3]?.length === 3 && !match[1].startsWith("0") && !(match[2] === "." && places === 3)) return null;
  const fraction = (match[3] ?? "").replace(/0+$/, "");
  return fraction.length > places ? null : Number(match[1] + fraction.padEnd(places, "0"));
}

/**
 * "+5", "-1", "−1" (a minus sign); null when it is no number of units, or none.
 * @param {string} text
 */
export function units(text) {
  const plain = text.trim().replace("−", "-");
  return /^[+-]?\d{1,6}$/.test(plain) && Number(plain) !== 0 ? Number(plain) : null;
}

/** @param {Import} one */
export function stateWords(one) {
  const n = count;
  switch (one.state) {
    case "waiting":
      return "Waiting to be checked.";
    case "checking":
      return `Being checked: ${one.percent} %.`;
    case "checked":
      return changes(one) ? `Checked. Nothing has changed yet: ${n(changes(one), "row")} would.` : one.rejected ? "Checked. No row that can be taken changes anything." : "Checked. All of it is here already.";
    case "queued":
      return "About to begin.";
    case "importing":
      return one.percent ? `Being brought in: ${one.percent} %.` : "Being brought in.";
    case "done":
      return `Brought in: ${n(one.new, "new row")}, ${n(one.changed, "changed row")}${one.rejected ? `, ${n(one.rejected, "rejected row")}` : ""}.`;
    case "stopped":
      return "Stopped. What was brought in until then stays.";
    default:
      return `It failed. ${one.why}`;
  }
}

/** Rows that do something. @param {Import} one */
export function changes(one) {
  return one.new + one.changed;
}

/**
 * @param {number} number
 * @param {string} noun
 */
export function count(number, noun) {
  return `${new Intl.NumberFormat("en").format(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * Why the server refused, for people.
 * @param {{code: string, facts: Record<string, any>, status: number}} refusal
 */
export function refusedWords({ code, facts, status }) {
  if (code === "invalid") return `${NAMES[facts.field] ?? `The ${facts.field}`} ${facts.why}.`;
  if (code === "conflict" && facts.why === "import_under_way") return `${facts.name} is being brought in by ${facts.by || "somebody"}. Wait for it, or stop it.`;
  if (code === "conflict" && facts.why === "below_sold") return `${facts.sold} of them are sold: that many stay on hand.`;
  if (code === "conflict" && facts.why === "too_many_pictures") return `A piece has at most ${facts.limit} pictures. Remove one first.`;
  if (code === "store_down" && facts.store === "disk") return "The server's disk is full. Nothing was kept.";
  if (status === 413) return "The file is too large.";
  if (code === "edited") return "It was saved elsewhere after this page was made. Nothing is overwritten, and what you typed stands here: see in a new tab what it is now, then load this page again.";
  if (code === "wrong_state") return "It has moved on meanwhile.";
  if (code === "not_found") return "It is not there any more. Load the page again.";
  if (code === "throttled") return "Too much at once. Wait a minute.";
  if (code === "offline") return "No answer. Look at your connection, then try again.";
  if (code === "forbidden" || code === "sign_in_needed") return "You are signed out. Load the page again.";
  return "That did not work. Try again.";
}
