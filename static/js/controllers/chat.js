// @ts-check
/** The room's lines over the picture, and the row to add one. Who has no name yet is asked with the first line. */
import { byId, clone, fill, reconcile, say } from "./dom.js";
import { refused, silenced } from "../models/words.js";

const SHOWN = 60; // lines kept on screen
const ANNOUNCE_MS = 6000; // a screen reader hears the room at most this often

export class ChatView {
  /**
   * @param {{store: import("../models/store.js").Store<import("../models/show.js").State>, clock: import("../models/clock.js").ServerClock,
   *   send: (kind: string, body: object) => Promise<any>}} tools
   */
  constructor(tools) {
    this.tools = tools;
    this.list = byId("lines");
    this.text = /** @type {HTMLInputElement} */ (byId("say-text"));
    this.name = /** @type {HTMLInputElement} */ (byId("say-name"));
    this.note = byId("say-note");
    this.heard = new Set(tools.store.state.lines.map((line) => line.id));
    this.unheard = 0;
    this.told_ms = 0;
    this.sending = false;
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
      await send("line.post", { text });
      this.text.value = "";
      say(this.note, "");
      this.list.scrollTop = this.list.scrollHeight;
    } catch (refusal) {
      // What was typed stays: nobody types it twice.
      say(this.note, refused(/** @type {any} */ (refusal)));
    } finally {
      this.sending = false;
    }
  }

  render() {
    const { state } = this.tools.store;
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 48;
    reconcile(this.list, state.lines.slice(-SHOWN), (line) => line.id, () => clone("line-template"), (item, line) => {
      item.dataset.line = line.id;
      fill(item, "name", line.name);
      fill(item, "badge", line.badge === "buyer" ? "" : line.badge);
      fill(item, "text", line.text);
    });
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
    this.announce();
    this.lock();
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
    const { slow_s } = this.tools.store.state.mode;
    const inviting = read_only ? "Read-only for a moment" : locked ? "" : slow_s ? `Say something, every ${slow_s} s` : "Say something";
    if (this.text.placeholder !== inviting) this.text.placeholder = inviting;
    if (read_only) say(this.note, "The room can’t take lines right now. The picture goes on, and this comes back by itself.");
    else if (silent && silence) {
      this.ask(false);
      say(this.note, silenced(silence, now));
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
