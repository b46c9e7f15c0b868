// @ts-check
/** The run of show as the host reads it. Pure. */

import { timer } from "./clock.js";
import { phase } from "./drop.js";

/** @typedef {import("./types.js").LookRow} LookRow */

/**
 * The first look that still waits.
 * @param {LookRow[]} rows in order
 */
export function next(rows) {
  return rows.find((row) => row.state === "waiting") ?? null;
}

/** @param {LookRow} row */
export function priceOf(row) {
  return row.pieces[0]?.variants[0]?.price ?? null;
}

/** @param {LookRow} row */
export function wasOf(row) {
  return row.pieces[0]?.variants[0]?.was ?? null;
}

/**
 * Units left of each size, by piece and colour; the colour is named where a piece has more than one.
 * @param {LookRow} row
 * @param {Record<string, import("./types.js").Level>} stock
 * @returns {{key: string, colour: string, sizes: {sku: string, label: string, left: number}[]}[]}
 */
export function coloursLeft(row, stock) {
  return row.pieces.flatMap((piece, number) => {
    const colours = [...new Set(piece.variants.map((one) => one.colour))];
    return colours.map((colour) => ({
      key: `${number} ${colour}`,
      colour: colours.length > 1 ? colour : "",
      sizes: piece.variants.filter((one) => one.colour === colour).map((one) => ({ sku: one.sku, label: one.size || "One size", left: stock[one.sku]?.left ?? 0 })),
    }));
  });
}

/**
 * How a look stands in the run.
 * @param {LookRow} row
 * @param {{pinned: string|null, next: string|undefined, now_ms: number, waiting: number|undefined}} at `waiting` people in its line
 */
export function stateWords(row, { pinned, next, now_ms, waiting }) {
  if (row.state === "withdrawn") return "Withdrawn";
  if (row.state === "waiting") return row.look === next ? "Next" : "";
  const { drop } = row;
  const now = phase(drop, now_ms);
  if (now === "closed") return "Closed";
  if (now === "soon") return `Opens in ${timer((drop.opens_ms ?? 0) - now_ms)}`;
  const said = [row.look === pinned ? "Up now" : "Out"];
  if (drop.hot && waiting !== undefined) said.push(`${waiting} in line`);
  if (drop.closes_ms !== null) said.push(`closes in ${timer(drop.closes_ms - now_ms)}`);
  return said.join(" · ");
}

/** Whether Drop may be pressed. @param {LookRow} row @param {number} now_ms */
export function canDrop(row, now_ms) {
  return row.state !== "dropped" || phase(row.drop, now_ms) === "closed";
}

/** A look's terms in a few words. @param {import("./types.js").Drop} drop */
export function termsWords(drop) {
  const said = [drop.limit ? `${drop.limit} a person` : "", drop.hot ? "hot" : "", drop.work_bits ? "work asked" : ""].filter(Boolean);
  return said.length ? `Terms: ${said.join(", ")}` : "Terms";
}
