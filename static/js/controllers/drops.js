// @ts-check
/** Drops on the viewer's page: places in the lines of hot ones, proofs of work, and what is said aloud of both. */
import { byId, say, toast } from "./dom.js";
import { left } from "../models/choice.js";
import { phase, spoken, stand } from "../models/drop.js";
import { applyEvent } from "../models/show.js";

/**
 * @typedef {import("../models/types.js").Card} Card
 * @typedef {import("../models/types.js").Place} Place
 * @typedef {import("../models/show.js").State} State
 * @typedef {{challenge: string, answer: number}} Work
 */

const ASK_MS = 5_000; // no oftener does one page ask where it stands
const HEARD_MS = 3_000; // what should have been told is waited for so long
const WORK_GOOD_MS = 60_000; // before its end, an answer is not sent any more

export class Drops {
  /**
   * @param {{store: import("../models/store.js").Store<State>, clock: import("../models/clock.js").ServerClock,
   *   wire: import("../wire.js").Wire, cards: () => Card[]}} tools
   */
  constructor(tools) {
    this.tools = tools;
    /** @type {Map<string, import("../models/drop.js").Stand>} */
    this.stood = new Map();
    /** @type {Map<string, number>} */
    this.asked = new Map();
    /** Done ahead of the tap, while the countdown runs. @type {Map<string, Promise<{work: Work, until_ms: number}>>} */
    this.works = new Map();
    /** @type {Set<string>} looks of whose end in the line was said */
    this.gone = new Set();
  }

  /** @param {Card} card */
  stand(card) {
    const { live, queues } = this.tools.store.state;
    return stand(card.drop, live.places.find((one) => one.look === card.look), queues[card.look], this.tools.clock.now());
  }

  /** @param {Card} card */
  async take(card) {
    const work = card.drop.work_bits ? { work: await this.work(card) } : {};
    this.placed((await this.tools.wire.send("place.take", { look: card.look, ...work })).place);
  }

  /** @param {Card} card */
  async leave(card) {
    this.placed((await this.tools.wire.send("place.leave", { look: card.look })).place);
  }

  /** @param {Place} place */
  placed(place) {
    const { store } = this.tools;
    store.set(applyEvent(store.state, { kind: "place.changed", body: { place } }));
  }

  /**
   * An answer for one tap.
   * @param {Card} card
   * @returns {Promise<Work>}
   */
  async work(card) {
    const done = await this.prepare(card);
    this.works.delete(card.look);
    return done.until_ms - this.tools.clock.now() > WORK_GOOD_MS ? done.work : (await this.prepare(card)).work;
  }

  /** @param {Card} card */
  prepare(card) {
    let doing = this.works.get(card.look);
    if (!doing) {
      doing = this.doWork(card.look);
      this.works.set(card.look, doing);
      doing.catch(() => this.works.delete(card.look));
    }
    return doing;
  }

  /** @param {string} look */
  async doWork(look) {
    const { challenge, bits, until_ms } = await this.tools.wire.send("work.ask", { look });
    const worker = new Worker(new URL("../work.js", import.meta.url), { type: "module" });
    try {
      const answer = await new Promise((resolve, reject) => {
        worker.onmessage = (event) => resolve(event.data.answer);
        worker.onerror = () => reject({ code: "work_needed" });
        worker.postMessage({ challenge, bits });
      });
      return { work: { challenge, answer }, until_ms };
    } finally {
      worker.terminate();
    }
  }

  /**
   * A store that was lost before the draw forgot who was in the lobby: who was comes back by herself.
   * @param {Place[]} before
   */
  returned(before) {
    for (const card of this.tools.cards()) {
      const was = before.find((one) => one.look === card.look)?.state;
      if ((was === "lobby" || was === "line") && this.stand(card).kind.match(/join|queue/)) this.take(card).catch(() => undefined);
    }
  }

  /** Once a second: say what changed, and ask where nobody told. */
  tick() {
    const { store, clock } = this.tools;
    if (store.state.live.show.status !== "live") return;
    for (const card of this.tools.cards()) {
      const now = this.stand(card);
      const before = this.stood.get(card.look) ?? null;
      const name = `Look ${card.number}`;
      const words = spoken(now, before, name);
      if (words && (card.drop.hot || card.drop.opens_ms || card.drop.closes_ms)) say(byId("announce"), words);
      if (now.kind === "turn" && before && before.kind !== "turn") toast(`It is your turn for ${name}.`, { ms: 10_000 });
      this.stood.set(card.look, now);
      if (card.drop.work_bits && phase(card.drop, clock.now()) !== "closed") this.prepare(card).catch(() => undefined);
      this.soldOut(card, now, name);
      this.heal(card, now);
    }
  }

  /** Who stands in line when the last piece is held hears it at once, and once. @param {Card} card @param {import("../models/drop.js").Stand} now @param {string} name */
  soldOut(card, now, name) {
    const { stock } = this.tools.store.state.live;
    const units = card.pieces.flatMap((piece) => piece.variants).reduce((sum, one) => sum + left(stock, one.sku), 0);
    if (units > 0) this.gone.delete(card.look);
    else if ((now.kind === "line" || now.kind === "drawing") && !this.gone.has(card.look)) {
      this.gone.add(card.look);
      const words = `${name} sold out before your turn. You keep your place: what comes back goes along the line.`;
      toast(words, { ms: 12_000 });
      say(byId("announce"), words);
    }
  }

  /** @param {Card} card @param {import("../models/drop.js").Stand} now */
  heal(card, now) {
    const { store, clock, wire } = this.tools;
    if (!card.drop.hot) return;
    const opened = clock.now() - (card.drop.opens_ms ?? 0);
    const untold = (now.kind === "drawing" && opened > HEARD_MS) || (now.kind === "line" && now.ahead === 0);
    if (!untold || clock.now() - (this.asked.get(card.look) ?? 0) < ASK_MS * (1 + Math.random())) return;
    this.asked.set(card.look, clock.now());
    wire.send("place.ask", { look: card.look }).then(({ place }) => {
      if (store.state.live.places.some((one) => one.look === place.look)) this.placed(place);
    }, () => undefined);
  }
}
