"""The loads of `bench/room.py` and `bench/room_turns.py`, and the crowd that one server gets them with.

200 bytes an event:

    quiet     1 event/s that may not wait
    paced     20 events/s that may not wait (commerce): the cost of one event at a time
    storm     100 lines of talk/s: what gathering into ticks saves (storm-25, storm-400: so many)
    drop      a storm, and 2 drops a second in it; p50 and p99 are the drops'
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from bench.room_client import Client, NatsServer, Server, Tally, connect, percentiles
from chat.bus import RedisBus

# kind, events a second, bytes an event, drops a second among them
LOADS: dict[str, tuple[str, int, int, int]] = {
    "quiet": ("card.dropped", 1, 200, 0),
    "paced": ("card.dropped", 20, 200, 0),
    "storm-25": ("line.posted", 25, 200, 0),
    "storm": ("line.posted", 100, 200, 0),
    "storm-400": ("line.posted", 400, 200, 0),
    "drop": ("line.posted", 100, 200, 2),
}
ARRIVE_S = 10.0
NOTHING_MORE_S = 1.5
HELLO = b'{"kind":"hello","body":{}}'
NATS_HELLO = b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB room 1\r\nPING\r\n'


class Crowd:
    """All in the room of `server`. `room` is the store's bus where the server is ours; the others' events come from one
    of the clients."""

    def __init__(self, server: Server, clients: list[Client], tally: Tally, room: RedisBus | None, kib: float) -> None:
        self.server, self.clients, self.tally, self.room = server, clients, tally, room
        self.kib_a_socket = kib

    @classmethod
    async def come(cls, server: Server, sockets: int, room: RedisBus | None) -> Crowd:
        tally, before_kib = Tally(), server.rss_kib()
        says = HELLO if room is not None else NATS_HELLO if isinstance(server, NatsServer) else b""
        clients = await connect(server, sockets, tally, says)
        return cls(server, clients, tally, room, (server.rss_kib() - before_kib) / sockets)

    async def under(self, load: str, seconds: float, settle_s: float) -> dict[str, Any]:
        """What the load costs in `seconds` that begin when it has gone on for `settle_s`: by then everyone has been
        told who came, and ticks are as long as they get."""
        kind, rate, size, drops = LOADS[load]
        tally = self.tally
        tally.events, started = 0, time.monotonic()
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(self._publish(kind, rate, size, drops, started, settle_s + seconds))
            await asyncio.sleep(settle_s)
            from_events, from_s, from_cpu_s = tally.events, time.monotonic(), self.server.cpu_s()
            tally.waits_ms, tally.drops_ms = [], []
            await asyncio.sleep(seconds)
            events, took_s = tally.events - from_events, time.monotonic() - from_s
            cpu_s = self.server.cpu_s() - from_cpu_s
        published = publishing.result()
        await self._all_arrived(published * len(self.clients))
        p50, p99 = percentiles(tally.drops_ms if drops else tally.waits_ms)
        return {
            "deliveries": events,
            "complete": tally.events >= published * len(self.clients),
            "closed": sum(client.closed for client in self.clients),
            "cpu_s": cpu_s,
            "took_s": took_s,
            "deliveries_s": events / took_s,
            "deliveries_cpu_s": events / cpu_s if cpu_s else 0.0,
            "cpu_us_a_delivery": 1e6 * cpu_s / events if events else 0.0,
            "cpu_us_a_socket_second": 1e6 * cpu_s / (took_s * len(self.clients)),
            "p50_ms": p50,
            "p99_ms": p99,
            "kib_a_socket": self.kib_a_socket,
        }

    def go(self) -> None:
        for client in self.clients:
            client.transport.abort()

    async def _publish(self, kind: str, rate: int, size: int, drops: int, started: float, for_s: float) -> int:
        every = rate // drops if drops else 0
        sent = 0
        for n in range(int(for_s * rate)):
            # In the middle of its time, so that one a second is never cut by the end of a second.
            await asyncio.sleep(max(0.0, started + (n + 0.5) / rate - time.monotonic()))
            await self._send(kind, "t", n, size)
            sent += 1
            if every and n % every == every - 1:
                await self._send("card.dropped", "td", n, size)
                sent += 1
        return sent

    async def _send(self, kind: str, key: str, n: int, size: int) -> None:
        # The clock sits inside the event, so that it is written once for all.
        body = {key: time.monotonic_ns(), "filler": "x" * (size - 80)}
        if self.room is not None:
            await self.room.publish("bench", kind, body)
            return
        envelope = json.dumps({"seq": n, "kind": kind, "body": body}, separators=(",", ":")).encode()
        is_nats = isinstance(self.server, NatsServer)
        self.clients[0].send(b"PUB room %d\r\n%b\r\n" % (len(envelope), envelope) if is_nats else envelope)

    async def _all_arrived(self, expected: int) -> None:
        """What is still on its way. Who lost something, or left it out (above 120 lines a second the room does), is
        given up when nothing has come for a while, and the row says so."""
        deadline, before, since = time.monotonic() + ARRIVE_S, -1, 0.0
        while self.tally.events < expected and time.monotonic() < deadline:
            if self.tally.events != before:
                before, since = self.tally.events, time.monotonic()
            if time.monotonic() - since > NOTHING_MORE_S:
                return
            await asyncio.sleep(0.02)
