// @ts-check
/** Every moment of a page in the reader's own zone (partials/moment.html). Without this it stays in UTC and says so. */
import { say } from "./dom.js";
import { day, moment } from "../models/words.js";

for (const element of document.querySelectorAll("time[data-moment]")) {
  const time = /** @type {HTMLTimeElement} */ (element);
  const ms = Date.parse(time.dateTime);
  if (ms) say(time, time.dataset.moment === "day" ? day(ms) : moment(ms));
}
