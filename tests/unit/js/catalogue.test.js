import { test } from "node:test";
import assert from "node:assert/strict";
import { changes, minor, refusedWords, stateWords, units } from "../../../static/js/models/catalogue.js";

const one = { id: "imp_1", name: "a.tsv", state: "checked", actor: "", why: "", percent: 100, new: 2, changed: 1, same: 5, rejected: 0, created_ms: 0, ended_ms: null };

test("an amount is read as people type it, and to the minor unit", () => {
  assert.equal(minor("129", 2), 12900);
  assert.equal(minor(" 99,50 ", 2), 9950);
  assert.equal(minor("0.1", 2), 10);
  assert.equal(minor("1.250", 3), 1250);
  assert.equal(minor("100.00", 0), 100);
  for (const text of ["", "1.999", "1,2,3", "-1", "1e3", "12a", "1.5.0"]) assert.equal(minor(text, 2), null, text);
  assert.equal(minor("1.5", 0), null, "a yen has no parts");
  for (const places of [0, 2, 3]) assert.equal(minor("1,000", places), null, "it may be a thousand");
  for (const places of [0, 2]) assert.equal(minor("1.000", places), null, "so may this");
  assert.equal(minor("0,500", 3), 500);
});

test("units are more or fewer, never none", () => {
  assert.equal(units("+5"), 5);
  assert.equal(units("−1"), -1);
  assert.equal(units("3"), 3);
  for (const text of ["0", "", "x", "1.5", "9999999"]) assert.equal(units(text), null, text);
});

test("an import says where it is and what it does", () => {
  assert.equal(changes(one), 3);
  assert.match(stateWords(one), /3 rows would/);
  assert.match(stateWords({ ...one, new: 0, changed: 0 }), /here already/);
  assert.match(stateWords({ ...one, new: 0, changed: 0, rejected: 4 }), /No row that can be taken/);
  assert.match(stateWords({ ...one, state: "importing", percent: 40 }), /40 %/);
  assert.match(stateWords({ ...one, state: "failed", why: "Its file is gone." }), /Its file is gone/);
});

test("a refusal is a sentence that says what to do", () => {
  const refusal = (code, facts = {}, status = 409) => refusedWords({ code, facts, status });
  assert.match(refusal("conflict", { why: "import_under_way", name: "b.tsv", by: "Kim" }), /b\.tsv is being brought in by Kim/);
  assert.match(refusal("invalid", { field: "picture", why: "moves: choose one that stands still" }), /^The picture moves/);
  assert.match(refusal("invalid", { field: "sale.minor", why: "is not below the price" }), /^The sale price is not below the price\.$/);
  assert.match(refusal("store_down", { store: "disk" }, 503), /disk is full/);
  assert.match(refusal("anything else"), /Try again/);
});
