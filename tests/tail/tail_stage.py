"""A tail inside the test: `tail_app` behind a real uvicorn, one show of made RTP in real time, its entry in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import uvicorn
from made_show import show_of
from redis.asyncio import Redis
from rtp_made import Sent
from starlette.types import Receive, Scope, Send

from live.ids import sign
from live.relay.depacketise import parse
from live.relay.piped import PipedPacket, PipedTrack, StreamInfo
from live.relay.server import _Uvicorn
from live.store import keys
from live.tail.http import tail_app
from live.tail.show import ShowTail

TRACKS = [PipedTrack("video", "H264", 90_000, {}), PipedTrack("audio", "opus", 48_000, {})]


@dataclass
class TailStage:
    """`asked`: how often each address (with its query) was asked for at the tail; `tail`: the show's packaging."""

    show: str
    shows: dict[str, ShowTail] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    address: str = ""

    @property
    def tail(self) -> ShowTail:
        return self.shows[self.show]

    async def feed(self, sent: list[Sent]) -> None:
        """Publishes in real time."""
        began = asyncio.get_running_loop().time()
        for one in sent:
            await asyncio.sleep(began + one.at_s - asyncio.get_running_loop().time())
            self.send(one)

    def send(self, one: Sent) -> None:
        rtp = parse(one.rtp)
        assert rtp is not None
        track = 0 if one.kind == "video" else 1
        now_ms = time.time_ns() // 1_000_000
        self.tail.on_packets([PipedPacket(track, rtp.seq, rtp.timestamp, rtp.marker, False, rtp.payload, now_ms)])


@contextlib.asynccontextmanager
async def tail_stage(redis: Redis, key: str, show: str) -> AsyncIterator[TailStage]:
    """The show is followed from its first second on; nothing is fed yet."""
    stage = TailStage(show)
    tail = stage.shows[show] = ShowTail(show, 5000, window_s=30, want_key=lambda: None)
    tail.on_start(StreamInfo(show, "live", time.time_ns() // 1_000_000 - 1000, TRACKS))
    inner = tail_app(stage.shows, sign(key, "tail", "v1"), "tail_test")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # `since` is web's own, the same for all players of a show.
            query = "&".join(one for one in scope["query_string"].decode().split("&") if not one.startswith("since="))
            stage.asked[scope["path"] + (f"?{query}" if query else "")] += 1
        await inner(scope, receive, send)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        stage.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = _Uvicorn(uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        await redis.set(keys.tail("tail_test"), stage.address)
        await redis.set(keys.tail_of_show(show), "tail_test")
        try:
            yield stage
        finally:
            await tail.close()
            server.should_exit = True
            await serving


@functools.cache
def made(seconds: float) -> list[Sent]:
    return show_of(seconds, gop=30)
