import assert from "node:assert/strict";
import { test } from "node:test";
import { keyWords, layerWords, lineWords, recordingWords, relayWords, stateWords, waysWords } from "../../../static/js/models/seen.js";

const line = { id: "a1b2c3d4e5f6", network: "n", since_s: 3725, rtt_ms: 18, lost: 0.0512, remb_kbps: null, size: "full", kbps: 2480, resent: 1204, way: "webrtc", relay: "relay_x" };
const relay = { name: "relay_0Kq4xy", viewers: 812, load: 0.81, cpu: 0.62, lag_ms: 1, shut: "", origin: true };
const layer = { kind: "video", codec: "H264", rid: "h", kbps: 2480, lost: 0.001, jitter_ms: 3.25, chosen: true, alive: true };
const seen = { state: "live", media_ms: 754_000, layers: [layer], key_age_ms: 1240, ways: { webrtc: 1204 } };

test("a line is said in the reader's units, and a bad one is marked", () => {
  assert.deepEqual(lineWords(line), { name: "a1b2c3", lost: "5.1 %", rtt: "18 ms", gets: "2.5 Mbit/s", carries: "–", resent: "1,204", since: "1:02:05", bad: true });
  assert.equal(lineWords({ ...line, size: "sound" }).gets, "sound alone");
  assert.equal(lineWords({ ...line, lost: 0.05 }).bad, false);
});

test("a relay says how full it is, and why it takes nobody", () => {
  assert.deepEqual(relayWords(relay), { name: "0Kq4xy · origin", viewers: "812", load: "81 %", cpu: "62 %", bar: 81, bad: false });
  assert.deepEqual([relayWords({ ...relay, load: 1, shut: "cpu" }).load, relayWords({ ...relay, load: 1 }).load], ["full: no CPU left", "full"]);
});

test("a stream that fell silent says so instead of a rate", () => {
  assert.equal(layerWords(layer).rate, "2.5 Mbit/s");
  assert.equal(layerWords({ ...layer, alive: false }).rate, "silent");
  assert.equal(layerWords({ ...layer, codec: "OPUS", rid: "", kbps: 64 }).name, "Opus");
});

test("key frames too far apart come with what to do", () => {
  assert.equal(keyWords(seen), "Last key frame 1.2 s ago");
  assert.equal(keyWords({ ...seen, key_age_ms: 9000 }), "Last key frame 9.0 s ago: set 1 to 2 s in the encoder");
  assert.equal(keyWords({ ...seen, layers: [] }), "");
});

test("ways, states and the recording's alarm have their words", () => {
  assert.equal(waysWords(seen), "1,204 by WebRTC");
  assert.equal(waysWords({ ...seen, ways: { webrtc: 3, hls: 7 } }), "3 by WebRTC, 7 by HLS");
  assert.equal(stateWords(seen), "on air, 12:34");
  assert.deepEqual(recordingWords("disk_full"), { words: "Stopped: the disk is full. The show goes on.", bad: true });
  assert.equal(recordingWords("recording").bad, false);
});
