// @ts-check
/** How the room is kept: modes, words, who is silenced; and the one button against a raid. */
import { byId, clone, fill, find, reconcile, say } from "./dom.js";
import { clock as clockWords, moment } from "../models/words.js";

const RAID_S = 600;
const KINDS = /** @type {const} */ ([["terms", "blocked"], ["held", "waits"], ["allowed", "allowed"]]);

export class KeptView {
  /**
   * @param {{store: import("../models/store.js").Store<import("../models/show.js").State>, clock: import("../models/clock.js").ServerClock,
   *   act: (kind: string, body: object) => Promise<any>}} tools
   */
  constructor(tools) {
    this.tools = tools;
    this.form = byId("mode-form");
    this.controls = /** @type {(HTMLSelectElement|HTMLInputElement)[]} */ ([...this.form.querySelectorAll("[data-mode]")]);
    this.raid = /** @type {HTMLButtonElement} */ (byId("raid"));
    this.term = /** @type {HTMLInputElement} */ (byId("term"));
    this.form.addEventListener("change", (event) => {
      const control = /** @type {HTMLSelectElement|HTMLInputElement} */ (event.target);
      const name = control.dataset.mode ?? "";
      const value = control instanceof HTMLInputElement ? control.checked : name === "links" ? control.value : Number(control.value);
      void this.set({ [name]: value });
    });
    this.raid.addEventListener("click", () => void this.toggleRaid());
    byId("terms-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.add();
    });
    byId("term-try").addEventListener("click", () => void this.tryIt());
    byId("terms").addEventListener("click", (event) => {
      const item = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("button"))?.closest("li");
      if (item) void tools.act("terms.remove", { term: /** @type {HTMLElement} */ (item).dataset.key?.slice(2) });
    });
    byId("silences").addEventListener("click", (event) => {
      const person = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("button"))?.closest("li")?.dataset.key;
      if (person) void tools.act("person.unban", { person });
    });
  }

  /** The page itself was drawn without the room's mode: until the room says it, nobody can change it. */
  enable() {
    for (const control of [...this.controls, this.raid]) control.disabled = false;
  }

  /** @param {object} change what the room refuses goes back to how it was */
  async set(change) {
    const { store } = this.tools;
    const answer = await this.tools.act("mode.set", change);
    if (answer?.mode) store.set({ ...store.state, mode: answer.mode });
    this.drawMode();
  }

  get raided() {
    return (this.tools.store.state.mode.raid_until_ms ?? 0) > this.tools.clock.now();
  }

  toggleRaid() {
    return this.raid.disabled ? null : this.set({ raid_s: this.raided ? 0 : RAID_S });
  }

  async add() {
    const term = this.term.value.trim();
    if (!term) return;
    const kind = /** @type {HTMLSelectElement} */ (byId("term-kind")).value;
    if (!(await this.tools.act("terms.add", { term, kind }))) return;
    this.term.value = "";
    say(byId("term-tried"), "");
  }

  async tryIt() {
    const term = this.term.value.trim();
    if (!term) return this.term.focus();
    const found = await this.tools.act("terms.try", { term });
    if (!found) return;
    const examples = found.examples.slice(0, 2).map((/** @type {any} */ one) => `“${one.line.text}”`).join(", ");
    say(byId("term-tried"), found.lines ? `It would have caught ${found.hits} of the last ${found.lines} lines${examples ? `: ${examples}` : "."}` : "Nothing was said yet.");
  }

  tick() {
    const { mode } = this.tools.store.state;
    this.raid.setAttribute("aria-pressed", String(this.raided));
    say(this.raid, this.raided ? `Closed to newcomers until ${clockWords(mode.raid_until_ms ?? 0)}. Open it` : "Close the door to newcomers");
  }

  drawMode() {
    const mode = /** @type {Record<string, any>} */ (this.tools.store.state.mode);
    for (const control of this.controls) {
      const value = mode[control.dataset.mode ?? ""];
      if (control instanceof HTMLInputElement) control.checked = Boolean(value);
      else {
        if (![...control.options].some((option) => option.value === String(value ?? 0))) control.add(new Option(`${value} seconds`, String(value)));
        control.value = String(value ?? 0);
      }
    }
    this.tick();
  }

  drawTerms() {
    const { terms } = this.tools.store.state;
    const all = KINDS.flatMap(([name, words]) => terms[name].map((term) => ({ term, words, key: `${name[0]} ${term}` })));
    byId("terms-empty").hidden = all.length > 0;
    reconcile(byId("terms"), all, (one) => one.key, () => clone("named-template"), (item, one) => {
      fill(item, "words", `${one.term} · ${one.words}`);
      const button = find(item, "button");
      say(button, "Remove");
      button.setAttribute("aria-label", `Remove ${one.term}`);
      button.dataset.testid = "term-remove";
    });
  }

  drawSilences() {
    const { silences } = this.tools.store.state;
    byId("silences-empty").hidden = silences.length > 0;
    reconcile(byId("silences"), silences, (one) => one.person, () => clone("named-template"), (item, { name, silence }) => {
      const until = silence.until_ms - this.tools.clock.now() < 86_400_000 ? clockWords(silence.until_ms) : moment(silence.until_ms);
      fill(item, "words", `${name || "Someone"}, ${silence.kind === "ban" ? "banned" : silence.kind === "shadow" ? "shadow banned" : `until ${until}`}`);
      const button = find(item, "button");
      say(button, "Lift");
      button.setAttribute("aria-label", `Lift: let ${name || "them"} speak again`);
      button.dataset.testid = "silence-lift";
    });
  }
}
