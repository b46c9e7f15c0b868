import assert from "node:assert/strict";
import { test } from "node:test";
import { advance, fromSnapshot, hear, nextAt } from "../../../static/js/models/cues.js";
import { applyEvent, applySnapshot } from "../../../static/js/models/show.js";
import { card, dice, welcome } from "./made.js";

const drop = (number, at = number * 1000, dropped_ms = at) => ({ kind: "card.dropped", at, body: { card: { ...card(number, { dropped_ms }), at }, stock: {} } });
const withdraw = (number, at, pinned = null) => ({ kind: "card.withdrawn", at, body: { look: `look_${number}`, pinned } });
const none = { cards: [], pinned: null, waiting: [] };
const shown = (cues) => [cues.cards.map((one) => one.number), cues.pinned];

test("a live picture, and a page without one, are told at once", () => {
  const cues = hear(none, drop(1), null);
  assert.deepEqual(shown(cues), [[1], "look_1"]);
  assert.deepEqual(cues.waiting, []);
});

test("a late picture shows a card when it is there, not before, and takes it away as late", () => {
  let cues = hear(none, drop(1, 5_000), 2_000);
  cues = hear(cues, withdraw(1, 6_000), 2_100);
  assert.deepEqual(shown(cues), [[], null]);
  assert.equal(nextAt(cues), 5_000);
  assert.equal(advance(cues, 4_999), cues, "nothing due: the same object");
  cues = advance(cues, 5_000);
  assert.deepEqual(shown(cues), [[1], "look_1"]);
  assert.deepEqual(shown(advance(cues, 6_000)), [[], null]);
});

test("falling over to a later picture takes no card back and shows none twice", () => {
  let cues = hear(none, drop(1, 5_000), null);
  cues = hear(cues, drop(2, 6_000), 3_000); // the tail is 3 s behind
  assert.deepEqual(shown(cues), [[1], "look_1"]);
  cues = hear(cues, drop(3, 6_500), null); // back on WebRTC: all that waits comes, in order
  assert.deepEqual(shown(cues), [[1, 2, 3], "look_3"]);
  assert.equal(nextAt(cues), null);
});

test("a snapshot in the middle of a late picture keeps what is shown and lets the rest wait", () => {
  const before = hear(none, drop(1, 1_000), 1_000);
  const told = { cards: [drop(1, 1_000).body.card, drop(2, 2_000).body.card, drop(3, 9_000).body.card], pinned: "look_3" };
  const cues = fromSnapshot(told, 3_000, before);
  assert.deepEqual(shown(cues), [[1, 2], "look_1"]);
  assert.deepEqual(shown(advance(cues, 9_000)), [[1, 2, 3], "look_3"]);
  assert.deepEqual(shown(fromSnapshot(told, null)), [[1, 2, 3], "look_3"]);
  const taken = fromSnapshot({ ...told, pinned: null }, 3_000);
  assert.deepEqual(shown(taken), [[1, 2], "look_2"]);
  assert.deepEqual(shown(advance(taken, 9_000)), [[1, 2, 3], null]);
});

test("a card whose moment is absurdly far off is not kept from anybody", () => {
  assert.deepEqual(shown(hear(none, drop(1, 90_000), 1_000, 30_000)), [[1], "look_1"]);
  assert.deepEqual(shown(hear(none, drop(1, 90_000), 1_000)), [[], null], "a replay waits as long as it takes");
});

test("whatever happens and however late: in the end the page shows what the room's state says", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const throws = dice(seed);
    let state = applySnapshot(null, welcome());
    let cues = fromSnapshot(state.live, null);
    let at = 0;
    for (let step = 0; step < 40; step += 1) {
      at += throws(800);
      const late = [null, at - throws(5_000)][throws(2)];
      const number = 1 + throws(4);
      const up = state.live.cards.filter((one) => one.number !== number).at(-1)?.look ?? null;
      const event = throws(3) ? drop(number, at) : withdraw(number, at, up);
      const turn = throws(8);
      if (turn === 0) cues = fromSnapshot(state.live, late, cues);
      else if (turn === 1) cues = advance(cues, late);
      else {
        state = applyEvent(state, event);
        cues = hear(cues, event, late);
      }
      if (turn === 1 && late !== null) assert.ok(!cues.waiting.length || cues.waiting[0].at > late, `seed ${seed}: overdue`);
      assert.equal(new Set(cues.cards.map((one) => one.look)).size, cues.cards.length, `seed ${seed}: a look twice`);
    }
    const { cards, pinned } = advance(cues, at);
    assert.deepEqual({ cards, pinned }, { cards: state.live.cards, pinned: state.live.pinned }, `seed ${seed}`);
  }
});

test("a card that changes says so where it is shown and where it still waits", () => {
  const out = { look: "a", number: 1, title: "", pieces: [], at: 100, dropped_ms: 1 };
  const late = { ...out, look: "b", at: 900, dropped_ms: 2 };
  const cues = fromSnapshot({ cards: [out, late], pinned: "b" }, 500);
  assert.deepEqual(cues.cards, [out], "the premise: one is shown, one waits");
  const news = (card) => ({ kind: "card.changed", body: { card: { ...card, title: "new" }, stock: {} } });
  const both = hear(hear(cues, news(out), 500), news(late), 500);
  assert.equal(both.cards[0].title, "new");
  assert.equal(both.waiting.length, cues.waiting.length, "it does not come early");
  assert.equal(advance(both, 900).cards[1].title, "new");
});
