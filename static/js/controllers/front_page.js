// @ts-check
/** The house's front: moments in the reader's own zone, and a countdown where a show is near. */
import "./moments.js";
import { say } from "./dom.js";
import { parts } from "../models/clock.js";
import { moment } from "../models/words.js";

const NEAR_MS = 48 * 3_600_000;

function draw() {
  for (const element of document.querySelectorAll("[data-countdown]")) {
    const starts_ms = Number(/** @type {HTMLElement} */ (element).dataset.countdown);
    const left_ms = starts_ms - Date.now();
    const left = parts(left_ms);
    const pair = (/** @type {number} */ n) => String(n).padStart(2, "0");
    if (left_ms <= 0) say(element, "The doors are about to open");
    else if (left_ms < NEAR_MS) say(element, `In ${left.days * 24 + left.hours}:${pair(left.minutes)}:${pair(left.seconds)}`);
    else say(element, moment(starts_ms));
  }
}

draw();
setInterval(draw, 1000);
