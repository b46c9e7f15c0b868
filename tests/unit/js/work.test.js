import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { begins, sha256, solve } from "../../../static/js/work.js";

const hex = (words) => [...words].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");

test("the digest is SHA-256, for every length around the edges of its blocks", () => {
  for (let length = 0; length < 200; length += 1) {
    const bytes = Uint8Array.from({ length }, (_, n) => (n * 131 + length) & 0xff);
    assert.equal(hex(sha256(bytes)), createHash("sha256").update(bytes).digest("hex"), String(length));
  }
});

test("an answer makes as many zero bits as were asked for, as the server looks at it, however long the challenge", () => {
  for (let length = 40; length < 170; length += 3) {
    const challenge = "shw_1|look_1|per_1|1790000000000|".padEnd(length, "abc.0123456789abcdef");
    const answer = solve(challenge, 8);
    assert.equal(createHash("sha256").update(`${challenge}:${answer}`).digest()[0], 0, String(length));
  }
  assert.ok(!begins(sha256(new TextEncoder().encode("no")), 30));
});
