// @ts-check
/** The recordings of a show played as one film in one <video>, with its slider and its button. Tells `time`. */
import { byId, fill, flag, say } from "./dom.js";
import { lay, length, lengthOf, pieceAt } from "../models/replay.js";

const STEP_MS = 5000;
const AMBIENT_MS = 400;
const FRAME_MS = 100; // the longest that a frame stays on screen, at 10 a second
const NEAR = 1.22; // as in stage.js: a picture whose shape is this close to the window's fills it
const PLAY = "M7 4.5v15L19.5 12z";
const PAUSE = "M8 5v14M16 5v14";

export class Reel extends EventTarget {
  /** @param {import("../models/replay.js").Recording[]} recordings at least one */
  constructor(recordings) {
    super();
    this.pieces = lay(recordings);
    this.length = lengthOf(this.pieces);
    this.index = 0;
    this.mediaMs = this.pieces[0]?.starts_at_ms ?? 0; // of the frame on screen
    this.wanted = 0; // where to go once the file is there, ms into it
    this.wasPlaying = false;
    this.main = byId("main");
    this.video = /** @type {HTMLVideoElement} */ (byId("video"));
    this.slider = /** @type {HTMLInputElement} */ (byId("reel-time"));
    this.button = byId("reel-play");
    this.canvas = /** @type {HTMLCanvasElement} */ (byId("ambient"));
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.slider.max = String(Math.round(this.length));
    say(byId("reel-length"), length(this.length));
    this.listen();
    this.load(0, 0);
    this.tell();
  }

  listen() {
    const { video } = this;
    video.addEventListener("loadedmetadata", () => {
      this.fit();
      if (Math.abs(video.currentTime * 1000 - this.wanted) > 20) video.currentTime = this.wanted / 1000;
      if (this.wasPlaying) void video.play().catch(() => undefined);
    });
    video.addEventListener("resize", () => this.fit());
    new ResizeObserver(() => this.fit()).observe(this.main);
    video.addEventListener("playing", () => flag(this.main, "playing", true));
    for (const event of ["play", "pause"]) video.addEventListener(event, () => this.tellButton());
    const framed = "requestVideoFrameCallback" in video;
    video.addEventListener("seeked", () => this.arrived() && this.shown(video.currentTime));
    // A card belongs to a frame: the element's clock runs ahead of it, and would show a card that the next frame takes
    // away again. A page that nobody sees is told of no frames.
    video.addEventListener("timeupdate", () => {
      if (this.arrived() && (!framed || video.paused || document.hidden)) this.shown(video.currentTime);
    });
    video.addEventListener("ended", () => this.next());
    video.addEventListener("error", () => {
      say(byId("reel-note"), this.index + 1 < this.pieces.length ? "A part of the recording cannot be played here. This is what follows." : "This recording cannot be played here.");
      this.next();
    });
    if (framed) {
      const frame = (/** @type {number} */ _, /** @type {VideoFrameCallbackMetadata} */ { mediaTime }) => {
        const at = mediaTime * 1000;
        const isWanted = at < this.wanted && at > this.wanted - FRAME_MS; // it began before the moment she asked for
        if (this.arrived()) this.shown(isWanted ? this.wanted / 1000 : mediaTime);
        video.requestVideoFrameCallback(frame);
      };
      video.requestVideoFrameCallback(frame);
    }
    this.button.addEventListener("click", () => this.toggle());
    byId("reel-begin").addEventListener("click", () => this.play());
    video.addEventListener("click", () => this.toggle());
    this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
    setInterval(() => this.paint(), AMBIENT_MS);
  }

  /** Whether what the element tells is of where she went: a file that comes begins at 0, and the old one's last frame
   * may be told of after it. */
  arrived() {
    return this.video.readyState > 0 && !this.video.seeking;
  }

  /** Where the film is, in ms of the reel. */
  get now() {
    const piece = this.pieces[this.index];
    return piece ? piece.from_ms + Math.min(this.mediaMs - piece.starts_at_ms, piece.duration_ms) : 0;
  }

  play() {
    byId("reel-begin").hidden = true;
    this.wasPlaying = true;
    if (this.video.ended || this.now >= this.length - 50) this.seek(0);
    void this.video.play().catch(() => undefined);
  }

  pause() {
    this.wasPlaying = false;
    this.video.pause();
  }

  toggle() {
    if (this.video.paused) this.play();
    else this.pause();
  }

  /** @param {number} reelMs */
  seek(reelMs) {
    const { index, offset_ms } = pieceAt(this.pieces, reelMs);
    byId("reel-begin").hidden = true;
    flag(this.main, "playing", true);
    if (index === this.index) {
      this.wanted = offset_ms;
      if (this.video.readyState > 0) this.video.currentTime = offset_ms / 1000;
    } else this.load(index, offset_ms);
    this.shown(offset_ms / 1000);
  }

  /** @param {number} steps */
  skip(steps) {
    this.seek(this.now + steps * STEP_MS);
  }

  /** @param {number} index @param {number} offsetMs */
  load(index, offsetMs) {
    const piece = this.pieces[index];
    if (!piece) return;
    this.index = index;
    this.wanted = offsetMs;
    this.video.src = piece.url;
  }

  next() {
    if (this.index + 1 < this.pieces.length) {
      this.load(this.index + 1, 0);
      this.shown(0);
    } else this.wasPlaying = false;
  }

  /** @param {number} seconds into the piece */
  shown(seconds) {
    const piece = this.pieces[this.index];
    if (!piece) return;
    this.mediaMs = piece.starts_at_ms + seconds * 1000;
    this.tell();
    this.dispatchEvent(new Event("time"));
  }

  tell() {
    const now = Math.min(this.now, this.length);
    // A tenth of a second is finer than a finger, and a slider that is set at every frame costs a phone's battery.
    if (Math.abs(Number(this.slider.value) - now) >= 100) this.slider.value = String(Math.round(now));
    this.slider.style.setProperty("--done", `${this.length ? (100 * now) / this.length : 0}%`);
    const words = `${length(now)} of ${length(this.length)}`;
    if (this.slider.getAttribute("aria-valuetext") !== words) this.slider.setAttribute("aria-valuetext", words);
    say(byId("reel-now"), length(now));
  }

  tellButton() {
    const plays = !this.video.paused;
    fill(this.button, "words", plays ? "Pause" : "Play");
    this.button.querySelector("path")?.setAttribute("d", plays ? PAUSE : PLAY);
  }

  fit() {
    const { videoWidth, videoHeight } = this.video;
    const { clientWidth, clientHeight } = this.main;
    if (!videoWidth || !clientHeight) return;
    const picture = videoWidth / videoHeight;
    const room = clientWidth / clientHeight;
    this.main.dataset.fit = Math.max(picture / room, room / picture) < NEAR ? "cover" : picture < 1 && room > 1 ? "tall" : "bars";
  }

  /** The backdrop is the picture itself, out of focus. */
  paint() {
    if (document.hidden || this.video.readyState < 2 || this.video.paused || this.main.dataset.fit === "cover" || this.still.matches) return;
    this.canvas.getContext("2d")?.drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
  }
}
