// @ts-check
/**
 * Plays a show by WHEP into the <video> it is given, and comes back by itself. Touches no other element.
 *
 *   const player = new Player(video, { url: "/whep/spring" });
 *   player.addEventListener("live", …)     the picture moves
 *   player.addEventListener("sound", …)    only the sound goes on: the line is too thin, or there is no picture
 *   player.addEventListener("slate", …)    it stands still: the publisher is away, or we are reconnecting
 *   player.addEventListener("failed", …)   detail {status, final}: this try failed; `final` when no other will follow
 *   await player.start(); await player.stop(); await player.stats();
 *   player.hurry();                        // the page heard that there is a picture now: don't wait any longer
 *
 * It joins in one round trip: the offer leaves before any candidate is gathered, since the relay learns our address
 * from our checks. No STUN server is asked.
 */

import { Connection } from "./connection.js";
import { SPREAD_MS, retryAfterMs } from "./pauses.js";

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 8_000;
const LAST_WAIT_MS = 30_000; // while there is no picture: the page hears of it sooner, and hurries us
const PATIENT_FIRST_MS = 2_000; // while another way shows the picture
const PATIENT_LAST_MS = 60_000;
const LOOK_EVERY_MS = 250;
const STILL_MS = 2_000; // no new frame for so long is a slate
const SOUND_MS = 1_000; // sound that came within so long goes on
const SILENT_MS = 2_500; // a relay reports each second, also through a slate: one that says nothing for so long is dead
const CUT_OFF_MS = 3_000;

/**
 * @typedef {{ url: string, fetch?: typeof fetch, iceServers?: RTCIceServer[] }} PlayerOptions
 * @typedef {{ way: string, state: string, framesDecoded: number, framesDropped: number, fps: number, width: number,
 *   height: number, kbps: number, lost: number | null, lossPercent: number | null, nacks: number | null,
 *   jitterMs: number | null, rttMs: number | null, freezes: number, codec: string, firstFrameMs: number | null,
 *   joins: number }} PlayerStats null: this way can't tell
 */

export class Player extends Connection {
  /**
   * @param {HTMLVideoElement} video
   * @param {PlayerOptions} options
   */
  constructor(video, options) {
    super({ ...options, firstRetryMs: FIRST_RETRY_MS, lastRetryMs: LAST_RETRY_MS, silentMs: SILENT_MS, cutOffMs: CUT_OFF_MS });
    this.video = video;
    /** "idle" | "joining" | "live" | "sound" | "slate" | "waiting" */
    this.state = "idle";
    /** @type {number | null} ms from the start of the last join to its first frame */
    this.firstFrameMs = null;
    /** How far what is seen lies behind what the relay sends, ms: the line and the jitter buffer. */
    this.behindMs = 0;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._lookTimer = undefined;
    this._begun = 0;
    this._frames = 0;
    this._movedAt = 0;
    this._sound = { packets: 0, at: 0 };
    this._bytes = { at: 0, count: 0, kbps: 0 };
    this._jitter = { delayS: 0, count: 0 };
    this._lastWaitedMs = 0;
    /** @type {MediaStream | null} */
    this._stream = null;
    this._lost = { at: 0, lost: 0, received: 0, percent: 0 };
    this._online = () => {
      if (!this._wanted || this.state === "live" || this.state === "sound") return;
      this._pauses.reset();
      this._again(1);
    };
  }

  /** Play, and go on trying until `stop`. Muted, so that a browser lets it begin; the page unmutes on a tap. */
  async start() {
    if (this._wanted) return;
    this._wanted = true;
    addEventListener("pagehide", this._leave);
    addEventListener("pageshow", this._back);
    addEventListener("online", this._online);
    // A phone that goes from one network to another, where the browser tells of it.
    /** @type {any} */ (navigator).connection?.addEventListener?.("change", this._online);
    this._lookTimer = setInterval(() => void this._look(), LOOK_EVERY_MS);
    await this._connect();
  }

  /** Try now what would be tried later. Nothing happens while a try is under way or the picture moves. */
  hurry() {
    if (!this._wanted || !this._resting) return;
    this._pauses.reset();
    this._again(1 + Math.random() * SPREAD_MS);
  }

  /** Another way shows the picture: don't try so often. @param {boolean} on */
  set patient(on) {
    this._pauses.firstMs = on ? PATIENT_FIRST_MS : FIRST_RETRY_MS;
    this._pauses.lastMs = on ? PATIENT_LAST_MS : LAST_RETRY_MS;
    this._pauses.nowMs = Math.max(this._pauses.firstMs, Math.min(this._pauses.nowMs, this._pauses.lastMs));
  }

  /** Whether packets come from the relay, whatever they carry. */
  get connected() {
    return this._peer?.connectionState === "connected";
  }

  /** How long the relay had said nothing when it was looked at last (a page in the background looks seldom), ms. */
  get silentForMs() {
    return this._heard.packets ? this._lookedAt - this._heard.at : 0;
  }

  /** Stop playing and tell the server. */
  async stop() {
    this._wanted = false;
    this._resting = false;
    this._generation += 1;
    removeEventListener("pagehide", this._leave);
    removeEventListener("pageshow", this._back);
    removeEventListener("online", this._online);
    /** @type {any} */ (navigator).connection?.removeEventListener?.("change", this._online);
    clearInterval(this._lookTimer);
    clearTimeout(this._retryTimer);
    clearTimeout(this._cutOffTimer);
    await this._end();
    this.video.srcObject = null;
    this.state = "idle";
  }

  /** @returns {Promise<PlayerStats>} what the connection says of itself, for an overlay */
  async stats() {
    return this._told(await this._peer?.getStats());
  }

  /** @param {RTCStatsReport | undefined} report @returns {PlayerStats} */
  _told(report) {
    /** @type {PlayerStats} */
    const out = {
      way: "WebRTC", state: this.state, framesDecoded: 0, framesDropped: 0, fps: 0, width: 0, height: 0, kbps: 0,
      lost: 0, lossPercent: 0, nacks: 0, jitterMs: 0, rttMs: 0, freezes: 0, codec: "", firstFrameMs: this.firstFrameMs,
      joins: this.joins,
    };
    report?.forEach((/** @type {any} */ entry) => {
      if (entry.type === "inbound-rtp" && entry.kind === "video") {
        out.framesDecoded = entry.framesDecoded ?? 0;
        out.framesDropped = entry.framesDropped ?? 0;
        out.fps = entry.framesPerSecond ?? 0;
        out.width = entry.frameWidth ?? 0;
        out.height = entry.frameHeight ?? 0;
        out.lost = entry.packetsLost ?? 0;
        out.nacks = entry.nackCount ?? 0;
        out.freezes = entry.freezeCount ?? 0;
        out.jitterMs = Math.round((entry.jitter ?? 0) * 1000);
        out.codec = (report.get(entry.codecId)?.mimeType ?? "").replace("video/", "");
        this._rates(entry);
        out.kbps = this._bytes.kbps;
        out.lossPercent = this._lost.percent;
      }
      if (entry.type === "inbound-rtp" && entry.kind === "audio" && (entry.packetsReceived ?? 0) !== this._sound.packets) {
        this._sound = { packets: entry.packetsReceived, at: performance.now() };
      }
      if (entry.type === "candidate-pair" && entry.nominated) out.rttMs = Math.round((entry.currentRoundTripTime ?? 0) * 1000);
    });
    if (report) this.behindMs = Math.round(this._waitedMs(report) + (out.rttMs ?? 0) / 2);
    return out;
  }

  /** What is measured between two looks. @param {any} entry inbound-rtp of the picture */
  _rates(entry) {
    const passedMs = entry.timestamp - this._bytes.at;
    if (passedMs >= 900) {
      this._bytes = { at: entry.timestamp, count: entry.bytesReceived, kbps: Math.max(0, Math.round(((entry.bytesReceived - this._bytes.count) * 8) / passedMs)) };
    }
    if (entry.timestamp - this._lost.at >= 5_000) {
      const lost = Math.max(0, entry.packetsLost - this._lost.lost);
      const sent = lost + Math.max(0, entry.packetsReceived - this._lost.received);
      this._lost = { at: entry.timestamp, lost: entry.packetsLost, received: entry.packetsReceived, percent: sent ? Math.round((lost / sent) * 1000) / 10 : 0 };
    }
  }

  /** What frames waited in the jitter buffer of late, ms each. @param {RTCStatsReport} report */
  _waitedMs(report) {
    let waitedMs = 0;
    report.forEach((/** @type {any} */ entry) => {
      if (entry.type !== "inbound-rtp" || entry.kind !== "video" || !entry.jitterBufferEmittedCount) return;
      const count = entry.jitterBufferEmittedCount - this._jitter.count;
      const delayS = entry.jitterBufferDelay - this._jitter.delayS;
      waitedMs = count > 0 ? (delayS / count) * 1000 : this._lastWaitedMs;
      this._jitter = { delayS: entry.jitterBufferDelay, count: entry.jitterBufferEmittedCount };
      if (count < 0) waitedMs = (entry.jitterBufferDelay / entry.jitterBufferEmittedCount) * 1000; // another session's
    });
    this._lastWaitedMs = waitedMs;
    return waitedMs;
  }

  _beginning() {
    this._begun = performance.now();
    this._become("joining");
  }

  /** @param {RTCPeerConnection} peer */
  async _prepare(peer) {
    const stream = (this._stream = new MediaStream());
    peer.ontrack = ({ track, receiver }) => {
      // The jitter buffer starts small and grows with the line, not the other way round.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      stream.addTrack(track);
    };
    peer.addTransceiver("video", { direction: "recvonly" });
    peer.addTransceiver("audio", { direction: "recvonly" });
  }

  /** @param {string} sdp */
  _offered(sdp) {
    return stereo(sdp);
  }

  /** @param {RTCPeerConnection} _peer @param {number} generation */
  _answered(_peer, generation) {
    this.video.srcObject = this._stream ?? null;
    this.video.playsInline = true;
    void this._play();
    this._frames = 0;
    this._sound = { packets: 0, at: 0 };
    this._jitter = { delayS: 0, count: 0 };
    this._bytes = { at: 0, count: 0, kbps: 0 };
    this._movedAt = performance.now();
    this._firstFrame(generation);
  }

  /** The server's close_notify: it drains, or the codec changed. Join again at once, elsewhere if need be. */
  _closed() {
    this._again(0);
  }

  async _play() {
    try {
      await this.video.play();
    } catch {
      // With sound it needs a tap first: begin without.
      this.video.muted = true;
      await this.video.play().catch(() => undefined);
    }
  }

  /** @param {number} generation */
  _firstFrame(generation) {
    this.firstFrameMs = null;
    if (!("requestVideoFrameCallback" in this.video)) return;
    this.video.requestVideoFrameCallback(() => {
      if (generation === this._generation) this._moved();
    });
  }

  /** @param {RTCPeerConnection} peer */
  _connection(peer) {
    clearTimeout(this._cutOffTimer);
    if (peer.connectionState === "failed" || peer.connectionState === "closed") this._again(0);
    if (peer.connectionState === "disconnected") {
      this._become("slate");
      this._giveItTime(peer, () => {
        if (peer.connectionState !== "connected") this._again(0);
      });
    }
  }

  /** @param {Response} response */
  _refused(response) {
    const retryMs = retryAfterMs(response.headers.get("Retry-After"));
    // 409: not on air yet. 503, 429: full. These are worth another try; a wrong offer (4xx) never will be.
    const final = response.status >= 400 && response.status < 500 && ![404, 408, 409, 425, 429].includes(response.status);
    this._fail({ status: response.status, final });
    if (final) {
      void this.stop();
      return;
    }
    // Not sooner than the server says, and ever more seldom: `409` is the console's business too.
    const pauseMs = Math.max(retryMs ?? 0, this._pauses.nowMs);
    this._again(pauseMs);
    if (response.status === 409) this._pauses.nowMs = Math.min(LAST_WAIT_MS, pauseMs * 2);
  }

  /** @param {string} before */
  _resigned(before) {
    this._become(SEEN.has(before) ? "slate" : "waiting");
  }

  async _look() {
    const peer = this._peer;
    if (!peer || (peer.connectionState !== "connected" && peer.connectionState !== "disconnected")) return;
    const report = await peer.getStats();
    if (peer !== this._peer) return;
    const { framesDecoded } = this._told(report);
    if (this._silent(report)) {
      this._become("slate");
      this._again(0);
      return;
    }
    const now = performance.now();
    if (framesDecoded > this._frames) {
      this._frames = framesDecoded;
      this._moved();
    } else if (now - this._movedAt > STILL_MS && this.state !== "slate") {
      // The relay keeps the sound where a line is too thin for any picture, and some shows have none.
      if (this._sound.packets && now - this._sound.at < SOUND_MS) this._become("sound");
      else if (SEEN.has(this.state)) this._become("slate");
    } else if (this.state === "slate" && this._sound.packets && now - this._sound.at < SOUND_MS && now - this._movedAt > STILL_MS) {
      this._become("sound");
    }
  }

  _moved() {
    this._movedAt = performance.now();
    this.firstFrameMs ??= Math.round(performance.now() - this._begun);
    this._pauses.reset();
    this._become("live");
  }

  /** @param {string} state */
  _become(state) {
    if (state === this.state) return;
    const before = this.state;
    this.state = state;
    if (state === "live" || state === "sound") this.dispatchEvent(new Event(state));
    else if (state === "slate" || SEEN.has(before)) this.dispatchEvent(new Event("slate"));
  }
}

const SEEN = new Set(["live", "sound", "slate"]);

/**
 * Ask for stereo: without it libwebrtc decodes Opus to one channel.
 * @param {string} sdp
 */
export function stereo(sdp) {
  const number = /a=rtpmap:(\d+) opus\/48000/i.exec(sdp)?.[1];
  return number ? sdp.replace(new RegExp(`(a=fmtp:${number} [^\\r\\n]*)`), (line) => (line.includes("stereo=") ? line : `${line};stereo=1`)) : sdp;
}
