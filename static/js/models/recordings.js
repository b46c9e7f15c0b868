// @ts-check
/** What the host reads of her recordings. Pure. */
import { length } from "./replay.js";

/**
 * @typedef {{id: string, url: string, state: string, why: string, started_ms: number, duration_ms: number, bytes: number,
 *   kept: boolean}} Kept
 */

/** @type {Record<string, string>} */
const WHY = {
  disk_full: "the disk was full",
  file: "the file could not be written",
  media: "the stream could not be written",
  gone: "the file is gone",
  age: "its days were over",
  space: "room was needed",
  hand: "taken away by hand",
};

/** Length and size: "1:02:03 · 1.2 GB". @param {Kept} one */
export function facts(one) {
  const size = one.bytes >= 1e9 ? `${(one.bytes / 1e9).toFixed(1)} GB` : `${Math.ceil(one.bytes / 1e6)} MB`;
  return [one.duration_ms ? length(one.duration_ms) : "", one.bytes ? size : ""].filter(Boolean).join(" · ");
}

/** What became of it, where that is not what one expects. @param {Kept} one */
export function stateWords(one) {
  if (one.state === "recording") return "Recording now";
  const why = WHY[one.why] ?? one.why;
  if (one.state === "failed") return `Stopped: ${why}.${one.duration_ms ? " It plays up to there." : ""}`;
  if (one.state === "removed") return `Removed: ${why}.`;
  return one.kept ? "Kept for good" : "";
}

/**
 * The alarm after a piece of news; "" takes it away, null leaves it.
 * @param {{state: string, why?: string, dropped?: number}} news
 */
export function alarm({ state, why = "", dropped = 0 }) {
  if (state === "failed" && why === "disk_full") return "The recording stopped: the disk is full. The show goes on. It records again by itself once there is room.";
  if (state === "failed") return `The recording stopped: ${WHY[why] ?? "something went wrong"}. The show goes on. It tries again by itself.`;
  if (state === "behind") return `The disk is too slow for the recording: ${dropped} packets are missing from it. The show goes on.`;
  return "";
}
