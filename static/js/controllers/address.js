// @ts-check
/** The address, laid out as the chosen country has it. What was typed stays, whatever the country. */
import { byId, clone, find, say } from "./dom.js";
import { call } from "../http.js";
import { ANYWHERE } from "../models/contact.js";

/** @typedef {import("../models/contact.js").Form} Form */

export class AddressForm {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.element = form;
    this.place = byId("address-place");
    this.country = /** @type {HTMLSelectElement} */ (byId("contact-country"));
    /** @type {Form} */
    this.form = ANYWHERE;
    /** @type {Map<string, Form>} */
    this.known = new Map();
    /** @type {Map<string, string>} */
    this.typed = new Map();
    this.lay(ANYWHERE);
    this.place.addEventListener("input", (event) => {
      const input = /** @type {HTMLInputElement} */ (event.target);
      this.typed.set(input.name, input.value);
    });
    this.country.addEventListener("change", () => void this.follow());
  }

  /** Lay the form of the country that is chosen; one that can't be had now leaves what is there, and the server looks. */
  async follow() {
    const code = this.country.value;
    if (!code) return this.lay(ANYWHERE);
    let form = this.known.get(code);
    if (!form) {
      form = await call("GET", `/api/address-forms/${encodeURIComponent(code)}`).catch(() => undefined);
      if (!form) return;
      this.known.set(code, form);
    }
    if (this.country.value === code) this.lay(form);
  }

  /** @param {Form} form */
  lay(form) {
    if (this.form === form && this.place.childElementCount) return;
    const focused = this.place.contains(document.activeElement) ? /** @type {HTMLInputElement} */ (document.activeElement).name : "";
    this.form = form;
    this.place.replaceChildren(
      ...form.rows.map((row) => {
        const drawn = row.map((field) => this.field(field));
        if (drawn.length === 1) return drawn[0];
        const pair = document.createElement("div");
        pair.className = "fields__pair";
        pair.append(...drawn);
        return pair;
      }),
    );
    if (focused) /** @type {HTMLElement|null} */ (this.element.elements.namedItem(focused))?.focus();
  }

  /** @param {import("../models/contact.js").FormField} field */
  field(field) {
    const element = clone(field.choices.length ? "field-choice-template" : "field-template");
    const input = /** @type {HTMLInputElement|HTMLSelectElement} */ (find(element, ".field__input"));
    const label = /** @type {HTMLLabelElement} */ (find(element, ".field__label"));
    const error = find(element, ".field__error");
    input.id = `contact-${field.name}`;
    error.id = `contact-${field.name}-error`;
    label.htmlFor = input.id;
    say(label, field.required ? field.label : `${field.label} (optional)`);
    input.name = field.name;
    input.setAttribute("autocomplete", field.autocomplete);
    input.setAttribute("aria-describedby", error.id);
    input.required = field.required;
    for (const [value, words] of field.choices) input.append(new Option(words, value));
    input.value = this.typed.get(field.name) ?? "";
    return element;
  }

  /**
   * Put values in, of the draft or of what is remembered.
   * @param {Partial<Record<string, string>>} values
   */
  put(values) {
    for (const [name, value] of Object.entries(values)) {
      if (typeof value !== "string") continue;
      this.typed.set(name, value);
      const input = /** @type {HTMLInputElement|null} */ (this.element.elements.namedItem(name));
      if (input) input.value = value;
    }
    void this.follow();
  }
}
