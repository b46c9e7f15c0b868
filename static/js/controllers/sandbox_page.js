// @ts-check
/** The sandbox provider's page: tells the provider how the payment ends, then tells the page it is framed by. */
import { byId, say } from "./dom.js";
import { call } from "../http.js";

const main = byId("main");
const ref = main.dataset.ref ?? "";
const says = byId("says");
const SECURE_CODE = "123456";

const SAID = /** @type {Record<string, string>} */ ({
  success: "Paid. You can go back to the shop.",
  three_d_secure: "Confirmed and paid. You can go back to the shop.",
  decline: "Your bank declined this card.",
  insufficient_funds: "The account does not cover this amount.",
  timeout_after_success: "No answer from your bank yet. The shop will be told.",
  abandon: "You left without paying.",
});

/** @param {string} outcome */
async function end(outcome) {
  lock(true);
  say(says, "One moment …");
  try {
    await call("POST", location.pathname, { outcome });
    byId("choose").hidden = true;
    byId("secure").hidden = true;
    say(says, SAID[outcome] ?? "");
    const told = outcome === "three_d_secure" ? "success" : outcome;
    if (window.parent !== window) window.parent.postMessage({ kind: "frontrow.payment", ref, outcome: told }, location.origin);
    else if (main.dataset.back) location.assign(main.dataset.back);
  } catch {
    say(says, "That did not reach us. Try again.");
    lock(false);
  }
}

/** @param {boolean} on */
function lock(on) {
  for (const button of document.querySelectorAll("button")) button.disabled = on;
}

byId("choose").addEventListener("click", (event) => {
  const outcome = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-outcome]"))?.dataset.outcome;
  if (!outcome) return;
  if (outcome !== "three_d_secure") return void end(outcome);
  byId("choose").hidden = true;
  byId("secure").hidden = false;
  byId("code").focus();
});

byId("secure").addEventListener("submit", (event) => {
  event.preventDefault();
  const code = /** @type {HTMLInputElement} */ (byId("code")).value.trim();
  if (code === SECURE_CODE) return void end("three_d_secure");
  say(says, "That is not the code. Look again: it has six digits.");
  byId("code").setAttribute("aria-invalid", "true");
  byId("code").focus();
});

byId("secure-back").addEventListener("click", () => {
  byId("secure").hidden = true;
  byId("choose").hidden = false;
  say(says, "");
});
