// @ts-check
/** The page of a show that is over: its recording, its looks as chapters, its cards with their frames, and the bag of
 * whoever still holds something. */
import { BagView } from "./bag.js";
import { CardView } from "./card.js";
import { Checkout } from "./checkout.js";
import { byId, clone, fill, find, picture, reconcile, say } from "./dom.js";
import { Reel } from "./reel.js";
import { enter } from "./room.js";
import { Sheet } from "./sheet.js";
import { heldLine } from "../models/bag.js";
import { length, reelOf, upAt } from "../models/replay.js";
import { applyEvent } from "../models/show.js";
import { money } from "../models/words.js";

const OVER = "The show is over: this can be looked at, and no longer held.";

const page = byId("show");
const slug = page.dataset.slug ?? "";
/** @type {{recordings: import("../models/replay.js").Recording[], timeline: import("../models/replay.js").Chapter[]}} */
const replay = JSON.parse(byId("replay").textContent ?? "{}");
const { wire, store, clock } = enter(slug);
const sheet = new Sheet();
const reel = new Reel(replay.recordings);

/** @param {any} answer */
function take(answer) {
  if (answer?.cart) store.set(applyEvent(store.state, { kind: "cart.changed", body: { cart: answer.cart } }));
}
const hold = async (/** @type {string} */ sku) => take(await wire.send("cart.add", { sku, qty: 1 }));
const release = async (/** @type {string} */ sku) => take(await wire.send("cart.remove", { sku }));
/** What is over is not counted down to, and nobody stands in line for it. @type {Pick<import("./drops.js").Drops, "stand" | "take" | "leave">} */
const drops = { stand: () => ({ kind: "open", left_ms: 0, ahead: 0 }), take: async () => undefined, leave: async () => undefined };
const tools = { drops, store, clock, hold, release, sheet, choices: new Map(), openBag: () => sheet.open("bag"), openLooks: () => sheet.open("looks"), wait: async () => undefined };
const card = new CardView(byId("pinned"), "pinned-card", tools);
const inSheet = new CardView(byId("look-place"), "look-card", tools);
const bag = new BagView(tools);
const checkout = new Checkout({ slug, store, sheet });

/** The card of a look; one that was withdrawn has none. @param {string|null|undefined} look */
const cardOf = (look) => store.state.live.cards.find((one) => one.look === look) ?? null;

// ---- the looks, as chapters --------------------------------------------------------------------

/** @type {string|null|undefined} undefined: not looked at yet */
let up;

function chapters() {
  reconcile(byId("chapters"), replay.timeline, (one) => one.look, () => clone("chapter-template"), (item, one) => {
    const button = find(item, "button");
    const piece = cardOf(one.look)?.pieces[0];
    /** @type {HTMLElement} */ (button).dataset.seek = one.look;
    /** @type {HTMLElement} */ (button).dataset.testid = `chapter-${one.number}`;
    button.setAttribute("aria-label", `Look ${one.number}, ${one.title}, at ${length(reelOf(reel.pieces, one.at))}`);
    fill(item, "number", `Look ${one.number}`);
    fill(item, "title", one.title);
    fill(item, "time", length(reelOf(reel.pieces, one.at)));
    if (piece) picture(/** @type {HTMLImageElement} */ (find(item, "img")), piece.picture, "");
  });
}

/** The card comes with its frame, and goes with it when she seeks back. */
function cue() {
  const chapter = upAt(replay.timeline, reel.mediaMs);
  if ((chapter?.look ?? null) === up) return;
  const first = up === undefined;
  up = chapter?.look ?? null;
  const shown = cardOf(up);
  card.show(shown);
  over();
  byId("before-looks").hidden = Boolean(shown);
  for (const button of byId("chapters").querySelectorAll("[data-seek]")) {
    const is = /** @type {HTMLElement} */ (button).dataset.seek === up;
    if (is) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    if (is && !first) button.parentElement?.scrollIntoView({ inline: "center", block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
  if (shown && !first) say(byId("announce"), `Look ${shown.number}, ${shown.pieces[0]?.title ?? shown.title}, ${money(shown.pieces[0]?.variants[0]?.price)}`);
}

/** What can't be held any more says so, in place of a button that does nothing. */
function over() {
  for (const view of [card, inSheet]) {
    if (view.card) view.tell(heldLine(store.state.live.cart, view.choice().sku, clock.now()) ? "" : OVER);
  }
}

reel.addEventListener("time", cue);

// ---- what is pressed ---------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  const chapter = replay.timeline.find((one) => one.look === /** @type {HTMLElement|null} */ (target.closest("[data-seek]"))?.dataset.seek);
  if (chapter) {
    reel.seek(reelOf(reel.pieces, chapter.at));
    reel.play();
  }
  const act = /** @type {HTMLElement|null} */ (target.closest("[data-act]"));
  if (act?.dataset.act === "looks" && !act.closest(".card")) sheet.open("looks");
  if (act?.dataset.act === "open-bag") sheet.open("bag");
  if (act?.dataset.act === "look") {
    inSheet.show(cardOf(act.dataset.look));
    over();
    sheet.open("look");
  }
});

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest("dialog, select, textarea, input:not([type=range])")) return;
  if (event.key === " " && !target.closest("button, a")) reel.toggle();
  else if (event.key === "ArrowRight" && !target.closest("input[type=radio]")) reel.skip(1);
  else if (event.key === "ArrowLeft" && !target.closest("input[type=radio]")) reel.skip(-1);
  else if (event.key === "Home" && target === reel.slider) reel.seek(0);
  else if (event.key === "m") reel.video.muted = !reel.video.muted;
  else return;
  event.preventDefault();
});

sheet.onChange((view) => {
  if (view !== "look") inSheet.show(null);
  bag.render();
});

/** @param {import("../models/show.js").State} state @param {import("../models/show.js").State|null} before */
function render(state, before) {
  const was = before?.live;
  if (state.live.cards !== was?.cards) chapters();
  if (state.live.cart !== was?.cart || state.live.stock !== was?.stock || state.live.cards !== was?.cards) {
    if (up !== undefined) card.show(cardOf(up));
    bag.render();
    over();
  }
}

store.subscribe(render);
render(store.state, null);
cue();
wire.start();
void checkout.resume();
setInterval(() => {
  card.tick();
  inSheet.tick();
  bag.render();
}, 1000);
