// @ts-check
/** What the bag costs to where it goes: ways of sending, codes, the lines above the total. Asked again on each change. */
import { byId, clone, fill, find, reconcile, say } from "./dom.js";
import { call } from "../http.js";
import { changed, codeRefused, days, rows } from "../models/quote.js";
import { money, refused } from "../models/words.js";

/** @typedef {import("../models/quote.js").Quote} Quote */

export const NOT_THERE = "We do not send there yet.";

export class QuoteView {
  /**
   * @param {{slug: string, contact: () => import("../models/contact.js").Contact, onChange: () => void}} tools
   */
  constructor(tools) {
    this.tools = tools;
    /** @type {Quote|null} */
    this.quote = null;
    /** @type {string[]} */
    this.codes = [];
    this.way = "";
    this.unserved = ""; // the country of which the shop said last that it does not send there
    this.asked = 0;
    /** @type {Promise<boolean>|null} */
    this.asking = null;
    byId("ways-list").addEventListener("change", (event) => {
      this.way = /** @type {HTMLInputElement} */ (event.target).value;
      void this.ask();
    });
    const text = /** @type {HTMLInputElement} */ (byId("code-text"));
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      void this.use();
    });
    byId("checkout").addEventListener("click", (event) => {
      const act = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-act]"));
      if (act?.dataset.act === "use-code") void this.use();
      if (act?.dataset.act === "drop-code") {
        this.codes = this.codes.filter((code) => code !== /** @type {HTMLElement} */ (act.closest("[data-key]")).dataset.key);
        text.focus();
        void this.ask();
      }
    });
  }

  async use() {
    const text = /** @type {HTMLInputElement} */ (byId("code-text"));
    const code = text.value.replace(/\s/g, "").toUpperCase();
    say(byId("code-error"), "");
    if (!code || this.codes.includes(code)) return;
    const before = this.codes;
    this.codes = [...before, code];
    if (await this.ask()) text.value = "";
  }

  /** Ask for the figures; the last answer counts. Answers whether they came. */
  ask() {
    const mine = ++this.asked;
    this.asking = this.answered(mine);
    return this.asking;
  }

  /** Wait until what is shown is what was asked last. */
  async settle() {
    for (let last = null; last !== this.asking; ) {
      last = this.asking;
      await last;
    }
  }

  /** @param {number} mine @returns {Promise<boolean>} */
  async answered(mine) {
    const { country, area, email } = this.tools.contact();
    const ask = { country, area, email: email.trim().slice(0, 254), shipping: this.way, codes: this.codes };
    try {
      const quote = await call("POST", `/api/shows/${encodeURIComponent(this.tools.slug)}/quote`, ask);
      if (mine !== this.asked) return true;
      this.quote = quote;
      this.way = quote.way;
      this.unserved = "";
      say(byId("contact-country-error"), "");
    } catch (thrown) {
      if (mine !== this.asked) return false;
      return this.failed(/** @type {any} */ (thrown));
    } finally {
      if (mine === this.asked) this.render();
    }
    return true;
  }

  /** @param {{code: string, facts: Record<string, any>}} refusal */
  async failed(refusal) {
    const field = refusal.code === "invalid" ? refusal.facts.field : "";
    if (refusal.code === "code_refused") {
      // The code goes, the rest stays; the figures without it follow.
      this.codes = this.codes.filter((code) => code !== refusal.facts.promotion);
      await this.ask();
      say(byId("code-error"), codeRefused(refusal.facts));
    } else if (refusal.code === "throttled" && this.codes.length) {
      this.codes = this.quote?.codes.map((one) => one.code) ?? [];
      say(byId("code-error"), `Too many codes were tried. Again in ${Math.ceil((refusal.facts.retry_after_s ?? 60) / 60)} min.`);
    } else if (field === "shipping") {
      this.way = ""; // not a way to that country: the cheapest one is
      return this.ask();
    } else if (field === "address.country") {
      this.quote = null;
      this.unserved = this.tools.contact().country;
      say(byId("contact-country-error"), NOT_THERE);
    } else if (refusal.code !== "empty_bag") {
      const note = byId("checkout-note");
      note.dataset.tone = "wrong";
      say(note, refused(refusal));
    }
    return false;
  }

  render() {
    const quote = this.quote;
    const ways = quote && (quote.ways.length > 1 || quote.ways.some((way) => way.price.minor)) ? quote.ways : [];
    byId("ways").hidden = !ways.length;
    reconcile(byId("ways-list"), ways, (way) => way.id, () => clone("way-template"), (item, way) => {
      const input = /** @type {HTMLInputElement} */ (find(item, "input"));
      input.value = way.id;
      input.checked = way.id === quote?.way;
      fill(item, "name", way.name);
      fill(item, "days", days(way));
      fill(item, "price", way.price.minor ? money(way.price) : "Free");
    });
    reconcile(byId("codes"), quote?.codes ?? [], (one) => one.code, () => clone("code-template"), (item, one) => {
      fill(item, "words", one.kind === "free_shipping" ? `${one.code}: free shipping` : `${one.code}: −${money(one.amount)}`);
      find(item, "button").setAttribute("aria-label", `Remove ${one.code}`);
    });
    reconcile(byId("changes"), quote?.changed ?? [], (one) => one.sku, () => document.createElement("li"), (item, one) => say(item, changed(one)));
    reconcile(byId("sums"), quote ? rows(quote) : [], (row) => row.name, () => clone("sum-template"), (item, row) => {
      fill(item, "name", row.name);
      fill(item, "amount", row.amount);
    });
    this.tools.onChange();
  }
}
