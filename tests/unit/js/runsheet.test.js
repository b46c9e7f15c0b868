import assert from "node:assert/strict";
import { test } from "node:test";
import { coloursLeft } from "../../../static/js/models/runsheet.js";

const variant = (sku, size, colour) => ({ sku, size, colour });
const said = (row, stock) => coloursLeft(row, stock).map(({ colour, sizes }) => [colour, ...sizes.map((one) => `${one.label} ${one.left}`)]);

test("what is left stands by colour, in the order of the catalogue", () => {
  const row = { pieces: [{ variants: [variant("a", "S", "Ink"), variant("b", "S", "Bone"), variant("c", "M", "Ink")] }] };
  assert.deepEqual(said(row, { a: { left: 2 }, c: { left: 0 } }), [
    ["Ink", "S 2", "M 0"],
    ["Bone", "S 0"],
  ]);
});

test("the only colour of a piece is not named, and two pieces of one colour stay apart", () => {
  const row = { pieces: [{ variants: [variant("a", "S", "Ink")] }, { variants: [variant("b", "", "Ink")] }] };
  assert.deepEqual(said(row, { a: { left: 1 }, b: { left: 3 } }), [
    ["", "S 1"],
    ["", "One size 3"],
  ]);
  const keys = coloursLeft(row, {}).map((one) => one.key);
  assert.equal(new Set(keys).size, 2);
});
