import assert from "node:assert/strict";
import { test } from "node:test";
import { BadPlaylist, isMultivariant, merge, next, parseMedia, parseMultivariant, piecesAfter, startPiece } from "../../../static/js/models/playlist.js";

const PDT_MS = Date.parse("2026-11-23T20:00:00.000Z");
const HEAD = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:2", "#EXT-X-PART-INF:PART-TARGET=0.5", "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.5"];
const parts = (msn, count, of = 4) => Array.from({ length: count }, (_, n) => `#EXT-X-PART:DURATION=0.5,URI="p${msn}.${n}.mp4"${n % of === 0 ? ",INDEPENDENT=YES" : ""}`);
const whole = (msn) => ["#EXTINF:2.0,", `s${msn}.mp4`];
const list = (rows) => parseMedia([...HEAD, ...rows].join("\n"));
const full = (first, upto, { growing = 0, partsOf = 2 } = {}) => {
  const rows = [`#EXT-X-MEDIA-SEQUENCE:${first}`, '#EXT-X-MAP:URI="init-1.mp4"', `#EXT-X-PROGRAM-DATE-TIME:${new Date(PDT_MS + (first - 10) * 2000).toISOString()}`];
  for (let msn = first; msn <= upto; msn += 1) rows.push(...(msn > upto - partsOf ? parts(msn, 4) : []), ...whole(msn));
  rows.push(...parts(upto + 1, growing), `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p${upto + 1}.${growing}.mp4"`);
  return rows;
};

test("the multivariant playlist's variants come widest first, with commas kept in their codecs", () => {
  const text = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360\nsmall.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2600000,CODECS="avc1.42c01f,mp4a.40.2",RESOLUTION=1280x720\nbig.m3u8\n';
  assert.ok(isMultivariant(text));
  assert.deepEqual(parseMultivariant(text)[0], { uri: "big.m3u8", bandwidth: 2_600_000, codecs: "avc1.42c01f,mp4a.40.2", width: 1280, height: 720 });
  assert.ok(!isMultivariant(HEAD.join("\n")));
});

test("every piece has its number, its init segment and its moment", () => {
  const found = list(full(10, 13, { growing: 2 }));
  assert.equal(found.holdBackMs, 1500);
  assert.equal(found.canSkipMs, 12_000);
  assert.deepEqual(found.segments.map((one) => [one.msn, one.uri, one.parts.length, one.pdtMs - PDT_MS]), [[10, "s10.mp4", 0, 0], [11, "s11.mp4", 0, 2000], [12, "s12.mp4", 4, 4000], [13, "s13.mp4", 4, 6000], [14, null, 2, 8000]]);
  const last = found.segments.at(-1).parts.at(-1);
  assert.deepEqual([last.msn, last.part, last.uri, last.independent, last.pdtMs - PDT_MS, last.map], [14, 1, "p14.1.mp4", false, 8500, "init-1.mp4"]);
  assert.equal(found.hint, "p14.2.mp4");
  assert.deepEqual(next(found), { msn: 14, part: 2 });
  assert.deepEqual(next(list(full(10, 13))), { msn: 14, part: 0 });
});

test("a page begins at a piece that can be decoded, no nearer to the edge than it may", () => {
  assert.equal(startPiece(list(full(10, 13, { growing: 2 }))).uri, "p13.0.mp4"); // 14.0 is 1 s behind only
  assert.equal(startPiece(list(full(10, 13, { growing: 3 }))).uri, "p14.0.mp4");
  assert.equal(startPiece(list([...parts(0, 2)])).uri, "p0.0.mp4", "a show that just began has no more");
  assert.equal(startPiece(list([])), null);
});

test("what comes after a piece is told once and in order, also when its segment's parts are gone", () => {
  const found = list(full(10, 13, { growing: 2 }));
  assert.deepEqual(piecesAfter(found, { msn: 13, part: 2 }).map((one) => one.uri), ["p13.3.mp4", "p14.0.mp4", "p14.1.mp4"]);
  assert.deepEqual(piecesAfter(found, { msn: 14, part: 1 }), []);
  assert.deepEqual(piecesAfter(found, { msn: 10, part: 2 }).map((one) => one.uri).slice(0, 2), ["s11.mp4", "p12.0.mp4"]);
  assert.deepEqual(piecesAfter(found, { msn: 11, part: null })[0].uri, "p12.0.mp4");
});

test("a delta update merged is the whole playlist of that moment", () => {
  const before = list(full(10, 17, { growing: 3 }));
  const now = full(11, 18, { growing: 1 });
  const delta = ["#EXT-X-MEDIA-SEQUENCE:11", "#EXT-X-SKIP:SKIPPED-SEGMENTS=5", ...whole(16), ...parts(17, 4), ...whole(17), ...parts(18, 4), ...whole(18), ...parts(19, 1), '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p19.1.mp4"'];
  const merged = merge(before, list(delta));
  assert.deepEqual(merged.segments.slice(5), list(now).segments.slice(5));
  assert.deepEqual(merged.segments.map((one) => one.msn), list(now).segments.map((one) => one.msn));
  assert.equal(merged.segments.at(-1).parts[0].pdtMs, PDT_MS + 18_000, "its clock goes on from what was left out");
});

test("a delta that leaves out more than is known is no use", () => {
  const delta = list(["#EXT-X-MEDIA-SEQUENCE:30", "#EXT-X-SKIP:SKIPPED-SEGMENTS=3", ...whole(33)]);
  assert.equal(delta.segments[0].msn, 33);
  assert.equal(merge(null, delta), null);
  assert.equal(merge(list(full(10, 17)), delta), null);
});

test("a timeline that breaks gets another number, over a delta update too, and its new init segment", () => {
  const rows = ["#EXT-X-MEDIA-SEQUENCE:5", "#EXT-X-DISCONTINUITY-SEQUENCE:2", '#EXT-X-MAP:URI="init-1.mp4"', ...whole(5), "#EXT-X-DISCONTINUITY", '#EXT-X-MAP:URI="init-2.mp4"', ...whole(6), ...whole(7)];
  const found = list(rows);
  assert.deepEqual(found.segments.map((one) => [one.discontinuity, one.map]), [[2, "init-1.mp4"], [3, "init-2.mp4"], [3, "init-2.mp4"]]);
  const delta = list(["#EXT-X-MEDIA-SEQUENCE:5", "#EXT-X-DISCONTINUITY-SEQUENCE:2", "#EXT-X-SKIP:SKIPPED-SEGMENTS=2", ...whole(7), "#EXT-X-DISCONTINUITY", '#EXT-X-MAP:URI="init-3.mp4"', ...parts(8, 1)]);
  assert.deepEqual(merge(found, delta).segments.map((one) => [one.discontinuity, one.map]), [[2, "init-1.mp4"], [3, "init-2.mp4"], [3, "init-2.mp4"], [4, "init-3.mp4"]]);
});

test("a show that ended says so, and what is no playlist is refused", () => {
  assert.ok(list([...whole(0), "#EXT-X-ENDLIST"]).ended);
  assert.throws(() => parseMedia("<!doctype html><title>502</title>"), BadPlaylist);
});
