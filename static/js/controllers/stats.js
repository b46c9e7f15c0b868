// @ts-check
/**
 * What the picture says of itself, over the picture: opened by "Live" or the key I, closed by Esc. It is a labelled
 * region and no announcement: figures that change each second would never let a screen reader speak.
 */
import { clone, field, fill, flag, reconcile, say } from "./dom.js";
import { figures } from "../models/figures.js";

const TYPED_IN = "input, select, textarea, [contenteditable], dialog";

export class StatsView {
  /**
   * @param {HTMLElement} panel the partial's section
   * @param {HTMLElement} button says whether it is open
   * @param {{ stats: () => Promise<import("../models/figures.js").Stats | null> }} picture
   * @param {{ late: () => number | null, sound: () => void }} tools `late`: how far the picture is behind the show, ms
   */
  constructor(panel, button, picture, { late, sound }) {
    this.panel = panel;
    this.button = button;
    this.picture = picture;
    this.late = late;
    button.addEventListener("click", () => this.open(panel.hidden));
    panel.querySelector('[data-act="close-stats"]')?.addEventListener("click", () => this.open(false));
    document.addEventListener("keydown", (event) => {
      const target = /** @type {Element} */ (event.target);
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || target.closest?.(TYPED_IN)) return;
      const key = event.key.toLowerCase();
      if (key === "i" || key === "?") this.open(panel.hidden);
      else if (key === "m") sound();
      else if (key === "escape" && !panel.hidden) this.open(false);
      else return;
      event.preventDefault();
    });
  }

  /** @param {boolean} open */
  open(open) {
    if (!open && this.panel.contains(document.activeElement)) this.button.focus();
    this.panel.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    void this.tick();
  }

  /** Once a second. Closed it asks nobody. */
  async tick() {
    if (this.panel.hidden) return;
    const stats = await this.picture.stats();
    const late = this.late();
    fill(this.panel, "way", stats?.way ?? "–");
    reconcile(field(this.panel, "rows"), figures(stats, late), (row) => row[0], () => clone("figure-template"), (item, [key, label, words]) => {
      item.dataset.testid = `figure-${key}`;
      fill(item, "label", label);
      say(field(item, "value"), words);
    });
    flag(this.panel, "filled", true);
  }
}
