// @ts-check
/** The second tap: what is held is paid by what this device remembers, without a form. */
import { say } from "./dom.js";
import { call, randomId } from "../http.js";
import { fromKept } from "../models/contact.js";
import { inForce } from "../models/bag.js";
import { money, refused } from "../models/words.js";

/** @typedef {{contact: {name: string, email: string, address: Record<string, string>}|null, method: string|null}} Kept */

const ARM_MS = 700; // a button that came up under a finger does nothing for so long
const NOTHING = new Set();

export class Express {
  /**
   * @param {{slug: string, store: import("../models/store.js").Store<import("../models/show.js").State>, clock: import("../models/clock.js").ServerClock,
   *   checkout: import("./checkout.js").Checkout}} tools
   */
  constructor(tools) {
    this.tools = tools;
    /** @type {Kept|null} */
    this.kept = null;
    this.looked = false;
    /** @type {import("../models/quote.js").Quote|null} */
    this.quote = null;
    this.quoted = ""; // the bag that the quote is of
    this.busy = false;
    this.note = "";
    this.armed_ms = 0;
    this.attemptKey = `frontrow.attempt.${tools.slug}.express`;
    document.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest('[data-act="express"]'));
      if (button && performance.now() >= this.armed_ms) void this.pay();
    });
  }

  /** What is held now and the codes that are to be used, as a word; "" when nothing is, or it is being paid for. */
  bag() {
    const lines = inForce(this.tools.store.state.live.cart, /** @type {Set<string>} */ (NOTHING), this.tools.clock.now());
    if (lines.some((line) => line.state !== "held")) return "";
    const { codes } = this.tools.checkout.quotes;
    return lines.map((line) => [line.sku, line.qty, line.price.minor, ...codes].join(" ")).join("|");
  }

  /** Look what is remembered at the first hold, and what the bag comes to at each change of it. */
  async follow() {
    const bag = this.bag();
    if (!bag) {
      this.quote = null;
      this.quoted = "";
      return;
    }
    if (!this.looked) {
      this.looked = true;
      await this.look();
    }
    if (!this.kept?.method || !this.kept.contact || this.quoted === bag) return;
    this.quoted = bag;
    await this.ask(bag);
  }

  /** She bought, and may have asked to be remembered: the next hold looks again. */
  bought() {
    this.looked = false;
  }

  async look() {
    this.kept = await call("GET", "/api/me/saved").catch(() => null);
    return this.kept;
  }

  /** @param {string} bag */
  async ask(bag) {
    const to = fromKept(/** @type {NonNullable<Kept["contact"]>} */ (this.kept?.contact));
    const { quotes } = this.tools.checkout;
    const ask = { country: to.country, area: to.area, email: to.email, codes: quotes.codes };
    const quote = await call("POST", `/api/shows/${encodeURIComponent(this.tools.slug)}/quote`, ask).catch((refusal) => {
      // The code goes, the rest stays: asked again without it.
      if (refusal.code === "code_refused") quotes.codes = quotes.codes.filter((code) => code !== refusal.facts.promotion);
      return null;
    });
    if (this.quoted !== bag) return;
    if (!this.quote) this.armed_ms = performance.now() + ARM_MS;
    this.quote = quote;
  }

  /** @returns {string} the button's words; "" where there is no such button */
  words() {
    if (this.busy) return "Paying …";
    if (!this.quote || !this.kept?.method || this.quoted !== this.bag()) return "";
    const end = this.kept.method.slice(this.kept.method.indexOf("··"));
    return `Pay ${money(this.quote.total)} with ${end}`;
  }

  /** Draw one of its buttons. @param {HTMLElement} button */
  draw(button) {
    const words = this.words();
    button.hidden = !words;
    if (words) say(button, words);
    button.setAttribute("aria-busy", String(this.busy));
  }

  async pay() {
    const { quote } = this;
    if (this.busy || !quote || !this.words()) return;
    this.busy = true;
    this.note = "";
    const key = sessionStorage.getItem(this.attemptKey) ?? randomId();
    sessionStorage.setItem(this.attemptKey, key);
    try {
      const placed = await call("POST", `/api/shows/${encodeURIComponent(this.tools.slug)}/checkout`, { saved: true, total: quote.total, codes: quote.codes.map((one) => one.code) }, { "Idempotency-Key": key });
      sessionStorage.removeItem(this.attemptKey);
      await this.tools.checkout.placed(placed);
    } catch (thrown) {
      const refusal = /** @type {any} */ (thrown);
      // Sent again after a lost answer it is the same order; after a refusal it is another.
      if (refusal.status) sessionStorage.removeItem(this.attemptKey);
      if (refusal.code === "conflict" || refusal.code === "invalid") {
        this.kept = null; // forgotten in another tab, or no longer right: the form knows what to ask
        this.tools.checkout.start();
      } else this.note = refused(refusal);
      this.quoted = "";
      this.quote = null;
    } finally {
      this.busy = false;
      void this.follow();
    }
  }

  async forget() {
    await call("DELETE", "/api/me/saved").catch(() => null);
    this.kept = null;
    this.quote = null;
    this.quoted = "";
  }
}
