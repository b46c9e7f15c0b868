// @ts-check
/** The pictures of a piece on its card, one at a time: by a finger across it, its two sides, or the arrow keys. One
 * `<img>` in a place of fixed shape: nothing moves, and a picture is fetched when it is turned to. */
import { field, fill, find, flag, picture, say } from "./dom.js";

const SWIPE_PX = 24; // across, before a finger's move is no tap

export class Pictures {
  /** @param {HTMLElement} card */
  constructor(card) {
    this.card = card;
    this.product = "";
    this.at = 0;
    /** @type {import("../models/types.js").View[]} */
    this.all = [];
    const frame = field(card, "frame");
    let began = 0;
    let swiped = false;
    frame.addEventListener("pointerdown", (event) => {
      began = event.clientX;
      swiped = false;
    });
    frame.addEventListener("pointerup", (event) => {
      const across = event.clientX - began;
      swiped = Math.abs(across) >= SWIPE_PX;
      if (swiped) this.turn(across < 0 ? 1 : -1);
    });
    frame.addEventListener("click", (event) => {
      const side = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-act]"))?.dataset.act;
      // The click that ends a swipe is none: it has turned already.
      if (side && !(swiped && event.detail)) this.turn(side === "after" ? 1 : -1);
      swiped = false;
    });
    frame.addEventListener("keydown", (event) => {
      const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!way) return;
      event.preventDefault();
      event.stopPropagation(); // the page's own keys
      this.turn(way);
    });
  }

  /** @param {import("../models/types.js").Piece} piece */
  show(piece) {
    if (piece.product !== this.product) {
      this.product = piece.product;
      this.at = 0;
      fill(this.card, "turned", "");
    }
    const first = { picture: piece.picture, picture_alt: piece.picture_alt, srcset: piece.srcset ?? "" };
    this.all = [first, ...(piece.more ?? [])];
    this.at = Math.min(this.at, this.all.length - 1); // one was taken away meanwhile
    this.render();
  }

  /** Round and round. @param {number} way */
  turn(way) {
    if (this.all.length < 2) return;
    this.at = (this.at + way + this.all.length) % this.all.length;
    this.render();
    fill(this.card, "turned", `Picture ${this.at + 1} of ${this.all.length}: ${this.all[this.at]?.picture_alt ?? ""}`);
  }

  render() {
    const now = this.all[this.at];
    if (!now) return;
    picture(field(this.card, "picture"), now.picture, now.picture_alt, now.srcset);
    field(this.card, "turn").hidden = this.all.length < 2;
    const dots = field(this.card, "dots");
    while (dots.childElementCount > this.all.length) dots.lastElementChild?.remove();
    while (dots.childElementCount < this.all.length) dots.append(document.createElement("span"));
    [...dots.children].forEach((dot, index) => flag(/** @type {HTMLElement} */ (dot), "here", index === this.at));
    for (const [act, words] of /** @type {const} */ ([["before", "Picture before"], ["after", "Next picture"]])) {
      say(find(this.card, `[data-act="${act}"] span`), `${words} (${this.at + 1} of ${this.all.length})`);
    }
  }
}
