// @ts-check
/** The sandbox's test cards. Pure; nothing here sends anything. */

const ENDINGS = /** @type {Record<string, string>} */ ({
  4000000000000002: "decline",
  4000000000009995: "insufficient_funds",
  4000002760003184: "three_d_secure",
});

/** @param {string} typed */
function digits(typed) {
  return typed.replace(/[\s-]/g, "");
}

/** @param {string} typed */
export function last4(typed) {
  return digits(typed).slice(-4);
}

/** How a payment by this card ends. @param {string} typed */
export function outcomeOf(typed) {
  return ENDINGS[digits(typed)] ?? "success";
}

/**
 * The check digit (ISO/IEC 7812-1).
 * @param {string} typed
 * @returns {string} what is wrong with it, or ""
 */
export function wrongNumber(typed) {
  const all = digits(typed);
  if (!/^\d{12,19}$/.test(all)) return "A card number has 12 to 19 digits.";
  const sum = [...all].reverse().reduce((total, digit, at) => {
    const doubled = at % 2 ? Number(digit) * 2 : Number(digit);
    return total + (doubled > 9 ? doubled - 9 : doubled);
  }, 0);
  return sum % 10 ? "There is a typing error in this number." : "";
}
