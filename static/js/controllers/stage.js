// @ts-check
/** The picture: how it fits the window, its ambient backdrop, sound, and the slate. A <video> is never replaced. */
import { byId, fill, flag, say } from "./dom.js";
import { Screen } from "../screen.js";

const AMBIENT_MS = 400;
/** @type {Record<string, string>} */
const WORDS = {
  sound: "Sound only, until the line is better.",
  no_way: "This browser cannot play the show. Try another one.",
  no_client: "The picture cannot be shown here: its player did not load. Load this page again.",
};
const NEAR = 1.22; // a picture whose shape is this close to the window's fills it

export class Stage {
  constructor() {
    this.main = byId("main");
    this.screen = new Screen(/** @type {HTMLVideoElement[]} */ ([byId("video"), byId("video-tail")]));
    this.canvas = /** @type {HTMLCanvasElement} */ (byId("ambient"));
    this.slate = byId("slate");
    this.sound = byId("sound");
    this.painted = false;
    this.own = ""; // "stalled": our own connection stands still, whatever the publisher does; "sound": it has no picture
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    for (const event of ["resize", "loadedmetadata", "turn"]) this.screen.addEventListener(event, () => this.fit());
    this.screen.addEventListener("playing", () => flag(this.main, "playing", this.own !== "sound"));
    new ResizeObserver(() => this.fit()).observe(this.main);
    this.sound.addEventListener("click", () => this.toggleSound());
    this.screen.addEventListener("sound", () => this.tellSound());
    setInterval(() => this.paint(), AMBIENT_MS);
  }

  get video() {
    return this.screen.front;
  }

  toggleSound() {
    this.screen.muted = !this.screen.muted;
  }

  fit() {
    const { videoWidth, videoHeight } = this.video;
    const { clientWidth, clientHeight } = this.main;
    if (!videoWidth || !clientHeight) return;
    const picture = videoWidth / videoHeight;
    const room = clientWidth / clientHeight;
    const apart = Math.max(picture / room, room / picture);
    this.main.dataset.fit = apart < NEAR ? "cover" : picture < 1 && room > 1 ? "tall" : "bars";
  }

  /** The backdrop is the picture itself, 32 × 18 pixels of it, out of focus. */
  paint() {
    if (document.hidden || this.video.readyState < 2 || this.main.dataset.fit === "cover") return;
    if (this.still.matches && this.painted) return;
    this.canvas.getContext("2d")?.drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    this.painted = true;
  }

  tellSound() {
    const on = !this.video.muted;
    this.sound.setAttribute("aria-pressed", String(on));
    fill(this.sound, "words", on ? "Sound on" : "Turn on sound");
    const drawing = this.sound.querySelector("path");
    drawing?.setAttribute("d", on ? "M4 9.5v5h3.5L12 18V6L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11" : "M4 9.5v5h3.5L12 18V6L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5");
  }

  /**
   * @param {EventTarget} player
   * @param {() => import("../models/show.js").State} state
   */
  watch(player, state) {
    for (const [event, own] of /** @type {const} */ ([["slate", "stalled"], ["sound", "sound"], ["live", ""], ["way", null]])) {
      player.addEventListener(event, () => {
        if (own !== null) this.own = own;
        // Sound alone: the poster is what there is to see.
        if (this.own !== "stalled") flag(this.main, "playing", this.own === "");
        this.render(state());
      });
    }
    player.addEventListener("failed", (event) => {
      this.own = /** @type {CustomEvent} */ (event).detail.code;
      this.render(state());
    });
  }

  /** @param {import("../models/show.js").State} state */
  render(state) {
    const { picture, show } = state.live;
    const hidden = show.status !== "live" || (picture.state === "live" && !this.own);
    if (this.slate.hidden !== hidden) this.slate.hidden = hidden;
    const alone = this.own === "sound" && picture.state === "live";
    flag(this.slate, "sound", alone);
    say(/** @type {HTMLElement} */ (this.slate.firstElementChild), WORDS[this.own] && picture.state === "live" ? WORDS[this.own] ?? "" : picture.state === "waiting" ? "The picture is about to begin." : "The picture will be right back.");
  }
}
