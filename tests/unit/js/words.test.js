import assert from "node:assert/strict";
import { test } from "node:test";
import * as words from "../../../static/js/models/words.js";
import { NOW_MS } from "./made.js";

test("money is told in its own currency's digits", () => {
  assert.equal(words.money({ minor: 12_900, currency: "EUR" }), "€129.00");
  assert.equal(words.money({ minor: 12_900, currency: "JPY" }).replace(/\s/g, ""), "¥12,900");
  assert.equal(words.money({ minor: 1_234, currency: "KWD" }).replace(/\s/g, ""), "KWD1.234");
  assert.equal(words.money(null), "");
});

test("stock names the size, also when it is gone", () => {
  assert.equal(words.stock(3, "M"), "3 left in M");
  assert.equal(words.stock(0, "M"), "Sold out in M");
  assert.equal(words.stock(-1, ""), "Sold out");
  assert.equal(words.stock(3, "One size"), "3 left");
  assert.equal(words.stock(3, "M", "Plum"), "3 left in M, Plum");
  assert.equal(words.stock(0, "One size", "Plum"), "Sold out in Plum");
});

test("every refusal of the server has words that say what to do, none a code", () => {
  const codes = ["sold_out", "over_limit", "not_live", "hold_lapsed", "empty_bag", "price_changed", "slow_mode", "throttled", "blocked", "forbidden", "sign_in_needed", "not_found", "wrong_state", "conflict", "idempotency_mismatch", "payment_declined", "store_down", "overloaded", "invalid", "offline", "no_answer", "never_heard_of"];
  for (const code of codes) {
    const said = words.refused({ code, facts: { limit: 2, retry_after_ms: 1_500, field: "text" } });
    assert.match(said, /^[A-Z].*[.]$/, code);
    assert.doesNotMatch(said, /undefined|NaN|_/, code);
  }
  assert.equal(words.refused({ code: "slow_mode", facts: { retry_after_ms: 4_200 } }), "The room is in slow mode. Again in 5 s.");
  const why = "anybody may have an address under co.uk: allow the very one that you mean";
  assert.equal(words.refused({ code: "invalid", facts: { field: "term", why } }), `That term is not kept: ${why}.`);
  assert.equal(words.refused({}), "That did not work. Try again.");
});

test("a silence says until when in the nearest words, a ban that it has no end", () => {
  const timeout = (ms, reason = "") => words.silenced({ until_ms: NOW_MS + ms, reason, kind: "timeout" }, NOW_MS);
  assert.equal(timeout(9_100), "You can post again in 10 s.");
  assert.match(timeout(600_000), /^You can post again at \d\d:\d\d\.$/);
  assert.match(timeout(3 * 86_400_000, "Kindness"), /^You can post again .+ at \d\d:\d\d\. Reason: Kindness$/);
  assert.equal(words.silenced({ until_ms: 253_402_300_799_000, reason: "", kind: "ban" }, NOW_MS), "You are banned from this room’s chat until a moderator lifts it. The show and the shop stay open to you.");
});

test("each way a payment can end has a title and words of its own", () => {
  const ends = ["declined", "insufficient_funds", "authentication_failed", "abandoned", "timeout", "refunded", "cancelled"].map(words.outcome);
  assert.equal(new Set(ends.map((one) => one.title)).size, ends.length);
  assert.deepEqual(words.outcome("never heard of"), words.outcome("declined"));
});

test("what is typed before an act that nothing undoes is the name itself, however it is spaced", () => {
  assert.ok(words.isTyped(" ines  ALBRECHT ", "Ines Albrecht"));
  assert.ok(words.isTyped("The\u0301o", "Th\u00e9o"), "an accent typed by itself");
  assert.ok(!words.isTyped("Ines", "Ines Albrecht"));
  assert.ok(!words.isTyped("", "Ines"));
  assert.ok(!words.isTyped("", ""), "nothing is asked for by nothing");
});
