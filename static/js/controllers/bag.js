// @ts-check
/** The bag: its button, its lines and their timers. What is removed can be had back for five seconds. */
import { byId, clone, field, fill, find, flag, picture, reconcile, ring, say } from "./dom.js";
import * as bag from "../models/bag.js";
import { left } from "../models/choice.js";
import { timer } from "../models/clock.js";
import { money, refused } from "../models/words.js";

const UNDO_MS = 5000;

export class BagView {
  /**
   * @param {{store: import("../models/store.js").Store<import("../models/show.js").State>, clock: import("../models/clock.js").ServerClock,
   *   hold: (sku: string) => Promise<void>, release: (sku: string) => Promise<void>, sheet: import("./sheet.js").Sheet}} tools
   */
  constructor(tools) {
    this.tools = tools;
    /** @type {Map<string, ReturnType<typeof setTimeout>>} */
    this.leaving = new Map();
    this.button = byId("bag-button");
    this.button.addEventListener("click", () => tools.sheet.open("bag"));
    byId("bag-lines").addEventListener("click", (event) => this.press(/** @type {Element} */ (event.target)));
    // Whoever leaves while the undo runs has decided.
    addEventListener("pagehide", () => {
      for (const sku of [...this.leaving.keys()]) this.go(sku);
    });
  }

  /** @param {Element} target */
  async press(target) {
    const act = /** @type {HTMLElement|null} */ (target.closest("[data-act]"));
    const sku = /** @type {HTMLElement|null} */ (target.closest("[data-key]"))?.dataset.key;
    if (!act || !sku) return;
    if (act.dataset.act === "remove") {
      this.leaving.set(sku, setTimeout(() => this.go(sku), UNDO_MS));
      this.render();
      const undo = byId("bag-lines").querySelector(`[data-key="${CSS.escape(sku)}"] [data-act="undo"]`);
      /** @type {HTMLElement|null} */ (undo)?.focus();
    } else if (act.dataset.act === "undo") {
      clearTimeout(this.leaving.get(sku));
      this.leaving.delete(sku);
      this.render();
    } else if (act.dataset.act === "again" || act.dataset.act === "more") {
      await this.tools.hold(sku).then(() => this.tell(""), (refusal) => this.tell(refused(refusal)));
    }
  }

  /** @param {string} sku */
  go(sku) {
    clearTimeout(this.leaving.get(sku));
    this.tools.release(sku).catch((refusal) => this.tell(refused(refusal))).finally(() => {
      this.leaving.delete(sku);
      this.render();
    });
  }

  /** @param {string} words */
  tell(words) {
    const note = byId("bag-note");
    note.dataset.tone = words ? "wrong" : "";
    say(note, words);
  }

  render() {
    const { store, clock } = this.tools;
    const { cart, show, stock } = store.state.live;
    const now = clock.now();
    const leaving = new Set(this.leaving.keys());

    const held = bag.count(cart, leaving, now);
    fill(this.button, "count", held ? String(held) : "");
    fill(this.button, "words", held ? `Your bag, ${held} held` : "Your bag");

    reconcile(byId("bag-lines"), cart.lines, (line) => line.sku, () => clone("bag-line-template"), (item, line) => {
      const state = bag.stateOf(line, now);
      const goes = leaving.has(line.sku);
      const left_ms = line.held_until_ms - now;
      const gone = state === "lapsed" && line.sku in stock && left(stock, line.sku) < 1;
      item.dataset.state = gone ? "gone" : state;
      item.dataset.sku = line.sku;
      flag(item, "leaving", goes);
      picture(field(item, "picture"), line.picture);
      fill(item, "piece", line.piece);
      fill(item, "what", [line.size, line.colour, line.qty > 1 ? `× ${line.qty}` : ""].filter(Boolean).join(" · "));
      fill(item, "price", money({ minor: line.price.minor * line.qty, currency: line.price.currency }));
      const hold = field(item, "hold");
      flag(hold, "soon", left_ms < bag.SOON_MS);
      fill(item, "hold-words", goes ? "Removed" : gone ? "The hold ran out, and it is sold out" : state === "lapsed" ? "The hold ran out" : state === "paying" ? "Waiting for payment" : `Yours for ${timer(left_ms)}`);
      /** @type {SVGElement} */ (find(hold, "svg")).toggleAttribute("hidden", goes || state !== "held");
      ring(hold, bag.share(line, now, show.hold_ttl_s));
      find(item, '[data-act="again"]').hidden = goes || gone || state !== "lapsed" || show.status !== "live";
      find(item, '[data-act="more"]').hidden = goes || state !== "held" || show.status !== "live";
      find(item, '[data-act="more"]').setAttribute("aria-label", `One more ${line.piece}`);
      find(item, '[data-act="remove"]').hidden = goes || state === "paying";
      find(item, '[data-act="undo"]').hidden = !goes;
      find(item, '[data-act="remove"]').setAttribute("aria-label", `Remove ${line.piece}`);
    });
    byId("bag-empty").hidden = cart.lines.length > 0;
    byId("bag-foot").hidden = cart.lines.length === 0;
    const sum = money(bag.total(cart, leaving, now));
    say(byId("bag-total"), sum);
    // A hold outlives its show: what is set aside can be paid until its time is over.
    byId("cover-bag").hidden = show.status !== "ended" || held === 0;
    const checkout = /** @type {HTMLButtonElement} */ (find(byId("bag-foot"), '[data-act="checkout"]'));
    checkout.disabled = held === 0;
  }
}
