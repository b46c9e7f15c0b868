// @ts-check
/** A page's end of the room: what the socket says becomes the page's state. The same on all three pages. */
import { BANNED, Wire } from "../wire.js";
import { byId, embedded, say, socketUrl } from "./dom.js";
import { ServerClock } from "../models/clock.js";
import { applyEvent, applySnapshot } from "../models/show.js";
import { Store } from "../models/store.js";

/**
 * @typedef {import("../models/show.js").State} State
 * @typedef {import("../models/types.js").Welcome} Welcome
 * @typedef {import("../models/types.js").Envelope} Envelope
 */

/**
 * @param {string} slug
 * @param {{onSnapshot?: (welcome: Welcome) => void, onEvent?: (envelope: Envelope) => void}} [also] who hears the same
 *   news beside the store, after it
 * @returns {{wire: Wire, store: Store<State>, clock: ServerClock}} the caller starts the wire once it listens
 */
export function enter(slug, also = {}) {
  const clock = new ServerClock();
  const first = embedded();
  clock.sync(first.now_ms);
  /** @type {Store<State>} */
  const store = new Store(applySnapshot(null, first));
  const wire = new Wire({
    url: socketUrl(slug),
    onSnapshot: (/** @type {Welcome} */ welcome) => {
      clock.sync(welcome.now_ms);
      store.set(applySnapshot(store.state, welcome));
      also.onSnapshot?.(welcome);
    },
    onEvent: (/** @type {Envelope} */ envelope) => {
      if (envelope.kind === "resumed") clock.sync(envelope.body.now_ms);
      store.set(applyEvent(store.state, envelope));
      also.onEvent?.(envelope);
    },
    onState: (/** @type {string} */ state, /** @type {number} */ code) => {
      if (state === "open") say(byId("wire-state"), "");
      // Who was banned has been told so, and nothing of hers is lost: the picture and the shop go on.
      else if (state === "waiting") say(byId("wire-state"), code === BANNED ? "" : "· reconnecting");
      else if (state === "closed") say(byId("wire-state"), "· load this page again to go on");
    },
  });
  store.subscribe((state, before) => {
    if (state.service === before?.service) return;
    document.documentElement.dataset.animations = state.service.animations ? "on" : "off";
    if (wire.state === "open") say(byId("wire-state"), state.service.read_only ? "· read-only for a moment" : "");
  });
  addEventListener("online", () => wire.check());
  document.addEventListener("visibilitychange", () => document.hidden || wire.check());
  return { wire, store, clock };
}
