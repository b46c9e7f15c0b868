// @ts-check
/** What fell on her in a game, in the bag: one tap puts its code to those of the checkout, another takes it out. */
import { byId, clone, fill, find, reconcile, say } from "./dom.js";
import { call } from "../http.js";
import { money, moment } from "../models/words.js";

/** @typedef {{code: string, amount: import("../models/games.js").Money, ends_ms: number}} Coupon */

export class Coupons {
  /**
   * @param {{slug: string, clock: import("../models/clock.js").ServerClock, sheet: import("./sheet.js").Sheet,
   *   quotes: import("./quote.js").QuoteView}} tools
   */
  constructor(tools) {
    this.tools = tools;
    /** @type {Coupon[]} */
    this.all = [];
    tools.sheet.onChange((view) => {
      if (view === "bag") void this.look();
    });
    byId("coupons").addEventListener("click", (event) => {
      const item = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-key]"));
      if (item && /** @type {Element} */ (event.target).closest("[data-act]")) this.toggle(item.dataset.key ?? "");
    });
  }

  /** Ask what she has: when the bag opens, when something fell on her, and after an order. Lost: as it was. */
  async look() {
    const answer = await call("GET", `/api/shows/${encodeURIComponent(this.tools.slug)}/coupons`).catch(() => null);
    if (!answer) return;
    const kept = new Set(answer.coupons.map((/** @type {Coupon} */ one) => one.code));
    this.drop(this.all.filter((one) => !kept.has(one.code)));
    this.all = answer.coupons;
    this.render();
  }

  /** @param {string} code */
  toggle(code) {
    const { quotes } = this.tools;
    const used = quotes.codes.includes(code);
    this.drop(this.all); // amounts do not go together: one of them at a time
    if (!used) quotes.codes = [...quotes.codes, code];
    this.render();
  }

  /** @param {Coupon[]} some */
  drop(some) {
    const { quotes } = this.tools;
    quotes.codes = quotes.codes.filter((code) => !some.some((one) => one.code === code));
  }

  render() {
    const now = this.tools.clock.now();
    const usable = this.all.filter((one) => one.ends_ms > now);
    reconcile(byId("coupons"), usable, (one) => one.code, () => clone("coupon-template"), (item, one) => {
      const used = this.tools.quotes.codes.includes(one.code);
      fill(item, "words", used ? `Your coupon: ${money(one.amount)} less at the checkout` : `Your coupon: ${money(one.amount)}, until ${moment(one.ends_ms)}`);
      const button = find(item, "button");
      say(button, used ? "Keep it for later" : "Use it");
      button.setAttribute("aria-pressed", String(used));
    });
  }
}
