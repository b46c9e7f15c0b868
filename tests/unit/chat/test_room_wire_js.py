"""static/js/wire.js against the real server, run by node where there is one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from room_process import until

ROOT = Path(__file__).parents[3]
SCRIPT = """
import { Wire } from "%(module)s";
// node's own WebSocket can't send an Origin or a cookie, so this one speaks the few frames that are needed.
import net from "node:net";
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto; // Debian's node 18 has it only there
class Socket {
  constructor(address) {
    const url = new URL(address);
    this.head = true; this.data = Buffer.alloc(0);
    this.tcp = net.connect(Number(url.port), url.hostname, () => this.tcp.write([
      `GET ${url.pathname} HTTP/1.1`, `Host: ${url.host}`, "Connection: Upgrade", "Upgrade: websocket",
      "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      "Origin: http://frontrow.test", "Cookie: frontrow=ann", "", ""].join("\\r\\n")));
    this.tcp.on("data", (data) => { this.data = Buffer.concat([this.data, data]); this.parse(); });
    this.tcp.on("close", () => this.over(1006));
    this.tcp.on("error", () => {});
  }
  over(code) { if (!this.done) { this.done = true; this.onclose({ code }); } }
  parse() {
    if (this.dead) return;
    if (this.head) {
      const end = this.data.indexOf("\\r\\n\\r\\n");
      if (end < 0) return;
      this.data = this.data.subarray(end + 4); this.head = false; this.onopen();
    }
    for (;;) {
      if (this.data.length < 2) return;
      let size = this.data[1], at = 2;
      if (size === 126) { size = this.data.readUInt16BE(2); at = 4; }
      if (size === 127) { size = Number(this.data.readBigUInt64BE(2)); at = 10; }
      if (this.data.length < at + size) return;
      const opcode = this.data[0] & 15, payload = this.data.subarray(at, at + size);
      this.data = this.data.subarray(at + size);
      if (opcode === 1) this.onmessage({ data: payload.toString() });
      if (opcode === 8) { this.over(payload.readUInt16BE(0)); this.tcp.destroy(); }
    }
  }
  send(text) {
    if (this.dead) return;
    if (text.includes("clock.ask")) say({ asked: true });
    const payload = Buffer.from(text);
    const head = payload.length < 126 ? [129, 128 | payload.length]
      : [129, 254, payload.length >> 8, payload.length & 255];
    this.tcp.write(Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]));
  }
  close() { this.tcp.destroy(); }
}
const say = (what) => console.log(JSON.stringify(what));
const wire = new Wire({
  url: "%(url)s",
  WebSocket: Socket,
  onSnapshot: (body) => say({ kind: "welcome", body }),
  quietMs: 300, lostMs: 400,
  onEvent: (envelope) => {
    if (envelope.body?.card === "silence") wire._socket.dead = true;
    say({ kind: envelope.kind, seq: envelope.seq ?? null, body: envelope.body });
  },
  onState: (state, code) => say({ state, code }),
});
wire.start();
wire.send("line.post", { text: "asked before the connection" }, { op: "op-1" }).then((body) => say({ answer: body }));
wire.send("no.such").catch((error) => say({ refused: error.code }));
"""


async def test_the_browsers_wire_welcomes_answers_resumes_notices_silence_and_stops(web, house, tmp_path) -> None:
    import json

    house.person("ann")
    script = tmp_path / "page.mjs"
    module = (ROOT / "static" / "js" / "wire.js").as_uri()
    (tmp_path / "package.json").write_text('{"type": "module"}')
    copy = tmp_path / "wire.mjs"
    copy.write_text((ROOT / "static" / "js" / "wire.js").read_text())
    module = copy.as_uri()
    script.write_text(SCRIPT % {"module": module, "url": f"{web.url}/ws/spring"})
    node = await asyncio.create_subprocess_exec("node", str(script), stdout=asyncio.subprocess.PIPE)
    said: list[dict] = []

    async def read() -> None:
        async for line in node.stdout:
            said.append(json.loads(line))

    def kinds() -> list[str]:
        return [one["kind"] for one in said if "kind" in one]

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        try:
            await until(lambda: any("answer" in one for one in said) and any("refused" in one for one in said), 30)
            assert kinds()[0] == "welcome"
            assert next(one["refused"] for one in said if "refused" in one) == "unknown_kind"
            # Cut every connection below the protocol: the page comes back by resume and misses nothing.
            for seat in list(web.hub._rooms["shw_spring"].seats):
                seat.wire._transport.abort()
            await until(lambda: {"state": "waiting", "code": 1006} in said)
            await web.bus.publish("shw_spring", "card.dropped", {"card": 1})
            await until(lambda: "resumed" in kinds(), 30)
            numbers = [one["seq"] for one in said if one.get("seq") is not None]
            assert numbers == [1, 2]
            assert kinds().count("welcome") == 1
            # A network that vanishes closes nothing: the page notices, comes back by itself and misses nothing.
            await web.bus.publish("shw_spring", "card.dropped", {"card": "silence"})
            await until(lambda: kinds().count("resumed") == 2, 30)
            # Quiet alone is no reason to leave: asked, the server answers.
            so_far = sum("asked" in one for one in said)
            await until(lambda: sum("asked" in one for one in said) >= so_far + 3, 30)
            assert kinds().count("resumed") == 2
            # Banned: told why, cut, back by itself without what was said; and let in again without a reload.
            mod = await web.join(house.person("mod", "moderator"))
            assert (await mod.post("line.post", {"text": "for the others"})).ok
            assert (await mod.post("person.ban", {"person": "per_ann", "reason": "spam"})).ok
            await until(lambda: {"state": "waiting", "code": 4423} in said)
            await until(lambda: kinds().count("welcome") == 2, 30)
            reset = next(one["body"] for one in reversed(said) if one.get("kind") == "welcome")
            assert (reset["you"]["silenced"]["reason"], reset["room"]["lines"]) == ("spam", [])
            assert (await mod.post("person.unban", {"person": "per_ann"})).ok
            await until(lambda: kinds().count("welcome") == 3, 30)
            await web.bus.revoke(person="per_ann")
            await until(lambda: {"state": "closed", "code": 4401} in said, 5)
        finally:
            if node.returncode is None:
                node.kill()
            await node.wait()
