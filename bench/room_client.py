"""The client that every server of `bench/room.py` is measured with: it shakes hands, takes part, and counts events."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from pathlib import Path

MARK, TIME, DROP_TIME = b'"filler"', b'"t":', b'"td":'
SAMPLED = 10  # sockets on which latency is taken
AT_ONCE = 50
SMALLEST_BUFFER = 2048


class Tally:
    def __init__(self) -> None:
        self.events = 0
        self.last_at = 0.0
        self.waits_ms: list[float] = []
        self.drops_ms: list[float] = []
        self.marks: dict[bytes, tuple[float, list[float]]] = {}  # bytes waited for on every screen, since when, ms


class Client(asyncio.Protocol):
    """`says` is sent after the handshake, as one frame. `ready` is done then, `in_room` when the server answered.
    `asks`: path and headers, where another door than the bench's is knocked at."""

    def __init__(self, name: str, tally: Tally, says: bytes, sampled: bool, asks: bytes = b"") -> None:
        self.name, self.tally, self.says, self.sampled = name, tally, says, sampled
        self.asks = asks or b"GET /ws/bench HTTP/1.1\r\nHost: bench\r\nCookie: who=" + name.encode() + b":\r\n"
        self.seen: set[bytes] = set()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.in_room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rest = b""

    @property
    def closed(self) -> bool:
        return self.lost.done()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        for waited in (self.ready, self.in_room):
            if not waited.done():
                waited.set_exception(ConnectionResetError())
                waited.exception()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(
            self.asks + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )

    def send(self, text: bytes) -> None:
        size = len(text)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self.transport.write(head + b"\0\0\0\0" + text)

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
            if self.says:
                self.send(self.says)
            elif not self.in_room.done():
                self.in_room.set_result(None)
            return
        if not self.in_room.done():
            self.in_room.set_result(None)
        data = self.rest + data
        for mark, (since, waits) in self.tally.marks.items():
            if mark in data and mark not in self.seen:
                self.seen.add(mark)
                waits.append(1000 * (time.monotonic() - since))
        self.tally.events += data.count(MARK)
        self.tally.last_at = time.monotonic()
        # A mark that was cut in two is counted with the next chunk.
        self.rest = b"" if data.endswith((b"}", b"\n")) else data[-len(MARK) + 1 :]
        if self.sampled and b'"t' in data:
            now = time.monotonic_ns()
            for mark, waits in ((TIME, self.tally.waits_ms), (DROP_TIME, self.tally.drops_ms)):
                for part in data.split(mark)[1:]:
                    sent_ns, comma, _ = part.partition(b",")
                    if comma:
                        waits.append((now - int(sent_ns)) / 1e6)


class Server:
    """A process that prints its port."""

    def __init__(self, command: list[str], **env: str) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **env})
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["port"])

    def cpu_s(self) -> float:
        """Of all its threads, user and system: schedstat counts nanoseconds where `stat` counts hundredths."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def rss_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class NatsServer(Server):
    """Debian's nats-server with its WebSocket listener: uncompressed, no TLS."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            plain, self.port = one.getsockname()[1], other.getsockname()[1]
        config = folder / "nats.conf"
        config.write_text(
            f'host: "127.0.0.1"\nport: {plain}\nmax_connections: 65536\n'
            f'websocket {{ host: "127.0.0.1", port: {self.port}, no_tls: true, compression: false }}\n'
        )
        with (folder / "nats.log").open("wb") as log:
            self.process = subprocess.Popen(["nats-server", "-c", str(config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


async def connect(
    server: Server, sockets: int, tally: Tally, says: bytes, *, small: int = 0, first: int = 0, sampled: int = SAMPLED
) -> list[Client]:
    """All in the room, a few at a time, as a crowd comes; the last `small` of them with the smallest buffer."""
    loop = asyncio.get_running_loop()

    async def one(n: int) -> Client:
        sock = socket.socket()
        sock.setblocking(False)
        if n >= sockets - small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_BUFFER)
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        _, client = await loop.create_connection(lambda: Client(f"per{first + n}", tally, says, n < sampled), sock=sock)
        await client.in_room
        return client

    clients: list[Client] = []
    for start in range(0, sockets, AT_ONCE):
        clients += await asyncio.gather(*(one(n) for n in range(start, min(sockets, start + AT_ONCE))))
    return clients


def percentiles(waits: list[float]) -> tuple[float, float]:
    waits = sorted(waits)
    return (waits[len(waits) // 2], waits[int(len(waits) * 0.99)]) if waits else (0.0, 0.0)
