import assert from "node:assert/strict";
import { test } from "node:test";
import { waiting } from "../../../static/js/models/queue.js";

const one = (id) => ({ id, kind: "line", why: "term", person: "per_2", name: "Bo", text: id, wall_ms: 1, line: null, reports: 0, claimed_by: "", claimed_until_ms: 0 });
const ids = (shown) => shown.map(({ case: { id }, outcome }) => (outcome ? `${id}:${outcome}` : id));

test("what another moderator decided stays in its place while somebody reads, and goes once nobody does", () => {
  const shown = waiting([], [one("a"), one("b"), one("c")], new Map(), false);
  const busy = waiting(shown, [one("a"), one("c"), one("d")], new Map([["b", "approved by Flo"]]), true);
  assert.deepEqual(ids(busy), ["a", "b:approved by Flo", "c", "d"]);
  assert.deepEqual(ids(waiting(busy, [one("a"), one("c"), one("d")], new Map(), false)), ["a", "c", "d"]);
});

test("a case that changed is the new one, where it was", () => {
  const shown = waiting([], [one("a"), one("b")], new Map(), false);
  const claimed = { ...one("a"), claimed_by: "Flo" };
  const after = waiting(shown, [claimed, one("b")], new Map(), true);
  assert.deepEqual(ids(after), ["a", "b"]);
  assert.equal(after[0].case.claimed_by, "Flo");
});
