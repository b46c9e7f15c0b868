// @ts-check
/**
 * A proof of work for one tap: SHA-256 (FIPS 180-4) of the challenge, a colon and a number, until it begins with enough
 * zero bits. Run as a worker, so that the page stays quick; written out, because the browser's own digest needs a secure
 * address and costs a promise a try.
 *
 *   worker.postMessage({ challenge, bits })  →  { answer }
 */

const K = constants();

/** The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
function constants() {
  const found = new Uint32Array(64);
  let count = 0;
  for (let n = 2; count < 64; n += 1) {
    let prime = true;
    for (let d = 2; d * d <= n; d += 1) if (n % d === 0) prime = false;
    if (prime) found[count++] = Number((cubeRoot(BigInt(n) << 96n)) & 0xffffffffn);
  }
  return found;
}

/** The whole part of a cube root: floating point has too few bits for it. @param {bigint} n */
function cubeRoot(n) {
  let low = 0n;
  let high = 1n << 40n;
  while (low < high) {
    const middle = (low + high + 1n) >> 1n;
    if (middle * middle * middle <= n) low = middle;
    else high = middle - 1n;
  }
  return low;
}

const FIRST = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
const words = new Int32Array(64);

/** @param {Int32Array} state eight words, changed @param {DataView} block @param {number} at */
function compress(state, block, at) {
  for (let i = 0; i < 16; i += 1) words[i] = block.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i += 1) {
    const a = words[i - 15];
    const b = words[i - 2];
    const s0 = ((a >>> 7) | (a << 25)) ^ ((a >>> 18) | (a << 14)) ^ (a >>> 3);
    const s1 = ((b >>> 17) | (b << 15)) ^ ((b >>> 19) | (b << 13)) ^ (b >>> 10);
    words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const one = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + words[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  const worked = [a, b, c, d, e, f, g, h];
  for (let i = 0; i < 8; i += 1) state[i] = (state[i] + worked[i]) | 0;
}

/** @param {Uint8Array} bytes @returns {Int32Array} eight words */
export function sha256(bytes) {
  const padded = new Uint8Array(((bytes.length + 8) >> 6) * 64 + 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const state = Int32Array.from(FIRST);
  for (let at = 0; at < padded.length; at += 64) compress(state, view, at);
  return state;
}

/** @param {Int32Array} state @param {number} bits at most 32 */
export function begins(state, bits) {
  return bits === 0 || state[0] >>> (32 - bits) === 0;
}

/**
 * The blocks that the challenge fills are worked once; each try is the block or two behind them.
 * @param {string} challenge @param {number} bits @returns {number}
 */
export function solve(challenge, bits) {
  const prefix = new TextEncoder().encode(`${challenge}:`);
  const whole = prefix.length & ~63;
  const start = Int32Array.from(FIRST);
  const view = new DataView(prefix.buffer);
  for (let at = 0; at < whole; at += 64) compress(start, view, at);
  const kept = prefix.length - whole;
  const last = new Uint8Array(128);
  const lastView = new DataView(last.buffer);
  last.set(prefix.subarray(whole));
  const state = new Int32Array(8);
  for (let answer = 0; ; answer += 1) {
    const digits = String(answer);
    const length = kept + digits.length;
    const size = length + 9 > 64 ? 128 : 64;
    last.fill(0, kept);
    for (let i = 0; i < digits.length; i += 1) last[kept + i] = digits.charCodeAt(i);
    last[length] = 0x80;
    lastView.setUint32(size - 4, (whole + length) * 8);
    state.set(start);
    for (let at = 0; at < size; at += 64) compress(state, lastView, at);
    if (begins(state, bits)) return answer;
  }
}

// In a worker there is no document; tests import this file and call it.
if (typeof document === "undefined" && typeof self !== "undefined" && "importScripts" in self) {
  self.addEventListener("message", (event) => self.postMessage({ answer: solve(event.data.challenge, event.data.bits) }));
}
