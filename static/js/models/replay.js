// @ts-check
/** A show that is over, as one length of film: where its recordings lie, and what was up at a moment. Pure.
 *
 * Two clocks: media time is the show's own, with its pauses; the reel is what there is to see, end to end.
 */

/**
 * @typedef {{url: string, type: string, starts_at_ms: number, duration_ms: number}} Recording
 * @typedef {Recording & {from_ms: number, to_ms: number}} Piece a recording and its part of the reel
 * @typedef {{look: string, number: number, title: string, at: number}} Chapter
 */

/** @param {Recording[]} recordings @returns {Piece[]} in the order in which they play */
export function lay(recordings) {
  let end = 0;
  return [...recordings]
    .sort((one, other) => one.starts_at_ms - other.starts_at_ms)
    .map((one) => ({ ...one, from_ms: end, to_ms: (end += one.duration_ms) }));
}

/** @param {Piece[]} pieces @returns {number} ms */
export function lengthOf(pieces) {
  return pieces.at(-1)?.to_ms ?? 0;
}

/**
 * Which piece plays at a moment of the reel, and how far into it.
 * @param {Piece[]} pieces at least one
 * @param {number} reelMs
 */
export function pieceAt(pieces, reelMs) {
  const at = Math.max(0, Math.min(reelMs, lengthOf(pieces)));
  const found = pieces.findIndex((piece) => at < piece.to_ms);
  const index = found < 0 ? pieces.length - 1 : found;
  return { index, offset_ms: at - /** @type {Piece} */ (pieces[index]).from_ms };
}

/**
 * Where a moment of the show is on the reel: in a gap that nobody recorded, where the film goes on after it.
 * @param {Piece[]} pieces
 * @param {number} mediaMs
 */
export function reelOf(pieces, mediaMs) {
  for (const piece of pieces) {
    if (mediaMs < piece.starts_at_ms) return piece.from_ms;
    if (mediaMs < piece.starts_at_ms + piece.duration_ms) return piece.from_ms + mediaMs - piece.starts_at_ms;
  }
  return lengthOf(pieces);
}

/**
 * The look whose card was up.
 * @param {Chapter[]} chapters by their moment
 * @param {number} mediaMs
 */
export function upAt(chapters, mediaMs) {
  return chapters.findLast((chapter) => chapter.at <= mediaMs) ?? null;
}

/** @param {number} ms @returns {string} 1:02:03, or 2:03 within the first hour */
export function length(ms) {
  const seconds = Math.floor(Math.max(0, ms) / 1000);
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
