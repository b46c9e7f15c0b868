// @ts-check
/**
 * The browser's end of the room's socket (docs/protocol.md): hello, resume, reset, answers as promises, the server's
 * clock. No DOM here.
 *
 *   const wire = new Wire({
 *     url: "wss://…/ws/spring",
 *     onSnapshot: (welcome) => store.set(fresh(welcome)),     // also after a reset: the old state is void
 *     onEvent: (envelope) => store.set(applied(store.state, envelope)),
 *     onState: (state, code) => …,                            // "connecting" | "open" | "waiting" | "closed"
 *   });
 *   wire.start();
 *   const { cart } = await wire.send("cart.add", { sku: "s1", qty: 1 });
 */

/** @typedef {{kind: string, body: any, seq?: number, at?: number, op?: string}} Envelope */
/** @typedef {"connecting" | "open" | "waiting" | "closed"} WireState */
/** @typedef {{url: string, onSnapshot?: (welcome: any) => void, onEvent?: (envelope: Envelope) => void, onState?: (state: WireState, code: number) => void, WebSocket?: any, now?: () => number, random?: () => number, quietMs?: number, lostMs?: number}} WireOptions the last five are for tests */
/** @typedef {{kind: string, op: string, body: object, resolve: (body: any) => void, reject: (error: Error) => void, timer: ReturnType<typeof setTimeout>, sent: boolean}} Pending */

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;
/** A connection that lived this long was a good one: the next retry is quick again. */
const GOOD_CONNECTION_MS = 5_000;
/** How long an intent waits for its answer, over reconnects. */
const ANSWER_MS = 20_000;
/** Intents kept while there is no connection; further ones are refused with `offline`. */
const MOST_WAITING = 50;
/** Nothing heard for so long: ask for a sign of life. A connection that died with its network closes no socket. */
const QUIET_MS = 15_000;
/** Nothing heard for so long after asking anything: the socket is given up, and a new one goes on from the same place. */
const LOST_MS = 8_000;
/** A welcome may take longer: who joins in a rush waits in line. */
const JOIN_MS = 30_000;
/** Close codes after which coming back can't help: bad frame, signed out, foreign page, no such show. */
const FINAL_CODES = new Set([1003, 1007, 1009, 4401, 4403, 4404]);

/** Cut off by a ban. The page comes back, and has the show without the talk: `you.silenced` says why. */
export const BANNED = 4423;

/** An intent's "no". `code` and `facts` are the server's (docs/protocol.md), or `offline` and `no_answer` are ours. */
export class Refused extends Error {
  /** @param {string} code @param {Record<string, any>} [facts] */
  constructor(code, facts = {}) {
    super(code);
    this.code = code;
    this.facts = facts;
  }
}

/** A fresh id of an intent: asking again with the same one is answered with the first result. */
export function newOp() {
  // crypto.randomUUID wants a secure context; a demo on a phone over plain http has none.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Wire {
  /** @param {WireOptions} options */
  constructor(options) {
    this._url = options.url;
    this._onSnapshot = options.onSnapshot ?? (() => {});
    this._onEvent = options.onEvent ?? (() => {});
    this._onState = options.onState ?? (() => {});
    this._WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this._now = options.now ?? Date.now;
    this._random = options.random ?? Math.random;
    this._quietMs = options.quietMs ?? QUIET_MS;
    this._lostMs = options.lostMs ?? LOST_MS;
    /** @type {Map<string, Pending>} in the order they were asked */
    this._pending = new Map();
    /** @type {any} */
    this._socket = null;
    /** @type {ReturnType<typeof setTimeout> | null} */
    this._retry = null;
    this._failures = 0;
    this._openedAt = 0;
    this._heardAt = 0;
    /** @type {number | null} when something was first asked since the last frame came */
    this._askedAt = null;
    /** @type {ReturnType<typeof setInterval> | null} */
    this._watch = null;
    /** @type {number | null} */
    this._goingRetryMs = null;
    /** @type {WireState} */
    this.state = "closed";
    /** @type {string | null} */
    this.epoch = null;
    /** @type {number | null} */
    this.seq = null;
    /** What to add to this machine's clock to get the server's, in ms. */
    this.clockOffsetMs = 0;
  }

  /** The server's clock, ms since the Unix epoch. */
  serverNow() {
    return this._now() + this.clockOffsetMs;
  }

  start() {
    if (this._socket !== null) return;
    if (this._retry !== null) clearTimeout(this._retry);
    this._retry = null;
    this._become("connecting");
    this._askedAt = this._now();
    this._watch ??= setInterval(() => this._look(), this._lostMs / 2);
    const socket = new this._WebSocket(this._url);
    this._socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify({ kind: "hello", body: { epoch: this.epoch, seq: this.seq } }));
    };
    socket.onmessage = (/** @type {{data: string}} */ message) => {
      // A late frame of a socket that was given up belongs to nobody.
      if (this._socket !== socket) return;
      this._heardAt = this._now();
      this._askedAt = null;
      this._take(message.data);
    };
    socket.onclose = (/** @type {{code: number}} */ event) => {
      if (this._socket === socket) this._closed(event.code);
    };
  }

  /** Leave for good; `start` comes back. Waiting intents are refused with `offline`. */
  stop() {
    const socket = this._socket;
    this._socket = null;
    if (this._retry !== null) clearTimeout(this._retry);
    this._retry = null;
    if (socket !== null) socket.close(1000);
    this._rest();
    this._refuseAll("offline");
    this._become("closed");
  }

  /** The network changed, or the page was away: don't wait for the next look. */
  check() {
    if (this.state === "waiting") this.start();
    else if (this.state === "open" && this._askedAt === null) this._ask();
  }

  /** Is there still somebody? Timers of a page in the background are slow, so it asks before it gives up. */
  _look() {
    const now = this._now();
    if (this._socket === null) return;
    if (this._askedAt !== null) {
      if (now - this._askedAt >= (this.state === "open" ? this._lostMs : JOIN_MS)) this._giveUp();
    } else if (this.state === "open" && now - this._heardAt >= this._quietMs) this._ask();
  }

  _ask() {
    this.send("clock.ask").catch(() => undefined);
  }

  _giveUp() {
    const socket = this._socket;
    this._closed(1006);
    socket.close();
  }

  _rest() {
    if (this._watch !== null) clearInterval(this._watch);
    this._watch = null;
  }

  /**
   * Send an intent. While there is no connection it waits and is sent again with the same op, which the server answers
   * with its first result.
   * @param {string} kind @param {object} [body] @param {{op?: string, timeoutMs?: number}} [more]
   * @returns {Promise<any>} the answer's body; rejects with Refused
   */
  send(kind, body = {}, more = {}) {
    const op = more.op ?? newOp();
    return new Promise((resolve, reject) => {
      if (this._pending.size >= MOST_WAITING || (this.state === "closed" && this._retry === null)) {
        reject(new Refused("offline"));
        return;
      }
      const timer = setTimeout(() => {
        this._pending.delete(op);
        reject(new Refused("no_answer"));
      }, more.timeoutMs ?? ANSWER_MS);
      const pending = { kind, op, body, resolve, reject, timer, sent: false };
      this._pending.set(op, pending);
      if (this.state === "open") this._transmit(pending);
    });
  }

  /** @param {Pending} pending */
  _transmit(pending) {
    pending.sent = true;
    this._askedAt ??= this._now();
    this._socket.send(JSON.stringify({ kind: pending.kind, op: pending.op, body: pending.body }));
  }

  /** @param {string} data */
  _take(data) {
    const frame = JSON.parse(data);
    for (const envelope of Array.isArray(frame) ? frame : [frame]) this._takeOne(envelope);
  }

  /** @param {Envelope} envelope */
  _takeOne(envelope) {
    const { kind, body } = envelope;
    if (kind === "ok" || kind === "refused") {
      this._answered(envelope);
      return;
    }
    if (kind === "welcome" || kind === "reset" || kind === "resumed") {
      this.epoch = body.epoch;
      this.seq = body.seq;
      this.clockOffsetMs = body.now_ms - this._now();
      this._opened();
    } else if (kind === "going") {
      this._goingRetryMs = body.retry_ms;
    } else if (kind === "events.skipped") {
      this.seq = Math.max(this.seq ?? 0, body.to_seq);
    } else if (envelope.seq !== undefined) {
      // A tombstone or an event of a resume may have come already over the old socket.
      if (this.seq !== null && envelope.seq <= this.seq) return;
      this.seq = envelope.seq;
    }
    this._tell(envelope);
  }

  /** @param {Envelope} envelope */
  _tell(envelope) {
    try {
      if (envelope.kind === "welcome" || envelope.kind === "reset") this._onSnapshot(envelope.body);
      else this._onEvent(envelope);
    } catch (error) {
      // A page that stumbles over one event must still get the next.
      console.error(envelope.kind, error);
    }
  }

  /** @param {Envelope} envelope */
  _answered(envelope) {
    const pending = this._pending.get(envelope.op ?? "");
    if (pending === undefined) return;
    this._pending.delete(pending.op);
    clearTimeout(pending.timer);
    if (envelope.kind === "ok") pending.resolve(envelope.body);
    else pending.reject(new Refused(envelope.body.code, envelope.body.facts));
  }

  _opened() {
    this._openedAt = this._now();
    this._goingRetryMs = null;
    if (this.state === "open") return;
    this._become("open");
    // Also those that were sent before the connection was lost: their answers may have been lost with it.
    for (const pending of this._pending.values()) this._transmit(pending);
  }

  /** @param {number} code */
  _closed(code) {
    this._socket = null;
    if (FINAL_CODES.has(code)) {
      this._rest();
      this._refuseAll("offline");
      this._become("closed", code);
      return;
    }
    const wasGood = this._openedAt > 0 && this._now() - this._openedAt > GOOD_CONNECTION_MS;
    this._failures = wasGood ? 0 : this._failures + 1;
    this._openedAt = 0;
    this._become("waiting", code);
    this._retry = setTimeout(() => this.start(), this._retryMs());
    this._goingRetryMs = null;
  }

  /** Doubling, with full jitter: a thousand pages that lost one server don't come back in one moment. */
  _retryMs() {
    if (this._goingRetryMs !== null) return this._goingRetryMs;
    const ceiling = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this._failures, 10));
    return FIRST_RETRY_MS / 2 + this._random() * ceiling;
  }

  /** @param {string} code */
  _refuseAll(code) {
    for (const pending of this._pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(new Refused(code));
    }
    this._pending.clear();
  }

  /** @param {WireState} state @param {number} [code] */
  _become(state, code = 0) {
    if (this.state === state) return;
    this.state = state;
    this._onState(state, code);
  }
}
