import assert from "node:assert/strict";
import { test } from "node:test";
import { relayOf } from "../../../static/js/connection.js";
import { Pauses, retryAfterMs } from "../../../static/js/pauses.js";

test("pauses double up to their longest, and begin anew after a success", () => {
  const pauses = new Pauses(250, 1_500);
  assert.deepEqual([pauses.next(), pauses.next(), pauses.next(), pauses.next(), pauses.next()], [250, 500, 1_000, 1_500, 1_500]);
  pauses.reset();
  assert.equal(pauses.next(), 250);
});

test("Retry-After is read as seconds or as a date, never for ever and never back in time", () => {
  assert.equal(retryAfterMs("2"), 2_000);
  assert.equal(retryAfterMs("86400"), 60_000);
  assert.equal(retryAfterMs("Mon, 01 Jan 2001 00:00:00 GMT"), 0);
  assert.equal(retryAfterMs("soon"), undefined);
  assert.equal(retryAfterMs(null), undefined);
});

test("a session's address names its relay, whatever its id holds", () => {
  assert.equal(relayOf("http://shop.test/whep/aw26/relay_1.x-Y_z"), "relay_1");
  assert.equal(relayOf("/whip/aw26/relay.of.paris.id"), "relay.of.paris");
  assert.equal(relayOf("/whep/aw26/id"), "");
  assert.equal(relayOf(""), "");
});
