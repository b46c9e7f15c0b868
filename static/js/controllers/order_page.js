// @ts-check
/** An order's page: its moments, and word from the bank while the payment is open. It reads whole without this. */
import "./moments.js";
import { byId } from "./dom.js";
import { call } from "../http.js";

const ASK_MS = 3000;

const main = byId("main");
if (main.dataset.status === "pending") ask();

/** The page that the server draws says it best: it is loaded again as soon as there is news. */
function ask() {
  setTimeout(async () => {
    const order = document.hidden ? null : await call("GET", `/api/orders/${encodeURIComponent(main.dataset.token ?? "")}`).catch(() => null);
    if (order && order.status !== "pending") location.reload();
    else ask();
  }, ASK_MS);
}
