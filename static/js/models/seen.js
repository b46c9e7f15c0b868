// @ts-check
/** What the picture desk says of a show's picture, in words. Pure. */

/**
 * @typedef {{kind: "audio" | "video", codec: string, rid: string, kbps: number, lost: number, jitter_ms: number, chosen: boolean, alive: boolean}} Layer
 * @typedef {{id: string, network: string, since_s: number, rtt_ms: number, lost: number, remb_kbps: number | null, size: "full" | "smaller" | "sound" | "joining", kbps: number, resent: number, way: string, relay: string}} Line
 * @typedef {{name: string, viewers: number, load: number, cpu: number, lag_ms: number, shut: string, origin: boolean}} Relay
 * @typedef {{state: string, media_ms: number, layers: Layer[], key_age_ms: number | null, viewers: number, ways: Record<string, number>, sizes: Record<string, number>, losing: number, relays: Relay[], worst: Line[], recording: string}} Seen
 */

export const LOSING = 0.05; // of packets, as the relay counts those who lose
const KEY_LATE_MS = 4000; // a joiner waits for the next key frame

/** @type {Record<string, string>} */
const STATES = { waiting: "waiting for a picture", live: "on air", slate: "the publisher is away, viewers see the slate" };
/** @type {Record<string, string>} */
const SHUT = { cpu: "full: no CPU left", lag: "full: it is late", drops: "full: sockets overflow" };
/** @type {Record<string, string>} */
const SIZES = { smaller: "smaller", sound: "sound alone", joining: "joining" };
/** @type {Record<string, string>} */
const ALARMS = { behind: "Recording, but the disk is too slow: pieces are missing.", disk_full: "Stopped: the disk is full. The show goes on.", file: "Stopped: the file can’t be written. The show goes on.", media: "Stopped: the picture can’t be put into a file. The show goes on." };

/** @param {Seen} seen */
export function stateWords(seen) {
  return `${STATES[seen.state] ?? seen.state}${seen.media_ms ? `, ${clock(seen.media_ms / 1000)}` : ""}`;
}

/** @param {Seen} seen */
export function keyWords(seen) {
  if (seen.key_age_ms === null || !seen.layers.length) return "";
  const ago = `Last key frame ${(seen.key_age_ms / 1000).toFixed(1)} s ago`;
  return seen.key_age_ms > KEY_LATE_MS ? `${ago}: set 1 to 2 s in the encoder` : ago;
}

/** @param {Seen} seen */
export function waysWords(seen) {
  const hls = seen.ways.hls;
  return `${count(seen.ways.webrtc ?? 0)} by WebRTC${hls === undefined ? "" : `, ${count(hls)} by HLS`}`;
}

/** @param {Layer} layer @returns {{name: string, rate: string, lost: string, jitter: string, bad: boolean, dim: boolean}} */
export function layerWords(layer) {
  const codec = layer.codec === "OPUS" ? "Opus" : layer.codec;
  return { name: layer.rid ? `${codec} · ${layer.rid}` : codec, rate: layer.alive ? rate(layer.kbps) : "silent", lost: percent(layer.lost), jitter: `${layer.jitter_ms.toFixed(1)} ms`, bad: layer.lost > 0.02, dim: !layer.chosen };
}

/** @param {Relay} relay @returns {{name: string, viewers: string, load: string, cpu: string, bar: number, bad: boolean}} */
export function relayWords(relay) {
  const name = relay.name.replace(/^relay_/, "").slice(-6);
  const full = relay.load >= 1;
  return { name: relay.origin ? `${name} · origin` : name, viewers: count(relay.viewers), load: full ? (SHUT[relay.shut] ?? "full") : `${Math.round(relay.load * 100)} %`, cpu: `${Math.round(relay.cpu * 100)} %`, bar: Math.min(100, Math.round(relay.load * 100)), bad: full };
}

/** @param {Line} line @returns {{name: string, lost: string, rtt: string, gets: string, carries: string, resent: string, since: string, bad: boolean}} */
export function lineWords(line) {
  return { name: line.id.slice(0, 6), lost: percent(line.lost), rtt: `${line.rtt_ms} ms`, gets: SIZES[line.size] ?? rate(line.kbps), carries: line.remb_kbps === null ? "–" : rate(line.remb_kbps), resent: count(line.resent), since: clock(line.since_s), bad: line.lost > LOSING };
}

/** @param {string} recording @returns {{words: string, bad: boolean}} */
export function recordingWords(recording) {
  const alarm = ALARMS[recording];
  return alarm ? { words: alarm, bad: true } : { words: recording === "recording" ? "Being recorded." : "Not being recorded.", bad: false };
}

/** @param {number} kbps */
function rate(kbps) {
  return kbps < 1000 ? `${kbps} kbit/s` : `${(kbps / 1000).toFixed(1)} Mbit/s`;
}

/** @param {number} share */
function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}

/** @param {number} n */
function count(n) {
  return new Intl.NumberFormat("en").format(n);
}

/** @param {number} seconds */
function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const end = `${String(minutes).padStart(hours ? 2 : 1, "0")}:${String(rest).padStart(2, "0")}`;
  return hours ? `${hours}:${end}` : end;
}
