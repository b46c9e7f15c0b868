// @ts-check
/** Stripe's own script, loaded when somebody is about to pay by it. What is typed goes to frames of Stripe's only. */

const SCRIPT = "https://js.stripe.com/endive/stripe.js"; // of the API version in live/shop/payments/stripe.py

/** @type {Promise<any>|null} */
let loading = null;
/** @type {any} */
let mounted = null;

/** @param {string} key Stripe's key for pages */
function stripe(key) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = SCRIPT;
    script.addEventListener("load", () => resolve(/** @type {any} */ (globalThis).Stripe(key)));
    script.addEventListener("error", () => {
      loading = null;
      script.remove();
      reject(new Error("stripe"));
    });
    document.head.append(script);
  });
  return loading;
}

/**
 * The embedded checkout, in `place`; one page has one at a time.
 * @param {HTMLElement} place
 * @param {string} key
 * @param {string} secret
 * @param {() => void} onComplete
 */
export async function mountCheckout(place, key, secret, onComplete) {
  const kit = await stripe(key);
  leave();
  mounted = await kit.createEmbeddedCheckoutPage({ fetchClientSecret: async () => secret, onComplete });
  place.replaceChildren();
  mounted.mount(place);
}

/**
 * The bank's own question about a saved card.
 * @param {string} key
 * @param {string} secret
 * @returns {Promise<boolean>} whether it was answered
 */
export async function answerBank(key, secret) {
  const kit = await stripe(key);
  const answer = await kit.handleNextAction({ clientSecret: secret });
  return !answer.error;
}

/** Take it away: its order is over. */
export function leave() {
  mounted?.destroy();
  mounted = null;
}
