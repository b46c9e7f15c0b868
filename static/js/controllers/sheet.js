// @ts-check
/** The sheet beside the picture: one dialog, several views. It is not modal: the show goes on next to it. */
import { byId, find, say } from "./dom.js";

/** @typedef {"looks"|"look"|"bag"|"checkout"|"pay"|"done"|"questions"|"report"} View */

const TITLES = { looks: "The looks", look: "The look", bag: "Your bag", checkout: "Where it goes", pay: "Payment", done: "It is yours", questions: "Questions", report: "Report a line" };

export class Sheet {
  constructor() {
    this.dialog = /** @type {HTMLDialogElement} */ (byId("sheet"));
    this.title = byId("sheet-title");
    /** @type {View|null} */
    this.view = null;
    /** @type {HTMLElement|null} */
    this.opener = null;
    /** @type {Set<(view: View|null) => void>} */
    this.listeners = new Set();
    this.leaving = false; // we went back ourselves and wait to be told
    this.dialog.addEventListener("click", (event) => {
      if (/** @type {Element} */ (event.target).closest('[data-act="close"]')) this.close();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.view) {
        event.preventDefault();
        this.close();
      }
    });
    // Back closes the sheet, as on a phone it should; the show is left by the next one.
    addEventListener("popstate", () => {
      if (!this.leaving) return this.shut();
      this.leaving = false;
      if (this.view) this.enter();
    });
  }

  /** An entry of the history for the open sheet, unless a reload left one. */
  enter() {
    if (!history.state?.sheet) history.pushState({ sheet: true }, "");
  }

  /** @param {View} view */
  open(view) {
    if (!this.view) {
      this.opener = /** @type {HTMLElement|null} */ (document.activeElement);
      this.enter();
    }
    this.view = view;
    for (const section of this.dialog.querySelectorAll("[data-view]")) /** @type {HTMLElement} */ (section).hidden = /** @type {HTMLElement} */ (section).dataset.view !== view;
    say(this.title, TITLES[view]);
    if (!this.dialog.open) this.dialog.show();
    for (const listener of this.listeners) listener(view);
    // The title, not the first field: on a phone a field would bring up the keyboard over everything.
    this.title.focus({ preventScroll: true });
  }

  close() {
    if (!this.view) return;
    this.shut();
    if (!history.state?.sheet || this.leaving) return;
    this.leaving = true;
    history.back();
  }

  /** Close without touching the history. */
  shut() {
    if (!this.view) return;
    this.view = null;
    this.dialog.close();
    for (const listener of this.listeners) listener(null);
    // A show that ended meanwhile has no bar with a bag any more.
    const back = [this.opener, byId("bag-button"), byId("main")].find((one) => one?.isConnected && one.offsetParent !== null && one !== document.body);
    back?.focus({ preventScroll: true });
  }

  /** @param {(view: View|null) => void} listener */
  onChange(listener) {
    this.listeners.add(listener);
  }

  /** @param {View} view */
  section(view) {
    return find(this.dialog, `[data-view="${view}"]`);
  }
}
