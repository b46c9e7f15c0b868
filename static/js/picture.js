// @ts-check
/**
 * A show's picture by whichever way reaches this page (`GET /api/shows/{slug}/picture`): WebRTC first, the HLS tail
 * where that doesn't come through, and back by itself. The page sees one picture.
 *
 *   const picture = new Picture(screen, { slug: "spring", call });
 *   picture.addEventListener("live", …)    it moves
 *   picture.addEventListener("sound", …)   only the sound goes on
 *   picture.addEventListener("slate", …)   it stands still
 *   picture.addEventListener("way", …)     another way shows it: picture.way is "WebRTC", "HLS", "LiveKit" or ""
 *   picture.addEventListener("failed", …)  detail {code}: no way of those the server names works in this browser
 *   await picture.start(); await picture.stop(); picture.hurry(); picture.relayGone(relay);
 *   picture.mediaMs(clockMs, firstWallMs)  media time of what is on screen, or null (decision 0079)
 */
import { HlsPlayer, playsHls } from "./hls.js";
import { Pauses } from "./pauses.js";
import { Player } from "./player.js";

const LATE_MS = 1_500; // WebRTC that isn't through by then is helped out
const LATE_FRAME_MS = 3_000; // through, but no frame and no sound
const SILENT_MS = 1_200; // a relay speaks each second: one that is silent for longer may be lost
const LOOK_EVERY_MS = 200;
const STEADY_MS = 800; // WebRTC must move for so long before it takes over
const LONGEST_STEADY_MS = 30_000; // after many falls
const FORGIVEN_MS = 120_000;
const FADE_MS = 400;
const ASK_WITHIN_MS = 4_000;
const NO_ROOM = new Set([0, 404, 429, 500, 502, 503, 504]);

/**
 * @typedef {{kind: string, url: string, token?: string, ice_servers?: RTCIceServer[]}} Way
 * @typedef {import("./player.js").PlayerStats} PlayerStats
 * @typedef {{ slug: string, call: (method: string, path: string) => Promise<any> }} PictureOptions
 * @typedef {EventTarget & { state: string, start: () => Promise<void>, stop: () => Promise<void>, hurry: () => void,
 *   stats: () => Promise<PlayerStats> }} AnyPlayer
 */

export class Picture extends EventTarget {
  /**
   * @param {import("./screen.js").Screen} screen
   * @param {PictureOptions} options
   */
  constructor(screen, options) {
    super();
    this.screen = screen;
    this.slug = options.slug;
    /** "idle" | "joining" | "live" | "sound" | "slate" */
    this.state = "idle";
    this.way = "";
    this.falls = 0; // from WebRTC to HLS
    this._call = options.call;
    this._wanted = false;
    /** @type {Player | null} */
    this._near = null;
    /** @type {HlsPlayer | null} */
    this._far = null;
    /** @type {HlsPlayer | null} it fades */
    this._left = null;
    /** @type {AnyPlayer | null} an engine's own client */
    this._other = null;
    /** @type {AnyPlayer | null} the one that is seen */
    this._seen = null;
    /** @type {Way | undefined} */
    this._tail = undefined;
    /** @type {Way[] | null} */
    this._ways = null;
    this._run = 0;
    this._began = 0;
    this._fellAt = 0;
    this._steadyMs = STEADY_MS;
    this._pauses = new Pauses(1_000, 10_000);
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._lookTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._turnTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._fadeTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._askTimer = undefined;
  }

  /** Ask for the ways before the picture is wanted: one round trip less to the first frame. */
  async prepare() {
    const answer = await Promise.race([
      this._call("GET", `/api/shows/${encodeURIComponent(this.slug)}/picture`).catch((/** @type {any} */ refusal) => refusal),
      new Promise((resolve) => setTimeout(resolve, ASK_WITHIN_MS, null)),
    ]);
    if (Array.isArray(answer?.ways)) this._ways = answer.ways;
    return answer;
  }

  async start() {
    if (this._wanted) return;
    this._wanted = true;
    this._become("joining");
    await this._begin();
  }

  async stop() {
    this._wanted = false;
    clearInterval(this._lookTimer);
    clearTimeout(this._turnTimer);
    clearTimeout(this._askTimer);
    this._turnTimer = this._askTimer = undefined;
    this._stopLeft();
    const players = [this._near, this._far, this._other];
    this._near = this._far = this._other = this._seen = null;
    this._ways = null;
    this.way = "";
    this.state = "idle";
    await Promise.all(players.map((player) => player?.stop()));
  }

  /** The page heard that there is a picture now: don't wait any longer. */
  hurry() {
    if (this._askTimer !== undefined) {
      clearTimeout(this._askTimer);
      this._askTimer = undefined;
      void this._begin();
    }
    this._near?.hurry();
    this._far?.hurry();
  }

  /** The room says that a relay died. @param {string} relay */
  relayGone(relay) {
    this._near?.relayGone(relay);
  }

  /** @returns {Promise<PlayerStats & {falls: number} | null>} of the way that is seen, or that is being tried */
  async stats() {
    const player = this._seen ?? this._near ?? this._far ?? this._other;
    return player ? { ...(await player.stats()), falls: this.falls } : null;
  }

  /**
   * Media time of the frame on screen, ms; null while none moves there.
   * @param {number} clockMs the server's clock now
   * @param {number} firstWallMs the server's clock at media time 0
   */
  mediaMs(clockMs, firstWallMs) {
    if (this.state !== "live" && this.state !== "sound") return null;
    if (this._seen === this._far && this._far) {
      const shownMs = this._far.shownMs();
      return shownMs === null ? null : shownMs - firstWallMs;
    }
    return clockMs - firstWallMs - (this._seen === this._near ? (this._near?.behindMs ?? 0) : 0);
  }

  // ---- which way ------------------------------------------------------------------------------

  async _begin() {
    const run = ++this._run;
    const answer = this._ways ? null : await this.prepare();
    if (!this._wanted || run !== this._run) return; // stopped meanwhile, and perhaps begun again
    // 409: not on air after all. The page hears when it is, but news may be lost.
    if (!this._ways && answer?.status === 409) {
      this._askTimer = setTimeout(() => {
        this._askTimer = undefined;
        void this._begin();
      }, this._pauses.next());
      return;
    }
    const ways = this._ways ?? usual(this.slug);
    this._pauses.reset();
    this._tail = ways.find((way) => way.kind === "llhls");
    if (this._tail && !playsHls(this.screen.back)) this._tail = undefined;
    const whep = ways.find((way) => way.kind === "whep");
    const livekit = ways.find((way) => way.kind === "livekit");
    this._began = performance.now();
    if (whep && "RTCPeerConnection" in globalThis) this._startNear(whep);
    else if (livekit) await this._startOther(livekit, run);
    else if (this._tail) this._startFar();
    else this._tell("no_way");
    if (!this._wanted || run !== this._run) return;
    clearInterval(this._lookTimer);
    this._lookTimer = setInterval(() => this._look(), LOOK_EVERY_MS);
  }

  /** @param {Way} way */
  _startNear(way) {
    const near = (this._near = new Player(/** @type {HTMLVideoElement} */ (this.screen.videos[0]), { url: way.url, iceServers: way.ice_servers ?? [] }));
    near.addEventListener("live", () => this._nearMoves());
    near.addEventListener("sound", () => this._heard(near));
    near.addEventListener("slate", () => {
      this._heard(near);
      if (way.ice_servers && !near.connected) void this._freshServers(near);
    });
    near.addEventListener("failed", (event) => {
      const { status, final } = /** @type {CustomEvent} */ (event).detail;
      // Full, or not to be reached: the tail takes everybody. 409 is neither: there is no picture to be had.
      if (NO_ROOM.has(status) || final) this._startFar();
    });
    void near.start();
  }

  /** A TURN server's credentials are short-lived. @param {Player} near */
  async _freshServers(near) {
    const answer = await this.prepare();
    const servers = answer?.ways?.find((/** @type {Way} */ way) => way.kind === "whep")?.ice_servers;
    if (servers) near.iceServers = servers;
  }

  _startFar() {
    if (this._far || !this._tail || !this._wanted) return;
    this._stopLeft(); // it has the same element
    const far = (this._far = new HlsPlayer(/** @type {HTMLVideoElement} */ (this.screen.videos[1]), { url: this._tail.url }));
    for (const kind of ["live", "sound", "slate"]) far.addEventListener(kind, () => this._heard(far));
    void far.start();
  }

  /** @param {Way} way @param {number} run */
  async _startOther(way, run) {
    try {
      const { LiveKitPlayer } = await import("./livekit.js");
      if (!this._wanted || run !== this._run) return; // stopped meanwhile: nobody would stop this one
      const other = (this._other = new LiveKitPlayer(/** @type {HTMLVideoElement} */ (this.screen.videos[0]), { url: way.url, token: way.token ?? "", again: () => this._freshToken() }));
      for (const kind of ["live", "sound", "slate"]) other.addEventListener(kind, () => this._heard(other));
      await other.start();
    } catch {
      if (!this._wanted || run !== this._run) return;
      this._other = null;
      if (this._tail) this._startFar();
      else this._tell("no_client");
    }
  }

  async _freshToken() {
    const answer = await this.prepare();
    return /** @type {string} */ (answer?.ways?.find((/** @type {Way} */ way) => way.kind === "livekit")?.token ?? "");
  }

  /** WebRTC has frames: it is seen at once where nothing else is, and after a steady while where the tail is. */
  _nearMoves() {
    const near = this._near;
    if (!near) return;
    if (this._seen !== this._far || !this._far || this._far.state !== "live") {
      this._turn(near);
      return;
    }
    clearTimeout(this._turnTimer);
    this._turnTimer = setTimeout(() => {
      this._turnTimer = undefined;
      if (near === this._near && near.state === "live") this._turn(near);
    }, this._steadyMs);
  }

  /** @param {AnyPlayer} player */
  _heard(player) {
    const moves = player.state === "live" || player.state === "sound";
    if (moves && player === this._far && this._near?.state === "live" && this._near.silentForMs < SILENT_MS) this._leaveFar();
    else if (moves && player === this._near && player.state === "sound" && this._far?.state === "live") return; // the tail has the picture too
    else if (moves) this._turn(player);
    else if (player === this._seen) this._become("slate");
  }

  /** This one is seen from now on. @param {AnyPlayer} player */
  _turn(player) {
    clearTimeout(this._turnTimer);
    this._turnTimer = undefined;
    const before = this._seen;
    this._seen = player;
    const way = player === this._near ? "WebRTC" : player === this._far ? "HLS" : "LiveKit";
    this.screen.show(/** @type {HTMLVideoElement} */ (this.screen.videos[player === this._far ? 1 : 0]));
    if (player === this._far) {
      if (this._near) this._near.patient = true;
      if (before === this._near && before) this._fell();
    } else this._leaveFar();
    this._become(player.state);
    if (way === this.way) return;
    this.way = way;
    this.dispatchEvent(new Event("way"));
  }

  /** A line that comes and goes must prove itself for longer each time, or the page would flicker. */
  _fell() {
    this.falls += 1;
    const now = performance.now();
    this._steadyMs = this._fellAt && now - this._fellAt < FORGIVEN_MS ? Math.min(LONGEST_STEADY_MS, this._steadyMs * 4) : STEADY_MS;
    this._fellAt = now;
  }

  _leaveFar() {
    const far = this._far;
    this._far = null;
    if (this._near) this._near.patient = false;
    if (!far) return;
    this._left = far;
    // It is seen until it has faded.
    this._fadeTimer = setTimeout(() => this._stopLeft(), FADE_MS);
  }

  _stopLeft() {
    clearTimeout(this._fadeTimer);
    void this._left?.stop();
    this._left = null;
  }

  /** Does WebRTC need help? Five times a second: the picture must move again within 4 s, whatever happened. */
  _look() {
    const near = this._near;
    if (!near) return;
    const well = near.state === "live" && near.silentForMs < SILENT_MS;
    if (this._far) {
      // It came back before it was given up: no event tells of that.
      if (well && this._seen === this._far && this._turnTimer === undefined) this._nearMoves();
      return;
    }
    // Between two tries before anything was seen there is no picture to be had (409): nothing is late.
    if (well || (this._seen ? near.connected : near.state === "waiting")) this._began = performance.now();
    const forMs = performance.now() - this._began;
    if (this._seen) {
      if (near.state === "live" ? !well : !near.connected && forMs >= SILENT_MS) this._startFar();
    } else if (near.connected ? forMs >= LATE_FRAME_MS && near.state === "joining" : forMs >= LATE_MS) this._startFar();
  }

  // ---- what is told ------------------------------------------------------------------------------

  /** @param {string} code */
  _tell(code) {
    this.dispatchEvent(new CustomEvent("failed", { detail: { code } }));
  }

  /** @param {string} state */
  _become(state) {
    if (state === this.state) return;
    this.state = state;
    if (state === "live" || state === "sound" || state === "slate") this.dispatchEvent(new Event(state));
  }
}

/** Where the server can't be asked just now, its own ways are where they always are. @param {string} slug @returns {Way[]} */
function usual(slug) {
  const name = encodeURIComponent(slug);
  return [{ kind: "whep", url: `/whep/${name}` }, { kind: "llhls", url: `/hls/${name}/live.m3u8` }];
}
