// @ts-check
/**
 * Publishes this browser's camera (or any stream) by WHIP, and comes back by itself. Touches only the <video> given
 * for the preview.
 *
 *   const publisher = new Publisher(video, { url: "/whip/spring", key });
 *   publisher.addEventListener("live", …)          the relay takes our packets
 *   publisher.addEventListener("reconnecting", …)  the line broke; another try follows
 *   publisher.addEventListener("failed", …)        detail {status, final, error}: final when no other try will follow
 *   await publisher.start(); await publisher.stop(); await publisher.stats();
 */

import { Connection } from "./connection.js";

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;
const CUT_OFF_MS = 2_000;
const LOOK_EVERY_MS = 500;
const SILENT_MS = 2_500; // a relay reports twice a second: one that says nothing for so long is dead
const VIDEO_BPS = 2_500_000;

/**
 * @typedef {{ url: string, key: string, stream?: MediaStream, codec?: "H264" | "VP8", constraints?: MediaStreamConstraints,
 *   fetch?: typeof fetch, iceServers?: RTCIceServer[] }} PublisherOptions
 */

export class Publisher extends Connection {
  /**
   * @param {HTMLVideoElement | null} video shows what the camera sees, muted
   * @param {PublisherOptions} options `codec` is taken first if the browser can encode it; default H264, else VP8
   */
  constructor(video, options) {
    super({ ...options, headers: { Authorization: `Bearer ${options.key}` }, firstRetryMs: FIRST_RETRY_MS, lastRetryMs: LAST_RETRY_MS, silentMs: SILENT_MS, cutOffMs: CUT_OFF_MS, orderly: true });
    this.video = video;
    this.codec = options.codec ?? "H264";
    /** "idle" | "connecting" | "live" | "reconnecting" */
    this.state = "idle";
    this.stream = options.stream ?? null;
    this._ownStream = !options.stream;
    this._constraints = options.constraints ?? {
      video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } },
      audio: { channelCount: { ideal: 2 } },
    };
    this._sentAway = false; // the server closed us: come back only if nobody else is on
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._lookTimer = undefined;
  }

  /** Ask for the camera and go on air. Throws what getUserMedia throws (NotAllowedError, NotFoundError, …). */
  async start() {
    if (this._wanted) return;
    this._wanted = true;
    try {
      if (!this.stream) this.stream = await navigator.mediaDevices.getUserMedia(this._constraints);
    } catch (error) {
      this._wanted = false;
      throw error;
    }
    if (!this._wanted) {
      // Stopped while she was asked for the camera: it must not stay on.
      this._release();
      return;
    }
    if (this.video) {
      this.video.muted = true;
      this.video.playsInline = true;
      this.video.srcObject = this.stream;
      void this.video.play().catch(() => undefined);
    }
    addEventListener("pagehide", this._leave);
    addEventListener("pageshow", this._back);
    this._lookTimer = setInterval(() => void this._look(), LOOK_EVERY_MS);
    await this._connect();
  }

  /** Go off air, tell the server, let go of the camera. */
  async stop() {
    this._wanted = false;
    this._generation += 1;
    removeEventListener("pagehide", this._leave);
    removeEventListener("pageshow", this._back);
    clearTimeout(this._retryTimer);
    clearTimeout(this._cutOffTimer);
    clearInterval(this._lookTimer);
    await this._end();
    this._release();
    if (this.video) this.video.srcObject = null;
    this.state = "idle";
  }

  _release() {
    if (!this._ownStream) return;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
  }

  /** @returns {Promise<{state: string, kbps: number, availableKbps: number, fps: number, width: number, height: number, codec: string, limitedBy: string, framesEncoded: number, pli: number}>} */
  async stats() {
    const out = { state: this.state, kbps: 0, availableKbps: 0, fps: 0, width: 0, height: 0, codec: "", limitedBy: "", framesEncoded: 0, pli: 0 };
    const report = await this._peer?.getStats();
    report?.forEach((/** @type {any} */ entry) => {
      if (entry.type === "outbound-rtp" && entry.kind === "video") {
        out.kbps = Math.round((entry.targetBitrate ?? 0) / 1000);
        out.fps = entry.framesPerSecond ?? 0;
        out.width = entry.frameWidth ?? 0;
        out.height = entry.frameHeight ?? 0;
        out.limitedBy = entry.qualityLimitationReason ?? "";
        out.framesEncoded = entry.framesEncoded ?? 0;
        out.pli = entry.pliCount ?? 0;
        out.codec = (report.get(entry.codecId)?.mimeType ?? "").replace("video/", "");
      }
      if (entry.type === "candidate-pair" && entry.nominated) out.availableKbps = Math.round((entry.availableOutgoingBitrate ?? 0) / 1000);
    });
    return out;
  }

  _beginning() {
    this._become(this.state === "idle" ? "connecting" : "reconnecting");
  }

  /** @param {RTCPeerConnection} peer */
  async _prepare(peer) {
    for (const track of this.stream?.getTracks() ?? []) {
      const video = track.kind === "video";
      const transceiver = peer.addTransceiver(track, {
        direction: "sendonly",
        streams: this.stream ? [this.stream] : [],
        sendEncodings: video ? [{ maxBitrate: VIDEO_BPS }] : [{ maxBitrate: 96_000 }],
      });
      if (video) {
        // A piece must stay sharp: on a bad line fewer frames rather than fewer pixels.
        track.contentHint = "detail";
        const parameters = transceiver.sender.getParameters();
        parameters.degradationPreference = "maintain-resolution";
        await transceiver.sender.setParameters(parameters).catch(() => undefined);
        preferCodec(transceiver, this.codec);
      }
    }
  }

  _address() {
    const url = this._base();
    if (this._sentAway) url.searchParams.set("return", "1");
    return url.href;
  }

  /** @param {Response} response */
  _refused(response) {
    const final = response.status >= 400 && response.status < 500 && ![408, 425, 429].includes(response.status);
    this._fail({ status: response.status, final });
    if (final) this._wanted = false;
    else this._again();
  }

  /**
   * The server's close_notify: the key was rotated (the next try is told 401), another publisher took over (409), or the
   * relay drains (201 on another). Without `return` two publishers would take over from each other for ever.
   * @param {RTCDtlsTransportState} state
   */
  _closed(state) {
    this._sentAway = state === "closed";
    this._again();
  }

  /** @param {RTCPeerConnection} peer */
  _connection(peer) {
    clearTimeout(this._cutOffTimer);
    if (peer.connectionState === "connected") {
      this._pauses.reset();
      this._sentAway = false;
      this._become("live");
    }
    if (peer.connectionState === "failed" || peer.connectionState === "closed") this._again();
    if (peer.connectionState === "disconnected") {
      this._become("reconnecting");
      this._giveItTime(peer, () => {
        if (peer.connectionState !== "connected") this._again();
        else this._become("live");
      });
    }
  }

  async _look() {
    const peer = this._peer;
    if (!peer || (peer.connectionState !== "connected" && peer.connectionState !== "disconnected")) return;
    const report = await peer.getStats();
    if (peer === this._peer && this._silent(report)) this._again();
  }

  _resigned() {
    this._become("reconnecting");
  }

  /** @param {string} state */
  _become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event(state));
  }
}

/**
 * Offer only what we want to send, best first: the named codec, then the other, each with its RTX.
 * @param {RTCRtpTransceiver} transceiver
 * @param {"H264" | "VP8"} first
 */
export function preferCodec(transceiver, first) {
  const all = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
  const named = (/** @type {string} */ name) => all.filter((codec) => codec.mimeType.toLowerCase() === `video/${name.toLowerCase()}`);
  const baseline = named("H264").filter((codec) => /packetization-mode=1/.test(codec.sdpFmtpLine ?? "") && /profile-level-id=42/i.test(codec.sdpFmtpLine ?? ""));
  const h264 = baseline.length ? baseline : named("H264");
  const wanted = first === "VP8" ? named("VP8") : h264.length ? h264 : named("VP8");
  if (wanted.length) transceiver.setCodecPreferences([...wanted, ...named("rtx")]);
}
