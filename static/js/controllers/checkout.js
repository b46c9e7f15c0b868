// @ts-check
/** From the bag to an order: where it goes, the provider's page in a frame, and how it ended. All inside the sheet. */
import { byId, fill, find, say } from "./dom.js";
import { call, randomId } from "../http.js";
import { FIELDS, body, fieldOf, wrong } from "../models/contact.js";
import { outcome as outcomeWords, refused } from "../models/words.js";

/** @typedef {import("../models/contact.js").Contact} Contact */
/** @typedef {{token: string, number: string, pay_url: string}} Pending */

const POLL_MS = 1500;
const OF_THE_BAG = new Set(["hold_lapsed", "empty_bag", "sold_out", "price_changed"]);

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

    this.restore();
    this.form.addEventListener("input", (event) => {
      sessionStorage.setItem(this.draftKey, JSON.stringify(this.contact()));
      const input = /** @type {HTMLInputElement} */ (event.target);
      if (input.getAttribute("aria-invalid") === "true") this.mark(wrong(this.contact()), [input.name]);
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.place();
    });
    tools.sheet.dialog.addEventListener("click", (event) => {
      const act = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-act]"))?.dataset.act;
      if (act === "checkout") this.start();
      if (act === "retry") this.retry();
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
    this.tools.sheet.open("checkout");
  }

  /** @returns {Contact} */
  contact() {
    const values = new FormData(this.form);
    return /** @type {Contact} */ (Object.fromEntries(FIELDS.map((name) => [name, String(values.get(name) ?? "")])));
  }

  restore() {
    const draft = parse(sessionStorage.getItem(this.draftKey));
    if (!draft) return;
    for (const name of FIELDS) {
      const input = /** @type {HTMLInputElement|null} */ (this.form.elements.namedItem(name));
      if (input && typeof draft[name] === "string") input.value = draft[name];
    }
  }

  /**
   * @param {Partial<Record<keyof Contact, string>>} errors
   * @param {readonly string[]} [names]
   */
  mark(errors, names = FIELDS) {
    for (const name of names) {
      const input = /** @type {HTMLElement} */ (this.form.elements.namedItem(name));
      const words = errors[/** @type {keyof Contact} */ (name)] ?? "";
      input.setAttribute("aria-invalid", String(Boolean(words)));
      say(byId(`contact-${name}-error`), words);
    }
    const first = names.find((name) => errors[/** @type {keyof Contact} */ (name)]);
    if (first && names.length > 1) /** @type {HTMLElement} */ (this.form.elements.namedItem(first)).focus();
  }

  async place() {
    const contact = this.contact();
    const errors = wrong(contact);
    this.mark(errors);
    if (Object.keys(errors).length || this.placing) return;
    this.placing = true;
    const button = find(this.tools.sheet.section("checkout"), '[data-testid="pay-button"]');
    button.setAttribute("aria-busy", "true");
    const note = byId("checkout-note");
    note.dataset.tone = "";
    say(note, "");
    try {
      const placed = await call("POST", `/api/shows/${encodeURIComponent(this.tools.slug)}/checkout`, body(contact), { "Idempotency-Key": this.attempt() });
      this.pending = { token: placed.token, number: placed.number, pay_url: placed.pay_url };
      sessionStorage.setItem(this.pendingKey, JSON.stringify(this.pending));
      if (placed.status === "paid") this.settled(placed);
      else this.pay(this.pending);
    } catch (thrown) {
      const refusal = /** @type {any} */ (thrown);
      const name = refusal.code === "invalid" ? fieldOf(refusal.facts?.field) : null;
      if (name) this.mark({ [name]: "This is not right yet." });
      else if (OF_THE_BAG.has(refusal.code)) {
        // What to do about it is in the bag: say it there.
        byId("bag-note").dataset.tone = "wrong";
        say(byId("bag-note"), refused(refusal));
        this.tools.sheet.open("bag");
      } else {
        note.dataset.tone = "wrong";
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
    if (!place.querySelector("iframe")) {
      const frame = document.createElement("iframe");
      frame.className = "pay-frame";
      frame.dataset.testid = "pay-frame";
      frame.title = "Payment, on the provider’s own page";
      frame.src = path(pending.pay_url);
      place.replaceChildren(frame);
    }
    say(byId("pay-note"), "You pay on the provider’s page. The show goes on beside it.");
    this.tools.sheet.open("pay");
    this.ask();
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
