import assert from "node:assert/strict";
import { test } from "node:test";
import { LINES_KEPT, applyEvent, applySnapshot, newer, pinned } from "../../../static/js/models/show.js";
import { NOW_MS, card, cart, dice, eur, held, line, live, show, welcome } from "./made.js";

const play = (state, events) => events.reduce(applyEvent, state);

/** A server in twenty lines: what it says as events, and what it would say to somebody who joins now. */
class Server {
  constructor() {
    this.live = live();
    this.room = { viewers: 1, lines: [], mode: { slow_s: 0, links: "off" }, pinned: null, questions: [] };
    this.rev = 0;
    this.sent = [];
  }
  snapshot() { return structuredClone(welcome(this.live, this.room)); }
  say(kind, body) { this.sent.push(structuredClone({ kind, body })); }
  level(sku, left) {
    this.live.stock[sku] = { left, rev: ++this.rev };
    return { [sku]: this.live.stock[sku] };
  }
  drop(number) {
    const one = card(number, { dropped_ms: NOW_MS + this.sent.length });
    this.live.cards = [...this.live.cards.filter((other) => other.look !== one.look), one];
    this.live.pinned = one.look;
    const stock = Object.assign({}, ...one.pieces[0].variants.map(({ sku }) => this.level(sku, this.live.stock[sku]?.left ?? 5)));
    this.say("card.dropped", { card: one, stock });
  }
  withdraw(number) {
    this.live.cards = this.live.cards.filter((one) => one.number !== number);
    this.live.pinned = this.live.cards.at(-1)?.look ?? null;
    this.say("card.withdrawn", { look: `look_${number}`, pinned: this.live.pinned });
  }
  hold(sku) {
    this.say("stock.changed", { stock: this.level(sku, Math.max(0, (this.live.stock[sku]?.left ?? 5) - 1)) });
    this.live.cart = cart([...this.live.cart.lines.filter((one) => one.sku !== sku), held(sku)], this.live.cart.rev + 1);
    this.say("cart.changed", { cart: this.live.cart });
  }
  talk(id) {
    this.room.lines = [...this.room.lines, line(id)];
    this.say("line.posted", { line: this.room.lines.at(-1) });
  }
  remove(id) {
    this.room.lines = this.room.lines.filter((one) => one.id !== id);
    if (this.room.pinned?.id === id) this.room.pinned = null;
    this.say("line.removed", { line: id, by: "moderator" });
  }
  pin(id) {
    this.room.pinned = this.room.lines.find((one) => one.id === id) ?? null;
    this.say("line.pinned", { line: this.room.pinned });
  }
  question(id, state) {
    const was = this.room.questions.find((one) => one.id === id);
    const one = was ? { ...was, state } : { id, person: "per_2", name: "Bo", text: "wool?", wall_ms: NOW_MS + this.sent.length, badge: "", at: null, state, by: "", answered_at: null };
    const others = this.room.questions.filter((other) => other.id !== id);
    this.room.questions = state === "dismissed" ? others : [...others, one].sort((a, b) => a.wall_ms - b.wall_ms);
    this.say("question.changed", { question: one });
  }
  slow(slow_s) {
    this.room.mode = { ...this.room.mode, slow_s };
    this.say("mode.changed", { mode: this.room.mode });
  }
  end() {
    this.live.show = show("ended");
    this.say("show.ended", { show: this.live.show });
  }
}

test("the replay law: a snapshot and the events after it are a fresh snapshot, wherever one joins", () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const roll = dice(seed);
    const server = new Server();
    const joined = [[0, server.snapshot()]];
    for (let step = 0; step < 60; step += 1) {
      const number = 1 + roll(3);
      const what = roll(9);
      if (what === 0) server.drop(number);
      else if (what === 1) server.withdraw(number);
      else if (what === 2) server.hold(`L${number}-${"SM"[roll(2)]}`);
      else if (what === 3) server.talk(`lin_${step}`);
      else if (what === 4 && server.room.lines.length) server.remove(server.room.lines[roll(server.room.lines.length)].id);
      else if (what === 5) server.slow(roll(3) * 10);
      else if (what === 6 && server.room.lines.length) server.pin(server.room.lines[roll(server.room.lines.length)].id);
      else if (what === 7) server.question(`q_${number}`, ["open", "claimed", "answered", "dismissed"][roll(4)]);
      else if (step === 59) server.end();
      if (roll(5) === 0) joined.push([server.sent.length, server.snapshot()]);
    }
    const fresh = applySnapshot(null, server.snapshot());
    assert.ok(joined.length > 3, "somebody joined midway");
    for (const [from, snapshot] of joined) assert.deepEqual(play(applySnapshot(null, snapshot), server.sent.slice(from)), fresh, `seed ${seed}, joined at ${from}`);
  }
});

test("stock news may overtake each other: each SKU keeps its own highest rev, in whatever order they come", () => {
  const news = [{ "A": { left: 5, rev: 1 } }, { "A": { left: 4, rev: 3 }, "B": { left: 1, rev: 2 } }, { "A": { left: 3, rev: 5 } }, { "B": { left: 0, rev: 4 } }];
  const last = { "A": { left: 3, rev: 5 }, "B": { left: 0, rev: 4 } };
  for (let seed = 1; seed <= 24; seed += 1) {
    const roll = dice(seed);
    const shuffled = [...news];
    for (let at = shuffled.length - 1; at > 0; at -= 1) {
      const other = roll(at + 1);
      [shuffled[at], shuffled[other]] = [shuffled[other], shuffled[at]];
    }
    assert.deepEqual(shuffled.reduce(newer, {}), last);
  }
});

test("the same news twice changes nothing", () => {
  const drop = { kind: "card.dropped", body: { card: card(1), stock: { "L1-S": { left: 2, rev: 7 } } } };
  const posted = { kind: "line.posted", body: { line: line("lin_1") } };
  const once = play(applySnapshot(null, welcome()), [drop, posted]);
  assert.deepEqual(play(once, [drop, posted]), once);
});

test("a bag told late does not take back what a newer one said", () => {
  const state = play(applySnapshot(null, welcome()), [{ kind: "cart.changed", body: { cart: cart([held("L1-S")], 4) } }]);
  assert.equal(applyEvent(state, { kind: "cart.changed", body: { cart: cart([], 3) } }), state);
  assert.equal(applyEvent(state, { kind: "cart.changed", body: { cart: cart([], 5) } }).live.cart.lines.length, 0);
});

test("a snapshot after a reset throws the old state away but keeps orders, which no snapshot tells again", () => {
  const paid = { order: "ord_1", number: "FR-1", status: "paid", token: "tok", total: eur(100) };
  const before = play(applySnapshot(null, welcome()), [
    { kind: "order.changed", body: paid },
    { kind: "line.posted", body: { line: line("lin_old") } },
    { kind: "stock.changed", body: { stock: { "L1-S": { left: 9, rev: 99 } } } },
  ]);
  const after = applySnapshot(before, welcome({ stock: { "L1-S": { left: 1, rev: 2 } } }));
  assert.deepEqual(after.orders, { tok: paid });
  assert.deepEqual(after.lines, []);
  assert.deepEqual(after.live.stock, { "L1-S": { left: 1, rev: 2 } }, "a new epoch counts its revs from the start");
});

test("cards stand in the order they were dropped, and a look dropped again moves to the end", () => {
  const drop = (number, dropped_ms) => ({ kind: "card.dropped", body: { card: card(number, { dropped_ms }), stock: {} } });
  const state = play(applySnapshot(null, welcome()), [drop(2, 20), drop(1, 30), drop(2, 40)]);
  assert.deepEqual(state.live.cards.map((one) => one.number), [1, 2]);
  assert.equal(pinned(state.live)?.number, 2);
});

test("a removed line is gone, a banned person's are gone together, and the page keeps no endless room", () => {
  let state = applySnapshot(null, welcome());
  for (let n = 0; n < LINES_KEPT + 5; n += 1) state = applyEvent(state, { kind: "line.posted", body: { line: line(`lin_${n}`) } });
  assert.equal(state.lines.length, LINES_KEPT);
  state = applyEvent(state, { kind: "line.removed", body: { line: "lin_100", by: "moderator" } });
  state = applyEvent(state, { kind: "lines.removed", body: { lines: ["lin_101", "lin_102"], by: "moderator" } });
  assert.ok(!state.lines.some((one) => ["lin_100", "lin_101", "lin_102"].includes(one.id)));
  assert.equal(state.lines.length, LINES_KEPT - 3);
});

test("somebody else's silence is not mine, and an unknown kind of a newer server changes nothing", () => {
  const state = applySnapshot(null, welcome());
  const silence = { until_ms: NOW_MS + 1000, reason: "", kind: "timeout" };
  assert.equal(applyEvent(state, { kind: "person.silenced", body: { person: "per_9", silence } }), state);
  assert.deepEqual(applyEvent(state, { kind: "person.silenced", body: { person: "per_1", silence } }).you.silenced, silence);
  assert.equal(applyEvent(state, { kind: "thing.invented", body: {} }), state);
});

test("no event changes the state it was given: who compares parts must see a new object", () => {
  const freeze = (value) => {
    if (value && typeof value === "object" && !Object.isFrozen(value)) for (const part of Object.values(Object.freeze(value))) freeze(part);
    return value;
  };
  const server = new Server();
  const state = freeze(applySnapshot(null, server.snapshot()));
  for (const step of [() => server.drop(1), () => server.hold("L1-S"), () => server.talk("lin_1"), () => server.remove("lin_1"), () => server.withdraw(1), () => server.slow(5), () => server.end()]) step();
  let now = state;
  for (const event of server.sent) now = freeze(applyEvent(now, event));
  assert.notEqual(now, state);
});
