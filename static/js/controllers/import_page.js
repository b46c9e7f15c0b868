// @ts-check
/** Bringing a feed in. The server's row is all that is shown: this tab, a second one and the command line are the same. */
import { call } from "../http.js";
import { MOVING, OPEN, changes, count, refusedWords, stateWords } from "../models/catalogue.js";
import { moment } from "../models/words.js";
import { takeFiles, upload } from "../upload.js";
import { byId, clone, embedded, fill, find, flag, reconcile, say } from "./dom.js";

/** @typedef {import("../models/catalogue.js").Import} Import */

const EVERY_MS = 1000;
const PATIENCE = 3; // answers that may fail before the page says so

const brand = encodeURIComponent(byId("main").dataset.brand ?? "");
/** @type {Import[]} */
let all = embedded().imports;
/** The one that is shown. @type {Import|null} */
let shown = null;
let failed = 0;
let sending = false;

takeFiles(byId("upload"), /** @type {HTMLInputElement} */ (byId("file")), async (file) => {
  if (sending) return;
  sending = true;
  const bar = /** @type {HTMLProgressElement} */ (byId("sent"));
  const note = byId("upload-note");
  flag(note, "bad", false);
  say(note, `Sending ${file.name}.`);
  bar.hidden = false;
  try {
    const answer = await upload(`/api/catalogue/imports?brand=${brand}&name=${encodeURIComponent(file.name)}`, file, (percent) => (bar.value = percent));
    say(note, "");
    shown = answer.import;
    await look();
    byId("one-name").focus();
  } catch (refusal) {
    flag(note, "bad", true);
    say(note, refusedWords(/** @type {any} */ (refusal)));
  } finally {
    sending = false;
    bar.hidden = true;
    /** @type {HTMLInputElement} */ (byId("file")).value = ""; // the same file may be chosen again, mended
  }
});

for (const [id, method] of [["apply", "POST"], ["stop", "DELETE"]]) {
  byId(id).addEventListener("click", async () => {
    const one = shown;
    const note = byId("one-note");
    if (!one) return;
    say(note, "");
    try {
      await call(method, `/api/catalogue/imports/${one.id}`);
    } catch (refusal) {
      flag(note, "bad", true);
      say(note, refusedWords(/** @type {any} */ (refusal)));
    }
    await look();
  });
}

byId("past").addEventListener("click", (event) => {
  const row = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-key]"));
  const one = all.find((other) => other.id === row?.dataset.key);
  if (!one) return;
  shown = one;
  say(byId("one-note"), "");
  void look().then(() => byId("one-name").focus());
});

async function look() {
  try {
    all = (await call("GET", `/api/catalogue/imports?brand=${brand}`)).imports;
    // What is under way is shown by itself, also in a tab that did not begin it.
    const id = shown?.id ?? all.find((one) => OPEN.has(one.state))?.id;
    const news = all.find((one) => one.id === id) ?? shown;
    if (news && (news.state !== shown?.state || !shown?.changes)) {
      shown = MOVING.has(news.state) ? { ...news, changes: [], rejects: [] } : (await call("GET", `/api/catalogue/imports/${news.id}`)).import;
    } else if (news && shown) {
      shown = { ...news, changes: shown.changes, rejects: shown.rejects }; // the list of files tells no rows
    }
    failed = 0;
    say(byId("stale"), "");
  } catch {
    failed += 1;
    if (failed >= PATIENCE) say(byId("stale"), "No answer at the moment; it goes on without this page.");
  }
  draw();
}

function draw() {
  const one = shown;
  byId("one").hidden = !one;
  if (one) {
    const place = byId("one");
    fill(place, "name", one.name);
    say(byId("one-state"), stateWords(one));
    flag(byId("one-state"), "bad", one.state === "failed");
    for (const name of /** @type {const} */ (["new", "changed", "same", "rejected"])) fill(place, name, new Intl.NumberFormat("en").format(one[name]));
    const bar = /** @type {HTMLProgressElement} */ (byId("one-bar"));
    bar.hidden = !MOVING.has(one.state);
    bar.value = one.percent;
    const apply = byId("apply");
    apply.hidden = one.state !== "checked" || !changes(one);
    say(apply, `Bring in ${count(changes(one), "row")}`);
    const stop = byId("stop");
    stop.hidden = !OPEN.has(one.state);
    say(stop, one.state === "checked" ? "Forget this file" : "Stop");
    list("rejects", one.rejected, one.rejects ?? [], (row) => [row.column, row.why]);
    list("changes", changes(one), one.changes ?? [], (row) => [row.sku, row.kind === "new" ? "New" : row.words]);
  }
  reconcile(byId("past"), all, (other) => other.id, () => clone("past-template"), (row, other) => {
    fill(row, "name", other.name);
    fill(row, "words", `${stateWords(other)}${other.actor ? ` By ${other.actor}.` : ""}`);
    fill(row, "when", moment(other.created_ms));
  });
  byId("past-empty").hidden = all.length > 0;
}

/**
 * @template {{line: number}} T
 * @param {"rejects"|"changes"} id
 * @param {number} total
 * @param {T[]} rows
 * @param {(row: T) => [string, string]} cells
 */
function list(id, total, rows, cells) {
  byId(`${id}-place`).hidden = !rows.length;
  const name = id === "rejects" ? "Rejected rows" : "What changes";
  say(byId(`${id}-name`), rows.length < total ? `${name}: the first ${count(rows.length, "row")} of ${count(total, "row")}` : name);
  const body = byId(id);
  if (body.dataset.of === `${shown?.id} ${shown?.state} ${rows.length}`) return; // thousands of rows, drawn once
  body.dataset.of = `${shown?.id} ${shown?.state} ${rows.length}`;
  body.replaceChildren(
    ...rows.map((row) => {
      const element = clone("row-template");
      const [what, words] = cells(row);
      find(element, '[data-field="line"]').textContent = String(row.line);
      find(element, '[data-field="what"]').textContent = what;
      find(element, '[data-field="words"]').textContent = words;
      return element;
    }),
  );
}

async function lookForEver() {
  if (!document.hidden) await look();
  setTimeout(lookForEver, EVERY_MS);
}

void look();
document.addEventListener("visibilitychange", () => !document.hidden && void look());
setTimeout(lookForEver, EVERY_MS);
