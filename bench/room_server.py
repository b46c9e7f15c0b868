"""One process of the room, with an open door: what `bench/room.py` measures and the fault tests kill.

python bench/room_server.py --redis unix:///tmp/store.sock     prints its port, serves until SIGTERM
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import socket
import time

import msgspec
import uvicorn
import uvloop
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from chat.bus import RedisBus
from chat.hub import Hub, Limits
from chat.moderation.kinds import FoundLine, Mode
from chat.ports import Act, LineRecord, Member, Notice, RoomRecord, SilenceRecord, Taken
from chat.socket import room_endpoint
from chat.wire import RoomProtocol


class OpenDoor:
    """Gate, Scene and Archive of a room that nothing else belongs to. The cookie `who=<person>:<role>` is believed."""

    async def admit(self, ws: WebSocket, room_name: str) -> tuple[str, Member]:
        person, _, role = ws.cookies.get("who", "someone:").partition(":")
        return room_name, Member(person, person, frozenset({role} - {""}), f"dev-{person}", f"ses-{person}")

    async def snapshot(self, room: str, member: Member) -> object:
        return {}

    async def private(self, room: str, members: list[Member]) -> list[list[tuple[str, object]]]:
        return [[] for _ in members]

    async def lines_posted(self, room: str, lines: list[LineRecord]) -> None: ...
    async def lines_removed(self, room: str, lines: list[str], by: str, wall_ms: int) -> None: ...
    async def taken_out(self, room: str, taken: Taken) -> None: ...
    async def pinned(self, room: str, line: str, epoch: str, seq: int, wall_ms: int) -> None: ...
    async def silenced(self, room: str, silence: SilenceRecord) -> None: ...
    async def lifted(self, room: str, person: str, wall_ms: int) -> None: ...
    async def term(self, room: str, term: str, *, blocked: bool, actor: str, wall_ms: int) -> None: ...
    async def named(self, room: str, member: Member, name: str) -> None: ...
    async def act(self, act: Act) -> None: ...
    async def mode(self, room: str, mode: Mode) -> None: ...
    async def notice(self, notice: Notice) -> None: ...

    async def crew(self, room: str) -> list[str]:
        return []

    async def find(self, room: str, *, person: str = "", words: str = "", most: int = 100) -> list[FoundLine]:
        return []

    async def load(self, room: str, now_ms: int) -> RoomRecord:
        return RoomRecord([], {})


async def serve(redis_url: str, port: int, busy_share: float = 0) -> None:
    # As live.store.redis.connect makes it.
    pool = BlockingConnectionPool.from_url(redis_url, max_connections=64, timeout=5, retry=Retry(NoBackoff(), 0))
    redis: Redis = Redis.from_pool(pool)
    door = OpenDoor()

    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    hub = Hub(
        RedisBus(redis, now_ms=now_ms),
        archive=door,
        scene=door,
        now_ms=now_ms,
        limits=Limits(sockets_per_person=10_000, busy_share=busy_share),
    )
    app = Starlette(routes=[WebSocketRoute("/ws/{show}", room_endpoint(hub, door))])
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    config = uvicorn.Config(
        app,
        ws=RoomProtocol,
        ws_per_message_deflate=False,
        ws_max_size=16384,
        ws_ping_interval=None,  # the bench's clients answer no pings, and thousands take minutes to come in
        log_level="error",
        lifespan="off",
    )
    server = uvicorn.Server(config)
    print(msgspec.json.encode({"port": listener.getsockname()[1]}).decode(), flush=True)
    gc.freeze()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(hub.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: group.create_task(hub.drain()))
        await server.serve(sockets=[listener])
        running.cancel()
    await redis.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--busy-share", type=float, default=0, help="of work a second, above which it sheds")
    args = parser.parse_args()
    uvloop.run(serve(args.redis, args.port, args.busy_share))
