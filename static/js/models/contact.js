// @ts-check
/** Where an order goes: what is missing by the country's own form, and the body the server takes. Pure. */

/**
 * @typedef {{name: string, label: string, required: boolean, autocomplete: string, pattern: string, example: string, choices: [string, string][]}} FormField
 * @typedef {{country: string, rows: FormField[][]}} Form
 * @typedef {{name: string, email: string, country: string, line1: string, line2: string, district: string, city: string, area: string, postcode: string}} Contact
 */

const PLACE = /** @type {const} */ (["line1", "line2", "district", "city", "area", "postcode"]);
export const FIELDS = /** @type {const} */ (["name", "email", "country", ...PLACE]);

/** What is asked before a country's own form is here. @type {Form} */
export const ANYWHERE = {
  country: "",
  rows: [[plain("line1", "Street and number", "address-line1", true)], [plain("line2", "Flat, floor, company", "address-line2", false)], [plain("postcode", "Postcode", "postal-code", false), plain("city", "City", "address-level2", true)]],
};

/**
 * @param {string} name
 * @param {string} label
 * @param {string} autocomplete
 * @param {boolean} required
 * @returns {FormField}
 */
function plain(name, label, autocomplete, required) {
  return { name, label, required, autocomplete, pattern: "", example: "", choices: [] };
}

/**
 * A sentence for each field that is not right.
 * @param {Contact} contact
 * @param {Form} form
 * @returns {Partial<Record<keyof Contact, string>>}
 */
export function wrong(contact, form) {
  /** @type {Partial<Record<keyof Contact, string>>} */
  const errors = {};
  if (!contact.name.trim()) errors.name = "Whom is it for?";
  if (!/^\S+@\S+\.\S+$/.test(contact.email.trim())) errors.email = contact.email.trim() ? "That is no address we could write to." : "An email address, please.";
  if (!contact.country) errors.country = "Country, please.";
  for (const field of form.rows.flat()) {
    const name = /** @type {keyof Contact} */ (field.name);
    const text = (contact[name] ?? "").trim();
    if (!text && field.required) errors[name] = `${field.label}, please.`;
    else if (text && field.pattern && !matches(field.pattern, text)) errors[name] = field.example ? `It looks like ${field.example} there.` : "That is none of this country.";
  }
  return errors;
}

/**
 * A pattern that this browser can't read proves nothing: the server looks again.
 * @param {string} pattern
 * @param {string} text
 */
function matches(pattern, text) {
  try {
    return new RegExp(`^(?:${pattern})$`, "i").test(text);
  } catch {
    return true;
  }
}

/**
 * @param {Contact} contact
 * @param {Form} form
 */
export function body(contact, form) {
  const asked = new Set(form.rows.flat().map((field) => field.name));
  const place = Object.fromEntries(PLACE.filter((name) => asked.has(name) && contact[name].trim()).map((name) => [name, contact[name].trim()]));
  return { name: contact.name.trim(), email: contact.email.trim(), address: { line1: "", city: "", ...place, country: contact.country } };
}

/**
 * What the server keeps of her, as the form has it.
 * @param {{name: string, email: string, address: Record<string, string>}} kept
 * @returns {Contact}
 */
export function fromKept(kept) {
  const place = Object.fromEntries(PLACE.map((name) => [name, kept.address[name] ?? ""]));
  return /** @type {Contact} */ ({ ...place, name: kept.name, email: kept.email, country: kept.address.country ?? "" });
}

/**
 * Which of our fields the server's refusal means: `address.city` is `city`.
 * @param {string} field
 * @returns {keyof Contact|null}
 */
export function fieldOf(field) {
  const last = String(field).split(".").pop();
  return FIELDS.find((one) => one === last) ?? null;
}
