// @ts-check
/** Sentences of the page. live/web/words.py says the same of stock and money on first paint. */

/** @typedef {import("./types.js").Money} Money */

/**
 * @param {Money|null|undefined} amount
 * @param {string} [locale]
 */
export function money(amount, locale = "en") {
  if (!amount) return "";
  const format = new Intl.NumberFormat(locale, { style: "currency", currency: amount.currency });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(amount.minor / 10 ** digits);
}

/**
 * @param {number} left units that can still be held
 * @param {string} size
 * @param {string} [colour] where there is another: a swatch alone says it to nobody who can't tell it
 */
export function stock(left, size, colour = "") {
  const names = [size.toLowerCase() === "one size" ? "" : size, colour].filter(Boolean);
  const where = names.length ? ` in ${names.join(", ")}` : "";
  return left > 0 ? `${left} left${where}` : `Sold out${where}`;
}

/**
 * What the button of a sold-out piece says to who waits for it.
 * @param {number} ahead people before her
 */
export function inLine(ahead) {
  return ahead ? `${ahead} before you · Leave the list` : "You are next · Leave the list";
}

/** @param {number} n */
export function watching(n) {
  return `${new Intl.NumberFormat("en").format(n)} watching`;
}

/**
 * Day and hour in the reader's own zone.
 * @param {number} ms
 */
export function moment(ms) {
  return new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" }).format(ms);
}

/** @param {number} ms */
export function day(ms) {
  return new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric" }).format(ms);
}

/** @param {number} ms */
export function clock(ms) {
  return new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" }).format(ms);
}

/**
 * Whether somebody typed what a page asks for before an act that nothing undoes. Case, width and spaces don't count.
 * @param {string} typed
 * @param {string} asked
 */
export function isTyped(typed, asked) {
  const plain = (/** @type {string} */ text) => text.normalize("NFKC").trim().replace(/\s+/g, " ").toLowerCase();
  return plain(asked) !== "" && plain(typed) === plain(asked);
}

/**
 * Why an intent or a request was refused, in words that say what to do.
 * @param {{code?: string, facts?: Record<string, any>}} refusal
 */
export function refused(refusal) {
  const facts = refusal.facts ?? {};
  const wait = facts.retry_after_ms ? Math.ceil(facts.retry_after_ms / 1000) : facts.retry_after_s;
  switch (refusal.code) {
    case "sold_out": return "Someone was faster: this one is sold out.";
    case "still_left": return "One has just come free: hold it.";
    case "over_limit": return overLimit(facts);
    case "not_open": return "It is not open yet. The countdown runs on its card.";
    case "closed": return "This drop is over.";
    case "in_line": return "It is not your turn yet.";
    case "work_needed": return "Your browser has not proven that it is one. Try again.";
    case "not_live": return "Pieces can be held while the show is on air.";
    case "hold_lapsed": return "A hold ran out. Hold the piece again to go on.";
    case "empty_bag": return "Your bag is empty.";
    case "price_changed":
    case "total_changed": return "The total has changed. Look it over, then go on.";
    case "silenced": return silenced(/** @type {any} */ (facts), Date.now());
    case "slow_mode": return `The room is in slow mode. Again in ${wait} s.`;
    case "throttled": return wait ? `A little slower, please. Again in ${wait} s.` : "A little slower, please.";
    case "blocked": return blocked(facts);
    case "claimed": return `${facts.by || "Another moderator"} is on it.`;
    case "decided": return facts.by ? `${facts.by} was faster: ${facts.verdict === "approve" ? "approved" : "refused"}.` : "That has been decided already.";
    case "forbidden": return "You do not have the role for that.";
    case "sign_in_needed": return "Sign in to go on.";
    case "not_found": return "That is not there any more.";
    case "wrong_state": return "The show has moved on. That cannot be done now.";
    case "conflict": return "Somebody else was quicker. Look again.";
    case "idempotency_mismatch": return "This order was already sent with other details. Try once more.";
    case "payment_declined": return "The payment was declined.";
    case "store_down":
    case "overloaded": return "We are catching our breath. Try again in a moment.";
    case "no_answer":
    case "offline": return "You are offline. It will work again once you are back.";
    case "invalid": return invalid(facts);
    default: return "That did not work. Try again.";
  }
}

/** @param {Record<string, any>} facts */
function invalid(facts) {
  switch (facts.field) {
    case "text": return "That line is too long, or empty.";
    case "name": return "Choose another name, up to 32 letters.";
    case "term": return `That term is not kept: ${facts.why}.`;
    default: return "Something in it is not right yet.";
  }
}

/** @param {Record<string, any>} facts */
function blocked(facts) {
  switch (facts.why) {
    case "name": return "That name is too close to one of the house's own. Choose another.";
    case "link": return "Links stay out of this room.";
    case "repeat": return "You said that already.";
    case "buyers": return "Just now the room is for those who have bought something.";
    case "age": return `The room is for regulars just now. You can post ${facts.until_ms ? `at ${clock(facts.until_ms)}` : "later"}.`;
    case "emote": return "Only emoji just now.";
    case "raid": return `The room is closed to newcomers until ${clock(facts.until_ms)}.`;
    case "full": return "Too much is waiting already. Try again in a while.";
    default: return "The room does not take that word.";
  }
}

/**
 * How the room is kept, where a viewer has to know it; "" when it is open.
 * @param {import("./types.js").Mode} mode
 * @param {number} now_ms
 */
export function keeping(mode, now_ms) {
  const until = mode.raid_until_ms ?? 0;
  if (until > now_ms) return `The room is closed to newcomers until ${clock(until)}.`;
  if (mode.buyers) return "The room is for buyers just now.";
  if (mode.emote) return "Only emoji just now.";
  if (mode.age_s) return "The room is for regulars just now.";
  if (mode.hold) return "A moderator reads each line first.";
  return "";
}

/** Why something waits for a moderator. @param {import("./types.js").Case} one */
export function whyItWaits(one) {
  if (one.kind === "appeal") return one.why ? `Appeals. Silenced for: ${one.why}` : "Appeals against being silenced";
  if (one.kind === "report") {
    const what = { abuse: "abuse", spam: "spam", scam: "a scam" }[one.why] ?? "something else";
    if (one.why === "gathered") return `${one.reports} more reports, gathered: too many at once to list each. The first is of this line`;
    return one.reports > 1 ? `Reported by ${one.reports} viewers, first for ${what}` : `Reported for ${what}`;
  }
  const why = { term: "a word to look at", link: "a link", hold: "every line waits", evasion: "new, from a banned person's network" }[one.why] ?? one.why;
  return `${one.kind === "question" ? "Question" : "Line"} held: ${why}`;
}

/** @param {number} ms media time */
export function mediaTime(ms) {
  const s = Math.floor(ms / 1000);
  const minutes = Math.floor(s / 60) % 60;
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/** @param {Record<string, any>} facts */
function overLimit(facts) {
  const units = facts.limit === 1 ? "one" : String(facts.limit);
  switch (facts.cap) {
    case "drop": return `This drop gives each person ${units} piece${facts.limit === 1 ? "" : "s"}, and you have that.`;
    case "product": return `Each person can have ${units} of this piece, in whatever size, and you have that.`;
    case "device": return "Somebody on this device already stands in line.";
    case "waits": return `One person can wait for ${units} pieces at once.`;
    default: return `That is all we can set aside for one person: ${facts.limit}.`;
  }
}

const FOREVER_MS = 253_402_300_000_000; // a ban's end, as chat/ports.py sets it

/**
 * @param {{until_ms: number, reason: string, kind: string}} silence
 * @param {number} now_ms
 */
export function silenced(silence, now_ms) {
  const why = silence.reason ? ` Reason: ${silence.reason}` : "";
  if (silence.kind === "ban" || silence.until_ms >= FOREVER_MS) return `You are banned from this room’s chat until a moderator lifts it. The show and the shop stay open to you.${why}`;
  const left_ms = silence.until_ms - now_ms;
  if (left_ms < 120_000) return `You can post again in ${Math.max(1, Math.ceil(left_ms / 1000))} s.${why}`;
  const soon = silence.until_ms - now_ms < 86_400_000;
  return `You can post again ${soon ? `at ${clock(silence.until_ms)}` : moment(silence.until_ms)}.${why}`;
}

/**
 * How a payment ended.
 * @param {string} outcome
 * @returns {{title: string, words: string}}
 */
export function outcome(outcome) {
  switch (outcome) {
    case "insufficient_funds": return { title: "Not enough on the card", words: "Your bank says the account does not cover this. Nothing was taken. Try another card." };
    case "authentication_failed": return { title: "The code was not right", words: "Your bank could not confirm it was you. Nothing was taken. Try again." };
    case "abandoned": return { title: "Not paid yet", words: "You left the payment page. Nothing was taken and your pieces stay set aside a little longer." };
    case "timeout": return { title: "Still waiting for your bank", words: "The payment may have gone through. Do not pay twice: we keep asking, and this page will say." };
    case "refunded": return { title: "Paid too late, and paid back", words: "The hold had run out and the piece was gone. The whole amount goes back to your card." };
    case "cancelled": return { title: "This payment was closed", words: "Nothing was taken by it. If you went on in another window, your order is there; if not, your bag is as it was." };
    default: return { title: "The card was declined", words: "Your bank said no. Nothing was taken. Try again or use another card." };
  }
}
