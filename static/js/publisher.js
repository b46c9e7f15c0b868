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

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;
const ANSWER_WITHIN_MS = 8_000;
const CONNECT_WITHIN_MS = 10_000;
const CUT_OFF_MS = 2_000;
const LOOK_EVERY_MS = 500;
const SILENT_MS = 2_500; // a relay reports twice a second: one that says nothing for so long is dead
const VIDEO_BPS = 2_500_000;

/**
 * @typedef {{ url: string, key: string, stream?: MediaStream, codec?: "H264" | "VP8", constraints?: MediaStreamConstraints,
 *   fetch?: typeof fetch }} PublisherOptions
 */

export class Publisher extends EventTarget {
  /**
   * @param {HTMLVideoElement | null} video shows what the camera sees, muted
   * @param {PublisherOptions} options `codec` is taken first if the browser can encode it; default H264, else VP8
   */
  constructor(video, options) {
    super();
    this.video = video;
    this.url = options.url;
    this.key = options.key;
    this.codec = options.codec ?? "H264";
    /** "idle" | "connecting" | "live" | "reconnecting" */
    this.state = "idle";
    this.stream = options.stream ?? null;
    this._ownStream = !options.stream;
    this._constraints = options.constraints ?? {
      video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } },
      audio: { channelCount: { ideal: 2 } },
    };
    this._fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    /** @type {RTCPeerConnection | null} */
    this._peer = null;
    /** @type {string | null} */
    this._session = null;
    this._wanted = false;
    this._generation = 0;
    this._sentAway = false; // the server closed us: come back only if nobody else is on
    this._retryMs = FIRST_RETRY_MS;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._retryTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._cutOffTimer = undefined;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._lookTimer = undefined;
    this._heard = { packets: 0, at: 0 };
    this._leave = () => void this._end();
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
    if (!this._wanted) return;
    if (this.video) {
      this.video.muted = true;
      this.video.playsInline = true;
      this.video.srcObject = this.stream;
      void this.video.play().catch(() => undefined);
    }
    addEventListener("pagehide", this._leave);
    this._lookTimer = setInterval(() => void this._look(), LOOK_EVERY_MS);
    await this._connect();
  }

  /** Go off air, tell the server, let go of the camera. */
  async stop() {
    this._wanted = false;
    this._generation += 1;
    removeEventListener("pagehide", this._leave);
    clearTimeout(this._retryTimer);
    clearInterval(this._lookTimer);
    await this._end();
    if (this._ownStream) {
      this.stream?.getTracks().forEach((track) => track.stop());
      this.stream = null;
    }
    if (this.video) this.video.srcObject = null;
    this.state = "idle";
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

  async _connect() {
    const generation = ++this._generation;
    const mine = () => this._wanted && generation === this._generation;
    this._become(this.state === "idle" ? "connecting" : "reconnecting");
    try {
      await this._end();
      if (!mine() || !this.stream) return;
      const peer = (this._peer = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" }));
      for (const track of this.stream.getTracks()) {
        const video = track.kind === "video";
        const transceiver = peer.addTransceiver(track, {
          direction: "sendonly",
          streams: [this.stream],
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
      this._heard = { packets: 0, at: 0 };
      peer.onconnectionstatechange = () => mine() && this._connection(peer);
      const offer = await peer.createOffer();
      await peer.setLocalDescription(offer);
      const url = this._base();
      if (this._sentAway) url.searchParams.set("return", "1");
      const response = await this._fetch(url.href, {
        method: "POST",
        headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${this.key}` },
        body: offer.sdp,
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      });
      const location = response.headers.get("Location");
      if (!mine()) {
        if (location) void this._delete(new URL(location, this._base()).href);
        return;
      }
      if (response.status !== 201) {
        const final = response.status >= 400 && response.status < 500 && ![408, 425, 429].includes(response.status);
        this._fail({ status: response.status, final });
        if (final) this._wanted = false;
        else this._again();
        return;
      }
      this._session = location && new URL(location, this._base()).href;
      await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
      if (!mine()) return;
      const dtls = peer.getSenders()[0]?.transport;
      if (dtls) {
        // The server's close_notify: the key was rotated (the next try is told 401), another publisher took over (409),
        // or the relay drains (201 on another). Without `return` two publishers would take over from each other for ever.
        dtls.onstatechange = () => {
          if (!mine() || (dtls.state !== "closed" && dtls.state !== "failed")) return;
          this._sentAway = dtls.state === "closed";
          this._again();
        };
      }
      this._cutOffTimer = setTimeout(() => {
        if (mine() && peer.connectionState !== "connected") this._again();
      }, CONNECT_WITHIN_MS);
    } catch (error) {
      if (mine()) {
        this._fail({ status: 0, final: false, error });
        this._again();
      }
    }
  }

  /** @param {RTCPeerConnection} peer */
  _connection(peer) {
    clearTimeout(this._cutOffTimer);
    if (peer.connectionState === "connected") {
      this._retryMs = FIRST_RETRY_MS;
      this._sentAway = false;
      this._become("live");
    }
    if (peer.connectionState === "failed" || peer.connectionState === "closed") this._again();
    if (peer.connectionState === "disconnected") {
      this._become("reconnecting");
      this._cutOffTimer = setTimeout(() => {
        if (this._peer === peer && peer.connectionState !== "connected") this._again();
        else if (this._peer === peer) this._become("live");
      }, CUT_OFF_MS);
    }
  }

  /** Connect anew when the relay has fallen silent: ICE would take several seconds more to say so. */
  async _look() {
    const peer = this._peer;
    if (!peer || (peer.connectionState !== "connected" && peer.connectionState !== "disconnected")) return;
    const report = await peer.getStats();
    if (peer !== this._peer) return;
    report.forEach((/** @type {any} */ entry) => {
      if (entry.type === "transport" && (entry.packetsReceived ?? 0) !== this._heard.packets) {
        this._heard = { packets: entry.packetsReceived, at: performance.now() };
      }
    });
    if (this._heard.packets && performance.now() - this._heard.at > SILENT_MS) {
      this._heard = { packets: 0, at: 0 }; // said once
      this._again();
    }
  }

  _again() {
    if (!this._wanted) return;
    this._generation += 1;
    clearTimeout(this._retryTimer);
    clearTimeout(this._cutOffTimer);
    this._become("reconnecting");
    this._retryTimer = setTimeout(() => void this._connect(), this._retryMs * (1 + Math.random() * 0.3));
    this._retryMs = Math.min(LAST_RETRY_MS, this._retryMs * 2);
  }

  /** @param {string} state */
  _become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event(state));
  }

  /** @param {{status: number, final: boolean, error?: unknown}} detail */
  _fail(detail) {
    this.dispatchEvent(new CustomEvent("failed", { detail }));
  }

  async _end() {
    const session = this._session;
    this._session = null;
    if (this._peer) {
      this._peer.onconnectionstatechange = null;
      this._peer.close();
      this._peer = null;
    }
    if (session) await this._delete(session);
  }

  /** @param {string} session */
  async _delete(session) {
    await this._fetch(session, { method: "DELETE", headers: { Authorization: `Bearer ${this.key}` }, keepalive: true }).catch(() => undefined);
  }

  _base() {
    return new URL(this.url, location.href);
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
