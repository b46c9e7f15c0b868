import assert from "node:assert/strict";
import { test } from "node:test";
import { lay, length, lengthOf, pieceAt, reelOf, upAt } from "../../../static/js/models/replay.js";

const file = (starts_at_ms, duration_ms) => ({ url: `/${starts_at_ms}`, type: "video/mp4", starts_at_ms, duration_ms });
const pieces = lay([file(60_000, 30_000), file(500, 50_000)]);

test("several recordings are one film, in the order of the show", () => {
  assert.deepEqual(pieces.map((piece) => [piece.url, piece.from_ms, piece.to_ms]), [["/500", 0, 50_000], ["/60000", 50_000, 80_000]]);
  assert.equal(lengthOf(pieces), 80_000);
  assert.equal(lengthOf(lay([])), 0);
});

test("a moment of the film is in one piece, the ends too", () => {
  assert.deepEqual(pieceAt(pieces, 0), { index: 0, offset_ms: 0 });
  assert.deepEqual(pieceAt(pieces, 49_999), { index: 0, offset_ms: 49_999 });
  assert.deepEqual(pieceAt(pieces, 50_000), { index: 1, offset_ms: 0 });
  assert.deepEqual(pieceAt(pieces, 999_999), { index: 1, offset_ms: 30_000 });
  assert.deepEqual(pieceAt(pieces, -5), { index: 0, offset_ms: 0 });
});

test("a moment of the show that nobody recorded is where the film goes on", () => {
  assert.equal(reelOf(pieces, 0), 0);
  assert.equal(reelOf(pieces, 10_500), 10_000);
  assert.equal(reelOf(pieces, 55_000), 50_000);
  assert.equal(reelOf(pieces, 61_000), 51_000);
  assert.equal(reelOf(pieces, 500_000), 80_000);
});

test("there and back again is the same moment", () => {
  for (let reel = 0; reel < 80_000; reel += 777) {
    const { index, offset_ms } = pieceAt(pieces, reel);
    assert.equal(reelOf(pieces, pieces[index].starts_at_ms + offset_ms), reel);
  }
});

test("the card that was up is the last that came out", () => {
  const chapters = [{ look: "a", number: 1, title: "A", at: 1000 }, { look: "b", number: 2, title: "B", at: 2000 }];
  assert.equal(upAt(chapters, 999), null);
  assert.equal(upAt(chapters, 1000)?.look, "a");
  assert.equal(upAt(chapters, 1999)?.look, "a");
  assert.equal(upAt(chapters, 90_000)?.look, "b");
});

test("a length is read as on any player", () => {
  assert.deepEqual([0, 999, 61_000, 600_000, 3_723_000, -5].map(length), ["0:00", "0:00", "1:01", "10:00", "1:02:03", "0:00"]);
});
