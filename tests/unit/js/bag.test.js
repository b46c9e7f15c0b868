import assert from "node:assert/strict";
import { test } from "node:test";
import * as bag from "../../../static/js/models/bag.js";
import { NOW_MS, cart, held } from "./made.js";

const none = new Set();

test("a hold whose time is over counts as lapsed before the server says so", () => {
  const line = held("A", { until_ms: NOW_MS });
  assert.equal(bag.stateOf(line, NOW_MS - 1), "held");
  assert.equal(bag.stateOf(line, NOW_MS), "lapsed");
  assert.equal(bag.heldLine(cart([line]), "A", NOW_MS), null);
});

test("a line that is being paid for does not lapse under its buyer", () => {
  const line = held("A", { state: "paying", until_ms: NOW_MS - 1 });
  assert.equal(bag.stateOf(line, NOW_MS), "paying");
  assert.equal(bag.count(cart([line]), none, NOW_MS), 1);
});

test("what lapsed or is on its way out is neither counted nor paid for", () => {
  const full = cart([held("A", { qty: 2, minor: 1_000 }), held("B", { minor: 500 }), held("C", { until_ms: NOW_MS - 1 })]);
  assert.equal(bag.count(full, none, NOW_MS), 3);
  assert.deepEqual(bag.total(full, none, NOW_MS), { minor: 2_500, currency: "EUR" });
  assert.equal(bag.count(full, new Set(["A"]), NOW_MS), 1);
  assert.deepEqual(bag.total(full, new Set(["A", "B"]), NOW_MS), { minor: 0, currency: "EUR" });
});

test("the ring is full at the start, empty at the end and never beyond either", () => {
  const line = held("A", { until_ms: NOW_MS + 300_000 });
  assert.equal(bag.share(line, NOW_MS, 300), 100);
  assert.equal(bag.share(line, NOW_MS + 150_000, 300), 50);
  assert.equal(bag.share(line, NOW_MS + 900_000, 300), 0);
  assert.equal(bag.share(line, NOW_MS - 60_000, 300), 100, "paying lengthens a hold");
});

test("what was waited for and is held now was offered; what was merely held, or only left the queue, was not", () => {
  const before = cart([held("A")], 1, [{ sku: "B", ahead: 0 }, { sku: "C", ahead: 2 }, { sku: "D", ahead: 1 }]);
  const after = cart([held("A"), held("B")], 2, [{ sku: "C", ahead: 1 }]);
  assert.deepEqual(bag.offered(before, after).map((line) => line.sku), ["B"]);
  assert.deepEqual(bag.placeOf(after, "C"), { sku: "C", ahead: 1 });
  assert.equal(bag.placeOf(after, "D"), null);
});
