// @ts-check
/** What waits for a moderator, as her page shows it: what was decided stays where it was while she reads. Pure. */

/** @typedef {import("./types.js").Case} Case */
/** @typedef {{case: Case, outcome: string}} Waiting `outcome` is "" while it waits */

/**
 * @param {Waiting[]} before what is on the page
 * @param {Case[]} now what waits, oldest first
 * @param {ReadonlyMap<string, string>} outcomes what became of cases, in words
 * @param {boolean} busy somebody reads: nothing may move under her
 * @returns {Waiting[]}
 */
export function waiting(before, now, outcomes, busy) {
  const current = new Map(now.map((one) => [one.id, one]));
  const kept = before.flatMap((shown) => {
    const one = current.get(shown.case.id);
    if (one) return [{ case: one, outcome: "" }];
    return busy ? [{ case: shown.case, outcome: outcomes.get(shown.case.id) ?? "decided" }] : [];
  });
  const known = new Set(before.map((shown) => shown.case.id));
  return [...kept, ...now.filter((one) => !known.has(one.id)).map((one) => ({ case: one, outcome: "" }))];
}
