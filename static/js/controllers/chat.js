// @ts-check
/** The room's lines over the picture, and the row to add one. Who has no name yet is asked with the first line. */
import { byId, clone, fill, reconcile, say } from "./dom.js";
import { keeping, refused, silenced } from "../models/words.js";

const SHOWN = 60; // lines kept on screen
const ANNOUNCE_MS = 6000; // a screen reader hears the room at most this often

/** @typedef {import("../models/types.js").Line} Line */

export class ChatView {
  /**
   * @param {{store: import("../models/store.js").Store<import("../models/show.js").State>, clock: import("../models/clock.js").ServerClock,
   *   send: (kind: string, body: object) => Promise<any>}} tools
   */
  constructor(tools) {
    this.tools = tools;
    this.list = byId("lines");
    this.follows = true; // the newest line is in sight, and stays so when a game takes room from the list
    this.sized = ""; // by what the list was measured when it was last at its end
    this.list.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.list;
      if (scrollHeight - scrollTop - clientHeight < 48) this.follows = true;
      // A list that changed its size is scrolled by nobody: toEnd comes right after.
      else if (this.sized === `${scrollHeight} ${clientHeight}`) this.follows = false;
    });
    new ResizeObserver(() => this.toEnd()).observe(this.list);
    this.text = /** @type {HTMLInputElement} */ (byId("say-text"));
    this.name = /** @type {HTMLInputElement} */ (byId("say-name"));
    this.note = byId("say-note");
    this.heard = new Set(tools.store.state.lines.map((line) => line.id));
    this.unheard = 0;
    this.told_ms = 0;
    this.sending = false;
    this.appealed = ""; // what became of an appeal
    /** The line that is answered. @type {Line|null} */
    this.reply = null;
    /** Who was picked to be named: id by name. @type {Map<string, string>} */
    this.named = new Map();
    byId("say-drop").addEventListener("click", () => {
      this.answer(null);
      this.text.focus();
    });
    byId("appeal").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.appeal();
    });
    byId("say").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.post();
    });
    byId("say").addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.name.hidden) return;
      this.ask(false);
      this.text.focus();
    });
    this.text.addEventListener("input", () => {
      if (!this.tools.store.state.you.silenced) say(this.note, "");
    });
  }

  /** @param {Line|null} line what the next line answers */
  answer(line) {
    this.reply = line;
    const about = byId("say-about");
    about.hidden = !line;
    if (line) fill(about, "words", `Answering ${line.name}: ${line.text.slice(0, 60)}`);
  }

  /** @param {Line} line whose author is named in what is being written */
  mention(line) {
    this.named.set(line.name, line.person);
    const before = this.text.value;
    this.text.value = `${before}${before && !before.endsWith(" ") ? " " : ""}@${line.name} `.slice(0, this.text.maxLength);
    this.text.focus();
  }

  async appeal() {
    const text = /** @type {HTMLInputElement} */ (byId("appeal-text"));
    if (!text.value.trim()) return;
    try {
      await this.tools.send("appeal.send", { text: text.value.trim() });
      this.appealed = "A moderator will look at it again, and you are told here.";
    } catch (refusal) {
      this.appealed = refused(/** @type {any} */ (refusal));
    }
    this.lock();
  }

  /** What a moderator made of it. @param {{kind: string, verdict: string, reason: string}} news */
  reviewed({ kind, verdict, reason }) {
    const why = reason ? ` ${reason}` : "";
    if (kind === "appeal") {
      if (verdict === "refuse") this.appealed = `A moderator looked again: it stands.${why}`;
      return this.lock();
    }
    const what = kind === "question" ? "question" : "line";
    say(this.note, verdict === "approve" ? `Your ${what} is in.` : `A moderator left your ${what} out.${why}`);
  }

  /** @param {boolean} on whether the row asks for a name */
  ask(on) {
    this.name.hidden = !on;
    this.text.hidden = on;
    say(this.note, on ? "What shall the room call you? Your line goes out right after." : "");
  }

  async post() {
    const { store, send } = this.tools;
    const text = this.text.value.trim();
    if (!text || this.sending) return;
    if (!store.state.you.name && this.name.hidden) {
      this.ask(true);
      this.name.focus();
      return;
    }
    this.sending = true;
    try {
      if (!this.name.hidden) {
        if (!this.name.value.trim()) return;
        const answer = await send("name.set", { name: this.name.value.trim() });
        store.set({ ...store.state, you: { ...store.state.you, name: answer?.name ?? this.name.value.trim() } });
        this.ask(false);
        this.text.focus();
      }
      const mentions = [...this.named].filter(([name]) => text.includes(`@${name}`)).map(([, person]) => person).slice(0, 5);
      const answer = await send("line.post", { text, reply: this.reply?.id ?? "", mentions });
      this.text.value = "";
      this.answer(null);
      this.named.clear();
      say(this.note, answer?.held ? "A moderator looks at your line first. It goes out when they let it." : "");
      this.follows = true;
      this.toEnd();
    } catch (refusal) {
      // What was typed stays: nobody types it twice.
      say(this.note, refused(/** @type {any} */ (refusal)));
    } finally {
      this.sending = false;
    }
  }

  render() {
    const { state } = this.tools.store;
    reconcile(this.list, state.lines.slice(-SHOWN), (line) => line.id, () => clone("line-template"), (item, line) => {
      item.dataset.line = line.id;
      fill(item, "reply", line.reply ? `to ${line.reply.name}` : "");
      fill(item, "name", line.name);
      fill(item, "badge", line.badge);
      fill(item, "text", line.text);
      fill(item, "more", `More on the line of ${line.name}`);
      item.dataset.me = line.mentions?.some((one) => one.person === state.you.person) || line.reply?.person === state.you.person ? "yes" : "no";
    });
    const pin = byId("room-pin");
    pin.hidden = !state.pinnedLine;
    if (state.pinnedLine) {
      fill(pin, "name", state.pinnedLine.name);
      fill(pin, "text", state.pinnedLine.text);
    }
    if (this.reply && !state.lines.some((line) => line.id === this.reply?.id)) this.answer(null);
    this.toEnd();
    this.announce();
    this.lock();
  }

  toEnd() {
    if (this.follows) this.list.scrollTop = this.list.scrollHeight;
    this.sized = `${this.list.scrollHeight} ${this.list.clientHeight}`;
  }

  /** Who is silenced reads why and until when instead of a field that would refuse. */
  lock() {
    const { silenced: silence } = this.tools.store.state.you;
    const now = this.tools.clock.now();
    const { read_only } = this.tools.store.state.service;
    const silent = Boolean(silence && silence.until_ms > now);
    const locked = silent || read_only;
    if (locked !== this.text.disabled) {
      this.text.disabled = locked;
      say(this.note, "");
    }
    const appeal = byId("appeal");
    if (!locked) this.appealed = "";
    appeal.hidden = !locked || Boolean(this.appealed);
    say(byId("say-kept"), locked ? "" : keeping(this.tools.store.state.mode, now));
    const { slow_s } = this.tools.store.state.mode;
    const inviting = read_only ? "Read-only for a moment" : locked ? "" : slow_s ? `Say something, every ${slow_s} s` : "Say something";
    if (this.text.placeholder !== inviting) this.text.placeholder = inviting;
    if (read_only) say(this.note, "The room can’t take lines right now. The picture goes on, and this comes back by itself.");
    else if (silent && silence) {
      this.ask(false);
      say(this.note, `${silenced(silence, now)}${this.appealed ? ` ${this.appealed}` : ""}`);
    }
  }

  announce() {
    for (const line of this.tools.store.state.lines) {
      if (this.heard.has(line.id)) continue;
      this.heard.add(line.id);
      this.unheard += 1;
    }
  }

  tick() {
    const now = Date.now();
    this.lock();
    if (!this.unheard || now - this.told_ms < ANNOUNCE_MS) return;
    const last = this.tools.store.state.lines.at(-1);
    if (last) say(byId("announce-chat"), this.unheard > 1 ? `${this.unheard} new lines. ${last.name}: ${last.text}` : `${last.name}: ${last.text}`);
    this.unheard = 0;
    this.told_ms = now;
    this.heard = new Set(this.tools.store.state.lines.map((line) => line.id));
  }
}
