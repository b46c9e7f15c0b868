// @ts-check
/**
 * Plays a show out of a LiveKit room, for installations with that engine. LiveKit's client is not part of Frontrow: the
 * operator puts it into static/vendor/ (docs/operations.md). The same face as Player (player.js).
 */

const CLIENT = "../vendor/livekit-client.esm.mjs";

/** @typedef {import("./player.js").PlayerStats} PlayerStats */

export class LiveKitPlayer extends EventTarget {
  /**
   * @param {HTMLVideoElement} video
   * @param {{url: string, token: string, again: () => Promise<string>}} options `again` gives a new token
   */
  constructor(video, { url, token, again }) {
    super();
    this.video = video;
    this.url = url;
    this.state = "idle";
    this.joins = 0;
    /** @type {number | null} */
    this.firstFrameMs = null;
    this._token = token;
    this._again = again;
    /** @type {any} */
    this._room = null;
    this._wanted = false;
  }

  /** Throws where the client can't be loaded. Lost connections are its own business, until it gives up. */
  async start() {
    this._wanted = true;
    const client = await import(CLIENT);
    await this._join(client);
  }

  /** @param {any} client */
  async _join(client) {
    if (!this._wanted) return;
    const begun = performance.now();
    this.joins += 1;
    const room = (this._room = new client.Room({ adaptiveStream: true }));
    const { RoomEvent } = client;
    room.on(RoomEvent.TrackSubscribed, (/** @type {any} */ track) => {
      track.attach(this.video);
      this.video.requestVideoFrameCallback?.(() => {
        this.firstFrameMs ??= Math.round(performance.now() - begun);
        this._become("live");
      });
    });
    room.on(RoomEvent.TrackUnsubscribed, (/** @type {any} */ track) => {
      track.detach(this.video);
      if (track.kind === "video") this._become("slate");
    });
    room.on(RoomEvent.Reconnecting, () => this._become("slate"));
    room.on(RoomEvent.Reconnected, () => this._become("live"));
    // A connection that can't be made is told twice, by its event and by its promise: one try follows.
    let over = false;
    const again = () => {
      if (!over) void this._rejoin(client);
      over = true;
    };
    room.on(RoomEvent.Disconnected, again);
    await room.connect(this.url, this._token).catch(again);
  }

  /** @param {any} client */
  async _rejoin(client) {
    this._become("slate");
    if (!this._wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 1_000 * (1 + Math.random())));
    this._token = await this._again();
    await this._join(client);
  }

  async stop() {
    this._wanted = false;
    await this._room?.disconnect();
    this.state = "idle";
  }

  hurry() {}

  /** @returns {Promise<PlayerStats>} */
  async stats() {
    const { totalVideoFrames: frames, droppedVideoFrames: dropped } = this.video.getVideoPlaybackQuality();
    return {
      way: "LiveKit", state: this.state, framesDecoded: frames, framesDropped: dropped, fps: 0, width: this.video.videoWidth,
      height: this.video.videoHeight, kbps: 0, lost: null, lossPercent: null, nacks: null, jitterMs: null, rttMs: null,
      freezes: 0, codec: "", firstFrameMs: this.firstFrameMs, joins: this.joins,
    };
  }

  /** @param {string} state */
  _become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event(state));
  }
}
