// @ts-check
/** The viewer's page: one state, fed by the room's socket; controllers draw it and send what is pressed. */
import { Player } from "../player.js";
import { BagView } from "./bag.js";
import { CardView, waiting } from "./card.js";
import { ChatView } from "./chat.js";
import { Checkout } from "./checkout.js";
import { count } from "./countdown.js";
import { byId, clone, fill, picture, reconcile, say, toast } from "./dom.js";
import { GameView } from "./poll.js";
import { enter } from "./room.js";
import { Sheet } from "./sheet.js";
import { call } from "../http.js";
import { Stage } from "./stage.js";
import { applyEvent, pinned } from "../models/show.js";
import { moment, money, watching } from "../models/words.js";

/** @typedef {import("../models/show.js").State} State */

const LOOK_AGAIN_MS = 20_000;

const page = byId("show");
const slug = page.dataset.slug ?? "";
const { wire, store, clock } = enter(slug, {
  onSnapshot: (welcome) => games.snapshot(welcome.live.play),
  onEvent: (envelope) => games.event(envelope),
});

const sheet = new Sheet();
const stage = new Stage();

/** @param {any} answer */
function take(answer) {
  if (answer?.cart) store.set(applyEvent(store.state, { kind: "cart.changed", body: { cart: answer.cart } }));
}
const hold = async (/** @type {string} */ sku) => take(await wire.send("cart.add", { sku, qty: 1 }));
const release = async (/** @type {string} */ sku) => take(await wire.send("cart.remove", { sku }));

/** What was chosen on each look, shared by the card over the picture and the one in the sheet. */
const choices = new Map();
const tools = { store, clock, hold, release, sheet, choices, openBag: () => sheet.open("bag"), openLooks: () => sheet.open("looks") };
const card = new CardView(byId("pinned"), "pinned-card", tools);
const inSheet = new CardView(byId("look-place"), "look-card", tools);
const bag = new BagView(tools);
const chat = new ChatView({ store, clock, send: (kind, body) => wire.send(kind, body) });
const checkout = new Checkout({ slug, store, sheet });
const games = new GameView(byId("games"), { send: (kind, body) => wire.send(kind, body), clock });

document.addEventListener("click", (event) => {
  const act = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-act]"));
  if (act?.dataset.act === "looks" && !act.closest(".card")) sheet.open("looks");
  if (act?.dataset.act === "open-bag") sheet.open("bag");
  if (act?.dataset.act === "look") {
    inSheet.show(store.state.live.cards.find((one) => one.look === act.dataset.look) ?? null);
    sheet.open("look");
  }
});
sheet.onChange((view) => {
  // One look at a time has a live card: the one in a closed sheet is put away.
  if (view !== "look") inSheet.show(null);
  bag.render();
});

/** @type {Player|null} */
let player = null;

/**
 * The picture is asked for once there is one.
 * @param {import("../models/types.js").LiveSnapshot} live
 */
function tune(live) {
  if (live.show.status !== "live") {
    void player?.stop();
    player = null;
    return;
  }
  if (!player) {
    player = new Player(stage.video, { url: `/whep/${encodeURIComponent(slug)}` });
    stage.watch(player, () => store.state);
  }
  if (live.picture.state !== "waiting") void player.start();
  if (live.picture.state === "live") player.hurry();
}

/** @param {State} state @param {State|null} before */
function render(state, before) {
  const { live } = state;
  const was = before?.live;
  if (live.show !== was?.show) {
    page.dataset.status = live.show.status;
    cover(live.show);
  }
  if (live.picture !== was?.picture || live.show !== was?.show) tune(live);
  if (live.picture !== was?.picture || live.show !== was?.show) stage.render(state);
  if (live.cards !== was?.cards || live.pinned !== was?.pinned || live.stock !== was?.stock || live.cart !== was?.cart || live.show !== was?.show) {
    const up = pinned(live);
    card.show(up);
    if (!up) waiting(live.cards.length > 0);
    if (inSheet.card) inSheet.show(live.cards.find((one) => one.look === inSheet.card?.look) ?? null);
    if (up && was && live.pinned !== was.pinned) say(byId("announce"), `Look ${up.number}, ${up.pieces[0]?.title ?? up.title}, ${money(up.pieces[0]?.variants[0]?.price)}`);
  }
  if (live.cards !== was?.cards) looks(live);
  if (live.cart !== was?.cart || live.show !== was?.show) {
    bag.render();
    if (was) lapsed(live.cart, was.cart);
  }
  if (state.viewers !== before?.viewers) say(byId("viewers"), state.viewers ? watching(state.viewers) : "");
  if (state.lines !== before?.lines || state.you !== before?.you) chat.render();
}

/** @param {import("../models/types.js").LiveSnapshot} live */
function looks(live) {
  byId("looks-empty").hidden = live.cards.length > 0;
  byId("cover-looks").hidden = live.show.status !== "ended" || !live.cards.length;
  reconcile(byId("looks"), [...live.cards].reverse(), (one) => one.look, () => clone("look-template"), (item, one) => {
    const piece = one.pieces[0];
    /** @type {HTMLElement} */ (item.firstElementChild).dataset.look = one.look;
    fill(item, "number", `Look ${one.number}`);
    fill(item, "title", piece?.title ?? one.title);
    fill(item, "price", money(piece?.variants[0]?.price));
    if (piece) picture(/** @type {HTMLImageElement} */ (item.querySelector("img")), piece.picture, piece.picture_alt);
  });
}

/** @param {import("../models/types.js").ShowFacts} show */
function cover(show) {
  byId("countdown").hidden = show.status !== "scheduled" || !show.starts_ms;
  byId("cover-looks").hidden = show.status !== "ended" || !store.state.live.cards.length;
  const when = byId("cover-when");
  if (show.status === "ended") say(when, show.ended_ms ? `This show ended ${moment(show.ended_ms)}` : "This show has ended");
  else if (show.starts_ms) say(when, moment(show.starts_ms));
}

/**
 * @param {import("../models/types.js").Cart} now
 * @param {import("../models/types.js").Cart} before
 */
function lapsed(now, before) {
  const news = now.lines.find((line) => line.state === "lapsed" && before.lines.some((old) => old.sku === line.sku && old.state === "held"));
  if (news && sheet.view !== "bag") toast(`The hold on ${news.piece} ran out.`, { act: "Open your bag", onAct: () => sheet.open("bag") });
}

/** The news of a picture may be lost while a store is away: a show on air without one is looked at now and then. */
async function lookAgain() {
  const { show, picture } = store.state.live;
  if (show.status === "live" && picture.state === "waiting" && !document.hidden) {
    const live = await call("GET", `/api/shows/${encodeURIComponent(slug)}`).catch(() => null);
    if (live?.picture && store.state.live.picture === picture) store.set(applyEvent(store.state, { kind: "picture.changed", body: { picture: live.picture } }));
  }
  setTimeout(lookAgain, LOOK_AGAIN_MS * (0.75 + Math.random() / 2));
}

store.subscribe(render);
render(store.state, null);
games.snapshot(store.state.live.play);
byId("lines").scrollTop = byId("lines").scrollHeight;
wire.start();
setTimeout(lookAgain, LOOK_AGAIN_MS);
void checkout.resume();

setInterval(() => {
  card.tick();
  inSheet.tick();
  bag.render();
  chat.tick();
  games.tick();
  if (store.state.live.show.status === "scheduled") {
    const due = count(byId("countdown"), clock.now());
    if (due) say(byId("cover-when"), "The doors are about to open");
  }
}, 1000);
