// The bots of `frontrow flood`: node flood.mjs '<options as JSON>'. A line of JSON a second on stdout, the last with
// `"over": true`. Each bot is a page's wire.js; it checks that numbers reach it without gap or duplicate.
import { randomBytes, webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { socketsWith } from "./socket.mjs";

globalThis.crypto ??= webcrypto; // node 18 has it only there
const options = JSON.parse(process.argv[2]);
// By its text: the file is a module, but its name and folder don't say so to node.
const source = await readFile(options.wire);
const { Wire } = await import(`data:text/javascript;base64,${source.toString("base64")}`);

const WORDS = "those boots the coat wool silk yes again love want size black bone hem walk light slow wow that collar".split(" ");
const figures = { open: 0, events: 0, lines: 0, answered: 0, hearts: 0, refused: {}, resumes: 0, resets: 0, skipped: 0, gaps: 0, closed: {} };
let waits_ms = [];
let all_waits_ms = [];
const bots = [];
const chance = (n) => Math.floor(Math.random() * n);

/** A session, as a browser gets one: by opening the page. */
function session() {
  const { get } = options.origin.startsWith("https") ? https : http;
  return new Promise((resolve, reject) => {
    get(`${options.origin}/shows/${encodeURIComponent(options.show)}`, { agent: false }, (answer) => {
      answer.resume();
      const cookies = (answer.headers["set-cookie"] ?? []).map((one) => one.split(";")[0]);
      if (answer.statusCode !== 200) reject(new Error(answer.statusCode === 404 ? `there is no show ${options.show}` : `the page answered ${answer.statusCode}`));
      else resolve(cookies.join("; "));
    }).on("error", reject);
  });
}

class Bot {
  constructor(cookie) {
    this.last = null;
    this.own = new Map();
    this.wire = new Wire({
      url: `${options.origin.replace(/^http/, "ws")}/ws/${encodeURIComponent(options.show)}`,
      WebSocket: socketsWith({ Cookie: cookie, Origin: options.origin }),
      onSnapshot: (welcome) => {
        if (this.last !== null) figures.resets += 1;
        this.last = welcome.seq;
      },
      onEvent: (envelope) => this.heard(envelope),
      onState: (state, code) => {
        if (state === "open") { figures.open += 1; this.is_open = true; this.back?.(); }
        else if (this.is_open) { figures.open -= 1; this.is_open = false; }
        if (state === "closed" && code) figures.closed[code] = (figures.closed[code] ?? 0) + 1;
      },
    });
    this.wire.start();
  }

  heard({ kind, seq, body }) {
    figures.events += 1;
    if (kind === "resumed") figures.resumes += 1;
    else if (kind === "events.skipped") { figures.skipped += body.to_seq - body.from_seq + 1; this.step(body.from_seq, body.to_seq); }
    else if (seq !== undefined) this.step(seq, seq);
    if (kind === "line.posted" && this.own.has(body.line.text)) {
      waits_ms.push(performance.now() - this.own.get(body.line.text));
      this.own.delete(body.line.text);
    }
  }

  step(first, last) {
    if (first !== this.last + 1) figures.gaps += 1;
    this.last = last;
  }

  async ask(kind, body, count) {
    try {
      await this.wire.send(kind, body);
      figures[count] += 1;
    } catch (refusal) {
      figures.refused[refusal.code] = (figures.refused[refusal.code] ?? 0) + 1;
    }
  }

  say() {
    const text = `${Array.from({ length: 3 + chance(6) }, () => WORDS[chance(WORDS.length)]).join(" ")} ${randomBytes(3).toString("hex")}`;
    this.own.set(text, performance.now());
    figures.lines += 1;
    void this.ask("line.post", { text }, "answered");
  }
}

function told(more = {}) {
  const sorted = waits_ms.sort((a, b) => a - b);
  const at = (share) => (sorted.length ? Math.round(sorted[Math.floor((sorted.length - 1) * share)]) : null);
  console.log(JSON.stringify({ ...figures, p50_ms: at(0.5), p99_ms: at(0.99), ...more }));
  if (!more.over) all_waits_ms = all_waits_ms.concat(waits_ms);
  waits_ms = [];
}

/** `rate` times a second, by bots in turn. */
function often(rate, act) {
  if (!rate) return;
  let owed = 0, before = performance.now();
  setInterval(() => {
    const now = performance.now();
    owed += (rate * (now - before)) / 1000;
    before = now;
    for (; owed >= 1; owed -= 1) act(bots[chance(bots.length)]);
  }, 20);
}

const until = (ready) => new Promise((resolve) => { const timer = setInterval(() => ready() && (clearInterval(timer), resolve()), 20); });

async function main() {
  const ticking = setInterval(() => told(), 1000);
  while (bots.length < options.bots) {
    const cookies = await Promise.all(Array.from({ length: Math.min(20, options.bots - bots.length) }, session));
    for (const cookie of cookies) bots.push(new Bot(cookie));
  }
  const lost = () => Object.values(figures.closed).reduce((a, b) => a + b, 0);
  await until(() => figures.open + lost() >= options.bots);
  if (figures.open === 0) throw new Error(`every socket was closed: ${JSON.stringify(figures.closed)}`);
  often(options.lines, (bot) => bot.say());
  often(options.hearts, (bot) => void bot.ask("heart.send", { n: 1 + chance(3) }, "hearts"));
  let back_ms = null;
  const half_ms = options.seconds * 500;
  if (options.cut) {
    setTimeout(async () => {
      const started = performance.now();
      for (const bot of bots) bot.wire._socket?.cut();
      await until(() => figures.open === 0);
      await until(() => figures.open + lost() >= options.bots);
      back_ms = Math.round(performance.now() - started);
    }, half_ms);
  }
  await new Promise((resolve) => setTimeout(resolve, 2 * half_ms));
  if (options.cut) await until(() => back_ms !== null);
  clearInterval(ticking);
  all_waits_ms = all_waits_ms.concat(waits_ms);
  waits_ms = all_waits_ms;
  told({ over: true, back_ms });
  process.exit(0);
}

main().catch((error) => {
  console.log(JSON.stringify({ over: true, error: error.message || error.code || String(error) }));
  process.exit(1);
});
