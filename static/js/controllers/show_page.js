// @ts-check
/** The viewer's page: one state, fed by the room's socket; controllers draw it and send what is pressed. */
import { BagView } from "./bag.js";
import { CardView, waiting } from "./card.js";
import { AsideView } from "./aside.js";
import { ChatView } from "./chat.js";
import { Checkout } from "./checkout.js";
import { Coupons } from "./coupons.js";
import { Express } from "./express.js";
import { count } from "./countdown.js";
import { Drops } from "./drops.js";
import { byId, clone, fill, find, picture, reconcile, say, toast } from "./dom.js";
import { GameView } from "./poll.js";
import { enter } from "./room.js";
import { Sheet } from "./sheet.js";
import { call } from "../http.js";
import { Stage } from "./stage.js";
import { StatsView } from "./stats.js";
import { Picture } from "../picture.js";
import { offered as newlyOffered } from "../models/bag.js";
import { advance, fromSnapshot, hear, nextAt } from "../models/cues.js";
import { applyEvent, pinned } from "../models/show.js";
import { moment, money, watching } from "../models/words.js";

/** @typedef {import("../models/show.js").State} State */

const LOOK_AGAIN_MS = 20_000;
const CUE_EVERY_MS = 100; // at most: a late picture's clock is looked at so often while a card waits for it
const LONGEST_CUE_MS = 30_000;

const page = byId("show");
const slug = page.dataset.slug ?? "";
const { wire, store, clock } = enter(slug, {
  onSnapshot: (welcome) => {
    games.snapshot(welcome.live.play);
    drops.returned(stood);
    stood = store.state.live.places;
    setCues(fromSnapshot(welcome.live, lateMs(), cues));
  },
  onEvent: (envelope) => {
    if (envelope.kind === "line.reviewed") chat.reviewed(envelope.body);
    games.event(envelope);
    if (envelope.kind === "rain.caught") void coupons.look();
    stood = store.state.live.places;
    if (envelope.kind === "relay.gone") watched.relayGone(envelope.body.relay);
    setCues(hear(cues, envelope, lateMs(), LONGEST_CUE_MS));
  },
});

const sheet = new Sheet();
const stage = new Stage();
const watched = new Picture(stage.screen, { slug, call });
const stats = new StatsView(byId("stats"), byId("stats-button"), watched, { late: delayMs, sound: () => stage.toggleSound() });
/** The cards at the moment that is on screen. @type {import("../models/cues.js").Cues} */
let cues = fromSnapshot(store.state.live, null);
/** @type {ReturnType<typeof setTimeout>|undefined} */
let cueTimer;

/** @param {any} answer */
function take(answer) {
  if (answer?.cart) store.set(applyEvent(store.state, { kind: "cart.changed", body: { cart: answer.cart } }));
}
const hold = async (/** @type {string} */ sku) => {
  const drop = cues.cards.findLast((one) => one.pieces.some((piece) => piece.variants.some((variant) => variant.sku === sku)));
  const work = drop?.drop.work_bits && !drop.drop.hot ? { work: await drops.work(drop) } : {};
  take(await wire.send("cart.add", { sku, qty: 1, ...work }));
};
const release = async (/** @type {string} */ sku) => take(await wire.send("cart.remove", { sku }));
const wait = async (/** @type {string} */ sku, /** @type {boolean} */ joins) => take(await wire.send(joins ? "wait.join" : "wait.leave", { sku }));

const drops = new Drops({ store, clock, wire, cards: () => cues.cards });
/** Where she stood at the last news: a store that forgets it tells so with a whole new state. */
let stood = store.state.live.places;

/** What was chosen on each look, shared by the card over the picture and the one in the sheet. */
const choices = new Map();
const checkout = new Checkout({ slug, store, sheet });
const express = new Express({ slug, store, clock, checkout });
checkout.remembered = async () => express.kept ?? (await express.look());
checkout.onForget = () => express.forget();
const coupons = new Coupons({ slug, clock, sheet, quotes: checkout.quotes });
checkout.onBought = () => {
  express.bought();
  void coupons.look();
};
const tools = { store, clock, hold, release, wait, drops, sheet, choices, express, openBag: () => sheet.open("bag"), openLooks: () => sheet.open("looks") };
const card = new CardView(byId("pinned"), "pinned-card", tools);
const inSheet = new CardView(byId("look-place"), "look-card", tools);
const bag = new BagView(tools);
const chat = new ChatView({ store, clock, send: (kind, body) => wire.send(kind, body) });
const aside = new AsideView({ store, sheet, chat, send: (kind, body) => wire.send(kind, body) });
const games = new GameView(byId("games"), { send: (kind, body) => wire.send(kind, body), clock, delay: () => delayMs() ?? 0 });

document.addEventListener("click", (event) => {
  const act = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-act]"));
  if (act?.dataset.act === "looks" && !act.closest(".card")) sheet.open("looks");
  if (act?.dataset.act === "open-bag") sheet.open("bag");
  if (act?.dataset.act === "look") {
    inSheet.show(cues.cards.find((one) => one.look === act.dataset.look) ?? null);
    sheet.open("look");
  }
});
sheet.onChange((view) => {
  // One look at a time has a live card: the one in a closed sheet is put away.
  if (view !== "look") inSheet.show(null);
  bag.render();
});

/**
 * The picture is asked for once there is one.
 * @param {import("../models/types.js").LiveSnapshot} live
 */
function tune(live) {
  if (live.show.status !== "live") {
    void watched.stop();
    cue();
    return;
  }
  if (live.picture.state !== "waiting") void watched.start();
  if (live.picture.state === "live") watched.hurry();
}
stage.watch(watched, () => store.state);
for (const event of ["live", "sound", "slate", "way"]) watched.addEventListener(event, () => cue());

// ---- what is on screen, and when ---------------------------------------------------------------

/** Media time of the frame on screen, ms, or null. */
function mediaMs() {
  const { picture } = store.state.live;
  return picture.state === "waiting" ? null : watched.mediaMs(clock.now(), picture.wall_ms - picture.media_ms);
}

/** How far the frame on screen is behind the show, ms, or null. */
function delayMs() {
  const { picture } = store.state.live;
  const shown = mediaMs();
  return shown === null ? null : Math.max(0, Math.round(clock.now() - (picture.wall_ms - picture.media_ms) - shown));
}

/** As `mediaMs`, where cards have to wait for it: buyers on WebRTC are told at once. */
function lateMs() {
  return watched.way === "HLS" ? mediaMs() : null;
}

/** @param {import("../models/cues.js").Cues} next */
function setCues(next) {
  const before = cues;
  cues = next;
  if (cues.cards !== before.cards || cues.pinned !== before.pinned) cards(store.state.live, before);
  clearTimeout(cueTimer);
  const due = nextAt(cues);
  if (due !== null) cueTimer = setTimeout(cue, Math.min(CUE_EVERY_MS, Math.max(5, due - (lateMs() ?? due))));
}

function cue() {
  setCues(advance(cues, lateMs(), LONGEST_CUE_MS));
}

/**
 * @param {import("../models/types.js").LiveSnapshot} live
 * @param {import("../models/cues.js").Cues|null} before
 */
function cards(live, before) {
  const up = pinned({ ...live, cards: cues.cards, pinned: cues.pinned });
  card.show(up);
  if (!up) waiting(cues.cards.length > 0);
  if (inSheet.card) inSheet.show(cues.cards.find((one) => one.look === inSheet.card?.look) ?? null);
  if (up && before && cues.pinned !== before.pinned) say(byId("announce"), `Look ${up.number}, ${up.pieces[0]?.title ?? up.title}, ${money(up.pieces[0]?.variants[0]?.price)}`);
  if (!before || cues.cards !== before.cards) looks();
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
  if (live.stock !== was?.stock || live.cart !== was?.cart || live.show !== was?.show || live.places !== was?.places) cards(live, was ? cues : null);
  if (live.cart !== was?.cart || live.show !== was?.show) {
    bag.render();
    void express.follow().then(() => card.tick());
    if (was) lapsed(live.cart, was.cart);
    if (was) offered(live.cart, was.cart);
  }
  if (state.viewers !== before?.viewers || state.service !== before?.service) say(byId("viewers"), state.viewers && state.service.presence ? watching(state.viewers) : "");
  if (state.lines !== before?.lines || state.you !== before?.you || state.service !== before?.service || state.mode !== before?.mode || state.pinnedLine !== before?.pinnedLine) chat.render();
  if (state.questions !== before?.questions) aside.render();
}

function looks() {
  byId("looks-empty").hidden = cues.cards.length > 0;
  byId("cover-looks").hidden = store.state.live.show.status !== "ended" || !cues.cards.length;
  reconcile(byId("looks"), [...cues.cards].reverse(), (one) => one.look, () => clone("look-template"), (item, one) => {
    const piece = one.pieces[0];
    /** @type {HTMLElement} */ (item.firstElementChild).dataset.look = one.look;
    fill(item, "number", `Look ${one.number}`);
    fill(item, "title", piece?.title ?? one.title);
    fill(item, "price", money(piece?.variants[0]?.price));
    if (piece) picture(/** @type {HTMLImageElement} */ (item.querySelector("img")), piece.picture, piece.picture_alt, piece.srcset);
  });
}

/** @param {import("../models/types.js").ShowFacts} show */
function cover(show) {
  byId("countdown").hidden = show.status !== "scheduled" || !show.starts_ms;
  byId("cover-looks").hidden = show.status !== "ended" || !cues.cards.length;
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

/**
 * A piece that was waited for is set aside: said aloud, as its minute runs.
 * @param {import("../models/types.js").Cart} now
 * @param {import("../models/types.js").Cart} before
 */
function offered(now, before) {
  for (const line of newlyOffered(before, now)) {
    const words = `${line.piece} came free: it is yours for a minute.`;
    toast(words, { act: "Open your bag", onAct: () => sheet.open("bag"), ms: 15_000 });
    say(byId("announce"), words);
  }
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
  drops.tick();
  card.tick();
  inSheet.tick();
  void express.follow();
  express.draw(find(document, '[data-testid="bag-express"]'));
  bag.render();
  coupons.render();
  chat.tick();
  games.tick();
  void stats.tick();
  if (store.state.live.show.status === "scheduled") {
    const due = count(byId("countdown"), clock.now());
    if (due) say(byId("cover-when"), "The doors are about to open");
  }
}, 1000);
