// @ts-check
/** The host's control of games: asks a poll or a quiz and closes a poll. */
import { byId, say } from "./dom.js";
import { GameView } from "./poll.js";
import { refused } from "../models/words.js";

export class PollDesk {
  /** @param {{send: (kind: string, body: object) => Promise<any>, clock: import("../models/clock.js").ServerClock}} tools */
  constructor({ send, clock }) {
    this.send = send;
    this.view = new GameView(byId("games"), { send, clock, watching: true });
    this.form = /** @type {HTMLFormElement} */ (byId("poll-form"));
    this.closer = byId("poll-close");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.open();
    });
    this.closer.addEventListener("click", () => void this.close());
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
    this.closer.hidden = !game || game.closed || game.game !== "poll";
  }

  async open() {
    const form = new FormData(this.form);
    const choices = form.getAll("choice").map((choice) => String(choice).trim()).filter(Boolean);
    const question = String(form.get("question"));
    const seconds = Number(form.get("seconds"));
    const right = String(form.get("right"));
    const note = byId("poll-note");
    say(note, "");
    try {
      if (right) await this.send("quiz.open", { question, choices, right: Number(right), seconds });
      else await this.send("poll.open", { question, choices, seconds });
      this.form.reset();
    } catch (refusal) {
      const { code, facts } = /** @type {any} */ (refusal);
      say(note, code === "invalid" && facts?.why ? `Not yet: ${facts.field}, ${facts.why}.` : refused(/** @type {any} */ (refusal)));
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
