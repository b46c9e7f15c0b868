"""The floor: uvloop transports and a loop of `write()`, with no room behind it. A text frame that comes in goes out to
every socket, once encoded. No checks, no masks but zeros, no closing handshake."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import json
import re

import uvloop

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
transports: set[asyncio.Transport] = set()


class Peer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.data = b""
        self.open = False

    def connection_lost(self, exc: Exception | None) -> None:
        transports.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.open:
            head, found, self.data = self.data.partition(b"\r\n\r\n")
            if not found:
                self.data = head
                return
            key = re.search(rb"(?i)sec-websocket-key: (\S+)", head).group(1)
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.open = True
            transports.add(self.transport)
        while len(self.data) >= 6:
            size, at = self.data[1] & 127, 2
            if size == 126:
                size, at = int.from_bytes(self.data[2:4], "big"), 4
            if len(self.data) < at + 4 + size:
                return
            payload, self.data = self.data[at + 4 : at + 4 + size], self.data[at + 4 + size :]
            head = bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
            frame = head + payload
            for transport in transports:
                transport.write(frame)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
