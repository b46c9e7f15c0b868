// @ts-check
/**
 * Two <video> elements that are one picture: one in front, with the sound; the other, mute and unseen, is where the
 * next way of playing gets ready. Which one is seen is a data attribute, and the fade is the style sheet's
 * (css/stage.css). An element is never moved or taken out, so that it never stops.
 */

export class Screen extends EventTarget {
  /** @param {HTMLVideoElement[]} videos the first is in front */
  constructor(videos) {
    super();
    this.videos = videos;
    this.front = /** @type {HTMLVideoElement} */ (videos[0]);
    this._muted = this.front.muted;
    for (const video of videos) {
      video.addEventListener("volumechange", () => {
        if (video !== this.front) return;
        // A browser may mute what begins with sound and without a tap: the button must say what is heard.
        this._muted = video.muted;
        this.dispatchEvent(new Event("sound"));
      });
      for (const kind of ["resize", "loadedmetadata", "playing"]) {
        video.addEventListener(kind, () => video === this.front && this.dispatchEvent(new Event(kind)));
      }
    }
    this._mark();
  }

  /** The element that is not seen. */
  get back() {
    return /** @type {HTMLVideoElement} */ (this.videos.find((video) => video !== this.front));
  }

  get muted() {
    return this._muted;
  }

  /** Within a tap, so that the browser lets either element be heard from now on. @param {boolean} muted */
  set muted(muted) {
    this._muted = muted;
    this.front.muted = muted;
    for (const video of this.videos) {
      if (video === this.front || video.srcObject || video.src) void video.play().catch(() => undefined);
    }
  }

  /** Bring an element to the front, the sound with it. @param {HTMLVideoElement} video */
  show(video) {
    if (video === this.front) return;
    const before = this.front;
    this.front = video;
    video.volume = before.volume;
    // Never both: one is later than the other.
    before.muted = true;
    video.muted = this._muted;
    void video.play().catch(() => {
      video.muted = true;
      return video.play().catch(() => undefined);
    });
    this._mark();
    this.dispatchEvent(new Event("turn"));
  }

  _mark() {
    for (const video of this.videos) {
      const front = video === this.front;
      video.dataset.front = front ? "yes" : "no";
      if (front) video.removeAttribute("aria-hidden");
      else video.setAttribute("aria-hidden", "true");
    }
  }
}
