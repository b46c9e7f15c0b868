// @ts-check
/**
 * Plays a show by WHEP into the <video> it is given, and comes back by itself. Touches no other element.
 *
 *   const player = new Player(video, { url: "/whep/spring" });
 *   player.addEventListener("live", …)     the picture moves
 *   player.addEventListener("slate", …)    it stands still: the publisher is away, or we are reconnecting
 *   player.addEventListener("failed", …)   detail {status, final}: this try failed; `final` when no other will follow
 *   await player.start(); await player.stop(); await player.stats();
 *   player.hurry();                        // the page heard that there is a picture now: don't wait any longer
 *
 * It joins in one round trip: the offer leaves before any candidate is gathered, since the relay learns our address
 * from our checks. No STUN server is asked.
 */

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 8_000;
const LAST_WAIT_MS = 30_000; // while there is no picture: the page hears of it sooner, and hurries us
const SPREAD_MS = 200; // a thousand players that are told at once don't come in one moment
const ANSWER_WITHIN_MS = 8_000;
const CONNECT_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 500;
const STILL_MS = 2_000; // no new frame for so long is a slate
const SILENT_MS = 2_500; // a relay reports each second, also through a slate: one that says nothing for so long is dead
const CUT_OFF_MS = 3_000; // "disconnected" may heal by itself for so long

/**
 * @typedef {{ url: string, fetch?: typeof fetch }} PlayerOptions
 * @typedef {{ state: string, framesDecoded: number, framesDropped: number, fps: number, width: number, height: number,
 *   kbps: number, lost: number, nacks: number, jitterMs: number, rttMs: number, freezes: number, codec: string,
 *   firstFrameMs: number | null, joins: number }} PlayerStats
 */

export class Player extends EventTarget {
  /**
   * @param {HTMLVideoElement} video
   * @param {PlayerOptions} options
   */
  constructor(video, options) {
    super();
    this.video = video;
    this.url = options.url;
    /** "idle" | "joining" | "live" | "slate" | "waiting" */
    this.state = "idle";
    this.joins = 0;
    /** @type {number | null} ms from the start of the last join to its first frame */
    this.firstFrameMs = null;
    this._fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    /** @type {RTCPeerConnection | null} */
    this._peer = null;
    /** @type {string | null} */
    this._session = null;
    this._wanted = false;
    this._resting = false; // between two tries
    this._generation = 0;
    this._retryMs = FIRST_RETRY_MS;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._retryTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._cutOffTimer = undefined;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._lookTimer = undefined;
    this._frames = 0;
    this._movedAt = 0;
    this._heard = { packets: 0, at: 0 };
    this._bytes = { at: 0, count: 0, kbps: 0 };
    this._leave = () => void this._end();
    this._online = () => {
      if (this._wanted && this.state !== "live") this._again(0);
    };
  }

  /** Play, and go on trying until `stop`. Muted, so that a browser lets it begin; the page unmutes on a tap. */
  async start() {
    if (this._wanted) return;
    this._wanted = true;
    addEventListener("pagehide", this._leave);
    addEventListener("online", this._online);
    this._lookTimer = setInterval(() => void this._look(), LOOK_EVERY_MS);
    await this._join();
  }

  /** Try now what would be tried later. Nothing happens while a try is under way or the picture moves. */
  hurry() {
    if (!this._wanted || !this._resting) return;
    this._retryMs = FIRST_RETRY_MS;
    this._again(1 + Math.random() * SPREAD_MS);
  }

  /** Stop playing and tell the server. */
  async stop() {
    this._wanted = false;
    this._resting = false;
    this._generation += 1;
    removeEventListener("pagehide", this._leave);
    removeEventListener("online", this._online);
    clearInterval(this._lookTimer);
    clearTimeout(this._retryTimer);
    await this._end();
    this.video.srcObject = null;
    this.state = "idle";
  }

  /** @returns {Promise<PlayerStats>} what the connection says of itself, for an overlay */
  async stats() {
    /** @type {PlayerStats} */
    const out = {
      state: this.state, framesDecoded: 0, framesDropped: 0, fps: 0, width: 0, height: 0, kbps: 0, lost: 0, nacks: 0,
      jitterMs: 0, rttMs: 0, freezes: 0, codec: "", firstFrameMs: this.firstFrameMs, joins: this.joins,
    };
    const report = await this._peer?.getStats();
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
        const passedMs = entry.timestamp - this._bytes.at;
        if (passedMs >= LOOK_EVERY_MS / 2) {
          this._bytes = { at: entry.timestamp, count: entry.bytesReceived, kbps: Math.max(0, Math.round(((entry.bytesReceived - this._bytes.count) * 8) / passedMs)) };
        }
        out.kbps = this._bytes.kbps;
      }
      if (entry.type === "transport" && (entry.packetsReceived ?? 0) !== this._heard.packets) {
        this._heard = { packets: entry.packetsReceived, at: performance.now() };
      }
      if (entry.type === "candidate-pair" && entry.nominated) out.rttMs = Math.round((entry.currentRoundTripTime ?? 0) * 1000);
    });
    return out;
  }

  async _join() {
    const generation = ++this._generation;
    this._resting = false;
    const begun = performance.now();
    const mine = () => this._wanted && generation === this._generation;
    this._become("joining");
    this.joins += 1;
    try {
      await this._end();
      if (!mine()) return;
      const peer = (this._peer = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" }));
      const stream = new MediaStream();
      peer.ontrack = ({ track, receiver }) => {
        // The jitter buffer starts small and grows with the line, not the other way round.
        if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
        stream.addTrack(track);
      };
      peer.onconnectionstatechange = () => mine() && this._connection(peer);
      peer.addTransceiver("video", { direction: "recvonly" });
      peer.addTransceiver("audio", { direction: "recvonly" });
      const offer = await peer.createOffer();
      offer.sdp = stereo(offer.sdp ?? "");
      await peer.setLocalDescription(offer);
      const response = await this._fetch(this.url, {
        method: "POST",
        credentials: "same-origin",
        headers: { "Content-Type": "application/sdp" },
        body: offer.sdp,
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      });
      const location = response.headers.get("Location");
      if (!mine()) {
        if (location) void this._delete(new URL(location, this._base()).href);
        return;
      }
      if (response.status !== 201) {
        this._refused(response);
        return;
      }
      this._session = location && new URL(location, this._base()).href;
      await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
      if (!mine()) return;
      const dtls = peer.getReceivers()[0]?.transport;
      if (dtls) {
        // The server's close_notify: it drains, or the codec changed. Join again at once, elsewhere if need be.
        dtls.onstatechange = () => {
          if (mine() && (dtls.state === "closed" || dtls.state === "failed")) this._again(0);
        };
      }
      this.video.srcObject = stream;
      this.video.playsInline = true;
      void this._play();
      this._frames = 0;
      this._heard = { packets: 0, at: 0 };
      this._movedAt = performance.now();
      this._firstFrame(begun, generation);
      clearTimeout(this._cutOffTimer);
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

  async _play() {
    try {
      await this.video.play();
    } catch {
      // With sound it needs a tap first: begin without.
      this.video.muted = true;
      await this.video.play().catch(() => undefined);
    }
  }

  /**
   * @param {number} begun
   * @param {number} generation
   */
  _firstFrame(begun, generation) {
    this.firstFrameMs = null;
    if (!("requestVideoFrameCallback" in this.video)) return;
    this.video.requestVideoFrameCallback(() => {
      if (generation === this._generation) {
        this.firstFrameMs = Math.round(performance.now() - begun);
        this._moved();
      }
    });
  }

  /** @param {RTCPeerConnection} peer */
  _connection(peer) {
    clearTimeout(this._cutOffTimer);
    if (peer.connectionState === "failed" || peer.connectionState === "closed") this._again(0);
    if (peer.connectionState === "disconnected") {
      this._become("slate");
      this._cutOffTimer = setTimeout(() => {
        if (this._peer === peer && peer.connectionState !== "connected") this._again(0);
      }, CUT_OFF_MS);
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
    const pauseMs = Math.max(retryMs ?? 0, this._retryMs);
    this._again(pauseMs);
    if (response.status === 409) this._retryMs = Math.min(LAST_WAIT_MS, pauseMs * 2);
  }

  /**
   * Try again, after `afterMs` or the growing pause; a little later by chance, so that a thousand players don't return
   * in one moment.
   * @param {number} [afterMs]
   */
  _again(afterMs) {
    if (!this._wanted) return;
    this._generation += 1;
    this._resting = true;
    clearTimeout(this._retryTimer);
    clearTimeout(this._cutOffTimer);
    const pauseMs = Math.max(afterMs ?? this._retryMs, afterMs === 0 && this.state === "joining" ? this._retryMs : 0);
    this._retryMs = Math.min(LAST_RETRY_MS, this._retryMs * 2);
    this._become(this.state === "live" || this.state === "slate" ? "slate" : "waiting");
    this._retryTimer = setTimeout(() => void this._join(), pauseMs * (1 + Math.random() * 0.3));
  }

  async _look() {
    const peer = this._peer;
    if (!peer || (peer.connectionState !== "connected" && peer.connectionState !== "disconnected")) return;
    const { framesDecoded } = await this.stats();
    if (peer !== this._peer) return;
    if (this._heard.packets && performance.now() - this._heard.at > SILENT_MS) {
      this._heard = { packets: 0, at: 0 }; // said once
      this._become("slate");
      this._again(0);
      return;
    }
    if (framesDecoded > this._frames) {
      this._frames = framesDecoded;
      this._moved();
    } else if (this.state === "live" && performance.now() - this._movedAt > STILL_MS) {
      this._become("slate");
    }
  }

  _moved() {
    this._movedAt = performance.now();
    this._retryMs = FIRST_RETRY_MS;
    this._become("live");
  }

  /** @param {string} state */
  _become(state) {
    if (state === this.state) return;
    const before = this.state;
    this.state = state;
    if (state === "live") this.dispatchEvent(new Event("live"));
    else if (state === "slate" || before === "live") this.dispatchEvent(new Event("slate"));
  }

  /** @param {{status: number, final: boolean, error?: unknown}} detail */
  _fail(detail) {
    this.dispatchEvent(new CustomEvent("failed", { detail }));
  }

  async _end() {
    const session = this._session;
    this._session = null;
    if (this._peer) {
      this._peer.onconnectionstatechange = this._peer.ontrack = null;
      this._peer.close();
      this._peer = null;
    }
    if (session) await this._delete(session);
  }

  /** @param {string} session */
  async _delete(session) {
    // keepalive: it still leaves when the page is being closed.
    await this._fetch(session, { method: "DELETE", credentials: "same-origin", keepalive: true }).catch(() => undefined);
  }

  _base() {
    return new URL(this.url, location.href);
  }
}

/**
 * Ask for stereo: without it libwebrtc decodes Opus to one channel.
 * @param {string} sdp
 */
export function stereo(sdp) {
  const number = /a=rtpmap:(\d+) opus\/48000/i.exec(sdp)?.[1];
  return number ? sdp.replace(new RegExp(`(a=fmtp:${number} [^\\r\\n]*)`), (line) => (line.includes("stereo=") ? line : `${line};stereo=1`)) : sdp;
}

/**
 * @param {string | null} header seconds, or a date (RFC 9110 section 10.2.3)
 * @returns {number | undefined}
 */
export function retryAfterMs(header) {
  if (!header) return undefined;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.min(60_000, Math.max(0, ms)) : undefined;
}
