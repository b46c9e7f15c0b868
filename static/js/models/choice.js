// @ts-check
/** What is chosen on a card: piece, colour, size. Pure. */

/**
 * @typedef {import("./types.js").Card} Card
 * @typedef {import("./types.js").Piece} Piece
 * @typedef {import("./types.js").Variant} Variant
 * @typedef {Record<string, import("./types.js").Level>} Stock
 * @typedef {{product: string, colour: string, sku: string}} Choice
 */

/**
 * Units left of a SKU; one we never heard of counts as none.
 * @param {Stock} stock
 * @param {string} sku
 */
export function left(stock, sku) {
  return stock[sku]?.left ?? 0;
}

/**
 * What is chosen before anyone chooses: the first piece and colour, the first size that can be had.
 * @param {Card} card
 * @param {Stock} stock
 * @param {Partial<Choice>} [want] kept as far as it still makes sense
 * @returns {Choice}
 */
export function choose(card, stock, want = {}) {
  const piece = card.pieces.find((one) => one.product === want.product) ?? card.pieces[0];
  if (!piece) return { product: "", colour: "", sku: "" };
  const exact = piece.variants.find((one) => one.sku === want.sku && (!want.colour || one.colour === want.colour));
  if (exact) return { product: piece.product, colour: exact.colour, sku: exact.sku };
  const colours = coloursOf(piece);
  const colour = colours.includes(want.colour ?? "\0") ? /** @type {string} */ (want.colour) : firstColour(piece, stock);
  const sizes = sizesOf(piece, colour);
  const wantedSize = piece.variants.find((one) => one.sku === want.sku)?.size;
  const variant = sizes.find((one) => one.size === wantedSize) ?? sizes.find((one) => left(stock, one.sku) > 0) ?? sizes[0];
  return { product: piece.product, colour, sku: variant?.sku ?? "" };
}

/** @param {Piece} piece */
export function coloursOf(piece) {
  return [...new Set(piece.variants.map((one) => one.colour))];
}

/**
 * @param {Piece} piece
 * @param {string} colour
 * @returns {Variant[]}
 */
export function sizesOf(piece, colour) {
  return piece.variants.filter((one) => one.colour === colour);
}

/**
 * @param {Piece} piece
 * @param {Stock} stock
 */
function firstColour(piece, stock) {
  return (piece.variants.find((one) => left(stock, one.sku) > 0) ?? piece.variants[0])?.colour ?? "";
}
