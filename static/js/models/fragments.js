// @ts-check
/**
 * The little that the page has to know of fragmented MP4 (ISO/IEC 14496-12): how fast each track's clock runs, and at
 * what moment of its own timeline a fragment begins. Pure.
 */

/** @typedef {Map<number, number>} Clocks ticks a second of each track */

/**
 * @param {Uint8Array} init
 * @returns {Clocks}
 */
export function clocksOf(init) {
  /** @type {Clocks} */
  const clocks = new Map();
  for (const moov of boxes(init, "moov")) {
    for (const trak of boxes(moov, "trak")) {
      const tkhd = boxes(trak, "tkhd")[0];
      const mdhd = boxes(boxes(trak, "mdia")[0] ?? NOTHING, "mdhd")[0];
      // Version 1 has two 64-bit times before the field, version 0 two of 32 bits.
      if (tkhd && mdhd) clocks.set(u32(tkhd, tkhd[0] === 1 ? 20 : 12), u32(mdhd, mdhd[0] === 1 ? 20 : 12));
    }
  }
  return clocks;
}

/**
 * The earliest decode time in `fragment` (one or more moof boxes), in seconds of its own timeline; null: none is told.
 * @param {Uint8Array} fragment
 * @param {Clocks} clocks
 * @returns {number | null}
 */
export function beginsAt(fragment, clocks) {
  /** @type {number | null} */
  let first = null;
  for (const moof of boxes(fragment, "moof")) {
    for (const traf of boxes(moof, "traf")) {
      const tfhd = boxes(traf, "tfhd")[0];
      const tfdt = boxes(traf, "tfdt")[0];
      const clock = tfhd && clocks.get(u32(tfhd, 4));
      if (!tfdt || !clock) continue;
      const ticks = tfdt[0] === 1 ? u32(tfdt, 4) * 4_294_967_296 + u32(tfdt, 8) : u32(tfdt, 4);
      first = Math.min(first ?? Infinity, ticks / clock);
    }
  }
  return first;
}

const NOTHING = new Uint8Array(0);

/**
 * The bodies of the boxes of one kind, one level deep. What is cut short or senseless ends the walk.
 * @param {Uint8Array} bytes
 * @param {string} kind
 */
function boxes(bytes, kind) {
  const found = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    let size = u32(bytes, at);
    let head = 8;
    if (size === 1 && at + 16 <= bytes.length) {
      size = u32(bytes, at + 8) * 4_294_967_296 + u32(bytes, at + 12);
      head = 16;
    } else if (size === 0) size = bytes.length - at;
    if (size < head || at + size > bytes.length) break;
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === kind) found.push(bytes.subarray(at + head, at + size));
    at += size;
  }
  return found;
}

/** @param {Uint8Array} bytes @param {number} at */
function u32(bytes, at) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at);
}
