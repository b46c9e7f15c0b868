// @ts-check
/** What waits for a moderator, and questions to the host. */
import { byId, clone, field, fill, flag, reconcile, say } from "./dom.js";
import { waiting } from "../models/queue.js";
import { clock as clockWords, mediaTime, whyItWaits } from "../models/words.js";

/**
 * @typedef {import("../models/types.js").Case} Case
 * @typedef {import("../models/types.js").Question} Question
 * @typedef {{store: import("../models/store.js").Store<import("../models/show.js").State>, clock: import("../models/clock.js").ServerClock,
 *   act: (kind: string, body: object) => Promise<any>, person: (id: string) => void}} Tools
 */

export class QueueView {
  /** @param {Tools} tools */
  constructor(tools) {
    this.tools = tools;
    this.list = byId("queue");
    this.questions = byId("questions");
    /** @type {import("../models/queue.js").Waiting[]} */
    this.shown = [];
    /** @type {Map<string, string>} */
    this.outcomes = new Map();
    this.reading = false;
    for (const list of [this.list, this.questions]) {
      list.addEventListener("pointerenter", (event) => (this.reading = /** @type {PointerEvent} */ (event).pointerType === "mouse"));
      list.addEventListener("pointerleave", () => {
        this.reading = false;
        this.render();
      });
      list.addEventListener("focusout", () => setTimeout(() => this.render()));
      list.addEventListener("click", (event) => this.clicked(/** @type {Element} */ (event.target)));
    }
  }

  /** @param {{case: string, verdict: string, by: string}} closed */
  closed({ case: id, verdict, by }) {
    this.outcomes.set(id, `${verdict === "approve" ? "approved" : "refused"} by ${by}`);
    if (this.outcomes.size > 500) this.outcomes.delete([...this.outcomes.keys()][0] ?? "");
  }

  /** @param {Element} target */
  clicked(target) {
    const what = /** @type {HTMLElement|null} */ (target.closest("[data-act]"))?.dataset.act;
    const item = /** @type {HTMLElement|null} */ (target.closest('[data-part="case"]'));
    if (what && item) void this.do(what, item);
  }

  /**
   * @param {string} what "approve", "refuse", "claim" or "person"
   * @param {HTMLElement} item
   */
  async do(what, item) {
    const id = item.dataset.key ?? "";
    if (what === "person") return this.tools.person(item.dataset.person ?? "");
    const question = this.tools.store.state.questions.find((one) => one.id === id);
    if (question) return void this.mark(what, question);
    const one = this.shown.find((shown) => shown.case.id === id);
    if (!one || one.outcome) return;
    if (what === "claim") return void this.tools.act("case.claim", { case: id, release: one.case.claimed_by === this.me });
    const next = /** @type {HTMLElement|null} */ (item.nextElementSibling ?? item.previousElementSibling);
    const done = await this.tools.act("case.decide", { case: id, verdict: what, reason: "" });
    if (!done) return;
    this.outcomes.set(id, what === "approve" ? "approved" : "refused");
    if (item.contains(document.activeElement) || document.activeElement === document.body) (next ?? this.list).focus();
    this.render();
  }

  /** @param {string} what @param {Question} question */
  mark(what, question) {
    const mine = question.state === "claimed" && question.by === this.me;
    const state = what === "approve" ? "answered" : what === "refuse" ? "dismissed" : mine ? "open" : "claimed";
    return this.tools.act("question.mark", { question: question.id, state });
  }

  get me() {
    return this.tools.store.state.you.name || "a moderator";
  }

  /** Whether something may not move now, since somebody reads it. */
  get busy() {
    return this.reading || this.list.contains(document.activeElement) || this.questions.contains(document.activeElement);
  }

  render() {
    const { state } = this.tools.store;
    this.shown = waiting(this.shown, state.cases, this.outcomes, this.busy);
    const open = this.shown.filter((shown) => !shown.outcome).length;
    byId("queue-empty").hidden = this.shown.length > 0;
    say(byId("queue-count"), open ? String(open) : "");
    reconcile(this.list, this.shown, (shown) => shown.case.id, () => clone("case-template"), (item, shown) => this.draw(item, shown));
    const questions = state.questions.filter((one) => one.state !== "dismissed");
    byId("questions-empty").hidden = questions.length > 0;
    reconcile(this.questions, questions, (one) => one.id, () => clone("case-template"), (item, one) => this.drawQuestion(item, one));
  }

  /** @param {HTMLElement} item @param {import("../models/queue.js").Waiting} shown */
  draw(item, { case: one, outcome }) {
    const held = one.kind === "line" || one.kind === "question";
    const gathered = one.kind === "report" && one.why === "gathered";
    const yes = held ? "Approve" : gathered ? "Seen" : one.kind === "report" ? "Keep the line" : "Lift";
    const no = held ? "Refuse" : one.kind === "report" ? "Delete the line" : "Let it stand";
    this.words(item, one, whyItWaits(one), one.line?.text ?? one.text, one.kind === "report" && one.text ? `“${one.text}”` : "");
    const other = one.claimed_by && one.claimed_until_ms > this.tools.clock.now() && one.claimed_by !== this.me;
    const mine = one.claimed_by === this.me && one.claimed_until_ms > this.tools.clock.now();
    fill(item, "state", outcome || (other ? `${one.claimed_by} is on it` : mine ? "You are on it" : ""));
    flag(item, "over", Boolean(outcome));
    this.buttons(item, yes, no, mine ? "Let go" : "Claim", Boolean(outcome) || Boolean(other));
    // Each may be of another line: nobody deletes them with one tap.
    field(item, "refuse").hidden = gathered;
  }

  /** @param {HTMLElement} item @param {Question} one */
  drawQuestion(item, one) {
    const other = one.state === "claimed" && one.by !== this.me;
    const at = one.answered_at === null ? "" : ` at ${mediaTime(one.answered_at)}`;
    this.words(item, one, "Question", one.text, "");
    fill(item, "state", one.state === "answered" ? `Answered by ${one.by}${at}` : one.state === "claimed" ? (other ? `${one.by} answers it` : "You answer it") : "");
    flag(item, "over", one.state === "answered");
    this.buttons(item, "Answered", "Dismiss", one.state === "claimed" && !other ? "Let go" : "Claim", other || one.state === "answered");
    /** @type {HTMLButtonElement} */ (field(item, "refuse")).disabled = false;
  }

  /**
   * @param {HTMLElement} item
   * @param {{person: string, name: string, wall_ms: number}} one
   * @param {string} why @param {string} text @param {string} more
   */
  words(item, one, why, text, more) {
    item.tabIndex = 0;
    item.dataset.person = one.person;
    fill(item, "why", why);
    fill(item, "when", clockWords(one.wall_ms));
    fill(item, "name", one.name || "Someone");
    fill(item, "text", text);
    fill(item, "more", more);
  }

  /** @param {HTMLElement} item @param {string} yes @param {string} no @param {string} claim @param {boolean} off */
  buttons(item, yes, no, claim, off) {
    for (const [name, words] of /** @type {[string, string][]} */ ([["approve", yes], ["refuse", no], ["claim", claim]])) {
      const button = /** @type {HTMLButtonElement} */ (field(item, name));
      say(button, words);
      button.disabled = off;
    }
  }
}
