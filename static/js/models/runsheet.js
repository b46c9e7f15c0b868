// @ts-check
/** The run of show as the host reads it. Pure. */

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
 * Units left of each size; the colour is named where there is more than one.
 * @param {LookRow} row
 * @param {Record<string, import("./types.js").Level>} stock
 */
export function sizesLeft(row, stock) {
  return row.pieces.flatMap((piece) => {
    const colours = new Set(piece.variants.map((one) => one.colour)).size;
    return piece.variants.map((one) => ({
      sku: one.sku,
      label: [colours > 1 ? one.colour : "", one.size || (colours > 1 ? "" : "One size")].filter(Boolean).join(" "),
      left: stock[one.sku]?.left ?? 0,
    }));
  });
}
