// @ts-check
/** Who is it? What she said, what was done, what moderators tell each other. Search shows its lines in the same place. */
import { byId, clone, field, fill, find, reconcile, say, toast } from "./dom.js";
import { call } from "../http.js";
import { clock as clockWords, day, isTyped, moment, refused } from "../models/words.js";

/**
 * @typedef {import("../models/types.js").PersonFacts} PersonFacts
 * @typedef {import("../models/types.js").FoundLine} FoundLine
 */

const ACTS = /** @type {Record<string, string>} */ ({ "person.ban": "banned", "person.timeout": "timed out", "person.unban": "let speak again", "case.decide": "a case decided", "person.erase": "her data erased" });

export class PersonView {
  /**
   * @param {{act: (kind: string, body: object) => Promise<any>, show: (tab: string) => void, may: () => boolean,
   *   silence: (what: string, person: {id: string, name: string}, near: HTMLElement) => void}} tools
   */
  constructor(tools) {
    this.tools = tools;
    this.pane = byId("person");
    /** @type {PersonFacts|null} */
    this.facts = null;
    /** @type {HTMLElement|null} */
    this.opener = null;
    this.pane.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-act]"));
      const what = button?.dataset.act;
      if (!button || !what) return;
      if (what === "close") this.close();
      else if (what === "person") void this.open(button.dataset.person ?? "");
      else if (what === "erase") this.ask();
      else if (what === "copy") this.copy();
      else if (this.facts) this.tools.silence(what, { id: this.facts.person, name: this.facts.name }, button);
    });
    byId("note-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const input = /** @type {HTMLInputElement} */ (byId("note"));
      if (!this.facts || !input.value.trim()) return;
      if (await tools.act("person.note", { person: this.facts.person, text: input.value.trim() })) {
        input.value = "";
        void this.again();
      }
    });
    const sheet = /** @type {HTMLDialogElement} */ (byId("erase"));
    const word = /** @type {HTMLInputElement} */ (byId("erase-word"));
    const sure = () => isTyped(word.value, this.word);
    word.addEventListener("input", () => (/** @type {HTMLButtonElement} */ (find(sheet, '[value="erase"]')).disabled = !sure()));
    find(sheet, '[data-act="keep"]').addEventListener("click", () => sheet.close());
    sheet.addEventListener("close", () => {
      if (sheet.returnValue === "erase") void this.erase();
    });
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      const words = /** @type {HTMLInputElement} */ (byId("search-words")).value.trim();
      if (words) void this.search(words);
    });
  }

  get isOpen() {
    return !this.pane.hidden;
  }

  /** @param {string} person @returns {Promise<boolean>} whether she is shown */
  async open(person) {
    if (!person) return false;
    const answer = await this.tools.act("person.look", { person });
    if (!answer?.facts) return false;
    this.facts = answer.facts;
    this.appear();
    this.draw(answer.facts);
    return true;
  }

  /** By a key, as if her button was pressed. @param {string} what "timeout", "ban", "why" or "shadow" */
  do(what) {
    if (this.isOpen && this.facts) find(this.pane, `[data-act="${what}"]`).click();
  }

  /** The same person, after something was done. */
  async again() {
    if (this.facts && this.isOpen) {
      const answer = await this.tools.act("person.look", { person: this.facts.person });
      if (answer?.facts) this.draw((this.facts = answer.facts));
    }
  }

  /** @param {string} words */
  async search(words) {
    const answer = await this.tools.act("lines.find", { words });
    if (!answer?.lines) return;
    this.facts = null;
    this.appear();
    fill(this.pane, "name", `“${words}”`);
    const n = answer.lines.length;
    fill(this.pane, "facts", n ? `${n === 100 ? "The newest 100 lines" : n === 1 ? "1 line" : `${n} lines`}. A name opens the person.` : "Nobody said that.");
    for (const name of ["silence"]) fill(this.pane, name, "");
    for (const name of ["notes", "acts"]) field(this.pane, name).replaceChildren();
    this.parts(false);
    this.lines(answer.lines, true);
  }

  /** What goes, and what the law keeps: before anything does. */
  ask() {
    if (!this.facts) return;
    const sheet = /** @type {HTMLDialogElement} */ (byId("erase"));
    fill(sheet, "name", this.facts.name || "Someone");
    fill(sheet, "word", this.word);
    /** @type {HTMLFormElement} */ (byId("erase-form")).reset();
    /** @type {HTMLButtonElement} */ (find(sheet, '[value="erase"]')).disabled = true;
    sheet.returnValue = "";
    sheet.showModal();
  }

  /** What is typed before anything is erased: the name, so that it is the person who was meant. */
  get word() {
    return this.facts?.name || "erase";
  }

  copy() {
    if (!this.facts) return;
    const copied = navigator.clipboard?.writeText(this.facts.person) ?? Promise.reject(); // a page on plain HTTP has no clipboard
    copied.then(() => toast("Copied.", { ms: 2000 }), () => toast("Copying is not allowed here."));
  }

  async erase() {
    const who = this.facts;
    if (!who) return;
    try {
      const done = await call("DELETE", `/api/people/${encodeURIComponent(who.person)}`);
      const kept = done.orders_kept ? ` ${done.orders_kept === 1 ? "1 order is" : `${done.orders_kept} orders are`} kept, as law asks.` : "";
      toast(`Erased: ${done.lines === 1 ? "1 line" : `${done.lines} lines`}, and what was noted and done.${kept}`);
      this.close();
    } catch (refusal) {
      toast(refused(/** @type {any} */ (refusal)));
    }
  }

  close() {
    this.pane.hidden = true;
    this.facts = null;
    this.tools.show("lines");
    if (this.opener?.isConnected) this.opener.focus();
  }

  appear() {
    const focused = /** @type {HTMLElement|null} */ (document.activeElement);
    if (!this.isOpen || (focused && !this.pane.contains(focused))) this.opener = focused;
    this.pane.hidden = false;
    this.tools.show("person");
    this.pane.focus({ preventScroll: false });
  }

  /** @param {boolean} on what only a person has, not a search */
  parts(on) {
    find(this.pane, ".person__acts").hidden = !on;
    if (!on) find(this.pane, ".person__data").hidden = true;
    byId("note-form").hidden = !on;
    for (const title of this.pane.querySelectorAll("h3")) title.hidden = !on;
  }

  /** @param {PersonFacts} facts */
  draw(facts) {
    this.parts(true);
    fill(this.pane, "name", facts.badge ? `${facts.name || "Someone"} (${facts.badge})` : facts.name || "Someone");
    const known = facts.since_ms ? `Here since ${day(facts.since_ms)}, ${clockWords(facts.since_ms)}. ` : "";
    const also = facts.names.filter((name) => name && name !== facts.name);
    const said = `${facts.said === 1 ? "1 line" : `${facts.said} lines`}${facts.removed ? `, ${facts.removed} removed` : ""}. `;
    fill(this.pane, "facts", `${known}${said}${also.length ? `Also called ${also.join(", ")}. ` : ""}`);
    const silence = facts.silence;
    const words = silence ? { ban: "Banned", shadow: "Shadow banned: only she sees what she says", timeout: `Silent until ${moment(silence.until_ms)}` }[silence.kind] : "";
    fill(this.pane, "silence", silence?.reason ? `${words}. ${silence.reason}` : words);
    find(this.pane, '[data-act="lift"]').hidden = !silence;
    // Only the brand's staff may; the server decides.
    find(this.pane, ".person__data").hidden = !this.tools.may();
    /** @type {HTMLAnchorElement} */ (find(this.pane, '[data-field="export"]')).href = `/api/people/${encodeURIComponent(facts.person)}`;
    this.facts_list("notes", facts.notes.map((note) => ({ key: note.id, when_ms: note.wall_ms, words: `${note.text} — ${note.actor_name || "a moderator"}` })));
    this.facts_list("acts", facts.acts.map((one, n) => ({ key: `${one.wall_ms} ${n}`, when_ms: one.wall_ms, words: `${ACTS[one.act] ?? one.act}${one.reason ? `: ${one.reason}` : ""}` })));
    this.lines(facts.lines, false);
  }

  /** @param {FoundLine[]} lines @param {boolean} named */
  lines(lines, named) {
    this.facts_list("lines", lines.map((one) => ({ key: one.line.id, when_ms: one.line.wall_ms, words: `${one.line.text}${one.removed ? " (deleted)" : one.shadow ? " (seen by her alone)" : ""}`, person: named ? one.line : null })));
  }

  /** @param {string} name @param {{key: string, when_ms: number, words: string, person?: {person: string, name: string}|null}[]} facts */
  facts_list(name, facts) {
    reconcile(field(this.pane, name), facts, (one) => one.key, () => clone("fact-template"), (item, one) => {
      fill(item, "when", clockWords(one.when_ms));
      const words = field(item, "words");
      if (!one.person) return say(words, one.words);
      if (words.childElementCount) return;
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "mod-line__name", textContent: one.person.name });
      Object.assign(button.dataset, { act: "person", person: one.person.person });
      words.replaceChildren(button, one.words);
    });
  }
}
