// @ts-check
/** A product's page in the studio: what is saved is said beside it, and shows on air say it at once. */
import { call, randomId } from "../http.js";
import { minor, refusedWords, units } from "../models/catalogue.js";
import { money } from "../models/words.js";
import { takeFiles, upload } from "../upload.js";
import { byId, clone, field, fill, find, flag, say } from "./dom.js";

const main = byId("main");
const product = main.dataset.product ?? "";
const places = Number(main.dataset.places);

/**
 * Do it once at a time, and say beside it how it went.
 * @param {HTMLElement} note
 * @param {HTMLButtonElement} button
 * @param {() => Promise<string>} act answers what to say
 */
async function saying(note, button, act) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  flag(note, "bad", false);
  say(note, "");
  try {
    say(note, await act());
  } catch (refusal) {
    flag(note, "bad", true);
    const fold = note.closest("details");
    if (fold) fold.open = true; // folded while it was being asked: what went wrong is seen
    say(note, typeof refusal === "string" ? refusal : refusedWords(/** @type {any} */ (refusal)));
  } finally {
    button.removeAttribute("aria-busy");
  }
}

// ---- words -------------------------------------------------------------------------------------

const words = /** @type {HTMLFormElement} */ (byId("words"));
words.addEventListener("submit", (event) => {
  event.preventDefault();
  void saying(byId("words-note"), find(words, "button"), async () => {
    const asked = { title: input(words, "title").value, blurb: /** @type {HTMLTextAreaElement} */ (find(words, "textarea")).value, edition: words.dataset.edition };
    const answer = await call("PUT", `/api/catalogue/products/${product}`, asked);
    words.dataset.edition = answer.edition;
    say(byId("title-shown"), answer.title);
    return "Saved.";
  });
});

const cap = /** @type {HTMLFormElement} */ (byId("cap"));
cap.addEventListener("submit", (event) => {
  event.preventDefault();
  void saying(byId("cap-note"), find(cap, "button"), async () => {
    const limit = input(cap, "limit").value ? Number(input(cap, "limit").value) : null;
    const now = await call("PUT", `/api/catalogue/products/${product}/cap`, { limit, edition: cap.dataset.edition });
    cap.dataset.edition = now.edition;
    return now.limit ? `Saved: ${now.limit} a buyer, from the next hold on.` : "Saved: no cap of its own.";
  });
});

// ---- prices and units --------------------------------------------------------------------------

for (const unit of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".unit"))) {
  const sku = encodeURIComponent(unit.dataset.sku ?? "");
  const note = field(unit, "note");
  const price = /** @type {HTMLFormElement} */ (find(unit, '[data-form="price"]'));
  for (const name of ["from", "until"]) {
    const moment = input(price, name);
    if (moment.dataset.ms) moment.value = local(Number(moment.dataset.ms));
  }
  price.addEventListener("submit", (event) => {
    event.preventDefault();
    void saying(note, find(price, "button"), async () => {
      const price_minor = minor(input(price, "price").value, places);
      if (price_minor === null) throw "That is no price.";
      const typed = input(price, "sale").value.trim();
      const sale_minor = typed ? minor(typed, places) : null;
      if (typed && sale_minor === null) throw "That is no sale price.";
      const [from_ms, until_ms] = ["from", "until"].map((name) => (input(price, name).value ? new Date(input(price, name).value).getTime() : null));
      const sale = sale_minor === null ? null : { minor: sale_minor, from_ms, until_ms };
      const answer = await call("PUT", `/api/catalogue/variants/${sku}/price`, { price_minor, sale, edition: price.dataset.edition });
      price.dataset.edition = answer.edition;
      fill(unit, "charged", money(answer.charged));
      fill(unit, "was", answer.was ? money(answer.was) : "");
      field(unit, "was").hidden = !answer.was;
      if (!sale) for (const name of ["from", "until"]) input(price, name).value = ""; // a sale that is none has no dates
      return sale && from_ms && from_ms > Date.now() ? "Saved. The sale begins by itself." : "Saved.";
    });
  });
  const stock = /** @type {HTMLFormElement} */ (find(unit, '[data-form="stock"]'));
  // One id for one change: pressed again after a lost answer, it is the same change.
  let op = randomId();
  input(stock, "change").addEventListener("input", () => (op = randomId()));
  stock.addEventListener("submit", (event) => {
    event.preventDefault();
    void saying(note, find(stock, "button"), async () => {
      const change = units(input(stock, "change").value);
      if (change === null) throw "Say how many more, or how many fewer.";
      const now = await call("POST", "/api/stock/adjust", { sku: unit.dataset.sku, change, op });
      op = randomId();
      input(stock, "change").value = "";
      fill(unit, "on_hand", String(now.on_hand));
      fill(unit, "sold", String(now.sold));
      fill(unit, "left", String(now.on_hand - now.sold));
      countGroup(unit);
      return change > 0 ? `${change} more on hand.` : `${-change} fewer on hand.`;
    });
  });
}

/** What is left of a colour stands on its fold. @param {HTMLElement} unit one of it */
function countGroup(unit) {
  const fold = unit.closest("details");
  if (!fold) return;
  const lefts = [...fold.querySelectorAll('[data-field="left"]')].map((left) => Number(left.textContent));
  fill(fold, "group-left", String(lefts.reduce((sum, left) => sum + left, 0)));
}

// ---- pictures ----------------------------------------------------------------------------------

const form = /** @type {HTMLFormElement} */ (byId("upload"));
const send = /** @type {HTMLButtonElement} */ (find(form, "button"));
const shots = byId("shots");
/** @type {File|null} */
let chosen = null;

takeFiles(form, /** @type {HTMLInputElement} */ (byId("file")), (file) => {
  chosen = file;
  say(field(form, "name"), file.name);
  send.disabled = false;
  byId("alt").focus();
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const file = chosen;
  if (!file) return;
  const bar = /** @type {HTMLProgressElement} */ (byId("sent"));
  void saying(byId("upload-note"), send, async () => {
    bar.hidden = false;
    try {
      const alt = input(form, "alt").value;
      const { picture } = await upload(`/api/catalogue/products/${product}/pictures?alt=${encodeURIComponent(alt)}`, file, (percent) => {
        bar.value = percent;
        if (percent >= 100) say(byId("upload-note"), "Sent. It is being made ready for the web.");
      });
      shots.append(drawn(picture));
    } finally {
      bar.hidden = true;
    }
    chosen = null;
    send.disabled = true;
    form.reset();
    say(field(form, "name"), "Choose a picture, or let it fall here");
    return "It is here.";
  });
});

shots.addEventListener("submit", (event) => event.preventDefault());
shots.addEventListener("click", (event) => {
  const button = /** @type {HTMLButtonElement|null} */ (/** @type {Element} */ (event.target).closest("[data-act]"));
  const shot = /** @type {HTMLElement|null} */ (button?.closest(".shot"));
  if (!button || !shot) return;
  const path = `/api/catalogue/pictures/${shot.dataset.picture}`;
  void saying(byId("upload-note"), button, async () => {
    if (button.dataset.act === "remove") {
      if (button.dataset.sure !== "yes") {
        button.dataset.sure = "yes";
        say(button, "Remove it?");
        button.addEventListener("blur", () => (say(button, "Remove"), (button.dataset.sure = "no")), { once: true });
        return "";
      }
      await call("DELETE", path);
      shot.remove();
      byId("file").focus();
      return "Removed.";
    }
    if (button.dataset.act === "first") {
      await call("PATCH", path, { first: true });
      shots.prepend(shot);
      return "It is the card's now.";
    }
    const { picture } = await call("PATCH", path, { alt: input(shot, "alt").value });
    /** @type {HTMLImageElement} */ (find(shot, "img")).alt = picture.alt;
    return "Saved.";
  });
});

/** @param {{id: string, url: string, srcset: string, alt: string}} picture */
function drawn(picture) {
  const shot = clone("shot-template");
  shot.dataset.picture = picture.id;
  const image = /** @type {HTMLImageElement} */ (find(shot, "img"));
  Object.assign(image, { srcset: picture.srcset, src: picture.url, alt: picture.alt });
  input(shot, "alt").value = picture.alt;
  return shot;
}

/**
 * @param {ParentNode} root
 * @param {string} name
 * @returns {HTMLInputElement}
 */
function input(root, name) {
  return find(root, `input[name="${name}"]`);
}

/** Server time as `datetime-local` shows it, in the reader's zone. @param {number} ms */
function local(ms) {
  const moment = new Date(ms);
  return new Date(ms - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
