import assert from "node:assert/strict";
import { test } from "node:test";
import { SHOWN_MS, applyGame, onStage, shares, take } from "../../../static/js/models/games.js";
import { NOW_MS } from "./made.js";

const poll = (more = {}) => ({ game: "poll", id: "ply_1", question: "?", choices: ["a", "b", "c"], closes_ms: NOW_MS + 60_000, closed: false, counts: [0, 0, 0], mine: null, ...more });
const opened = { kind: "poll.opened", body: { poll: poll() } };

test("a count that straggles in after the close does not change the result", () => {
  let games = applyGame([], opened);
  games = applyGame(games, { kind: "poll.closed", body: { poll: poll({ closed: true, counts: [3, 1, 0] }) } });
  games = applyGame(games, { kind: "poll.counted", body: { poll: "ply_1", counts: [2, 1, 0] } });
  games = applyGame(games, opened);
  assert.deepEqual([games[0].closed, games[0].counts], [true, [3, 1, 0]]);
});

test("my own vote outlives public news that does not know of it, the first choice too", () => {
  for (const mine of [0, 2]) {
    const games = applyGame(take(applyGame([], opened), "ply_1", mine), { kind: "poll.closed", body: { poll: poll({ closed: true }) } });
    assert.equal(games[0].mine, mine);
  }
});

test("the open game is on stage, then the one that just closed, then none", () => {
  const closed = poll({ id: "ply_0", closed: true, closes_ms: NOW_MS - 1_000 });
  assert.equal(onStage([poll(), closed], NOW_MS)?.id, "ply_1");
  assert.equal(onStage([closed], NOW_MS)?.id, "ply_0");
  assert.equal(onStage([closed], NOW_MS + SHOWN_MS), null);
  assert.equal(onStage([], NOW_MS), null);
});

test("shares are whole and add up to a hundred, or are all nought", () => {
  assert.deepEqual(shares([1, 1, 1]), [34, 33, 33]);
  assert.deepEqual(shares([0, 0]), [0, 0]);
  for (const counts of [[1, 2, 4], [7, 7, 1, 1], [999, 1]]) assert.equal(shares(counts).reduce((sum, share) => sum + share), 100);
});
