// @ts-check
/** What one can do with a line of the room, and the questions to the host. */
import { byId, clone, fill, find, reconcile, say, toast } from "./dom.js";
import { mediaTime, refused } from "../models/words.js";

/** @typedef {import("../models/types.js").Line} Line */
/** @typedef {import("../models/types.js").Question} Question */

export class AsideView {
  /**
   * @param {{store: import("../models/store.js").Store<import("../models/show.js").State>, sheet: import("./sheet.js").Sheet,
   *   chat: import("./chat.js").ChatView, send: (kind: string, body: object) => Promise<any>}} tools
   */
  constructor(tools) {
    this.tools = tools;
    this.list = byId("lines");
    this.asked = byId("asked");
    /** @type {Line|null} */
    this.reported = null;
    this.list.addEventListener("click", (event) => this.clicked(/** @type {Element} */ (event.target)));
    this.list.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("click", (event) => {
      if (!(/** @type {Element} */ (event.target).closest(".line"))) this.shut();
    });
    byId("questions-button").addEventListener("click", () => tools.sheet.open("questions"));
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.ask();
    });
    byId("report").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.report();
    });
  }

  /** @param {Element} target */
  clicked(target) {
    const item = /** @type {HTMLElement|null} */ (target.closest(".line"));
    const line = this.tools.store.state.lines.find((one) => one.id === item?.dataset.line);
    if (!item || !line) return;
    const what = /** @type {HTMLElement|null} */ (target.closest("[data-say]"))?.dataset.say;
    if (what) {
      this.shut();
      void this.do(what, line);
    } else if (item.querySelector(".line-menu")) this.shut();
    else if (!String(getSelection() ?? "")) this.open(item, line);
  }

  /** @param {HTMLElement} item @param {Line} line */
  open(item, line) {
    this.shut();
    const { you } = this.tools.store.state;
    const mine = line.person === you.person;
    const menu = clone("line-menu-template");
    menu.setAttribute("aria-label", `The line of ${line.name}`);
    for (const [what, on] of /** @type {[string, boolean][]} */ ([["reply", !you.silenced], ["mention", !mine && !you.silenced], ["report", !mine], ["remove", mine]])) find(menu, `[data-say="${what}"]`).hidden = !on;
    item.append(menu);
    find(item, '[data-act="line-menu"]').setAttribute("aria-expanded", "true");
    menu.scrollIntoView({ block: "nearest" });
    /** @type {HTMLElement|null} */ (menu.querySelector("button:not([hidden])"))?.focus();
  }

  shut() {
    for (const menu of this.list.querySelectorAll(".line-menu")) menu.remove();
    for (const button of this.list.querySelectorAll('[aria-expanded="true"]')) button.setAttribute("aria-expanded", "false");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const menu = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest(".line-menu"));
    if (!menu) return;
    const choices = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("button:not([hidden])")]);
    const at = choices.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (event.key === "ArrowDown" || event.key === "ArrowRight") choices[(at + 1) % choices.length]?.focus();
    else if (event.key === "ArrowUp" || event.key === "ArrowLeft") choices[(at - 1 + choices.length) % choices.length]?.focus();
    else if (event.key === "Escape") {
      const button = find(/** @type {HTMLElement} */ (menu.closest(".line")), '[data-act="line-menu"]');
      this.shut();
      button.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} what @param {Line} line */
  async do(what, line) {
    const { chat, sheet } = this.tools;
    if (what === "reply") {
      chat.answer(line);
      chat.text.focus();
    } else if (what === "mention") chat.mention(line);
    else if (what === "report") {
      this.reported = line;
      say(byId("report-line"), `${line.name}: ${line.text}`);
      say(byId("report-note"), "");
      sheet.open("report");
    } else if (what === "remove") await this.send("line.remove", { line: line.id });
  }

  async report() {
    const line = this.reported;
    if (!line) return;
    const form = new FormData(/** @type {HTMLFormElement} */ (byId("report")));
    const text = /** @type {HTMLInputElement} */ (byId("report-text"));
    try {
      await this.tools.send("line.report", { line: line.id, why: String(form.get("why")), text: text.value.trim() });
    } catch (refusal) {
      return say(byId("report-note"), refused(/** @type {any} */ (refusal)));
    }
    text.value = "";
    this.tools.sheet.close();
    toast("Thank you. A moderator looks at it.");
  }

  async ask() {
    const text = /** @type {HTMLInputElement} */ (byId("ask-text"));
    const note = byId("ask-note");
    if (!this.tools.store.state.you.name) return say(note, "Say something in the room first: it asks what to call you.");
    try {
      const answer = await this.tools.send("question.ask", { text: text.value.trim() });
      text.value = "";
      say(note, answer?.held ? "A moderator looks at your question first." : "Asked. It stands in the list.");
    } catch (refusal) {
      const { code, facts } = /** @type {any} */ (refusal);
      say(note, code === "blocked" && facts?.why === "full" ? "Three of yours are open, or the list is full. Ask again when one is answered." : refused(/** @type {any} */ (refusal)));
    }
  }

  /** @param {string} kind @param {object} body */
  async send(kind, body) {
    try {
      await this.tools.send(kind, body);
    } catch (refusal) {
      toast(refused(/** @type {any} */ (refusal)));
    }
  }

  render() {
    const { questions } = this.tools.store.state;
    const open = questions.filter((one) => one.state !== "answered").length;
    say(byId("questions-count"), open ? `\u00a0(${open})` : "");
    byId("asked-empty").hidden = questions.length > 0;
    reconcile(this.asked, questions, (one) => one.id, () => clone("asked-template"), (item, one) => {
      fill(item, "name", one.name);
      fill(item, "text", one.text);
      const at = one.answered_at === null ? "" : ` at ${mediaTime(one.answered_at)}`;
      fill(item, "state", one.state === "answered" ? `Answered by ${one.by}${at}` : one.state === "claimed" ? `${one.by} is about to answer` : "");
    });
  }
}
