import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, coloursOf, left, sizesOf } from "../../../static/js/models/choice.js";
import { card, piece, variant } from "./made.js";

const coat = piece("coat", [
  variant("BLK-S", { size: "S", colour: "Black" }), variant("BLK-M", { size: "M", colour: "Black" }),
  variant("RED-S", { size: "S", colour: "Red" }), variant("RED-M", { size: "M", colour: "Red" }),
]);
const hat = piece("hat", [variant("HAT", { size: "", colour: "Black" })]);
const look = { ...card(1), pieces: [coat, hat] };
const stock = (levels) => Object.fromEntries(Object.entries(levels).map(([sku, units]) => [sku, { left: units, rev: 1 }]));
const all = stock({ "BLK-S": 2, "BLK-M": 2, "RED-S": 2, "RED-M": 2, HAT: 1 });

test("before anyone chooses it is the first piece, its first colour and the first size that can be had", () => {
  assert.deepEqual(choose(look, all), { product: "coat", colour: "Black", sku: "BLK-S" });
  assert.deepEqual(choose(look, stock({ "BLK-S": 0, "BLK-M": 1 })), { product: "coat", colour: "Black", sku: "BLK-M" });
  assert.deepEqual(choose(look, stock({ "RED-M": 1 })), { product: "coat", colour: "Red", sku: "RED-M" });
});

test("a size that was chosen stays chosen when it sells out: the card says so and does not jump", () => {
  assert.equal(choose(look, stock({ "BLK-S": 0, "BLK-M": 1 }), { product: "coat", colour: "Black", sku: "BLK-S" }).sku, "BLK-S");
});

test("another colour keeps the size, and another piece starts anew", () => {
  assert.equal(choose(look, all, { product: "coat", colour: "Red", sku: "BLK-M" }).sku, "RED-M");
  assert.deepEqual(choose(look, all, { product: "hat" }), { product: "hat", colour: "Black", sku: "HAT" });
});

test("a choice of another look, or a look without a piece, breaks nothing", () => {
  assert.equal(choose(look, all, { product: "gone", colour: "Green", sku: "NONE" }).sku, "BLK-S");
  assert.deepEqual(choose({ ...look, pieces: [] }, all), { product: "", colour: "", sku: "" });
});

test("a SKU that nobody told of has none left, and sizes belong to their colour", () => {
  assert.equal(left({}, "BLK-S"), 0);
  assert.deepEqual(coloursOf(coat), ["Black", "Red"]);
  assert.deepEqual(sizesOf(coat, "Red").map((one) => one.sku), ["RED-S", "RED-M"]);
});
