// @ts-check
/** The show's games as a page knows them, and how news changes them. Pure: no element, no clock, no socket. */

/**
 * @typedef {{minor: number, currency: string}} Money
 * @typedef {{game: "poll"|"quiz"|"draw"|"rain", id: string, closes_ms: number, closed: boolean, question?: string,
 *   choices?: string[], counts?: number[]|null, answers?: number, right?: number|null, prize?: string, places?: number,
 *   entries?: number, winners?: {person: string, name: string}[], budget?: Money, portions?: number, caught?: number,
 *   mine?: any}} Game
 */

export const SHOWN_MS = 45_000; // how long a closed game stays over the picture (the server tells it for longer)

/**
 * The games after one envelope. Counts never go back to a game that is closed, and what was told in private (`mine`)
 * stays when the public news comes without it.
 * @param {Game[]} games
 * @param {{kind: string, body: any}} envelope
 * @returns {Game[]}
 */
export function applyGame(games, { kind, body }) {
  switch (kind) {
    case "poll.opened":
    case "poll.closed":
      return put(games, body.poll);
    case "quiz.opened":
    case "quiz.closed":
      return put(games, body.quiz);
    case "draw.opened":
    case "draw.drawn":
      return put(games, body.draw);
    case "rain.opened":
    case "rain.fallen":
      return put(games, body.rain);
    case "poll.counted":
      return change(games, body.poll, (game) => (game.closed ? game : { ...game, counts: body.counts }));
    case "quiz.counted":
      return change(games, body.quiz, (game) => (game.closed ? game : { ...game, answers: body.answers }));
    case "rain.caught":
      return change(games, body.rain, (game) => ({ ...game, mine: body.amount }));
    default:
      return games;
  }
}

/**
 * The reader took part: shown at once, before the server's count says so.
 * @param {Game[]} games @param {string} id @param {any} mine
 */
export function take(games, id, mine) {
  return change(games, id, (game) => ({ ...game, mine }));
}

/**
 * The game a page shows: the newest that is open, else the one that closed last and not long ago.
 * @param {Game[]} games
 * @param {number} now_ms
 * @returns {Game|null}
 */
export function onStage(games, now_ms) {
  const open = games.filter((game) => !game.closed);
  if (open.length) return open[open.length - 1] ?? null;
  const fresh = games.filter((game) => now_ms - game.closes_ms < SHOWN_MS);
  return fresh.sort((one, other) => other.closes_ms - one.closes_ms)[0] ?? null;
}

/**
 * Shares of a hundred, whole numbers that add up to it (largest remainders), or all 0.
 * @param {number[]} counts
 */
export function shares(counts) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (!all) return counts.map(() => 0);
  const exact = counts.map((count) => (count * 100) / all);
  const whole = exact.map(Math.floor);
  const missing = 100 - whole.reduce((sum, share) => sum + share, 0);
  const order = exact.map((_, index) => index).sort((one, other) => rest(exact, other) - rest(exact, one) || one - other);
  for (const index of order.slice(0, missing)) whole[index] = (whole[index] ?? 0) + 1;
  return whole;
}

/** @param {number[]} exact @param {number} index */
function rest(exact, index) {
  return (exact[index] ?? 0) % 1;
}

/** @param {Game[]} games @param {Game} game */
function put(games, game) {
  const old = games.find((one) => one.id === game.id);
  // An opening that is heard twice, or after the close, says nothing new.
  if (old?.closed && !game.closed) return games;
  const news = old ? { ...game, mine: game.mine || old.mine } : game;
  if (old?.mine === 0 && !game.mine) news.mine = 0; // the first choice is number 0
  return old ? games.map((one) => (one.id === game.id ? news : one)) : [...games, news];
}

/** @param {Game[]} games @param {string} id @param {(game: Game) => Game} to */
function change(games, id, to) {
  return games.map((game) => (game.id === id ? to(game) : game));
}
