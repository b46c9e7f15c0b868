// @ts-check
/** The game over the picture: shows what the state says and sends what is pressed. */
import { clone, field, fill, find, flag, reconcile, say } from "./dom.js";
import { applyGame, onStage, shares, take } from "../models/games.js";
import { timer } from "../models/clock.js";
import { money, refused } from "../models/words.js";

/** @typedef {import("../models/games.js").Game} Game */

const KINDS = { poll: "The room decides", quiz: "Do you know?", draw: "Lucky draw", rain: "Coupon rain" };

export class GameView {
  /**
   * @param {HTMLElement} place the partial's section
   * @param {{send: (kind: string, body: object) => Promise<any>, clock: import("../models/clock.js").ServerClock,
   *   delay?: () => number, watching?: boolean}} tools `delay` is how late this page's picture is, ms; who is
   *   `watching` (the host) sees how it stands and takes no part
   */
  constructor(place, { send, clock, delay = () => 0, watching = false }) {
    this.place = place;
    this.watching = watching;
    this.send = send;
    this.clock = clock;
    this.delay = delay;
    /** @type {Game[]} */
    this.games = [];
    this.note = "";
    this.choices = field(place, "choices");
    this.join = /** @type {HTMLButtonElement} */ (find(place, '[data-act="join"]'));
    this.choices.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-key]"));
      if (button) void this.choose(Number(button.dataset.key));
    });
    this.join.addEventListener("click", () => void this.enter());
  }

  /** The games of a snapshot. @param {Game[]|undefined} games */
  snapshot(games) {
    this.games = games ?? [];
    this.render();
  }

  /** @param {{kind: string, body: any}} envelope */
  event(envelope) {
    const games = applyGame(this.games, envelope);
    if (games === this.games) return;
    this.games = games;
    this.render();
  }

  /** Once a second. */
  tick() {
    if (this.games.length) this.render();
  }

  /** @param {number} choice */
  async choose(choice) {
    const game = this.shown();
    if (!game || game.closed || game.mine === choice) return;
    const before = game.mine;
    this.mine(game.id, choice, "");
    try {
      if (game.game === "quiz") await this.send("quiz.answer", { quiz: game.id, choice, delay_ms: Math.round(this.delay()) });
      else await this.send("poll.vote", { poll: game.id, choice });
    } catch (refusal) {
      this.mine(game.id, before, refused(/** @type {any} */ (refusal)));
    }
  }

  async enter() {
    const game = this.shown();
    if (!game || game.closed || game.mine) return;
    this.mine(game.id, true, "");
    try {
      if (game.game === "rain") await this.send("rain.tap", { rain: game.id, delay_ms: Math.round(this.delay()) });
      else await this.send("draw.enter", { draw: game.id });
    } catch (refusal) {
      this.mine(game.id, undefined, refused(/** @type {any} */ (refusal)));
    }
  }

  /** @param {string} id @param {any} mine @param {string} note */
  mine(id, mine, note) {
    this.games = take(this.games, id, mine);
    this.note = note;
    this.render();
  }

  shown() {
    return onStage(this.games, this.clock.now());
  }

  render() {
    const game = this.shown();
    this.place.hidden = !game;
    if (!game) return;
    if (this.place.dataset.game !== game.id) {
      this.place.dataset.game = game.id;
      this.note = "";
    }
    flag(this.place, "closed", game.closed);
    const left_ms = game.closes_ms - this.clock.now() + (game.game === "quiz" || game.game === "rain" ? this.delay() : 0);
    const over = game.closed || left_ms <= 0;
    fill(this.place, "kind", KINDS[game.game]);
    fill(this.place, "time", over ? "" : timer(left_ms));
    fill(this.place, "question", game.question ?? game.prize ?? rained(game));
    this.renderChoices(game, over);
    this.join.hidden = Boolean(game.choices) || over || this.watching;
    this.join.disabled = Boolean(game.mine);
    say(this.join, game.game === "rain" ? (game.mine ? "You are standing in it" : "Stand in the rain") : game.mine ? "You are in" : "Enter, it is free");
    fill(this.place, "note", this.note || words(game, over));
  }

  /** @param {Game} game @param {boolean} over */
  renderChoices(game, over) {
    const parts = game.counts ? shares(game.counts) : [];
    // A poll shows how it stands to those who have voted; nobody's choice is led by it.
    const told = Boolean(game.counts) && (this.watching || game.closed || game.mine !== undefined && game.mine !== null);
    reconcile(this.choices, (game.choices ?? []).map((label, index) => ({ label, index })), (one) => String(one.index), () => clone("game-choice-template"), (element, { label, index }) => {
      const button = /** @type {HTMLButtonElement} */ (element);
      fill(button, "label", label);
      fill(button, "share", told ? `${parts[index] ?? 0} %` : "");
      button.style.setProperty("--share", told ? String((parts[index] ?? 0) / 100) : "0");
      button.setAttribute("aria-pressed", String(game.mine === index));
      button.disabled = over || this.watching;
      flag(button, "right", game.right === index);
      button.dataset.testid = `choice-${index}`;
    });
  }
}

/** What a coupon rain is about: what is to be shared, and afterwards what became of it. @param {Game} game */
function rained(game) {
  if (!game.closed) return game.budget ? `${money(game.budget)} to share` : "";
  return caught(game) ? `${money(game.mine)} fell on you` : "The rain is over";
}

/** @param {Game} game whether it fell on who reads this */
function caught(game) {
  return Boolean(game.mine) && game.mine !== true;
}

/** @param {Game} game @param {boolean} over */
function words(game, over) {
  if (game.game === "poll") {
    const votes = (game.counts ?? []).reduce((sum, count) => sum + count, 0);
    return game.closed ? `${votes} ${votes === 1 ? "vote" : "votes"}` : "";
  }
  if (game.game === "quiz") {
    if (!game.closed) return over ? `Time is up. ${game.answers ?? 0} answered.` : "";
    if (game.mine === undefined || game.mine === null) return `It is ${game.choices?.[game.right ?? 0] ?? ""}.`;
    return game.mine === game.right ? "You knew it." : `It is ${game.choices?.[game.right ?? 0] ?? ""}.`;
  }
  if (game.game === "draw") {
    if (!game.closed) return over ? "The lots are being drawn." : "";
    const names = (game.winners ?? []).map((winner) => winner.name).join(", ");
    return names ? `Won by ${names}` : "Nobody entered.";
  }
  if (!game.closed) return over ? "It is about to fall." : "When you tap does not matter, only that you do.";
  if (caught(game)) return "It is a coupon in your bag, good for one order.";
  if (!game.caught) return "Nobody stood in it.";
  return game.caught === 1 ? "It fell on one person." : `It fell on ${game.caught} people.`;
}
