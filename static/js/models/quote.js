// @ts-check
/** What a bag costs, in words. Pure: every figure is the server's. */
import { money } from "./words.js";

/**
 * @typedef {import("./types.js").Money} Money
 * @typedef {{id: string, name: string, price: Money, days_min: number, days_max: number}} Way
 * @typedef {{sku: string, piece: string, was: Money, now: Money}} Change
 * @typedef {{goods: Money, discount: Money, shipping: Money, tax: Money, tax_included: boolean, tax_bp: number, tax_place: string, total: Money,
 *   ways: Way[], way: string, codes: {code: string, kind: string, amount: Money}[], changed: Change[]}} Quote
 */

/**
 * The lines above the total.
 * @param {Quote} quote
 * @returns {{name: string, amount: string}[]}
 */
export function rows(quote) {
  const way = quote.ways.find((one) => one.id === quote.way);
  const less = quote.codes.filter((one) => one.kind !== "free_shipping").map((one) => ({ name: `Code ${one.code}`, amount: `−${money(one.amount)}` }));
  const sent = way ? [{ name: `Shipping, ${way.name}`, amount: quote.shipping.minor ? money(quote.shipping) : "Free" }] : [];
  const rate = `${new Intl.NumberFormat("en", { maximumFractionDigits: 2 }).format(quote.tax_bp / 100)} %`;
  const tax = !quote.tax_bp ? [] : quote.tax_included ? [{ name: `of which VAT ${rate}`, amount: money(quote.tax) }] : [{ name: `Tax ${rate}`, amount: money(quote.tax) }];
  const only = !less.length && !sent.length && !tax.length;
  const goods = only ? [] : [{ name: "Pieces", amount: money(quote.goods) }];
  return [...goods, ...less, ...sent, ...tax];
}

/** @param {Way} way */
export function days(way) {
  if (!way.days_max) return "today";
  const span = way.days_min === way.days_max ? String(way.days_max) : `${way.days_min} to ${way.days_max}`;
  return `${span} ${way.days_max === 1 ? "day" : "days"}`;
}

/** @param {Change} change */
export function changed(change) {
  return `The price of ${change.piece} changed since you held it: ${money(change.was)} is now ${money(change.now)}.`;
}

/**
 * Why a code can't be used.
 * @param {Record<string, any>} facts
 */
export function codeRefused(facts) {
  switch (facts.why) {
    case "unknown": return `We know no code ${facts.promotion}. Check its letters, or go on without it.`;
    case "not_yet": return `${facts.promotion} is not open yet.`;
    case "over": return `${facts.promotion} is over.`;
    case "used_up": return `${facts.promotion} has been used up.`;
    case "used_by_you": return `You have used ${facts.promotion} already.`;
    case "too_little": return `${facts.promotion} needs a bigger bag.`;
    default: return `${facts.promotion} does not go together with another code.`;
  }
}
