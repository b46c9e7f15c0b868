import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerClock, parts, timer } from "../../../static/js/models/clock.js";
import { NOW_MS } from "./made.js";

test("a device whose date is wrong shows the server's time", () => {
  let local = 5_000;
  const clock = new ServerClock(() => local);
  clock.sync(NOW_MS);
  local += 250;
  assert.equal(clock.now(), NOW_MS + 250);
  clock.sync(NOW_MS + 1_000);
  assert.equal(clock.now(), NOW_MS + 1_000);
});

test("a timer counts to the end of its last second and never below nought", () => {
  assert.equal(timer(300_000), "5:00");
  assert.equal(timer(299_001), "5:00");
  assert.equal(timer(1), "0:01");
  assert.equal(timer(0), "0:00");
  assert.equal(timer(-5_000), "0:00");
  assert.equal(timer(3_899_000), "1:04:59");
});

test("a countdown's parts carry over", () => {
  assert.deepEqual(parts(90_061_000), { days: 1, hours: 1, minutes: 1, seconds: 1 });
  assert.deepEqual(parts(-1), { days: 0, hours: 0, minutes: 0, seconds: 0 });
});
