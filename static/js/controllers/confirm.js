// @ts-check
/** A button that wants to be pressed twice: the first press asks, the second within four seconds does. */
import { say } from "./dom.js";

const WITHIN_MS = 4000;

/**
 * @param {HTMLButtonElement} button
 * @param {string} question
 * @param {() => void} act
 * @param {() => boolean} [needed] whether this press has to be asked about at all
 */
export function confirmed(button, question, act, needed = () => true) {
  const words = button.textContent ?? "";
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let asked;
  const back = () => {
    clearTimeout(asked);
    asked = undefined;
    delete button.dataset.asking;
    say(button, words);
  };
  button.addEventListener("click", () => {
    if (asked || !needed()) {
      back();
      act();
      return;
    }
    button.dataset.asking = "yes";
    say(button, question);
    asked = setTimeout(back, WITHIN_MS);
  });
  button.addEventListener("keydown", (event) => {
    if (event.key === "Escape") back();
  });
}
