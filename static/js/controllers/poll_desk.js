// @ts-check
/** The host's control of games: asks a poll or a quiz, closes a poll, opens a draw, lets coupons rain. */
import { byId, say } from "./dom.js";
import { GameView } from "./poll.js";
import { minor } from "../models/catalogue.js";
import { refused } from "../models/words.js";

export class PollDesk {
  /** @param {{send: (kind: string, body: object) => Promise<any>, clock: import("../models/clock.js").ServerClock}} tools */
  constructor({ send, clock }) {
    this.send = send;
    this.view = new GameView(byId("games"), { send, clock, watching: true });
    this.ask = /** @type {HTMLFormElement} */ (byId("poll-form"));
    this.draw = /** @type {HTMLFormElement} */ (byId("draw-form"));
    this.ask.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.open(this.ask, "poll-note", asked(new FormData(this.ask)));
    });
    this.draw.addEventListener("submit", (event) => {
      event.preventDefault();
      const form = new FormData(this.draw);
      void this.open(this.draw, "draw-note", { kind: "draw.open", body: { prize: String(form.get("prize")), places: Number(form.get("places")), seconds: Number(form.get("seconds")) } });
    });
    this.rain = /** @type {HTMLFormElement} */ (byId("rain-form"));
    this.rain.addEventListener("submit", (event) => {
      event.preventDefault();
      const form = new FormData(this.rain);
      const amount = minor(String(form.get("budget")), Number(this.rain.dataset.places));
      if (amount === null) {
        byId("rain-budget").focus();
        return say(byId("rain-note"), "Nothing falls yet: the amount to share is a number like 200.");
      }
      const budget = { minor: amount, currency: this.rain.dataset.currency };
      void this.open(this.rain, "rain-note", { kind: "rain.open", body: { budget, portions: Number(form.get("portions")), seconds: Number(form.get("seconds")) } });
    });
    byId("poll-close").addEventListener("click", () => void this.close());
  }

  /** @param {import("../models/games.js").Game[]|undefined} games */
  snapshot(games) {
    this.view.snapshot(games);
    this.render();
  }

  /** @param {{kind: string, body: any}} envelope */
  event(envelope) {
    this.view.event(envelope);
    this.render();
  }

  tick() {
    this.view.tick();
    this.render();
  }

  render() {
    const game = this.view.shown();
    byId("poll-close-place").hidden = !game || game.closed || game.game !== "poll";
  }

  /**
   * @param {HTMLFormElement} form folded in once the room is asked: what counts then is how it stands
   * @param {string} note
   * @param {{kind: string, body: object}} intent
   */
  async open(form, note, { kind, body }) {
    const words = byId(note);
    say(words, "");
    try {
      await this.send(kind, body);
      form.reset();
      form.closest("details")?.removeAttribute("open");
    } catch (refusal) {
      const { code, facts } = /** @type {any} */ (refusal);
      say(words, code === "invalid" && facts?.why ? `Not yet: ${facts.field}, ${facts.why}.` : refused(/** @type {any} */ (refusal)));
    }
  }

  async close() {
    const game = this.view.shown();
    if (!game) return;
    try {
      await this.send("poll.close", { poll: game.id });
    } catch (refusal) {
      say(byId("poll-note"), refused(/** @type {any} */ (refusal)));
    }
  }
}

/** A question with a right answer is a quiz. @param {FormData} form */
function asked(form) {
  const typed = form.getAll("choice").map((choice) => String(choice).trim());
  const body = { question: String(form.get("question")), choices: typed.filter(Boolean), seconds: Number(form.get("seconds")) };
  if (!form.get("right")) return { kind: "poll.open", body };
  // A field left empty is no choice: those after it move up. An empty one can't be right, which the server says.
  const field = Number(form.get("right"));
  return { kind: "quiz.open", body: { ...body, right: typed[field] ? typed.slice(0, field).filter(Boolean).length : -1 } };
}
