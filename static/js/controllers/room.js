// @ts-check
/** A page's end of the room: what the socket says becomes the page's state. The same on all three pages. */
import { Wire } from "../wire.js";
import { byId, embedded, say, socketUrl } from "./dom.js";
import { ServerClock } from "../models/clock.js";
import { applyEvent, applySnapshot } from "../models/show.js";
import { Store } from "../models/store.js";

/** @typedef {import("../models/show.js").State} State */

/**
 * @param {string} slug
 * @returns {{wire: Wire, store: Store<State>, clock: ServerClock}} the caller starts the wire once it listens
 */
export function enter(slug) {
  const clock = new ServerClock();
  const first = embedded();
  clock.sync(first.now_ms);
  /** @type {Store<State>} */
  const store = new Store(applySnapshot(null, first));
  const wire = new Wire({
    url: socketUrl(slug),
    onSnapshot: (/** @type {import("../models/types.js").Welcome} */ welcome) => {
      clock.sync(welcome.now_ms);
      store.set(applySnapshot(store.state, welcome));
    },
    onEvent: (/** @type {import("../models/types.js").Envelope} */ envelope) => {
      if (envelope.kind === "resumed") clock.sync(envelope.body.now_ms);
      store.set(applyEvent(store.state, envelope));
    },
    onState: (/** @type {string} */ state) => {
      if (state === "open") say(byId("wire-state"), "");
      else if (state === "waiting") say(byId("wire-state"), "· reconnecting");
      else if (state === "closed") say(byId("wire-state"), "· load this page again to go on");
    },
  });
  return { wire, store, clock };
}
