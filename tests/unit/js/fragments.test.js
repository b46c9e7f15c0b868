import assert from "node:assert/strict";
import { test } from "node:test";
import { beginsAt, clocksOf } from "../../../static/js/models/fragments.js";

const u32 = (...numbers) => numbers.flatMap((one) => [(one >>> 24) & 255, (one >>> 16) & 255, (one >>> 8) & 255, one & 255]);
const box = (kind, ...body) => {
  const inside = body.flat();
  return [...u32(inside.length + 8), ...[...kind].map((letter) => letter.charCodeAt(0)), ...inside];
};
const track = (id, clock, wide) => box("trak", box("tkhd", wide ? [1, 0, 0, 0, ...u32(0, 0, 0, 0, id)] : [0, 0, 0, 0, ...u32(0, 0, id)]), box("mdia", box("mdhd", wide ? [1, 0, 0, 0, ...u32(0, 0, 0, 0, clock)] : [0, 0, 0, 0, ...u32(0, 0, clock)])));
const fragment = (...trafs) => box("moof", box("mfhd", u32(0, 1)), ...trafs.map(([id, high, low]) => box("traf", box("tfhd", u32(0, id)), high === null ? box("tfdt", u32(0, low)) : box("tfdt", [1, 0, 0, 0, ...u32(high, low)]))));

test("each track's clock is read from either version of the boxes", () => {
  const init = new Uint8Array([...box("ftyp", u32(0, 0)), ...box("moov", track(1, 90_000, false), track(2, 48_000, true))]);
  assert.deepEqual([...clocksOf(init)], [[1, 90_000], [2, 48_000]]);
});

test("a fragment begins with whichever track begins first", () => {
  const clocks = new Map([[1, 90_000], [2, 48_000]]);
  const bytes = new Uint8Array([...fragment([1, null, 180_000], [2, null, 94_000]), ...box("mdat", u32(0)), ...fragment([1, null, 183_000])]);
  assert.equal(beginsAt(bytes, clocks), 94_000 / 48_000);
  assert.equal(beginsAt(new Uint8Array(fragment([1, 2, 0])), clocks), (2 * 2 ** 32) / 90_000);
});

test("what is cut short or foreign tells no time and breaks nothing", () => {
  const bytes = new Uint8Array(fragment([1, null, 90_000]));
  assert.equal(beginsAt(bytes.subarray(0, 20), new Map([[1, 90_000]])), null);
  assert.equal(beginsAt(bytes, new Map([[7, 90_000]])), null);
  assert.equal(beginsAt(new Uint8Array([0, 0, 0, 2, 1, 2, 3, 4, 5]), new Map()), null);
});
