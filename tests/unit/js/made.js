// What the tests of the models stand on: a show with two looks, as the wire carries it.

export const NOW_MS = 1_790_000_000_000;
export const eur = (minor) => ({ minor, currency: "EUR" });

export function variant(sku, { size = sku.split("-").at(-1), colour = "Black", minor = 12_900 } = {}) {
  return { sku, size, colour, colour_hex: "#111111", price: eur(minor), was: null };
}

export function piece(product, variants) {
  return { product, title: `Piece ${product}`, brand: "House", blurb: "", picture: "", picture_alt: "", variants };
}

export function card(number, { dropped_ms = NOW_MS + number, skus = [`L${number}-S`, `L${number}-M`] } = {}) {
  return { look: `look_${number}`, number, title: `Look ${number}`, at: number * 1000, dropped_ms, drop: { opens_ms: null, closes_ms: null, limit: null, hot: false, commitment: "", work_bits: 0 }, pieces: [piece(`prd_${number}`, skus.map((sku) => variant(sku)))] };
}

export function line(id, { wall_ms = NOW_MS, person = "per_2" } = {}) {
  return { id, person, name: "Bea", text: `said ${id}`, wall_ms, badge: "", at: null };
}

export function held(sku, { qty = 1, state = "held", until_ms = NOW_MS + 300_000, minor = 12_900 } = {}) {
  return { sku, qty, look: "look_1", piece: "Coat", picture: "", size: "S", colour: "Black", price: eur(minor), state, held_until_ms: until_ms };
}

export function cart(lines = [], rev = 0, waits = []) {
  return { lines, total: eur(lines.reduce((sum, one) => sum + one.price.minor * one.qty, 0)), rev, waits };
}

export function show(status = "live") {
  return { id: "shw_1", slug: "aw26", title: "AW26", tagline: "", brand: "House", status, starts_ms: NOW_MS, opened_ms: null, ended_ms: null, hold_ttl_s: 300, currency: "EUR", poster: "" };
}

export function live(more = {}) {
  return { show: show(), picture: { state: "live", media_ms: 0, wall_ms: NOW_MS }, cards: [], pinned: null, stock: {}, cart: cart(), runsheet: null, tally: null, play: [], places: [], ...more };
}

export function welcome(more = {}, room = {}) {
  return {
    epoch: "e1", seq: 1, now_ms: NOW_MS,
    you: { person: "per_1", name: "Ada", roles: ["viewer"], silenced: null },
    room: { viewers: 1, lines: [], mode: { slow_s: 0, links: "off" }, pinned: null, questions: [], ...room },
    live: live(more),
  };
}

/** The same numbers every time: a failure can be looked at again. */
export function dice(seed) {
  let state = seed;
  return (sides) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * sides);
  };
}
