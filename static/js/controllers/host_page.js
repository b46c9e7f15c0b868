// @ts-check
/** The host's page: the run of show, the figures, the picture and where it comes from. */
import { Player } from "../player.js";
import { Publisher } from "../publisher.js";
import { byId, clone, field, fill, find, flag, picture, reconcile, say, toast } from "./dom.js";
import { PollDesk } from "./poll_desk.js";
import { Recordings } from "./recordings.js";
import { Switches } from "./switches.js";
import { enter } from "./room.js";
import { confirmed } from "./confirm.js";
import { call } from "../http.js";
import { canDrop, coloursLeft, next, priceOf, stateWords, termsWords, wasOf } from "../models/runsheet.js";
import { phase } from "../models/drop.js";
import { moment, money, refused } from "../models/words.js";

/** @typedef {import("../models/show.js").State} State */
/** @typedef {import("../models/types.js").LookRow} LookRow */

const STATS_MS = 3000;
const UNDO_MS = 8000;
const WORK_BITS = 18; // a quarter of a million hashes: a second of a phone

const main = byId("main");
const slug = main.dataset.slug ?? "";
const video = /** @type {HTMLVideoElement} */ (byId("video"));
const { wire, store, clock } = enter(slug, {
  onSnapshot: (welcome) => games.snapshot(welcome.live.play),
  onEvent: (envelope) => {
    games.event(envelope);
    if (envelope.kind === "service.changed") switches.now(envelope.body.service);
    recordings.event(envelope);
    if (envelope.kind !== "relay.gone") return;
    player.relayGone(envelope.body.relay);
    publisher?.relayGone(envelope.body.relay);
  },
});
const recordings = new Recordings(slug);
const switches = new Switches(byId("switches"), slug);

/** @param {string} kind @param {object} [body] */
async function act(kind, body = {}) {
  try {
    return await wire.send(kind, body);
  } catch (refusal) {
    toast(refused(/** @type {any} */ (refusal)));
    return null;
  }
}

// ---- the run of show -----------------------------------------------------------------------

/** @param {LookRow} row */
async function drop(row) {
  const times = timesOf(row);
  if (!(await act("card.drop", { look: row.look, ...times }))) return;
  const words = times.in_s || row.drop.hot ? `Look ${row.number} counts down.` : `Look ${row.number} is out.`;
  say(byId("announce"), words);
  toast(words, { act: "Undo", onAct: () => void withdraw(row), ms: UNDO_MS });
}

/** What its row says of when, whether it is open or shut. @param {LookRow} row */
function timesOf(row) {
  const item = byId("runsheet").querySelector(`[data-key="${CSS.escape(row.look)}"]`);
  if (!item) return { in_s: 0 };
  const for_s = /** @type {HTMLSelectElement} */ (field(item, "for-s")).value;
  return { in_s: Number(/** @type {HTMLSelectElement} */ (field(item, "in-s")).value), ...(for_s ? { for_s: Number(for_s) } : {}) };
}

/** @param {LookRow} row */
async function closeDrop(row) {
  if (await act("card.close", { look: row.look })) toast(`Look ${row.number} is closed.`);
}

/** @param {LookRow} row @param {Element} item */
async function rule(row, item) {
  const limit = /** @type {HTMLInputElement} */ (field(item, "limit"));
  if (!limit.reportValidity()) return;
  const hot = /** @type {HTMLInputElement} */ (field(item, "hot")).checked;
  const work = /** @type {HTMLInputElement} */ (field(item, "work")).checked;
  await act("look.rule", { look: row.look, limit: limit.value ? Number(limit.value) : null, hot, work_bits: work ? WORK_BITS : 0 });
  runsheet(store.state); // what was refused stands as it was
}

/** @param {LookRow} row */
async function withdraw(row) {
  if (await act("card.withdraw", { look: row.look })) toast(`Look ${row.number} is withdrawn.`);
}

async function dropNext() {
  const row = next(store.state.live.runsheet ?? []);
  if (row) await drop(row);
}

/** @returns {LookRow|undefined} the row that has the focus */
function focused() {
  const cue = /** @type {HTMLElement|null} */ (document.activeElement?.closest("[data-part=cue]") ?? null);
  return (store.state.live.runsheet ?? []).find((row) => row.look === cue?.dataset.key);
}

/** @param {number} step */
function move(step) {
  const cues = [...byId("runsheet").children];
  const at = cues.indexOf(/** @type {Element} */ (document.activeElement?.closest("[data-part=cue]")));
  const to = /** @type {HTMLElement|undefined} */ (cues[Math.max(0, Math.min(cues.length - 1, at + step))]);
  to?.focus();
}

byId("next-look").addEventListener("click", () => void dropNext());
byId("runsheet").addEventListener("click", (event) => {
  const button = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-act]"));
  const row = (store.state.live.runsheet ?? []).find((one) => one.look === /** @type {HTMLElement|null} */ (button?.closest("[data-key]"))?.dataset.key);
  if (row && button?.dataset.act === "drop") void drop(row);
  if (row && button?.dataset.act === "withdraw") void withdraw(row);
  if (row && button?.dataset.act === "close") void closeDrop(row);
});
byId("runsheet").addEventListener("change", (event) => {
  const input = /** @type {HTMLElement} */ (event.target);
  const item = input.closest("[data-key]");
  const row = (store.state.live.runsheet ?? []).find((one) => one.look === /** @type {HTMLElement|null} */ (item)?.dataset.key);
  if (row && item && ["limit", "hot", "work"].includes(input.dataset.field ?? "")) void rule(row, item);
  else runsheet(store.state);
});
document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || target.closest("input, select, textarea, summary")) return;
  const key = event.key.toLowerCase();
  if (key === "n") void dropNext();
  else if (key === "arrowdown") move(1);
  else if (key === "arrowup") move(-1);
  else if (key === "d") {
    const row = focused();
    if (row && canDrop(row, clock.now())) void drop(row);
  } else if (key === "c" && focused()?.state === "dropped") {
    const row = focused();
    if (row && !canDrop(row, clock.now())) void closeDrop(row);
  } else if (key === "u" && focused()?.state === "dropped") {
    const row = focused();
    if (row) void withdraw(row);
  } else return;
  event.preventDefault();
});

/** @param {State} state */
function runsheet(state) {
  const { live } = state;
  const rows = live.runsheet ?? [];
  const coming = next(rows);
  const onAir = live.show.status === "live";
  reconcile(byId("runsheet"), rows, (row) => row.look, () => clone("cue-template"), (item, row) => {
    const piece = row.pieces[0];
    item.tabIndex = 0;
    item.dataset.state = row.state;
    item.dataset.testid = `look-${row.number}`;
    flag(item, "next", row.look === coming?.look);
    flag(item, "up", row.look === live.pinned);
    const now = phase(row.drop, clock.now());
    item.setAttribute("aria-label", `Look ${row.number}, ${piece?.title ?? row.title}, ${row.state === "dropped" && now !== "open" ? (now === "soon" ? "counting down" : "closed") : row.state}`);
    fill(item, "number", String(row.number));
    fill(item, "title", row.pieces.map((one) => one.title).join(", ") || row.title);
    if (piece) picture(field(item, "picture"), piece.picture, "");
    fill(item, "price", money(priceOf(row)));
    const was = wasOf(row);
    fill(item, "was", money(was));
    field(item, "was").hidden = !was;
    reconcile(field(item, "stock"), coloursLeft(row, live.stock), (one) => one.key, () => clone("cue-colour-template"), (part, { colour, sizes }) => {
      fill(part, "colour", colour);
      reconcile(field(part, "sizes"), sizes, (one) => one.sku, () => document.createElement("span"), (span, one) => {
        say(span, `${one.label} · ${one.left}`);
        flag(span, "gone", one.left < 1);
      });
    });
    fill(item, "state", stateWords(row, { pinned: live.pinned, next: coming?.look, now_ms: clock.now(), waiting: state.queues[row.look]?.waiting }));
    terms(item, row);
    const dropButton = /** @type {HTMLButtonElement} */ (find(item, '[data-act="drop"]'));
    dropButton.dataset.testid = `drop-${row.number}`;
    dropButton.hidden = !canDrop(row, clock.now());
    dropButton.disabled = !onAir;
    say(dropButton, row.state === "waiting" ? (timesOf(row).in_s || row.drop.hot ? "Count down" : "Drop") : "Drop again");
    const closeButton = find(item, '[data-act="close"]');
    closeButton.dataset.testid = `close-${row.number}`;
    closeButton.hidden = canDrop(row, clock.now()) || !onAir;
    closeButton.setAttribute("aria-label", `Close now: look ${row.number}`);
    const withdrawButton = find(item, '[data-act="withdraw"]');
    withdrawButton.dataset.testid = `withdraw-${row.number}`;
    withdrawButton.hidden = row.state !== "dropped" || !onAir;
  });
  const button = /** @type {HTMLButtonElement} */ (byId("next-look"));
  button.disabled = !onAir || !coming;
  say(button, coming ? `Next look: ${coming.number}` : "All looks are out");
}

/** A row's terms, but for the field that is being written. @param {HTMLElement} item @param {LookRow} row */
function terms(item, row) {
  fill(item, "terms-words", termsWords(row.drop));
  const [limit, hot, work] = ["limit", "hot", "work"].map((name) => /** @type {HTMLInputElement} */ (field(item, name)));
  const out = row.state === "dropped" && phase(row.drop, clock.now()) !== "closed";
  if (document.activeElement !== limit) limit.value = row.drop.limit ? String(row.drop.limit) : "";
  hot.checked = row.drop.hot;
  work.checked = row.drop.work_bits > 0;
  hot.disabled = work.disabled = out; // nobody's place is taken away, nor put before her
  const count = /** @type {HTMLSelectElement} */ (field(item, "in-s"));
  /** @type {HTMLOptionElement} */ (count.options[0]).disabled = row.drop.hot;
  if (row.drop.hot && count.value === "0") count.value = "10";
}

// ---- on air --------------------------------------------------------------------------------

byId("go-live").addEventListener("click", () => void act("show.open"));
confirmed(/** @type {HTMLButtonElement} */ (byId("end-show")), "End it for everyone?", () => void act("show.end"));

// ---- asked of the room ----------------------------------------------------------------------

const games = new PollDesk({ send: (kind, body) => wire.send(kind, body), clock });
games.snapshot(store.state.live.play);
setInterval(() => {
  games.tick();
  runsheet(store.state); // its countdowns
}, 1000);

// ---- the picture ---------------------------------------------------------------------------

const player = new Player(video, { url: `/whep/${encodeURIComponent(slug)}` });
video.addEventListener("playing", () => (byId("monitor-says").hidden = true));

/** @type {Publisher|null} */
let publisher = null;
/** @type {MediaStream|null} */
let camera = null;
/** The key is known to this page only while it was just made. */
let key = "";
let hasKey = main.dataset.key === "yes"; // one was made here or elsewhere: an encoder may be using it

async function newKey() {
  const answer = await call("POST", `/api/shows/${encodeURIComponent(slug)}/publish-key`, {});
  key = String(answer.key ?? answer.publish_key ?? "");
  hasKey = true;
  showKey(true);
  return key;
}

function forgetKey() {
  key = "";
  showKey(false);
}

/** @param {boolean} shown */
function showKey(shown) {
  say(byId("whip-key"), shown ? key : "•".repeat(16));
  byId("key-reveal").hidden = !key;
  byId("key-copy").hidden = !key;
  byId("key-reveal").setAttribute("aria-pressed", String(shown));
  say(byId("key-reveal"), shown ? "Hide" : "Reveal");
}

byId("key-reveal").addEventListener("click", () => showKey(byId("key-reveal").getAttribute("aria-pressed") !== "true"));
confirmed(/** @type {HTMLButtonElement} */ (byId("rotate-key")), "Make a new key and cut off the old?", () => {
  newKey().then(() => say(byId("source-note"), "A new key. Copy it now: it is not shown again after you leave."), (refusal) => say(byId("source-note"), refused(refusal)));
}, () => hasKey);
const secondRefused = /** @type {HTMLInputElement} */ (byId("second-refused"));
secondRefused.addEventListener("change", () => {
  const rule = { second: secondRefused.checked ? "refused" : "takes_over" };
  call("PUT", `/api/shows/${encodeURIComponent(slug)}/publisher-rule`, rule).catch((refusal) => {
    secondRefused.checked = !secondRefused.checked;
    say(byId("source-note"), refused(refusal));
  });
});
document.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-copy]"));
  if (!button) return;
  const text = button.dataset.copy === "whip-key" ? key : byId(button.dataset.copy ?? "").textContent ?? "";
  const copied = navigator.clipboard?.writeText(text) ?? Promise.reject(); // a page on plain HTTP has no clipboard
  copied.then(() => toast("Copied.", { ms: 2000 }), () => toast("Copying is not allowed here: select it by hand."));
});

async function stopCamera() {
  await publisher?.stop();
  publisher = null;
  for (const track of camera?.getTracks() ?? []) track.stop();
  camera = null;
}

/** Of a network that lets no UDP out. @returns {Promise<RTCIceServer[]>} */
async function turnServers() {
  const answer = await call("GET", `/api/shows/${encodeURIComponent(slug)}/picture`).catch(() => null);
  return answer?.ways?.find((/** @type {{kind: string}} */ way) => way.kind === "whep")?.ice_servers ?? [];
}

async function startCamera() {
  const note = byId("source-note");
  try {
    const media = await navigator.mediaDevices.getUserMedia({ video: device("camera", { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } }), audio: device("microphone", { echoCancellation: false, noiseSuppression: false }) });
    await devices(media);
    await stopCamera();
    camera = media;
    publisher = new Publisher(null, { url: `/whip/${encodeURIComponent(slug)}`, key: key || (await newKey()), stream: media, iceServers: await turnServers() });
    publisher.addEventListener("reconnecting", () => say(note, "The line broke. Trying again."));
    publisher.addEventListener("live", () => say(note, store.state.live.show.status === "live" ? "Your camera is on, and viewers see it." : "Your camera is on. Viewers see it once you are on air."));
    publisher.addEventListener("failed", (event) => {
      const { status, final } = /** @type {CustomEvent} */ (event).detail;
      if (!final) return;
      // The key that this page knew is no key any more: starting again makes one.
      if (status === 401 || status === 403) forgetKey();
      void cameraOff();
      say(note, status === 401 || status === 403 ? "The key is out of date: somebody made a new one. Start the camera again." : status === 409 ? "The show is over, or another picture took its place." : "The camera could not be sent. Try again.");
    });
    await publisher.start();
    byId("camera-start").hidden = true;
    byId("camera-stop").hidden = false;
  } catch (failure) {
    const name = /** @type {any} */ (failure)?.name;
    say(note, name === "NotAllowedError" ? "The browser may not use the camera. Allow it in the address bar, then try again." : name === "NotFoundError" ? "This device has no camera." : name === "NotReadableError" ? "Another program holds the camera." : /** @type {any} */ (failure)?.code ? refused(/** @type {any} */ (failure)) : "The camera could not be sent. Try again.");
  }
}

/** @param {string} id @param {MediaTrackConstraints} wanted */
function device(id, wanted) {
  const chosen = /** @type {HTMLSelectElement} */ (byId(id)).value;
  return chosen ? { ...wanted, deviceId: { exact: chosen } } : wanted;
}

/** Names of devices are told only once the camera may be used. @param {MediaStream} media */
async function devices(media) {
  const all = await navigator.mediaDevices.enumerateDevices();
  for (const [id, kind] of /** @type {const} */ ([["camera", "videoinput"], ["microphone", "audioinput"]])) {
    const found = all.filter((one) => one.kind === kind);
    const used = media.getTracks().find((track) => track.kind === kind.slice(0, 5))?.getSettings().deviceId;
    const select = /** @type {HTMLSelectElement} */ (byId(id));
    select.replaceChildren(...found.map((one, n) => new Option(one.label || `${n + 1}`, one.deviceId, false, one.deviceId === used)));
    byId(`${id}-which`).hidden = found.length < 2;
  }
}

// The camera needs a key this page knows, and takes the picture over: an encoder that is on, or set up, must not be
// cut off by a stray press.
const others = () => !publisher && ((hasKey && !key) || store.state.live.picture.state === "live");
byId("camera-start").addEventListener("click", () => {
  if (others()) say(byId("source-note"), "The camera takes over: an encoder that sends now is cut off, and its key ends. Press again to go on.");
}, { capture: true });
confirmed(/** @type {HTMLButtonElement} */ (byId("camera-start")), "Take over with this camera?", () => {
  say(byId("source-note"), "");
  void startCamera();
}, others);
async function cameraOff() {
  const hadFocus = document.activeElement === byId("camera-stop");
  await stopCamera();
  byId("camera-start").hidden = false;
  byId("camera-stop").hidden = true;
  if (hadFocus) byId("camera-start").focus();
}

byId("camera-stop").addEventListener("click", async () => {
  await cameraOff();
  say(byId("source-note"), "The camera is off.");
});
byId("camera").addEventListener("change", () => void startCamera());
byId("microphone").addEventListener("change", () => void startCamera());

/** The picture's rate as this page itself receives it: the same path that viewers' packets take. */
async function health() {
  const stats = await player.stats();
  if (!stats?.width || stats.state !== "live" || store.state.live.picture.state !== "live") return;
  say(byId("picture-rate"), `${(stats.kbps / 1000).toFixed(1)} Mbit/s, ${stats.width} × ${stats.height}, ${Math.round(stats.fps)} a second`);
  say(byId("picture-loss"), (stats.lost ?? 0) > 0 ? `${stats.lost} packets lost` : "nothing lost");
}

// ---- drawing -------------------------------------------------------------------------------

const PICTURE = { waiting: "Waiting for a picture", live: "Picture is good", slate: "Picture lost: viewers see the slate" };

/** No picture comes any more: nothing is asked for, and nothing says that it is good. */
function over() {
  if (main.dataset.over) return;
  main.dataset.over = "yes";
  void player.stop();
  const words = byId("picture-state");
  words.dataset.state = "waiting";
  say(words, "The show is over");
  for (const id of ["picture-rate", "picture-loss"]) say(byId(id), "");
  byId("monitor-says").hidden = true;
}

/** @param {State} state @param {State|null} before */
function render(state, before) {
  const { live } = state;
  const was = before?.live;
  if (live.show !== was?.show) {
    main.dataset.status = live.show.status;
    byId("go-live").hidden = live.show.status !== "scheduled";
    byId("end-show").hidden = live.show.status !== "live";
    const { status, starts_ms, opened_ms, ended_ms } = live.show;
    say(byId("status-words"), status === "live" ? `On air since ${opened_ms ? moment(opened_ms) : "now"}` : status === "ended" ? `Ended ${ended_ms ? moment(ended_ms) : ""}` : starts_ms ? `Starts ${moment(starts_ms)}` : "Not yet on air");
  }
  if (live.show.status === "ended") over();
  else if (live.picture !== was?.picture) {
    // A picture that nobody sends yet is not asked for.
    if (live.picture.state !== "waiting") void player.start();
    if (live.picture.state === "live") player.hurry();
    const words = byId("picture-state");
    words.dataset.state = live.picture.state;
    say(words, PICTURE[live.picture.state]);
    byId("monitor-says").hidden = live.picture.state === "live";
    say(byId("monitor-says"), live.picture.state === "slate" ? "The picture is gone. Waiting for it to come back." : "No picture yet. Start the camera or connect an encoder.");
    if (live.picture.state !== "live") {
      say(byId("picture-rate"), "");
      say(byId("picture-loss"), "");
    }
  }
  if (live.runsheet !== was?.runsheet || live.stock !== was?.stock || live.pinned !== was?.pinned || live.show !== was?.show) runsheet(state);
  if (live.tally !== was?.tally || state.viewers !== before?.viewers) {
    const tally = live.tally;
    const figures = { viewers: Math.max(tally?.viewers ?? 0, state.viewers), held: tally?.held ?? 0, orders: tally?.orders ?? 0 };
    for (const [name, figure] of Object.entries(figures)) say(byId(`tally-${name}`), new Intl.NumberFormat("en").format(figure));
    say(byId("tally-revenue"), tally ? money(tally.revenue) : "–");
  }
}

store.subscribe(render);
render(store.state, null);
wire.start();
setInterval(() => void health(), STATS_MS);
