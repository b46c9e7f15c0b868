// @ts-check
/** The bag's lines against the server's clock. Pure. */

/**
 * @typedef {import("./types.js").Cart} Cart
 * @typedef {import("./types.js").CartLine} CartLine
 */

export const SOON_MS = 60_000; // a timer under a minute is told in the accent

/**
 * A held line whose time is over counts as lapsed before the server says so.
 * @param {CartLine} line
 * @param {number} now_ms
 */
export function stateOf(line, now_ms) {
  return line.state === "held" && line.held_until_ms <= now_ms ? "lapsed" : line.state;
}

/**
 * @param {Cart} cart
 * @param {string} sku
 * @param {number} now_ms
 * @returns {CartLine|null} the line, when the piece is still set aside
 */
export function heldLine(cart, sku, now_ms) {
  const line = cart.lines.find((one) => one.sku === sku);
  return line && stateOf(line, now_ms) !== "lapsed" ? line : null;
}

/**
 * @param {Cart} cart
 * @param {string} sku
 * @returns {import("./types.js").Wait|null} her place in the queue for a piece that is sold out
 */
export function placeOf(cart, sku) {
  return cart.waits.find((one) => one.sku === sku) ?? null;
}

/**
 * What was waited for a moment ago and is set aside now.
 * @param {Cart} before
 * @param {Cart} after
 * @returns {CartLine[]}
 */
export function offered(before, after) {
  return after.lines.filter((line) => line.state === "held" && placeOf(before, line.sku) && !placeOf(after, line.sku));
}

/**
 * Units that are set aside now, lines on their way out not counted.
 * @param {Cart} cart
 * @param {ReadonlySet<string>} leaving
 * @param {number} now_ms
 */
export function count(cart, leaving, now_ms) {
  return inForce(cart, leaving, now_ms).reduce((sum, line) => sum + line.qty, 0);
}

/**
 * What checkout would cost now.
 * @param {Cart} cart
 * @param {ReadonlySet<string>} leaving
 * @param {number} now_ms
 */
export function total(cart, leaving, now_ms) {
  const minor = inForce(cart, leaving, now_ms).reduce((sum, line) => sum + line.price.minor * line.qty, 0);
  return { minor, currency: cart.total.currency };
}

/**
 * @param {Cart} cart
 * @param {ReadonlySet<string>} leaving
 * @param {number} now_ms
 */
export function inForce(cart, leaving, now_ms) {
  return cart.lines.filter((line) => !leaving.has(line.sku) && stateOf(line, now_ms) !== "lapsed");
}

/**
 * Part of the hold that is left, 0 to 100, for the ring.
 * @param {CartLine} line
 * @param {number} now_ms
 * @param {number} ttl_s
 */
export function share(line, now_ms, ttl_s) {
  return Math.max(0, Math.min(100, ((line.held_until_ms - now_ms) / (ttl_s * 1000)) * 100));
}
