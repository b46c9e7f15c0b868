// @ts-check
/** The page's whole state and how news changes it. Pure: no element, no clock, no socket. */

/**
 * @typedef {import("./types.js").LiveSnapshot} LiveSnapshot
 * @typedef {import("./types.js").Welcome} Welcome
 * @typedef {import("./types.js").Envelope} Envelope
 * @typedef {import("./types.js").Card} Card
 * @typedef {import("./types.js").Line} Line
 * @typedef {import("./types.js").You} You
 * @typedef {import("./types.js").OrderNews} OrderNews
 * @typedef {{animations: boolean, hearts: boolean, presence: boolean, every_line: boolean, history: boolean, read_only: boolean}} Service
 * @typedef {{live: LiveSnapshot, you: You, viewers: number, lines: Line[], mode: import("./types.js").Mode, pinnedLine: Line|null, questions: import("./types.js").Question[],
 *   service: Service, queues: Record<string, import("./types.js").Queue>, terms: import("./types.js").Terms, cases: import("./types.js").Case[], silences: import("./types.js").SilencedPerson[], orders: Record<string, OrderNews>}} State
 */

export const LINES_KEPT = 200;
/** What a room serves unless `service.changed` says otherwise, right after a snapshot or a resume. @type {Service} */
export const USUAL = { animations: true, hearts: true, presence: true, every_line: true, history: true, read_only: false };

/**
 * The state a snapshot says, thrown over whatever was. Orders heard of stay: no snapshot tells them again.
 * @param {State|null} before
 * @param {Welcome} welcome
 * @returns {State}
 */
export function applySnapshot(before, welcome) {
  return {
    live: welcome.live,
    you: welcome.you,
    viewers: welcome.room?.viewers ?? 0,
    lines: welcome.room?.lines ?? [],
    mode: welcome.room?.mode ?? { slow_s: 0, links: "off" },
    pinnedLine: welcome.room?.pinned ?? null,
    questions: welcome.room?.questions ?? [],
    service: USUAL,
    queues: {},
    terms: before?.terms ?? { terms: [], held: [], allowed: [] },
    cases: before?.cases ?? [],
    silences: before?.silences ?? [],
    orders: before?.orders ?? {},
  };
}

/**
 * The state after one envelope. An unknown kind changes nothing: the server may be newer than this page.
 * @param {State} state
 * @param {Envelope} envelope
 * @returns {State}
 */
export function applyEvent(state, envelope) {
  const { kind, body } = envelope;
  const live = state.live;
  const withLive = (/** @type {Partial<LiveSnapshot>} */ change) => ({ ...state, live: { ...live, ...change } });
  switch (kind) {
    case "show.opened":
    case "show.ended":
      return withLive({ show: body.show });
    case "picture.changed":
      return withLive({ picture: body.picture });
    case "card.dropped": {
      const cards = [...live.cards.filter((card) => card.look !== body.card.look), body.card];
      cards.sort((one, other) => one.dropped_ms - other.dropped_ms);
      return withLive({ cards, pinned: body.card.look, stock: newer(live.stock, body.stock) });
    }
    case "card.changed":
      // Only a card that is out here: what a late picture has yet to show is changed where it waits (cues.js).
      return withLive({ cards: live.cards.map((card) => (card.look === body.card.look ? body.card : card)), stock: newer(live.stock, body.stock) });
    case "card.withdrawn":
      return withLive({ cards: live.cards.filter((card) => card.look !== body.look), pinned: body.pinned });
    case "drop.changed":
      return withLive({ cards: live.cards.map((card) => (card.look === body.look ? { ...card, drop: body.drop } : card)) });
    case "place.changed":
      return withLive({ places: [...live.places.filter((place) => place.look !== body.place.look), body.place] });
    case "queue.moved":
      return { ...state, queues: body.lines };
    case "stock.changed":
      return withLive({ stock: newer(live.stock, body.stock) });
    case "cart.changed":
      // The answer to an intent and the news of it may overtake each other: the higher rev holds.
      return body.cart.rev >= live.cart.rev ? withLive({ cart: body.cart }) : state;
    case "runsheet.changed":
      return withLive({ runsheet: body.runsheet });
    case "tally.changed":
      return withLive({ tally: body.tally });
    case "order.changed":
      return { ...state, orders: { ...state.orders, [body.token]: body } };
    case "line.posted":
      return state.lines.some((line) => line.id === body.line.id) ? state : { ...state, lines: [...state.lines, body.line].slice(-LINES_KEPT) };
    case "line.removed":
      return without(state, [body.line]);
    case "lines.removed":
      return without(state, body.lines);
    case "line.pinned":
      return { ...state, pinnedLine: body.line };
    case "question.changed":
      return { ...state, questions: asked(state.questions, body.question) };
    case "cases.changed":
      return { ...state, cases: body.cases };
    case "case.changed":
      return { ...state, cases: [...state.cases.filter((one) => one.id !== body.case.id), body.case].sort((one, other) => one.wall_ms - other.wall_ms) };
    case "case.closed":
      return { ...state, cases: state.cases.filter((one) => one.id !== body.case) };
    case "mode.changed":
      return { ...state, mode: body.mode };
    case "presence.counted":
      return { ...state, viewers: body.viewers };
    case "name.changed":
      return { ...state, you: { ...state.you, name: body.name } };
    case "resumed":
      return { ...state, you: body.you, service: USUAL };
    case "service.changed":
      return { ...state, service: body.service };
    case "person.silenced":
      return body.person === state.you.person ? { ...state, you: { ...state.you, silenced: body.silence } } : state;
    case "terms.changed":
      return { ...state, terms: body };
    case "silences.changed":
      return { ...state, silences: body.silences };
    default:
      return state;
  }
}

/** @param {State} state @param {string[]} gone */
function without(state, gone) {
  const pinnedLine = state.pinnedLine && gone.includes(state.pinnedLine.id) ? null : state.pinnedLine;
  return { ...state, pinnedLine, lines: state.lines.filter((line) => !gone.includes(line.id)) };
}

/** @typedef {import("./types.js").Question} Question */

export const ANSWERED_KEPT = 50; // as chat/questions.py keeps them

/**
 * The questions after one of them moved, in the order they were asked.
 * @param {Question[]} before
 * @param {Question} news
 */
export function asked(before, news) {
  const others = before.filter((one) => one.id !== news.id);
  if (news.state === "dismissed") return others;
  const all = [...others, news].sort((one, other) => one.wall_ms - other.wall_ms);
  const done = all.filter((one) => one.state === "answered");
  const oldest = new Set(done.slice(0, Math.max(0, done.length - ANSWERED_KEPT)));
  return oldest.size ? all.filter((one) => !oldest.has(one)) : all;
}

/**
 * Stock levels, each SKU's with the higher rev.
 * @param {Record<string, import("./types.js").Level>} old
 * @param {Record<string, import("./types.js").Level>} news
 */
export function newer(old, news) {
  const levels = { ...old };
  for (const [sku, level] of Object.entries(news)) {
    const known = levels[sku];
    if (!known || level.rev >= known.rev) levels[sku] = level;
  }
  return levels;
}

/**
 * The card that is up, or null.
 * @param {LiveSnapshot} live
 * @returns {Card|null}
 */
export function pinned(live) {
  return live.cards.find((card) => card.look === live.pinned) ?? null;
}
