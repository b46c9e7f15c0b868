// @ts-check
/**
 * Plays a show's low-latency HLS tail into the <video> it is given, and comes back by itself: for those whom WebRTC
 * can't reach. No other element is touched. It has the same face as Player (player.js).
 *
 *   const tail = new HlsPlayer(video, { url: "/hls/spring/live.m3u8" });
 *   tail.addEventListener("live", …)     the picture moves
 *   tail.addEventListener("sound", …)    the show sends sound alone
 *   tail.addEventListener("slate", …)    it stands still
 *   tail.addEventListener("failed", …)   detail {status, final}
 *   await tail.start(); tail.stop(); await tail.stats();
 *   tail.shownMs()                       the server's wall clock at which the frame on screen was sent out, or null
 *
 * Parts are asked for as they come (blocking reload, delta updates: models/playlist.js), and go into one SourceBuffer.
 * The picture keeps the server's PART-HOLD-BACK behind the edge by running a little faster or slower. A browser
 * without Media Source Extensions that plays HLS itself is given the address.
 *
 * It is one file, long as it is: fetching, appending, trimming and the pace all act on the one SourceBuffer, and each is
 * only right in sight of what the others have under way. What needs no element is in models/.
 */
import { beginsAt, clocksOf } from "./models/fragments.js";
import { BadPlaylist, isMultivariant, merge, next, parseMedia, parseMultivariant, piecesAfter, startPiece } from "./models/playlist.js";
import { Pauses, retryAfterMs } from "./pauses.js";

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;
const ANSWER_WITHIN_MS = 6_000;
const LOOK_EVERY_MS = 250;
const STILL_MS = 2_000; // no new frame for so long is a slate
const KEPT_S = 15; // of what was seen; more is thrown out of the buffer
const TRIM_AT_S = 30;
const HOLE_S = 0.15; // at the edge of a range the browser may stop short of it by a frame
const JUMP_S = 3; // so far behind where it should be is jumped over, not run after
const CLOSE_S = 0.2; // near enough: run at 1
const FASTER = 1.06;
const SLOWER = 0.95;
const AHEAD = 6; // pieces that are fetched at once
const TURNS_KEPT = 64; // moments that tie the buffer's time to the server's
const FRAME_LATE_S = 2; // a frame so far from the element's clock is another source's
const GIVE_UP_MS = 20_000; // nothing was answered for so long: begin from nothing
const PLAINEST = "avc1.42e01f,mp4a.40.2"; // where no multivariant playlist tells the codecs

/**
 * @typedef {import("./models/playlist.js").Piece} Piece
 * @typedef {import("./models/playlist.js").MediaPlaylist} MediaPlaylist
 * @typedef {import("./player.js").PlayerStats} PlayerStats
 * @typedef {{ url: string, fetch?: typeof fetch }} HlsOptions
 */

/** An answer that is no use. `status` is HTTP's, or 0. */
class Unanswered extends Error {
  /** @param {number} status @param {number} [retryMs] */
  constructor(status, retryMs) {
    super(`HTTP ${status}`);
    this.status = status;
    this.retryMs = retryMs;
  }
}

/** @returns {typeof MediaSource | null} */
function sourceKind() {
  const known = /** @type {any} */ (globalThis);
  return known.ManagedMediaSource ?? known.MediaSource ?? null;
}

/** Whether this browser can play the tail at all. @param {HTMLVideoElement} video */
export function playsHls(video) {
  return sourceKind() !== null || video.canPlayType("application/vnd.apple.mpegurl") !== "";
}

export class HlsPlayer extends EventTarget {
  /**
   * @param {HTMLVideoElement} video
   * @param {HlsOptions} options
   */
  constructor(video, options) {
    super();
    this.video = video;
    this.url = options.url;
    /** "idle" | "joining" | "live" | "sound" | "slate" | "waiting" */
    this.state = "idle";
    this.joins = 0;
    /** @type {number | null} ms from the start of the last join to its first frame */
    this.firstFrameMs = null;
    this.codecs = "";
    this.stalls = 0;
    this.bytes = 0;
    this._fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this._pauses = new Pauses(FIRST_RETRY_MS, LAST_RETRY_MS);
    this._wanted = false;
    this._generation = 0;
    /** @type {Set<AbortController>} */
    this._asked = new Set();
    /** @type {(() => void) | null} */
    this._wake = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._retryTimer = undefined;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._lookTimer = undefined;
    /** @type {SourceBuffer | null} */
    this._buffer = null;
    this._holdBackS = 1.5;
    /** @type {{time: number, wallMs: number}[]} the buffer's time ↔ the server's, oldest first */
    this._turns = [];
    this._seen = { frames: 0, at: 0 };
    /** @type {number | null} the buffer's time of the frame on screen, where a browser tells it */
    this._frame = null;
    this._framed = 0;
    this._begun = 0;
    this._answeredAt = 0;
    this._picture = true; // whether the tail has one, or sound alone
    this._rate = { at: 0, bytes: 0, frames: 0, kbps: 0, fps: 0 };
    this._online = () => {
      if (this._wanted && this.state === "waiting") this._again(0);
    };
  }

  /** Play, and go on trying until `stop`. */
  async start() {
    if (this._wanted) return;
    this._wanted = true;
    addEventListener("online", this._online);
    this._lookTimer = setInterval(() => this._look(), LOOK_EVERY_MS);
    this._followFrames();
    await this._join();
  }

  /** Try now what would be tried later. */
  hurry() {
    if (this._wanted && this.state === "waiting") this._again(0);
  }

  async stop() {
    this._wanted = false;
    this._generation += 1;
    removeEventListener("online", this._online);
    clearInterval(this._lookTimer);
    clearTimeout(this._retryTimer);
    if (this._framed) this.video.cancelVideoFrameCallback(this._framed);
    this._end();
    this.state = "idle";
  }

  /** The server's wall clock at which the frame on screen left the relay, ms; null while none is there. */
  shownMs() {
    const time = this._shownAt();
    if (!this._buffer) {
      const begin = /** @type {any} */ (this.video).getStartDate?.().getTime();
      return Number.isFinite(begin) ? begin + time * 1000 : null;
    }
    const turn = this._turns.findLast((one) => one.time <= time + 0.001) ?? this._turns[0];
    return turn ? turn.wallMs + (time - turn.time) * 1000 : null;
  }

  /** The element's clock runs ahead of the frame on screen, by half a second on a device that decodes late. A page that
   * nobody sees is told of no frames, nor is one with sound alone. */
  _shownAt() {
    const { currentTime } = this.video;
    if (this._frame === null || !this._picture || document.hidden) return currentTime;
    return Math.abs(currentTime - this._frame) < FRAME_LATE_S ? this._frame : currentTime;
  }

  _followFrames() {
    if (!("requestVideoFrameCallback" in this.video)) return;
    this._framed = this.video.requestVideoFrameCallback((_, { mediaTime }) => {
      this._frame = mediaTime;
      this._followFrames();
    });
  }

  /** @returns {Promise<PlayerStats>} */
  async stats() {
    const { totalVideoFrames: frames, droppedVideoFrames: dropped } = this.video.getVideoPlaybackQuality();
    const now = performance.now();
    const passedMs = now - this._rate.at;
    if (passedMs >= 900) {
      const known = this._rate.at > 0;
      this._rate = {
        at: now, bytes: this.bytes, frames,
        kbps: known ? Math.round(((this.bytes - this._rate.bytes) * 8) / passedMs) : 0,
        fps: known ? Math.max(0, Math.round(((frames - this._rate.frames) * 1000) / passedMs)) : 0,
      };
    }
    return {
      way: "HLS", state: this.state, framesDecoded: frames, framesDropped: dropped, fps: this._rate.fps,
      width: this.video.videoWidth, height: this.video.videoHeight, kbps: this._rate.kbps, lost: null, lossPercent: null,
      nacks: null, jitterMs: null, rttMs: null, freezes: this.stalls, codec: this.codecs, firstFrameMs: this.firstFrameMs,
      joins: this.joins,
    };
  }

  async _join() {
    const generation = ++this._generation;
    const mine = () => this._wanted && generation === this._generation;
    this._end();
    this._become("joining");
    this.joins += 1;
    this.firstFrameMs = null;
    this._begun = this._answeredAt = performance.now();
    this._seen = { frames: 0, at: performance.now() };
    try {
      const Source = sourceKind();
      if (Source) await this._feed(Source, mine);
      else await this._native();
    } catch (error) {
      if (!mine()) return;
      const { status = 0, retryMs } = error instanceof Unanswered ? error : {};
      // Nothing here ends for good: a tail that is not there yet (404) comes with the picture.
      this.dispatchEvent(new CustomEvent("failed", { detail: { status, final: false, error } }));
      this._again(Math.max(retryMs ?? 0, this._pauses.next()));
    }
  }

  async _native() {
    this._buffer = null;
    this.video.src = this.url;
    this.video.playsInline = true;
    await this.video.play();
  }

  /**
   * Read playlists and put pieces into the buffer, until the show ends. What can't be asked is asked again; a buffer
   * that is broken is thrown.
   * @param {typeof MediaSource} Source
   * @param {() => boolean} mine
   */
  async _feed(Source, mine) {
    const { url, codecs } = await this._variant();
    let list = parseMedia(await this._text(url));
    const source = await opened(Source, this.video);
    if (!mine()) return;
    this.codecs = codecs;
    this._picture = /avc|hvc|hev|vp0|av01/.test(codecs);
    this._turns = [];
    const buffer = (this._buffer = source.addSourceBuffer(`${this._picture ? "video" : "audio"}/mp4; codecs="${codecs}"`));
    const feed = { url, buffer, map: /** @type {string | null} */ (null), clocks: /** @type {import("./models/fragments.js").Clocks} */ (new Map()), started: false };

    /** @type {Piece | null} */
    let last = null;
    while (mine()) {
      try {
        this._holdBackS = list.holdBackMs / 1000;
        /** @type {Piece[]} */
        const pieces = last ? piecesAfter(list, last) : fromStart(list);
        // Several are on their way at once, and go into the buffer in their order.
        const coming = pieces.slice(0, AHEAD).map((piece) => this._fetched(url, piece));
        for (const [at, piece] of pieces.entries()) {
          const further = pieces[at + AHEAD];
          if (further) coming.push(this._fetched(url, further));
          await this._take(feed, piece, /** @type {Promise<Uint8Array<ArrayBuffer>>} */ (coming[at]));
          if (!mine()) return;
          last = piece;
        }
        if (!feed.started) this._begin(feed);
        if (list.ended) break;
        list = await this._reload(url, list);
      } catch (error) {
        if (!mine()) return;
        if (!worthAsking(error) || performance.now() - this._answeredAt > GIVE_UP_MS) throw error;
        const retryMs = error instanceof Unanswered ? error.retryMs : 0;
        await this._pause(Math.max(retryMs ?? 0, this._pauses.next()));
        list = await this._text(url).then(parseMedia, () => list);
      }
      // What was to come next fell out of the window (or the tail was started anew): begin at the edge again.
      if (last && list.segments[0] && list.segments[0].msn > last.msn + 1) last = null;
    }
    if (!mine()) return;
    if (source.readyState === "open") source.endOfStream();
    // The end of what this tail had: the page says when the show is over, and until then a publisher may come back.
    await this._pause(this._holdBackS * 1000);
    if (mine()) this._again(LAST_RETRY_MS);
  }

  /** The media playlist's address and its codecs. */
  async _variant() {
    const here = new URL(this.url, location.href).href;
    const text = await this._text(here);
    const variant = isMultivariant(text) ? parseMultivariant(text)[0] : undefined;
    return { url: variant ? new URL(variant.uri, here).href : here, codecs: variant?.codecs || PLAINEST };
  }

  /** @param {string} url @param {Piece} piece */
  _fetched(url, piece) {
    const bytes = piece.gap ? Promise.resolve(new Uint8Array(0)) : this._bytes(new URL(piece.uri, url).href, piece.byterange);
    bytes.catch(() => undefined); // one that failed is heard of in its turn
    return bytes;
  }

  /**
   * Put one piece into the buffer, after its init segment where that changed.
   * @param {{url: string, buffer: SourceBuffer, map: string | null, clocks: import("./models/fragments.js").Clocks, started: boolean}} feed
   * @param {Piece} piece
   * @param {Promise<Uint8Array<ArrayBuffer>>} coming
   */
  async _take(feed, piece, coming) {
    if (piece.gap) return;
    if (piece.map && piece.map !== feed.map) {
      const [address = "", range] = piece.map.split("#");
      const init = await this._bytes(new URL(address, feed.url).href, range ?? null);
      if (feed.map !== null) {
        const { codecs } = await this._variant();
        if (codecs !== this.codecs) feed.buffer.changeType(`video/mp4; codecs="${codecs}"`);
        this.codecs = codecs;
      }
      await append(feed.buffer, init);
      feed.map = piece.map;
      feed.clocks = clocksOf(init);
    }
    const bytes = await coming;
    await this._put(feed.buffer, bytes);
    // The tail's decode times are the show's media time: a new publisher's pieces lie further on, behind a hole.
    const beginS = beginsAt(bytes, feed.clocks);
    if (beginS !== null && piece.pdtMs !== null) this._turns = [...this._turns.slice(1 - TURNS_KEPT), { time: beginS, wallMs: piece.pdtMs }];
  }

  /**
   * Begin at the right distance from the edge: the key frame before it may be seconds older.
   * @param {{started: boolean}} feed
   */
  _begin(feed) {
    const { buffered } = this.video;
    if (!buffered.length) return;
    feed.started = true;
    this.video.currentTime = Math.max(buffered.start(buffered.length - 1), buffered.end(buffered.length - 1) - this._holdBackS);
    void play(this.video);
  }

  /**
   * The playlist once it has something new.
   * @param {string} url
   * @param {MediaPlaylist} list
   */
  async _reload(url, list) {
    const address = new URL(url);
    const wanted = next(list);
    if (list.canBlock) {
      address.searchParams.set("_HLS_msn", String(wanted.msn));
      if (list.partTargetMs) address.searchParams.set("_HLS_part", String(wanted.part));
      if (list.canSkipMs) address.searchParams.set("_HLS_skip", "YES");
    }
    const asked = performance.now();
    const news = parseMedia(await this._text(address.href, list.targetMs * 3));
    const whole = merge(list, news) ?? parseMedia(await this._text(url));
    const moved = next(whole).msn !== wanted.msn || next(whole).part !== wanted.part;
    // A server that answers at once with nothing new (a pause of the publisher) is not asked in a tight loop.
    if (!moved) await this._pause(Math.max(0, (list.partTargetMs ?? list.targetMs / 2) - (performance.now() - asked)));
    return whole;
  }

  /** @param {SourceBuffer} buffer @param {BufferSource} bytes */
  async _put(buffer, bytes) {
    const ranges = this.video.buffered;
    const from = this.video.currentTime - KEPT_S;
    if (ranges.length && this.video.currentTime - ranges.start(0) > TRIM_AT_S) await removed(buffer, from);
    try {
      await append(buffer, bytes);
    } catch (error) {
      if (/** @type {any} */ (error)?.name !== "QuotaExceededError") throw error;
      await removed(buffer, this.video.currentTime - 2);
      await append(buffer, bytes);
    }
  }

  /**
   * A playlist's text.
   * @param {string} url
   * @param {number} [longerMs] a blocking request may take so much longer
   */
  _text(url, longerMs = 0) {
    return this._ask(url, {}, ANSWER_WITHIN_MS + longerMs, (answer) => answer.text());
  }

  /** @param {string} url @param {string | null} range "length@offset" */
  async _bytes(url, range) {
    const [length = 0, offset = 0] = range?.split("@").map(Number) ?? [];
    /** @type {Record<string, string>} */
    const headers = range ? { Range: `bytes=${offset}-${offset + length - 1}` } : {};
    const bytes = new Uint8Array(await this._ask(url, headers, ANSWER_WITHIN_MS, (answer) => answer.arrayBuffer()));
    this.bytes += bytes.length;
    return bytes;
  }

  /**
   * @template T
   * @param {string} url
   * @param {Record<string, string>} headers
   * @param {number} withinMs to the last byte
   * @param {(answer: Response) => Promise<T>} read
   * @returns {Promise<T>}
   */
  async _ask(url, headers, withinMs, read) {
    const asked = new AbortController(); // AbortSignal.any is younger than the browsers that need this file
    this._asked.add(asked);
    const late = setTimeout(() => asked.abort(new DOMException("no answer", "TimeoutError")), withinMs);
    try {
      const answer = await this._fetch(url, { credentials: "same-origin", headers, signal: asked.signal });
      if (!answer.ok) throw new Unanswered(answer.status, retryAfterMs(answer.headers.get("Retry-After")));
      const body = await read(answer);
      this._answeredAt = performance.now();
      return body;
    } finally {
      clearTimeout(late);
      this._asked.delete(asked);
    }
  }

  /** Nothing that is asked or waited for goes on. */
  _hush() {
    for (const asked of this._asked) asked.abort();
    this._wake?.();
  }

  /** @param {number} ms */
  async _pause(ms) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this._wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
    this._wake = null;
  }

  /** Four times a second: does it move, does it keep its distance, does it stand before a hole? */
  _look() {
    const { video } = this;
    if (this.state === "idle" || this.state === "waiting") return;
    // A browser that plays HLS itself stays where it failed or was told the end.
    if (sourceKind() === null && (video.error || video.ended)) {
      this._again(this._pauses.next());
      return;
    }
    // A tail of sound alone moves by its time.
    const frames = this._picture ? video.getVideoPlaybackQuality().totalVideoFrames : Math.floor(video.currentTime * 10);
    const now = performance.now();
    if (frames > this._seen.frames) {
      this._seen = { frames, at: now };
      this.firstFrameMs ??= Math.round(now - this._begun);
      this._pauses.reset();
      this._become(this._picture ? "live" : "sound");
    } else if (frames < this._seen.frames || document.hidden) {
      this._seen = { frames, at: now }; // a page that nobody sees draws nothing
    } else if ((this.state === "live" || this.state === "sound") && now - this._seen.at > STILL_MS) {
      this.stalls += 1;
      this._become("slate");
    }
    if (this._buffer) this._keepDistance();
    if (video.paused && !video.ended && video.readyState >= 2) void play(video);
  }

  _keepDistance() {
    const { video } = this;
    const { buffered, currentTime } = video;
    if (!buffered.length || video.seeking) return;
    const end = buffered.end(buffered.length - 1);
    const target = end - this._holdBackS;
    for (let at = 0; at < buffered.length; at += 1) {
      // Before a hole, or at the end of a range with another behind it: over it.
      if (currentTime < buffered.start(at) && (at === 0 || currentTime > buffered.end(at - 1) - HOLE_S)) {
        video.currentTime = Math.max(buffered.start(at) + 0.01, Math.min(target, buffered.end(at) - HOLE_S));
        return;
      }
    }
    const behind = target - currentTime;
    if (behind > JUMP_S) {
      video.currentTime = target;
      return;
    }
    // Hysteresis: once it runs after the edge, it does so until it is there.
    const close = video.playbackRate === 1 ? CLOSE_S : CLOSE_S / 4;
    const rate = behind > close ? FASTER : behind < -close * 2 ? SLOWER : 1;
    if (video.playbackRate !== rate) video.playbackRate = rate;
  }

  /** @param {number} afterMs */
  _again(afterMs) {
    if (!this._wanted) return;
    this._generation += 1;
    this._hush();
    clearTimeout(this._retryTimer);
    this._become(this.state === "live" || this.state === "slate" ? "slate" : "waiting");
    this.state = "waiting";
    this._retryTimer = setTimeout(() => void this._join(), afterMs * (1 + Math.random() * 0.3));
  }

  _end() {
    this._hush();
    this._buffer = null;
    this._frame = null;
    if (this.video.src) {
      URL.revokeObjectURL(this.video.src);
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  /** @param {string} state */
  _become(state) {
    if (state === this.state) return;
    const before = this.state;
    this.state = state;
    if (state === "live" || state === "sound") this.dispatchEvent(new Event(state));
    else if (state === "slate" || before === "live" || before === "sound") this.dispatchEvent(new Event("slate"));
  }
}

/** @param {MediaPlaylist} list */
function fromStart(list) {
  const start = startPiece(list);
  return start ? piecesAfter(list, { msn: start.msn, part: (start.part ?? 0) - 1 }) : [];
}

/** Whether asking again may help: no answer, or a "no" that passes (a piece that fell out of the window, a pause). */
function worthAsking(/** @type {unknown} */ error) {
  return error instanceof Unanswered || error instanceof BadPlaylist || ["TypeError", "TimeoutError"].includes(/** @type {any} */ (error)?.name);
}

/**
 * @param {typeof MediaSource} Source
 * @param {HTMLVideoElement} video
 * @returns {Promise<MediaSource>}
 */
function opened(Source, video) {
  return new Promise((resolve) => {
    const source = new Source();
    source.addEventListener("sourceopen", () => resolve(source), { once: true });
    // A ManagedMediaSource is opened only where the picture can't be sent to another screen.
    video.disableRemotePlayback = true;
    video.playsInline = true;
    video.src = URL.createObjectURL(source);
  });
}

/** @param {SourceBuffer} buffer @param {BufferSource} bytes */
function append(buffer, bytes) {
  return done(buffer, () => buffer.appendBuffer(bytes));
}

/** @param {SourceBuffer} buffer @param {number} upTo s */
async function removed(buffer, upTo) {
  if (upTo > 0) await done(buffer, () => buffer.remove(0, upTo));
}

/** @param {SourceBuffer} buffer @param {() => void} act */
function done(buffer, act) {
  return /** @type {Promise<void>} */ (
    new Promise((resolve, reject) => {
      const ended = (/** @type {Event} */ event) => {
        buffer.removeEventListener("updateend", ended);
        buffer.removeEventListener("error", ended);
        if (event.type === "error") reject(new Error("the buffer refused what it was given"));
        else resolve();
      };
      buffer.addEventListener("updateend", ended);
      buffer.addEventListener("error", ended);
      try {
        act();
      } catch (error) {
        buffer.removeEventListener("updateend", ended);
        buffer.removeEventListener("error", ended);
        reject(error);
      }
    })
  );
}

/** @param {HTMLVideoElement} video */
async function play(video) {
  try {
    await video.play();
  } catch (error) {
    if (/** @type {any} */ (error)?.name !== "NotAllowedError") return;
    // With sound it needs a tap first: begin without.
    video.muted = true;
    await video.play().catch(() => undefined);
  }
}
