import assert from "node:assert/strict";
import { test } from "node:test";
import { alarm, facts, stateWords } from "../../../static/js/models/recordings.js";

const one = { id: "rec_1", url: "", state: "finished", why: "", started_ms: 0, duration_ms: 3_723_000, bytes: 1_234_000_000, kept: false };

test("length and size are said where they are known", () => {
  assert.equal(facts(one), "1:02:03 · 1.2 GB");
  assert.equal(facts({ ...one, bytes: 2_100_000, duration_ms: 0 }), "3 MB");
  assert.equal(facts({ ...one, bytes: 0, duration_ms: 0 }), "");
});

test("what went wrong says why, and what is left of it", () => {
  assert.equal(stateWords(one), "");
  assert.equal(stateWords({ ...one, kept: true }), "Kept for good");
  assert.equal(stateWords({ ...one, state: "recording" }), "Recording now");
  assert.equal(stateWords({ ...one, state: "failed", why: "disk_full" }), "Stopped: the disk was full. It plays up to there.");
  assert.equal(stateWords({ ...one, state: "failed", why: "disk_full", duration_ms: 0 }), "Stopped: the disk was full.");
  assert.equal(stateWords({ ...one, state: "removed", why: "age" }), "Removed: its days were over.");
});

test("an alarm says that the show goes on, and goes when recording does", () => {
  assert.match(alarm({ state: "failed", why: "disk_full" }), /disk is full.*show goes on.*by itself/);
  assert.match(alarm({ state: "failed", why: "file" }), /could not be written.*show goes on/);
  assert.match(alarm({ state: "behind", dropped: 12 }), /12 packets/);
  for (const state of ["recording", "caught_up", "finished"]) assert.equal(alarm({ state }), "");
});
