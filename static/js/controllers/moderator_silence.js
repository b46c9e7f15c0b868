// @ts-check
/** For how long, and why: the small dialog of a timeout or a ban, beside what it is about. Digits choose a length. */
import { clone, field, find, flag } from "./dom.js";

/**
 * @param {HTMLElement} near a line, or the button that was pressed
 * @param {"timeout"|"ban"} what
 * @param {(chosen: {seconds: number, reason: string}) => void} choose
 */
export function askSilence(near, what, choose) {
  const item = /** @type {HTMLElement} */ (near.closest('[data-part="mod-line"], .person__acts') ?? near);
  const open = item.querySelector(".menu");
  closeMenus();
  if (open) return;
  const menu = clone("silence-template");
  const reason = /** @type {HTMLInputElement} */ (find(menu, "input"));
  // A line has one button for a ban; where there is one for its reason, that one has opened it.
  const button = find(item, what === "ban" && item.querySelector('[data-act="why"]') ? '[data-act="why"]' : `[data-act="${what}"]`);
  const lengths = [.../** @type {NodeListOf<HTMLButtonElement>} */ (menu.querySelectorAll("[data-seconds]"))];
  menu.setAttribute("aria-label", what === "timeout" ? "Silence for" : "Ban");
  field(menu, "lengths").hidden = what === "ban";
  field(menu, "ban").hidden = what === "timeout";
  button.setAttribute("aria-expanded", "true");
  const done = (/** @type {number} */ seconds) => {
    closeMenus();
    button.focus();
    choose({ seconds, reason: reason.value.trim() });
  };
  menu.addEventListener("click", (event) => {
    const seconds = Number(/** @type {HTMLElement} */ (/** @type {Element} */ (event.target).closest("[data-seconds]"))?.dataset.seconds);
    if (seconds) done(seconds);
  });
  menu.addEventListener("submit", (event) => {
    event.preventDefault();
    if (what === "ban") done(0);
    else lengths[0]?.focus(); // the reason is there: now for how long
  });
  menu.addEventListener("keydown", (event) => {
    const at = lengths.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const digit = document.activeElement === reason ? undefined : lengths[Number(event.key) - 1];
    if (event.key === "Escape") {
      closeMenus();
      button.focus();
    } else if (what === "timeout" && digit) done(Number(digit.dataset.seconds));
    else if (at >= 0 && event.key === "ArrowDown") lengths[(at + 1) % lengths.length]?.focus();
    else if (at >= 0 && event.key === "ArrowUp") lengths[(at - 1 + lengths.length) % lengths.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  item.append(menu);
  // Under the last lines there is no room: it opens upwards there.
  const list = item.closest(".watch__scroll");
  flag(menu, "up", Boolean(list) && menu.getBoundingClientRect().bottom > /** @type {Element} */ (list).getBoundingClientRect().bottom);
  (what === "ban" ? reason : lengths[0])?.focus();
}

export function closeMenus() {
  for (const element of document.querySelectorAll(".menu")) element.remove();
  for (const button of document.querySelectorAll('[aria-expanded="true"]')) button.setAttribute("aria-expanded", "false");
}
