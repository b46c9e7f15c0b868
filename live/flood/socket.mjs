// A WebSocket client for node with what wire.js needs (onopen, onmessage, onclose, send, close), and what node's own
// has not: an Origin and a cookie. RFC 6455; text frames only, as the room speaks.
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** A class of sockets that carry these headers. */
export function socketsWith(headers) {
  return class Socket {
    constructor(address) {
      const url = new URL(address);
      const secure = url.protocol === "wss:";
      const key = randomBytes(16).toString("base64");
      this.data = Buffer.alloc(0);
      this.over = false;
      this.code = 1006;
      this.request = (secure ? https : http).get({
        host: url.hostname, port: url.port || (secure ? 443 : 80), path: url.pathname, agent: false,
        headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key, ...headers },
      });
      this.request.on("upgrade", (answer, tcp, head) => {
        const expected = createHash("sha1").update(key + GUID).digest("base64");
        if (this.over || answer.headers["sec-websocket-accept"] !== expected) return tcp.destroy();
        this.tcp = tcp;
        tcp.setNoDelay(true);
        tcp.on("data", (data) => this.take(data));
        tcp.on("close", () => this.ended());
        tcp.on("error", () => {});
        this.onopen();
        if (head.length) this.take(head);
      });
      this.request.on("response", (answer) => { answer.resume(); this.ended(answer.statusCode === 403 ? 4403 : 1006); });
      this.request.on("error", () => this.ended());
    }

    take(data) {
      this.data = this.data.length ? Buffer.concat([this.data, data]) : data;
      for (;;) {
        const { data: all } = this;
        if (all.length < 2) return;
        let size = all[1] & 127, at = 2;
        if (size === 126) { if (all.length < 4) return; size = all.readUInt16BE(2); at = 4; }
        else if (size === 127) { if (all.length < 10) return; size = Number(all.readBigUInt64BE(2)); at = 10; }
        if (all.length < at + size) return;
        const opcode = all[0] & 15, payload = all.subarray(at, at + size);
        this.data = all.subarray(at + size);
        if (opcode === 1) this.onmessage({ data: payload.toString() });
        else if (opcode === 9) this.frame(10, payload);
        else if (opcode === 8) {
          if (size >= 2) this.code = payload.readUInt16BE(0);
          this.frame(8, payload.subarray(0, 2));
          this.tcp.end();
        }
      }
    }

    frame(opcode, payload) {
      if (!this.tcp?.writable) return;
      const mask = randomBytes(4), size = payload.length;
      const head = size < 126 ? Buffer.from([0x80 | opcode, 0x80 | size]) : Buffer.from([0x80 | opcode, 254, size >> 8, size & 255]);
      const masked = Buffer.from(payload);
      for (let n = 0; n < size; n += 1) masked[n] ^= mask[n & 3];
      this.tcp.write(Buffer.concat([head, mask, masked]));
    }

    send(text) { this.frame(1, Buffer.from(text)); }

    close(code = 1000) {
      this.frame(8, Buffer.from([code >> 8, code & 255]));
      this.tcp?.end();
      if (!this.tcp) this.request.destroy();
    }

    /** As a network that goes away: no goodbye. */
    cut() { this.tcp ? this.tcp.destroy() : this.request.destroy(); }

    ended(code = this.code) {
      if (this.over) return;
      this.over = true;
      this.onclose({ code });
    }
  };
}
