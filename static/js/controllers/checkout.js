// @ts-check
/** From the bag to an order: where it goes, what it comes to, the provider's page, and how it ended. All in the sheet. */
import { AddressForm } from "./address.js";
import { byId, fill, find, say } from "./dom.js";
import { NOT_THERE, QuoteView } from "./quote.js";
import { answerBank, leave, mountCheckout } from "./stripe_pay.js";
import { call, randomId } from "../http.js";
import { FIELDS, body, fieldOf, fromKept, wrong } from "../models/contact.js";
import { money, outcome as outcomeWords, refused } from "../models/words.js";

/** @typedef {import("../models/contact.js").Contact} Contact */
/** @typedef {{token: string, number: string, pay_url: string}} Pending */

const POLL_MS = 1500;
const OF_THE_BAG = new Set(["hold_lapsed", "empty_bag", "sold_out"]);
const OF_THE_TOTAL = new Set(["price_changed", "total_changed"]);

export class Checkout {
  /**
   * @param {{slug: string, store: import("../models/store.js").Store<import("../models/show.js").State>, sheet: import("./sheet.js").Sheet}} tools
   */
  constructor(tools) {
    this.tools = tools;
    this.form = /** @type {HTMLFormElement} */ (byId("checkout"));
    this.draftKey = `frontrow.contact.${tools.slug}`;
    this.pendingKey = `frontrow.paying.${tools.slug}`;
    this.attemptKey = `frontrow.attempt.${tools.slug}`;
    /** @type {Pending|null} */
    this.pending = parse(sessionStorage.getItem(this.pendingKey));
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.poll = undefined;
    this.placing = false;
    this.again = false; // she wants to try again as soon as the failed order is closed
    /** What the device remembers, asked for once. @type {() => Promise<import("./express.js").Kept|null>} */
    this.remembered = () => call("GET", "/api/me/saved").catch(() => null);
    /** An order that stands and is paid. */
    this.onBought = () => {};
    /** @type {() => Promise<void>} */
    this.onForget = () => call("DELETE", "/api/me/saved").catch(() => undefined);
    this.address = new AddressForm(this.form);
    this.quotes = new QuoteView({ slug: tools.slug, contact: () => this.contact(), onChange: () => this.figures() });

    this.drafted = this.restore();
    this.form.addEventListener("input", (event) => {
      sessionStorage.setItem(this.draftKey, JSON.stringify(this.contact()));
      const input = /** @type {HTMLInputElement} */ (event.target);
      if (input.getAttribute("aria-invalid") === "true") this.mark(wrong(this.contact(), this.address.form), [input.name]);
    });
    this.form.addEventListener("change", (event) => {
      const { name } = /** @type {HTMLInputElement} */ (event.target);
      if (name === "country" || name === "area" || (name === "email" && this.quotes.codes.length)) void this.quotes.ask();
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.place();
    });
    tools.sheet.dialog.addEventListener("click", (event) => {
      const act = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-act]"))?.dataset.act;
      if (act === "checkout") this.start();
      if (act === "retry") this.retry();
      if (act === "forget") void this.forgetMe();
      if (act === "bag") {
        byId("outcome").hidden = true;
        tools.sheet.open("bag");
      }
    });
    addEventListener("message", (event) => {
      const frame = /** @type {HTMLIFrameElement|null} */ (byId("pay-place").querySelector("iframe"));
      if (frame && event.source === frame.contentWindow && event.origin === location.origin && event.data?.kind === "frontrow.payment") this.heard(String(event.data.outcome));
    });
    tools.store.subscribe((state, before) => {
      // Nobody fills in a form for a bag that ran out: back to it, where each piece can be held again.
      if (tools.sheet.view === "checkout" && !this.placing && before.live.cart.lines.some((line) => line.state === "held") && !state.live.cart.lines.some((line) => line.state !== "lapsed")) {
        tools.sheet.open("bag");
        byId("bag-note").dataset.tone = "wrong";
        say(byId("bag-note"), refused({ code: "hold_lapsed", facts: {} }));
      }
      if (tools.sheet.view === "checkout" && !this.placing && state.live.cart !== before.live.cart && state.live.cart.lines.length) void this.quotes.ask();
      if (state.orders !== before.orders && this.pending && state.orders[this.pending.token]) this.settled(state.orders[this.pending.token]);
    });
  }

  /** After a reload in the middle of paying: go on where she was. */
  async resume() {
    if (!this.pending) return;
    const order = await call("GET", `/api/orders/${encodeURIComponent(this.pending.token)}`).catch(() => null);
    if (!order) return;
    if (order.status === "pending") this.pay(this.pending);
    else this.settled(order);
  }

  start() {
    if (this.pending) return this.pay(this.pending);
    say(byId("checkout-note"), "");
    this.figures();
    this.tools.sheet.open("checkout");
    void this.prefill();
  }

  /** What the device remembers goes into a form that nobody typed in yet. */
  async prefill() {
    const kept = await this.remembered();
    byId("kept").hidden = !kept?.contact;
    if (kept?.contact && !this.drafted) {
      this.drafted = true;
      this.address.put(fromKept(kept.contact));
      /** @type {HTMLInputElement} */ (byId("remember")).checked = true;
    }
    await this.quotes.ask();
  }

  async forgetMe() {
    await this.onForget();
    sessionStorage.removeItem(this.draftKey);
    this.form.reset();
    this.address.put(Object.fromEntries(FIELDS.filter((name) => name !== "country").map((name) => [name, ""])));
    byId("kept").hidden = true;
    const note = byId("checkout-note");
    note.dataset.tone = "";
    say(note, "Forgotten: here, and the card at the payment provider.");
    this.tools.sheet.title.focus();
  }

  /** The total and the button that agrees to it. */
  figures() {
    const { quote } = this.quotes;
    fill(this.tools.sheet.section("checkout"), "checkout-total", money(quote?.total ?? this.tools.store.state.live.cart.total));
    say(find(this.tools.sheet.section("checkout"), '[data-testid="pay-button"]'), quote?.changed.length ? `Agree to ${money(quote.total)} and go on` : quote && !quote.total.minor ? "Place the order" : "Continue to payment");
  }

  /** @returns {Contact} */
  contact() {
    const values = new FormData(this.form);
    return /** @type {Contact} */ (Object.fromEntries(FIELDS.map((name) => [name, String(values.get(name) ?? this.address.typed.get(name) ?? "")])));
  }

  /** @returns {boolean} whether there was a draft */
  restore() {
    const draft = parse(sessionStorage.getItem(this.draftKey));
    if (!draft) {
      void this.address.follow();
      return false;
    }
    this.address.put(Object.fromEntries(FIELDS.map((name) => [name, draft[name]])));
    return true;
  }

  /**
   * @param {Partial<Record<keyof Contact, string>>} errors
   * @param {readonly string[]} [names]
   */
  mark(errors, names = FIELDS) {
    for (const name of names) {
      const input = /** @type {HTMLElement|null} */ (this.form.elements.namedItem(name));
      if (!input) continue; // the country has no such field
      const words = errors[/** @type {keyof Contact} */ (name)] ?? "";
      input.setAttribute("aria-invalid", String(Boolean(words)));
      say(byId(`contact-${name}-error`), words);
    }
    const first = names.find((name) => errors[/** @type {keyof Contact} */ (name)]);
    if (first && names.length > 1) /** @type {HTMLElement|null} */ (this.form.elements.namedItem(first))?.focus();
  }

  async place() {
    const contact = this.contact();
    const { form } = this.address;
    const errors = wrong(contact, form);
    // The shop said so already: it stays said, beside whatever else is missing.
    if (contact.country && contact.country === this.quotes.unserved) errors.country = NOT_THERE;
    this.mark(errors);
    if (Object.keys(errors).length || this.placing) return;
    this.placing = true;
    const button = find(this.tools.sheet.section("checkout"), '[data-testid="pay-button"]');
    button.setAttribute("aria-busy", "true");
    const note = byId("checkout-note");
    note.dataset.tone = "";
    say(note, "");
    try {
      // She agrees to what she saw: figures that come only now, and are others, are looked at first.
      const seen = this.quotes.quote ?? { total: this.tools.store.state.live.cart.total, changed: [] };
      if (!this.quotes.quote) void this.quotes.ask();
      await this.quotes.settle();
      const { quote, way, codes } = this.quotes;
      if (!quote) return;
      if (quote.total.minor !== seen.total.minor || quote.changed.length > seen.changed.length) {
        note.dataset.tone = "wrong";
        say(note, refused({ code: "total_changed", facts: {} }));
        return;
      }
      const remember = /** @type {HTMLInputElement} */ (byId("remember")).checked;
      const order = { ...body(contact, form), shipping: way, codes, total: quote.total, remember };
      await this.placed(await call("POST", `/api/shows/${encodeURIComponent(this.tools.slug)}/checkout`, order, { "Idempotency-Key": this.attempt() }));
    } catch (thrown) {
      const refusal = /** @type {any} */ (thrown);
      if (refusal.code === "invalid" && this.markRefused(refusal.facts ?? {})) say(note, "");
      else if (OF_THE_BAG.has(refusal.code)) {
        // What to do about it is in the bag: say it there.
        byId("bag-note").dataset.tone = "wrong";
        say(byId("bag-note"), refused(refusal));
        this.tools.sheet.open("bag");
      } else if (refusal.code === "code_refused") await this.quotes.failed(refusal);
      else {
        note.dataset.tone = "wrong";
        if (OF_THE_TOTAL.has(refusal.code)) await this.quotes.ask();
        say(note, refused(refusal));
      }
      // The same key with another body is refused for good: a new attempt gets a new one. A network that failed may
      // have brought the order through, so there the key stays.
      if (refusal.status) sessionStorage.removeItem(this.attemptKey);
    } finally {
      this.placing = false;
      button.removeAttribute("aria-busy");
    }
  }

  /**
   * The order stands: pay it, unless it is settled already (a remembered card, nothing to pay).
   * @param {any} placed as the checkout answers
   */
  async placed(placed) {
    this.pending = { token: placed.token, number: placed.number, pay_url: placed.pay_url };
    sessionStorage.setItem(this.pendingKey, JSON.stringify(this.pending));
    const order = await call("GET", `/api/orders/${encodeURIComponent(placed.token)}`).catch(() => null);
    if (!this.pending) return; // the socket was faster
    if (order && order.status !== "pending") this.settled(order);
    else this.pay(this.pending);
  }

  /**
   * @param {Record<string, any>} facts of a refusal that names fields
   * @returns {boolean} whether they are fields of the form
   */
  markRefused(facts) {
    const told = Object.keys(facts.fields ?? { [facts.field]: "" }).map(fieldOf);
    const names = told.filter((name) => name !== null && this.form.elements.namedItem(name));
    this.mark(Object.fromEntries(names.map((name) => [name, "This is not right yet."])));
    return names.length > 0;
  }

  /** The idempotency key of this attempt; it survives a reload, so that a repeat is the same order. */
  attempt() {
    const kept = sessionStorage.getItem(this.attemptKey);
    if (kept) return kept;
    const key = randomId();
    sessionStorage.setItem(this.attemptKey, key);
    return key;
  }

  /** @param {Pending} pending */
  pay(pending) {
    byId("outcome").hidden = true;
    const place = byId("pay-place");
    place.hidden = false;
    if (!place.childElementCount) {
      if (pending.pay_url) this.frame(path(pending.pay_url));
      else void this.byStripe(pending);
    }
    say(byId("pay-note"), "You pay on the provider’s page. The show goes on beside it.");
    this.tools.sheet.open("pay");
    this.ask();
  }

  /** @param {string} src */
  frame(src) {
    const frame = document.createElement("iframe");
    frame.className = "pay-frame";
    frame.dataset.testid = "pay-frame";
    frame.title = "Payment, on the provider’s own page";
    frame.src = src;
    byId("pay-place").replaceChildren(frame);
  }

  /** @param {Pending} pending */
  async byStripe(pending) {
    const key = byId("show").dataset.stripe ?? "";
    try {
      const page = await call("GET", `/api/orders/${encodeURIComponent(pending.token)}/pay`);
      if (this.pending !== pending) return;
      if (page.kind === "checkout") await mountCheckout(byId("pay-place"), key, page.secret, () => this.heard("success"));
      else if (page.kind === "challenge") {
        say(byId("pay-note"), "Your bank wants to hear from you.");
        this.heard((await answerBank(key, page.secret)) ? "success" : "authentication_failed");
      }
    } catch {
      const note = byId("pay-note");
      note.dataset.tone = "wrong";
      say(note, "The payment page did not come. Check your line, or a blocker of scripts, then open the bag and try again.");
    }
  }

  /** Ask for the order until it is settled: the provider's word may come late, or by another way. */
  ask() {
    clearTimeout(this.poll);
    const pending = this.pending;
    if (!pending) return;
    this.poll = setTimeout(async () => {
      const order = await call("GET", `/api/orders/${encodeURIComponent(pending.token)}`).catch(() => null);
      if (this.pending !== pending) return;
      if (order && order.status !== "pending") this.settled(order);
      else this.ask();
    }, POLL_MS);
  }

  /** @param {string} outcome what the provider's page said; the order itself is asked for all the same */
  heard(outcome) {
    if (outcome === "success") say(byId("pay-note"), "Paid. Your order is being written.");
    else if (outcome === "timeout_after_success") {
      const words = outcomeWords("timeout");
      say(byId("pay-note"), `${words.title}. ${words.words}`);
    } else this.failed(outcome);
    this.ask();
  }

  /** @param {string} outcome */
  failed(outcome) {
    const words = outcomeWords(outcome);
    const panel = byId("outcome");
    fill(panel, "title", words.title);
    fill(panel, "words", words.words);
    panel.hidden = false;
    byId("pay-place").hidden = true;
    leave();
    byId("pay-place").replaceChildren();
    say(byId("pay-note"), "");
    if (this.tools.sheet.view !== "pay") this.tools.sheet.open("pay");
    find(panel, '[data-act="retry"]').focus();
  }

  /** The same bag, a new order. The old one has to be over first: until then its pieces are still being paid for. */
  retry() {
    if (this.pending) {
      this.again = true;
      say(byId("pay-note"), "One moment: the first try is being closed.");
      this.ask();
      return;
    }
    this.again = false;
    this.start();
  }

  /** @param {any} order as `/api/orders/{token}` or `order.changed` tells it */
  settled(order) {
    const pending = this.pending;
    if (!pending || !order || order.status === "pending") return;
    const told = !byId("outcome").hidden;
    this.forget();
    if (!["cancelled", "refunded"].includes(order.status)) {
      // Paid, or further already: a quick house has sent it.
      this.onBought();
      say(byId("done-number"), pending.number);
      say(byId("done-words"), "Paid, and off the rail. The receipt has an address of its own: keep it.");
      /** @type {HTMLAnchorElement} */ (byId("done-link")).href = `/orders/${encodeURIComponent(pending.token)}`;
      byId("outcome").hidden = true;
      this.tools.sheet.open("done");
    } else if (this.again) this.retry();
    else if (!told || order.status === "refunded") this.failed(order.status === "refunded" ? "refunded" : order.reason || "cancelled");
  }

  forget() {
    clearTimeout(this.poll);
    this.pending = null;
    sessionStorage.removeItem(this.pendingKey);
    sessionStorage.removeItem(this.attemptKey);
    leave();
    byId("pay-place").replaceChildren();
  }
}

/** @param {string|null} text @returns {any} */
function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

/** Our own provider is on this origin, whatever name people typed for it. @param {string} url */
function path(url) {
  const parsed = new URL(url, location.href);
  return parsed.pathname.startsWith("/sandbox/") ? parsed.pathname + parsed.search : parsed.href;
}
