// @ts-check
/** The host's recordings: the alarm when one stops, and the list with what can be saved. */
import { byId, clone, field, fill, reconcile, say } from "./dom.js";
import { call } from "../http.js";
import { alarm, facts, stateWords } from "../models/recordings.js";
import { moment } from "../models/words.js";

const LOOK_AGAIN_MS = 30_000; // the worker gives a file its index, and its length, when it comes to it

export class Recordings {
  /** @param {string} slug */
  constructor(slug) {
    this.url = `/api/shows/${encodeURIComponent(slug)}/recordings`;
    /** @type {import("../models/recordings.js").Kept[]} */
    this.rows = [];
    void this.load(true);
    setInterval(() => document.hidden || void this.load(), LOOK_AGAIN_MS);
  }

  /** @param {import("../models/types.js").Envelope} envelope */
  event({ kind, body }) {
    if (kind === "recording.changed") {
      this.tell(alarm(body));
      void this.load();
    }
    if (kind === "show.ended") this.tell("");
  }

  /** @param {string} words */
  tell(words) {
    const line = byId("recording-alarm");
    say(line, words);
    line.hidden = !words;
  }

  /** @param {boolean} [first] the page was just opened: an alarm from before it is not heard again */
  async load(first = false) {
    const answer = await call("GET", this.url).catch(() => null);
    if (!answer) return;
    this.rows = answer.recordings;
    const last = this.rows.at(-1);
    if (first && last?.state === "failed" && byId("main").dataset.status === "live") this.tell(alarm(last));
    reconcile(byId("recordings-list"), [...this.rows].reverse(), (one) => one.id, () => clone("recording-template"), (item, one) => {
      item.dataset.state = one.state;
      fill(item, "when", moment(one.started_ms));
      fill(item, "facts", facts(one));
      fill(item, "state", stateWords(one));
      const save = /** @type {HTMLAnchorElement} */ (field(item, "save"));
      save.hidden = !one.url || one.state === "recording";
      if (one.url) save.href = `${one.url}&download`;
      save.setAttribute("aria-label", `Save the recording of ${moment(one.started_ms)}`);
    });
    byId("recordings").hidden = !this.rows.length;
  }
}
