// @ts-check
/**
 * What publishing by WHIP (publisher.js) and playing by WHEP (player.js) have in common: one RTCPeerConnection made by
 * one POST, and coming back by itself when the line, the relay or the server is gone. No element is touched here.
 *
 * It connects in one round trip: the offer leaves before any candidate is gathered, since the relay learns our address
 * from our checks. No STUN server is asked; TURN servers are taken where the server names some.
 */
import { Pauses, SPREAD_MS } from "./pauses.js";

const ANSWER_WITHIN_MS = 8_000;
const CONNECT_WITHIN_MS = 10_000;
const DELETE_WITHIN_MS = 3_000;

/**
 * @typedef {{ url: string, fetch?: typeof fetch, iceServers?: RTCIceServer[], headers?: Record<string, string>,
 *   firstRetryMs: number, lastRetryMs: number, silentMs: number, cutOffMs: number, orderly?: boolean }} ConnectionOptions
 *   a relay that says nothing for `silentMs` is dead; "disconnected" may heal by itself for `cutOffMs`; who is `orderly`
 *   ends the old session before a new one begins
 */

export class Connection extends EventTarget {
  /** @param {ConnectionOptions} options */
  constructor(options) {
    super();
    this.url = options.url;
    this.iceServers = options.iceServers ?? [];
    this.state = "idle";
    this.joins = 0;
    this._options = options;
    this._fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    /** @type {RTCPeerConnection | null} */
    this._peer = null;
    /** @type {string | null} the session's address: a capability */
    this._session = null;
    this._wanted = false;
    this._resting = false; // between two tries
    this._generation = 0;
    this._pauses = new Pauses(options.firstRetryMs, options.lastRetryMs);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._retryTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._cutOffTimer = undefined;
    this._heard = { packets: 0, at: 0 };
    this._lookedAt = 0;
    this._leave = () => {
      this._generation += 1; // some browsers tell of our own closing, too: that is no fault that asks for another try
      clearTimeout(this._retryTimer);
      clearTimeout(this._cutOffTimer);
      void this._end();
    };
    // Kept by the browser and shown again: what was left is not there any more, and no event of it will come.
    this._back = (/** @type {PageTransitionEvent} */ event) => {
      if (!event.persisted || !this._wanted) return;
      this._pauses.reset();
      this._again(1);
    };
  }

  /** The relay that has our session, out of its address `…/<relay>.<id>`; "" without one. */
  get relay() {
    return relayOf(this._session ?? "");
  }

  /** The room says that a relay died: if it is ours, connect anew at once, without waiting for its silence. @param {string} relay */
  relayGone(relay) {
    if (!this._wanted || !relay || relay !== this.relay) return;
    this._session = null; // it died with its relay: nothing is left to delete
    this._pauses.reset();
    this._again(1 + (Math.random() * SPREAD_MS) / 1.3);
  }

  // ---- what the two ends do differently ---------------------------------------------------

  /** A try begins. */
  _beginning() {}

  /** Add the tracks. @param {RTCPeerConnection} _peer @returns {Promise<void>} */
  async _prepare(_peer) {}

  /** Where to post the offer. */
  _address() {
    return this._base().href;
  }

  /** @param {string} sdp */
  _offered(sdp) {
    return sdp;
  }

  /** The answer is in: packets will come or go. @param {RTCPeerConnection} _peer @param {number} _generation */
  _answered(_peer, _generation) {}

  /** The server said no. @param {Response} _response */
  _refused(_response) {}

  /** The server closed us, or the handshake failed. @param {RTCDtlsTransportState} _state */
  _closed(_state) {}

  /** @param {RTCPeerConnection} _peer */
  _connection(_peer) {}

  /** Another try will follow. @param {string} _before */
  _resigned(_before) {}

  // ---- what they do alike -------------------------------------------------------------------

  async _connect() {
    const generation = ++this._generation;
    this._resting = false;
    const mine = () => this._wanted && generation === this._generation;
    this._beginning();
    this.joins += 1;
    try {
      const left = this._end();
      if (this._options.orderly) await left;
      if (!mine()) return;
      const peer = (this._peer = new RTCPeerConnection({ iceServers: this.iceServers, bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" }));
      peer.onconnectionstatechange = () => mine() && this._connection(peer);
      await this._prepare(peer);
      const offer = await peer.createOffer();
      offer.sdp = this._offered(offer.sdp ?? "");
      await peer.setLocalDescription(offer);
      const response = await this._fetch(this._address(), {
        method: "POST",
        credentials: "same-origin",
        headers: { "Content-Type": "application/sdp", ...this._options.headers },
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
      const dtls = (peer.getReceivers()[0] ?? peer.getSenders()[0])?.transport;
      if (dtls) {
        dtls.onstatechange = () => {
          if (mine() && (dtls.state === "closed" || dtls.state === "failed")) this._closed(dtls.state);
        };
      }
      this._heard = { packets: 0, at: 0 };
      this._answered(peer, generation);
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

  /** A short cut may heal by itself; if it doesn't, `over` follows. @param {RTCPeerConnection} peer @param {() => void} over */
  _giveItTime(peer, over) {
    clearTimeout(this._cutOffTimer);
    this._cutOffTimer = setTimeout(() => {
      if (this._peer === peer) over();
    }, this._options.cutOffMs);
  }

  /**
   * Whether the relay has fallen silent: ICE would take several seconds more to say so. Said once.
   * @param {RTCStatsReport} report
   */
  _silent(report) {
    this._lookedAt = performance.now();
    report.forEach((/** @type {any} */ entry) => {
      if (entry.type === "transport" && (entry.packetsReceived ?? 0) !== this._heard.packets) {
        this._heard = { packets: entry.packetsReceived, at: this._lookedAt };
      }
    });
    if (!this._heard.packets || this._lookedAt - this._heard.at <= this._options.silentMs) return false;
    this._heard = { packets: 0, at: 0 };
    return true;
  }

  /**
   * Try again after `afterMs`, or after the growing pause; a little later by chance.
   * @param {number} [afterMs] 0: at once, unless a try just failed
   */
  _again(afterMs) {
    if (!this._wanted) return;
    this._generation += 1;
    this._resting = true;
    clearTimeout(this._retryTimer);
    clearTimeout(this._cutOffTimer);
    const before = this.state;
    const pauseMs = afterMs === 0 && !TRYING.has(before) ? 0 : afterMs || this._pauses.nowMs;
    this._pauses.next();
    this._resigned(before);
    this._retryTimer = setTimeout(() => void this._connect(), pauseMs * (1 + Math.random() * 0.3));
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
    await this._fetch(session, { method: "DELETE", credentials: "same-origin", headers: this._options.headers ?? {}, keepalive: true, signal: AbortSignal.timeout(DELETE_WITHIN_MS) }).catch(() => undefined);
  }

  _base() {
    return new URL(this.url, location.href);
  }
}

const TRYING = new Set(["joining", "connecting", "reconnecting"]);

/** @param {string} session an address that ends in `<relay>.<id>` */
export function relayOf(session) {
  const name = session.split("/").at(-1) ?? "";
  const dot = name.lastIndexOf(".");
  return dot > 0 ? decodeURIComponent(name.slice(0, dot)) : "";
}
