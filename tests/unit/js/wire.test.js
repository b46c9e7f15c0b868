import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Wire } from "../../../static/js/wire.js";

/** @type {Socket[]} each that was opened, the newest last */
const sockets = [];

class Socket {
  constructor() {
    /** @type {any[]} what the page sent */
    this.sent = [];
    sockets.push(this);
  }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() {}
  hear(envelope) { this.onmessage({ data: JSON.stringify(envelope) }); }
  open(now_ms = 0) {
    this.onopen();
    this.hear({ kind: "welcome", body: { epoch: "e", seq: 0, now_ms } });
  }
}

const last = () => /** @type {Socket} */ (sockets.at(-1));
const wireOf = (more = {}) => new Wire({ url: "ws://room", WebSocket: Socket, now: () => 1_000, ...more });
const ops = (socket) => socket.sent.slice(1).map((one) => one.op); // after its hello

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  sockets.length = 0;
});

test("a lost connection is tried again after a pause that doubles, drawn by each page for itself", () => {
  for (const [drawn, pauses] of [[0, [125, 125, 125]], [0.5, [375, 625, 1_125]]]) {
    sockets.length = 0;
    const wire = wireOf({ random: () => drawn });
    wire.start();
    for (const pause of pauses) {
      const before = sockets.length;
      last().onclose({ code: 1006 });
      mock.timers.tick(pause - 1);
      assert.equal(sockets.length, before, `not before ${pause} ms`);
      mock.timers.tick(1);
      assert.equal(sockets.length, before + 1, `after ${pause} ms`);
    }
    wire.stop();
  }
});

test("a server that goes says when to come back, and is taken at its word", () => {
  const wire = wireOf({ random: () => 0.9 });
  wire.start();
  last().open();
  last().hear({ kind: "going", body: { retry_ms: 40 } });
  last().onclose({ code: 1012 });
  mock.timers.tick(40);
  assert.equal(sockets.length, 2);
  wire.stop();
});

test("what is asked while there is no connection is sent in its order, and again under its own op until it is answered", async () => {
  const wire = wireOf({ random: () => 0 });
  wire.start();
  const answers = [wire.send("cart.hold", {}, { op: "one" }), wire.send("cart.hold", {}, { op: "two" })];
  assert.deepEqual(last().sent, [], "nothing before the room has answered");
  last().open();
  assert.deepEqual(ops(last()), ["one", "two"]);
  last().hear({ kind: "ok", op: "one", body: { done: 1 } });
  last().onclose({ code: 1006 });
  mock.timers.tick(125);
  last().open();
  assert.deepEqual(ops(last()), ["two"], "the answer may have been lost with the connection");
  last().hear({ kind: "ok", op: "two", body: { done: 2 } });
  assert.deepEqual(await Promise.all(answers), [{ done: 1 }, { done: 2 }]);
  wire.stop();
});

test("no more waits than a page can mean, and what no one answered is said so", async () => {
  const wire = wireOf();
  wire.start();
  const waiting = [];
  const asked = () => wire.send("heart", {}).then(() => "", (error) => error.code);
  for (let n = 0; n < 50; n += 1) waiting.push(asked());
  assert.equal(await asked(), "offline", "the fifty-first");
  mock.timers.tick(60_000);
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(["no_answer"]));
  wire.stop();
});

test("the server's clock is read off each welcome", () => {
  const wire = wireOf();
  wire.start();
  last().open(6_000);
  assert.equal(wire.serverNow(), 6_000, "this machine is five seconds behind");
  wire.stop();
});
