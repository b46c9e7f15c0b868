// @ts-check
/** Where an order goes: what is missing, and the body the server takes. Pure. */

/** @typedef {{name: string, email: string, line1: string, line2: string, city: string, postcode: string, country: string}} Contact */

export const FIELDS = /** @type {const} */ (["name", "email", "line1", "line2", "postcode", "city", "country"]);

/**
 * A sentence for each field that is not right.
 * @param {Contact} contact
 * @returns {Partial<Record<keyof Contact, string>>}
 */
export function wrong(contact) {
  /** @type {Partial<Record<keyof Contact, string>>} */
  const errors = {};
  if (!contact.name.trim()) errors.name = "Whom is it for?";
  if (!/^\S+@\S+\.\S+$/.test(contact.email.trim())) errors.email = contact.email.trim() ? "That is no address we could write to." : "An email address, please.";
  if (!contact.line1.trim()) errors.line1 = "Street and number, please.";
  if (!contact.city.trim()) errors.city = "City, please.";
  if (!contact.country) errors.country = "Country, please.";
  return errors;
}

/** @param {Contact} contact */
export function body(contact) {
  const { name, email, line1, line2, city, postcode, country } = contact;
  return { name: name.trim(), email: email.trim(), address: { line1: line1.trim(), line2: line2.trim(), city: city.trim(), postcode: postcode.trim(), country } };
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
