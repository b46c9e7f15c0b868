import assert from "node:assert/strict";
import { test } from "node:test";
import { KEPT, follow } from "../../../static/js/models/lines.js";
import { NOW_MS, line } from "./made.js";

const at = (n) => line(`lin_${n}`, { wall_ms: NOW_MS + n });
const ids = (seen) => seen.map((one) => `${one.line.id}${one.removed ? "-" : ""}`);

test("a line that the room no longer has stays on the moderator's page, struck out", () => {
  const before = follow([], [at(1), at(2), at(3)], new Map());
  assert.deepEqual(ids(follow(before, [at(1), at(3)], new Map())), ["lin_1", "lin_2-", "lin_3"]);
});

test("what only scrolled out of the room's window was not removed by anyone", () => {
  const before = follow([], [at(1), at(2)], new Map());
  assert.deepEqual(ids(follow(before, [at(2), at(3)], new Map())), ["lin_1", "lin_2", "lin_3"]);
  assert.deepEqual(ids(follow(before, [at(2), at(3)], new Map([["lin_1", "deleted"]]))), ["lin_1-", "lin_2", "lin_3"], "unless this moderator did");
});

test("a removed line does not come back, and the page keeps the newest lines only", () => {
  let seen = follow([], [at(1)], new Map());
  seen = follow(seen, [at(2)], new Map([["lin_1", "deleted"]]));
  seen = follow(seen, [at(1), at(2)], new Map());
  assert.deepEqual(ids(seen), ["lin_1-", "lin_2"]);
  for (let n = 3; n < KEPT + 10; n += 1) seen = follow(seen, [at(n)], new Map());
  assert.equal(seen.length, KEPT);
});
