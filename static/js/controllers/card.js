// @ts-check
/** A look's card: over the picture, and in the sheet. It shows what the state says and sends what is pressed. */
import { byId, clone, field, fill, find, flag, reconcile, ring, say } from "./dom.js";
import { Pictures } from "./pictures.js";
import * as bag from "../models/bag.js";
import { choose, coloursOf, left, sizesOf } from "../models/choice.js";
import { timer } from "../models/clock.js";
import { buttonWords, terms } from "../models/drop.js";
import { inLine, money, refused, stock as stockWords } from "../models/words.js";

/**
 * @typedef {import("../models/show.js").State} State
 * @typedef {import("../models/types.js").Card} Card
 * @typedef {{store: import("../models/store.js").Store<State>, clock: import("../models/clock.js").ServerClock,
 *   hold: (sku: string) => Promise<void>, drops: Pick<import("./drops.js").Drops, "stand" | "take" | "leave">, wait: (sku: string, joins: boolean) => Promise<void>, openBag: () => void, openLooks: () => void, express?: import("./express.js").Express,
 *   choices: Map<string, import("../models/choice.js").Choice>}} Tools
 */

/** What a press says while there is nothing to press. */
const HINTS = {
  soon: "It can be held when the countdown is over.",
  lobby: "You are in the draw. Keep this page open.",
  drawing: "The line is being drawn.",
  closed: "This drop is over.",
};
const FEW = 3; // units at which the stock is told in the accent

export class CardView {
  /**
   * @param {HTMLElement} place where the card lies; whatever the server drew there is taken over
   * @param {string} test its data-testid
   * @param {Tools} tools
   */
  constructor(place, test, tools) {
    this.place = place;
    this.test = test;
    this.tools = tools;
    /** @type {Card|null} */
    this.card = null;
    /** @type {HTMLElement|null} */
    this.element = null;
    this.busy = false;
    /** @type {Pictures|null} of the element that is up */
    this.pictures = null;
  }

  /** @param {Card|null} card */
  show(card) {
    if (!card) {
      this.card = null;
      this.element?.remove();
      this.element = null;
      return;
    }
    const other = this.card?.look !== card.look;
    this.card = card;
    if (!this.element || other) {
      const drawn = /** @type {HTMLElement|null} */ (this.place.querySelector('[data-part="card"]'));
      // The server's own drawing of this look stays: replacing it would play its entrance twice.
      this.element = drawn && drawn.dataset.look === card.look && !this.element ? drawn : clone("card-template");
      this.element.dataset.look = card.look;
      this.element.dataset.testid = this.test;
      this.listen(this.element);
      this.pictures = new Pictures(this.element);
      if (drawn !== this.element) this.place.replaceChildren(this.element);
    }
    this.render();
  }

  /** @param {HTMLElement} element */
  listen(element) {
    element.addEventListener("change", (event) => {
      const input = /** @type {HTMLInputElement} */ (event.target);
      const card = this.card;
      if (!card) return;
      const stock = this.tools.store.state.live.stock;
      const now = this.choice();
      const want = input.name.startsWith("size") ? { ...now, sku: input.value } : input.name.startsWith("colour") ? { ...now, colour: input.value } : { product: input.value };
      this.tools.choices.set(card.look, choose(card, stock, want));
      say(field(element, "note"), "");
      this.render();
    });
    find(element, '[data-act="hold"]').addEventListener("click", () => this.press());
    find(element, '[data-act="leave-line"]').addEventListener("click", () => this.leave());
    find(element, '[data-act="looks"]').addEventListener("click", () => this.tools.openLooks());
  }

  choice() {
    const card = /** @type {Card} */ (this.card);
    const stock = this.tools.store.state.live.stock;
    const choice = choose(card, stock, this.tools.choices.get(card.look) ?? {});
    // A choice made once stays, also when it sells out: it says so rather than jump to another size.
    this.tools.choices.set(card.look, choice);
    return choice;
  }

  async press() {
    const sku = this.choice().sku;
    const { store, clock } = this.tools;
    if (this.busy || !sku) return;
    if (bag.heldLine(store.state.live.cart, sku, clock.now())) return this.tools.openBag();
    this.busy = true;
    this.tell("");
    this.render();
    const { cart, stock } = store.state.live;
    const waits = bag.placeOf(cart, sku) !== null;
    const card = /** @type {Card} */ (this.card);
    const { kind } = this.tools.drops.stand(card);
    try {
      if (kind === "soon" || kind === "closed" || kind === "drawing" || kind === "lobby") this.tell(HINTS[kind]);
      else if (kind === "join" || kind === "queue") await this.tools.drops.take(card);
      else if (kind === "turn" && this.spent(sku)) this.tell("This size is all held. Choose another while it is your turn.");
      else if (kind === "line") this.tell("You will be told when it is your turn. Keep this page open.");
      else if (waits || left(stock, sku) < 1) {
        await this.tools.wait(sku, !waits);
        if (!waits) this.tell("When one comes free it is set aside for you, for a minute.");
      } else {
        await this.tools.hold(sku);
      }
    } catch (refusal) {
      this.tell(refused(/** @type {any} */ (refusal)));
    } finally {
      this.busy = false;
      if (this.card) this.render();
    }
  }

  /** Whether nothing of it is left to stand in line for. @param {string} sku */
  spent(sku) {
    const { stock } = this.tools.store.state.live;
    return sku in stock && left(stock, sku) < 1;
  }

  async leave() {
    const card = this.card;
    if (!card) return;
    await this.tools.drops.leave(card).then(() => this.tell("You gave up your place."), (refusal) => this.tell(refused(refusal)));
    // What had the focus is gone.
    if (this.element && document.activeElement === document.body) find(this.element, '[data-act="hold"]').focus();
  }

  /** @param {string} words */
  tell(words) {
    if (this.element) fill(this.element, "note", words);
  }

  render() {
    const { card, element } = this;
    if (!card || !element) return;
    const { live } = this.tools.store.state;
    const choice = this.choice();
    const piece = card.pieces.find((one) => one.product === choice.product) ?? card.pieces[0];
    const variant = piece?.variants.find((one) => one.sku === choice.sku);
    if (!piece || !variant) return;

    this.pictures?.show(piece);
    fill(element, "number", `Look ${card.number}`);
    fill(element, "title", piece.title);
    fill(element, "blurb", piece.blurb);
    fill(element, "price", money(variant.price));
    fill(element, "was-price", money(variant.was));
    field(element, "was").hidden = !variant.was;
    find(element, '[data-act="looks"]').hidden = this.test !== "pinned-card" || live.cards.length < 2;

    const units = left(live.stock, variant.sku);
    const known = variant.sku in live.stock;
    fill(element, "stock", known ? stockWords(units, variant.size, piece.variants.some((one) => one.colour !== variant.colour) ? variant.colour : "") : "");
    flag(field(element, "stock"), "few", known && units <= FEW);

    const pieces = card.pieces.length > 1 ? card.pieces : [];
    field(element, "pieces-set").hidden = !pieces.length;
    reconcile(field(element, "pieces"), pieces, (one) => one.product, () => clone("piece-template"), (item, one) => {
      radio(item, `piece-${this.test}`, one.product, one.product === piece.product);
      fill(item, "label", one.title);
    });

    const colours = coloursOf(piece);
    field(element, "colours-set").hidden = colours.length < 2;
    reconcile(field(element, "colours"), colours.length > 1 ? colours : [], (one) => `${piece.product} ${one}`, () => clone("colour-template"), (item, one) => {
      radio(item, `colour-${this.test}`, one, one === choice.colour).setAttribute("aria-label", one);
      item.title = one;
      field(item, "swatch").setAttribute("fill", piece.variants.find((v) => v.colour === one)?.colour_hex || "#888");
    });

    const sizes = sizesOf(piece, choice.colour);
    field(element, "sizes-set").hidden = !sizes.length;
    reconcile(field(element, "sizes"), sizes, (one) => one.sku, () => clone("size-template"), (item, one) => {
      const gone = left(live.stock, one.sku) < 1;
      const input = radio(item, `size-${this.test}`, one.sku, one.sku === choice.sku);
      input.dataset.testid = `size-${one.sku}`;
      input.setAttribute("aria-label", gone ? `${one.size || "One size"}, sold out` : one.size || "One size");
      flag(item, "gone", gone);
      fill(item, "label", one.size || "One size");
    });
    this.tick();
  }

  /** The button and its timer, once a second and on every change. */
  tick() {
    const { card, element } = this;
    if (!card || !element) return;
    const { live } = this.tools.store.state;
    const now = this.tools.clock.now();
    const sku = this.choice().sku;
    const held = bag.heldLine(live.cart, sku, now);
    const lapsed = !held && live.cart.lines.some((line) => line.sku === sku);
    const button = /** @type {HTMLButtonElement} */ (find(element, '[data-act="hold"]'));
    const onAir = live.show.status === "live";
    const none = left(live.stock, sku) < 1;
    const drop = this.tools.drops.stand(card);
    const asks = onAir && !held && drop.kind !== "open";
    const idle = asks && !(drop.kind === "join" || drop.kind === "queue" || drop.kind === "turn");
    fill(element, "drop", onAir ? terms(card.drop, now) : "");
    field(element, "leave").hidden = !(onAir && (drop.kind === "lobby" || drop.kind === "line"));
    // Not `disabled`: who has the focus on it when it opens is to press it.
    button.setAttribute("aria-disabled", String(idle));
    flag(button, "turn", asks && drop.kind === "turn");
    const place = held ? null : bag.placeOf(live.cart, sku);
    flag(button, "held", Boolean(held || (!asks && place) || (!asks && none && onAir) || (asks && (drop.kind === "lobby" || drop.kind === "line"))));
    button.disabled = !held && (!onAir || (none && !(sku in live.stock)));
    button.setAttribute("aria-busy", String(this.busy));
    fill(element, "act-words", held ? (held.state === "held" ? "In your bag ·" : "In your bag") : !onAir ? "The show is over" : asks ? buttonWords(drop) : place ? inLine(place.ahead) : none ? (sku in live.stock ? "Wait for one" : "One moment") : lapsed ? "Hold again" : "Hold");
    const express = /** @type {HTMLElement} */ (find(element, '[data-act="express"]'));
    const paying = this.tools.express;
    if (held && paying) paying.draw(express);
    else express.hidden = true;
    if (held && paying?.note) this.tell(paying.note);
    const running = held?.state === "held";
    field(element, "timer").hidden = !running;
    field(element, "ring").hidden = !running;
    if (held && running) {
      fill(element, "timer", timer(held.held_until_ms - now));
      ring(button, bag.share(held, now, live.show.hold_ttl_s));
    }
  }
}

/**
 * @param {HTMLElement} item
 * @param {string} name
 * @param {string} value
 * @param {boolean} checked
 */
function radio(item, name, value, checked) {
  const input = /** @type {HTMLInputElement} */ (find(item, "input"));
  if (input.name !== name) input.name = name;
  if (input.value !== value) input.value = value;
  if (input.checked !== checked) input.checked = checked;
  return input;
}

/** What the page says where no card is up. @param {boolean} any whether a look was out before */
export function waiting(any) {
  const place = byId("pinned");
  if (place.querySelector('[data-part="wait"]')) return;
  const words = document.createElement("p");
  words.className = "card-wait";
  words.dataset.part = "wait";
  words.textContent = any ? "The next look is on its way." : "The first look is on its way.";
  place.replaceChildren(words);
}
