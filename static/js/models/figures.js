// @ts-check
/** What the picture's figures say in words, for the overlay. A figure that a way can't tell is left out. Pure. */

/** @typedef {import("../player.js").PlayerStats & {falls?: number}} Stats */

/**
 * @param {Stats | null} stats
 * @param {number | null} lateMs how far the picture is behind the show
 * @returns {[string, string, string][]} key, label, words
 */
export function figures(stats, lateMs) {
  if (!stats) return [["state", "State", "No picture yet"]];
  /** @type {[string, string, string | null][]} */
  const rows = [
    ["delay", "Behind the show", lateMs === null ? null : seconds(lateMs)],
    ["size", "Size", stats.width ? `${stats.width} × ${stats.height}` : null],
    ["fps", "Frames a second", stats.width ? String(Math.round(stats.fps)) : null],
    ["rate", "Rate", stats.kbps ? `${(stats.kbps / 1000).toFixed(stats.kbps < 995 ? 2 : 1)} Mbit/s` : null],
    ["loss", "Lost", stats.lost === null ? null : `${(stats.lossPercent ?? 0).toFixed(1)} %, ${count(stats.lost, "packet")} in all`],
    ["nacks", "Asked again", stats.nacks === null ? null : count(stats.nacks, "time")],
    ["jitter", "Jitter", stats.jitterMs === null ? null : `${stats.jitterMs} ms`],
    ["rtt", "Round trip", stats.rttMs === null ? null : `${stats.rttMs} ms`],
    ["dropped", "Frames dropped", String(stats.framesDropped)],
    ["freezes", "Freezes", String(stats.freezes)],
    ["joins", "Joins", `${stats.joins}${stats.falls ? `, ${count(stats.falls, "fall")} to HLS` : ""}`],
    ["first", "First frame after", stats.firstFrameMs === null ? null : seconds(stats.firstFrameMs)],
    ["codec", "Codec", stats.codec || null],
  ];
  return /** @type {[string, string, string][]} */ (rows.filter((row) => row[2] !== null));
}

/** @param {number} ms */
function seconds(ms) {
  return `${(Math.max(0, ms) / 1000).toFixed(2)} s`;
}

/** @param {number} n @param {string} noun */
function count(n, noun) {
  return `${new Intl.NumberFormat("en").format(n)} ${noun}${n === 1 ? "" : "s"}`;
}
