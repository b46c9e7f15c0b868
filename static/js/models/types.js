// @ts-check
/**
 * What the wire carries, as live/events.py and chat/kinds.py type it. No code: types for the checker.
 *
 * @typedef {{minor: number, currency: string}} Money
 * @typedef {{opens_ms: number|null, closes_ms: number|null, limit: number|null, hot: boolean, commitment: string, work_bits: number}} Drop
 * @typedef {{look: string, number: number, title: string, pieces: Piece[], at: number, dropped_ms: number, drop: Drop}} Card
 * @typedef {{look: string, state: "none"|"lobby"|"line"|"turn"|"took"|"passed"|"lost", ahead: number, gone: number, until_ms: number}} Place
 * @typedef {{gone: number, waiting: number}} Queue
 * @typedef {{sku: string, size: string, colour: string, colour_hex: string, price: Money, was: Money|null, gtin?: string}} Variant
 * @typedef {{picture: string, picture_alt: string, srcset: string}} View a further picture of a piece
 * @typedef {{product: string, title: string, brand: string, blurb: string, picture: string, picture_alt: string, variants: Variant[], srcset?: string, more?: View[]}} Piece
 * @typedef {{left: number, rev: number}} Level
 * @typedef {"scheduled"|"live"|"ended"} ShowStatus
 * @typedef {{id: string, slug: string, title: string, tagline: string, brand: string, status: ShowStatus, starts_ms: number|null, opened_ms: number|null, ended_ms: number|null, hold_ttl_s: number, currency: string, poster: string}} ShowFacts
 * @typedef {{state: "waiting"|"live"|"slate", media_ms: number, wall_ms: number}} Picture
 * @typedef {{sku: string, qty: number, look: string, piece: string, picture: string, size: string, colour: string, price: Money, state: "held"|"lapsed"|"paying", held_until_ms: number}} CartLine
 * @typedef {{sku: string, ahead: number}} Wait
 * @typedef {{lines: CartLine[], total: Money, rev: number, waits: Wait[]}} Cart
 * @typedef {{look: string, number: number, title: string, state: "waiting"|"dropped"|"withdrawn", pieces: Piece[], at: number|null, drop: Drop}} LookRow
 * @typedef {{viewers: number, held: number, orders: number, revenue: Money}} Tally
 * @typedef {{show: ShowFacts, picture: Picture, cards: Card[], pinned: string|null, stock: Record<string, Level>, cart: Cart, runsheet: LookRow[]|null, tally: Tally|null, play: import("./games.js").Game[], places: Place[]}} LiveSnapshot
 * @typedef {{line: string, person: string, name: string}} Reply
 * @typedef {{id: string, person: string, name: string, text: string, wall_ms: number, badge: string, at: number|null, reply?: Reply|null, mentions?: {person: string, name: string}[]}} Line
 * @typedef {{id: string, person: string, name: string, text: string, wall_ms: number, badge: string, at: number|null, state: "open"|"claimed"|"answered"|"dismissed", by: string, answered_at: number|null}} Question
 * @typedef {{slow_s: number, links: string, buyers?: boolean, age_s?: number, emote?: boolean, hold?: boolean, raid_until_ms?: number}} Mode
 * @typedef {{id: string, kind: "line"|"question"|"report"|"appeal", why: string, person: string, name: string, text: string, wall_ms: number, line: Line|null, reports: number, claimed_by: string, claimed_until_ms: number}} Case
 * @typedef {{terms: string[], held: string[], allowed: string[]}} Terms
 * @typedef {{line: Line, removed: boolean, shadow: boolean}} FoundLine
 * @typedef {{person: string, name: string, names: string[], badge: string, since_ms: number, said: number, removed: number, silence: Silence|null, lines: FoundLine[], notes: {id: string, text: string, actor_name: string, wall_ms: number}[], acts: {act: string, actor: string, reason: string, wall_ms: number}[]}} PersonFacts
 * @typedef {{until_ms: number, reason: string, kind: "timeout"|"ban"|"shadow"}} Silence
 * @typedef {{person: string, name: string, silence: Silence}} SilencedPerson
 * @typedef {{person: string, name: string, roles: string[], silenced: Silence|null}} You
 * @typedef {{viewers: number, lines: Line[], mode: Mode, pinned: Line|null, questions?: Question[]}} Room
 * @typedef {{epoch: string, seq: number, now_ms: number, you: You, room: Room, live: LiveSnapshot}} Welcome
 * @typedef {{seq?: number, kind: string, at?: number, body: any}} Envelope
 * @typedef {{order: string, number: string, status: "pending"|"paid"|"part_fulfilled"|"fulfilled"|"part_returned"|"returned"|"part_refunded"|"refunded"|"cancelled", token: string, total: Money}} OrderNews
 */
export {};
