// @ts-check
/** The host's switches: what staff chose for each, and what holds now on the server this page is on. */
import { call } from "../http.js";
import { refused } from "../models/words.js";
import { byId, say } from "./dom.js";

/** @typedef {import("../models/show.js").Service} Service */

export class Switches {
  /** @param {HTMLElement} root @param {string} slug */
  constructor(root, slug) {
    this.root = root;
    this.address = `/api/shows/${encodeURIComponent(slug)}/service`;
    root.addEventListener("change", (event) => {
      const select = /** @type {HTMLSelectElement} */ (event.target);
      if (select.dataset.switch) void this.flip(select.dataset.switch, select.value);
    });
    void this.read();
  }

  async read() {
    const answer = await call("GET", this.address).catch(() => null);
    if (!answer) return;
    this.chosen(answer.chosen);
    this.now(answer.now);
  }

  /** @param {string} name @param {string} setting */
  async flip(name, setting) {
    const note = byId("switches-note");
    try {
      this.chosen((await call("PUT", this.address, { [name]: setting })).chosen);
      say(note, "");
    } catch (refusal) {
      say(note, refused(/** @type {any} */ (refusal)));
      await this.read(); // the field says again what holds
    }
  }

  /** @param {Record<string, string>} chosen */
  chosen(chosen) {
    for (const [name, setting] of Object.entries(chosen)) /** @type {HTMLSelectElement} */ (byId(`switch-${name}`)).value = setting;
  }

  /** @param {Service} service */
  now(service) {
    for (const place of /** @type {NodeListOf<HTMLElement>} */ (this.root.querySelectorAll("[data-now]"))) {
      const on = service[/** @type {keyof Service} */ (place.dataset.now)];
      say(place, on ? "" : "off now");
    }
  }
}
