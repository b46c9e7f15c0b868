// @ts-check
/** A countdown on the server's clock. */
import { find, say } from "./dom.js";
import { parts } from "../models/clock.js";

/**
 * @param {HTMLElement} element a <dl> with [data-unit] fields and data-until in server ms
 * @param {number} now_ms
 * @returns {boolean} whether the moment has come
 */
export function count(element, now_ms) {
  const until_ms = Number(element.dataset.until);
  if (!until_ms) return false;
  const left = parts(until_ms - now_ms);
  for (const unit of /** @type {const} */ (["days", "hours", "minutes", "seconds"])) {
    const field = find(element, `[data-unit="${unit}"]`);
    say(field, unit === "days" || unit === "hours" ? String(left[unit]) : String(left[unit]).padStart(2, "0"));
  }
  return until_ms <= now_ms;
}
