// @ts-check
/** The sandbox provider's page: tells the provider how the payment ends, then tells the page it is framed by. */
import { byId, say } from "./dom.js";
import { call } from "../http.js";
import { last4, outcomeOf, wrongNumber } from "../models/test_card.js";

const main = byId("main");
const ref = main.dataset.ref ?? "";
const says = byId("says");
const number = /** @type {HTMLInputElement} */ (byId("number"));
/** What this page says, by how the charge stands. */
const SAID = /** @type {Record<string, string>} */ ({
  success: "Paid. You can go back to the shop.",
  timeout_after_success: "No answer from your bank yet. The shop will be told.",
  declined: "Your bank declined this card.",
  insufficient_funds: "The account does not cover this amount.",
  authentication_failed: "That was not the code. The bank declined this payment.",
  abandoned: "You left without paying.",
});

/**
 * Tell the provider; `step` says what comes next.
 * @param {string} outcome
 * @param {string} [code]
 */
async function choose(outcome, code) {
  lock(true);
  say(says, "One moment …");
  try {
    // The number itself goes nowhere: what a real provider keeps, a shop is told the end of.
    const card = number.value ? { last4: last4(number.value) } : {};
    const choice = await call("POST", location.pathname, code === undefined ? { outcome, ...card } : { outcome, code, ...card });
    lock(false);
    if (choice.step === "code") return secure(true);
    ended(choice.status === "captured" ? (choice.step === "silent" ? "timeout_after_success" : "success") : choice.reason || "declined");
  } catch {
    say(says, "That did not reach us. Try again.");
    lock(false);
  }
}

/** @param {string} outcome */
function ended(outcome) {
  byId("choose").hidden = true;
  byId("secure").hidden = true;
  say(says, SAID[outcome] ?? "");
  if (window.parent !== window) window.parent.postMessage({ kind: "frontrow.payment", ref, outcome }, location.origin);
  else if (main.dataset.back) location.assign(main.dataset.back);
}

/** @param {boolean} on whether the bank's code is asked for */
function secure(on) {
  byId("choose").hidden = on;
  byId("secure").hidden = !on;
  say(says, "");
  (on ? byId("code") : /** @type {HTMLElement} */ (byId("choose").firstElementChild)).focus();
}

/** @param {boolean} on */
function lock(on) {
  for (const button of document.querySelectorAll("button")) button.disabled = on;
}

byId("choose").addEventListener("click", (event) => {
  const outcome = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-outcome]"))?.dataset.outcome;
  if (!outcome) return;
  if (outcome === "success" && number.value) {
    const wrong = wrongNumber(number.value);
    if (wrong) {
      say(says, wrong);
      number.focus();
      return;
    }
    return void choose(outcomeOf(number.value));
  }
  void choose(outcome);
});
byId("secure").addEventListener("submit", (event) => {
  event.preventDefault();
  const code = /** @type {HTMLInputElement} */ (byId("code")).value.trim();
  if (!/^\d{6}$/.test(code)) {
    say(says, "The code has six digits.");
    byId("code").focus();
    return;
  }
  void choose("three_d_secure", code);
});
// A saved card's question has nothing to go back to: leaving it leaves the payment.
byId("secure-back").addEventListener("click", () => (main.dataset.asks === "yes" ? void choose("abandon") : secure(false)));
