import assert from "node:assert/strict";
import { test } from "node:test";
import { AT_ONCE, ahead, buttonWords, phase, spoken, stand, terms } from "../../../static/js/models/drop.js";
import { fromSnapshot, hear } from "../../../static/js/models/cues.js";
import { applyEvent, applySnapshot } from "../../../static/js/models/show.js";
import { refused } from "../../../static/js/models/words.js";
import { NOW_MS, card, live, welcome } from "./made.js";

const drop = (more = {}) => ({ ...AT_ONCE, ...more });
const hot = (more = {}) => drop({ hot: true, opens_ms: NOW_MS, ...more });
const place = (state, more = {}) => ({ look: "look_1", state, ahead: 0, gone: 0, until_ms: 0, ...more });

test("a drop is soon, open and closed by the clock alone, to the millisecond", () => {
  const one = drop({ opens_ms: NOW_MS, closes_ms: NOW_MS + 1000 });
  assert.deepEqual([-1, 0, 999, 1000].map((ms) => phase(one, NOW_MS + ms)), ["soon", "open", "open", "closed"]);
  assert.equal(phase(drop(), NOW_MS), "open");
  assert.equal(phase(drop({ opens_ms: NOW_MS + 5000, closes_ms: NOW_MS }), NOW_MS), "closed", "closed while it counted down");
});

test("where a buyer stands for a hot drop is what she was told, against the clock", () => {
  const before = NOW_MS - 9000;
  assert.equal(stand(hot(), undefined, undefined, before).kind, "join");
  assert.equal(stand(hot(), place("lobby"), undefined, before).kind, "lobby");
  assert.equal(stand(hot(), place("lobby"), undefined, NOW_MS).kind, "drawing");
  assert.equal(stand(hot(), place("line", { ahead: 3 }), undefined, NOW_MS).ahead, 3);
  assert.equal(stand(hot(), place("turn", { until_ms: NOW_MS + 1 }), undefined, NOW_MS).kind, "turn");
  assert.equal(stand(hot(), place("turn", { until_ms: NOW_MS }), undefined, NOW_MS).kind, "queue", "her turn is over");
  assert.equal(stand(hot({ closes_ms: NOW_MS }), place("turn", { until_ms: NOW_MS + 9 }), undefined, NOW_MS).kind, "closed");
  assert.equal(stand(drop(), undefined, undefined, NOW_MS).kind, "open");
});

test("a place moves up with what everybody is told, and never below the head", () => {
  const mine = place("line", { ahead: 10, gone: 5 });
  assert.equal(ahead(mine, undefined), 10);
  assert.equal(ahead(mine, { gone: 9, waiting: 20 }), 6);
  assert.equal(ahead(mine, { gone: 4, waiting: 20 }), 10, "older news does not move her back");
  assert.equal(ahead(mine, { gone: 99, waiting: 1 }), 0);
});

test("a voice hears each change once, and no counting", () => {
  let before = null;
  const heard = [];
  for (let ms = -12_000; ms <= 0; ms += 1000) {
    const now = stand(drop({ opens_ms: NOW_MS }), undefined, undefined, NOW_MS + ms);
    heard.push(spoken(now, before, "Look 1"));
    before = now;
  }
  assert.deepEqual(heard.filter(Boolean), ["Look 1 opens in 12 seconds", "Look 1 is open"]);
  const line = (n) => ({ kind: "line", left_ms: 0, ahead: n });
  assert.equal(spoken(line(57), line(58), "Look 1"), "");
  assert.equal(spoken(line(59), line(60), "Look 1"), "Look 1: 59 ahead of you");
  assert.equal(spoken(line(0), line(1), "Look 1"), "Look 1: You are next");
  assert.match(spoken({ kind: "turn", left_ms: 60_000, ahead: 0 }, line(0), "Look 1"), /your turn.*60 seconds/);
});

test("the button says what a press does, or why it does nothing", () => {
  assert.equal(buttonWords({ kind: "soon", left_ms: 8_200, ahead: 0 }), "Opens in 0:09");
  assert.equal(buttonWords({ kind: "line", left_ms: 0, ahead: 1_284 }), "1,284 ahead of you");
  assert.equal(terms(drop({ limit: 1, closes_ms: NOW_MS + 60_000 }), NOW_MS), "One a person · Closes in 1:00");
  assert.equal(terms(drop(), NOW_MS), "");
});

test("news of a drop and of a place change just these", () => {
  const state = applySnapshot(null, welcome({ cards: [card(1), card(2)], pinned: "look_2" }));
  const closed = applyEvent(state, { kind: "drop.changed", body: { look: "look_1", drop: drop({ closes_ms: NOW_MS }) } });
  assert.equal(closed.live.cards[0].drop.closes_ms, NOW_MS);
  assert.equal(closed.live.cards[1], state.live.cards[1]);
  const placed = applyEvent(closed, { kind: "place.changed", body: { place: place("lobby") } });
  const moved = applyEvent(placed, { kind: "place.changed", body: { place: place("line") } });
  assert.deepEqual(moved.live.places, [place("line")]);
  assert.deepEqual(applyEvent(moved, { kind: "queue.moved", body: { lines: { look_1: { gone: 1, waiting: 2 } } } }).queues, { look_1: { gone: 1, waiting: 2 } });
});

test("a drop that is closed is closed also on a card that waits for its picture", () => {
  const cues = fromSnapshot(live({ cards: [card(1), card(2)], pinned: "look_2" }), 1500);
  assert.deepEqual(cues.cards.map((one) => one.look), ["look_1"], "the premise: the second waits");
  const after = hear(cues, { kind: "drop.changed", body: { look: "look_2", drop: drop({ closes_ms: NOW_MS }) } }, 1500);
  const shown = hear(after, { kind: "drop.changed", body: { look: "look_1", drop: drop({ closes_ms: NOW_MS }) } }, 2000);
  assert.deepEqual(hear(shown, { kind: "card.withdrawn", at: 2000, body: { look: "x", pinned: "look_2" } }, 2000).cards.map((one) => one.drop.closes_ms), [NOW_MS, NOW_MS]);
});

test("a cap says which it was", () => {
  const said = ["piece", "product", "drop", "device", "waits"].map((cap) => refused({ code: "over_limit", facts: { limit: 1, cap } }));
  assert.equal(new Set(said).size, 5);
});
