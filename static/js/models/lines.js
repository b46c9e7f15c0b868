// @ts-check
/** The moderator's own run of lines: what was removed stays, marked. Pure. */

/** @typedef {import("./types.js").Line} Line */
/** @typedef {{line: Line, removed: boolean}} Seen */

export const KEPT = 500;

/**
 * The lines seen so far and those of the room now, in the room's order.
 * @param {Seen[]} before
 * @param {Line[]} now the room's newest lines, oldest first
 * @param {ReadonlyMap<string, string>} fates lines on which this moderator acted
 * @returns {Seen[]}
 */
export function follow(before, now, fates) {
  const there = new Set(now.map((line) => line.id));
  const known = new Set(before.map((seen) => seen.line.id));
  // A line older than the room's oldest has only scrolled out of the room's window: nobody removed it.
  const oldest_ms = now[0]?.wall_ms ?? Infinity;
  const kept = before.map((seen) => ({
    line: seen.line,
    removed: seen.removed || (!there.has(seen.line.id) && (seen.line.wall_ms >= oldest_ms || fates.has(seen.line.id))),
  }));
  const fresh = now.filter((line) => !known.has(line.id)).map((line) => ({ line, removed: false }));
  return [...kept, ...fresh].slice(-KEPT);
}
