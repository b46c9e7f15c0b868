import assert from "node:assert/strict";
import { test } from "node:test";
import { figures } from "../../../static/js/models/figures.js";

const near = { way: "WebRTC", state: "live", framesDecoded: 900, framesDropped: 2, fps: 29.97, width: 1280, height: 720, kbps: 2480, lost: 1, lossPercent: 0.12, nacks: 3, jitterMs: 4, rttMs: 18, freezes: 0, codec: "H264", firstFrameMs: 312, joins: 2, falls: 1 };
const words = (stats, lateMs = null) => Object.fromEntries(figures(stats, lateMs).map(([key, , text]) => [key, text]));

test("what WebRTC tells is said in the reader's units", () => {
  const told = words(near, 184);
  assert.deepEqual([told.delay, told.size, told.fps, told.rate], ["0.18 s", "1280 × 720", "30", "2.5 Mbit/s"]);
  assert.deepEqual([told.loss, told.nacks, told.joins, told.first], ["0.1 %, 1 packet in all", "3 times", "2, 1 fall to HLS", "0.31 s"]);
});

test("what a way can't tell is left out rather than said to be nought", () => {
  const told = words({ ...near, way: "HLS", lost: null, lossPercent: null, nacks: null, jitterMs: null, rttMs: null, firstFrameMs: null, kbps: 640 });
  for (const key of ["loss", "nacks", "jitter", "rtt", "first", "delay"]) assert.ok(!(key in told), key);
  assert.equal(told.rate, "0.64 Mbit/s");
});

test("without a picture it says so", () => {
  assert.deepEqual(words(null), { state: "No picture yet" });
});
