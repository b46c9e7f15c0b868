"""A real web process of the room, inside the test's loop: uvicorn, real sockets, a real store."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import uvicorn
from contract.chat.archive_contract import MemoryArchive
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from chat.bus import RedisBus
from chat.client import RoomClient
from chat.errors import NotAdmitted
from chat.hub import Hub, Limits
from chat.ports import Member
from chat.socket import room_endpoint
from chat.wire import RoomProtocol
from live.settings import Settings
from live.store.redis import connect

QUICK = Limits(
    pulse_s=0.05,
    beat_s=0.2,
    beat_life_s=6.0,  # as it is: a process that stands still for a second is no dead one
    finish_s=0.1,
    hearts_every_s=0.05,
    drain_s=0.1,
    reconnect_within_s=0.1,
    busy_share=0,
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class House:
    """The gate and the scene of the tests. The cookie names a person; who she is, is written here and only here."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.state: dict[str, Any] = {"card": None}
        self.before_snapshot: Callable[[], Awaitable[None]] | None = None

    def person(
        self, name: str, *roles: str, device: str = "", network: str = "", badge: str = "", since_ms: int = 0
    ) -> str:
        """A cookie for `name`."""
        person, device = f"per_{name}".replace(" ", "_"), device or f"dev_{name}"
        member = Member(person, name, frozenset(roles), device, f"ses_{name}", badge, network, since_ms)
        self.members[name] = member
        return f"frontrow={name}"

    async def admit(self, ws: WebSocket, room_name: str) -> tuple[str, Member]:
        if ws.headers.get("origin") != "http://frontrow.test":
            raise NotAdmitted(4403, "origin")
        if room_name == "nowhere":
            raise NotAdmitted(4404, "no such show")
        member = self.members.get(ws.cookies.get("frontrow", ""))
        if member is None:
            raise NotAdmitted(4401, "sign in")
        return f"shw_{room_name}", member

    async def snapshot(self, room: str, member: Member) -> object:
        if self.before_snapshot is not None:
            await self.before_snapshot()
        return dict(self.state)

    async def private(self, room: str, members: list[Member]) -> list[list[tuple[str, object]]]:
        return [[("cart.changed", {"cart": {"of": member.person}})] for member in members]


class Web:
    """One web process."""

    def __init__(self, hub: Hub, bus: RedisBus, url: str, clients: AsyncExitStack) -> None:
        self.hub = hub
        self.bus = bus
        self.url = url
        self._clients = clients

    async def join(self, cookie: str, room: str = "spring", **more: Any) -> RoomClient:
        more.setdefault("origin", "http://frontrow.test")
        client = await RoomClient.connect(f"{self.url}/ws/{room}", cookie, **more)
        self._clients.push_async_callback(client.aclose)
        return client


@asynccontextmanager
async def web_process(
    redis_url: str, house: House, archive: MemoryArchive, *, limits: Limits = QUICK, ws: Any = RoomProtocol, **more: Any
) -> AsyncIterator[Web]:
    redis = await connect(Settings(_env_file=None), url=redis_url)
    bus = RedisBus(redis, now_ms=now_ms)
    hub = Hub(bus, archive=archive, scene=house, now_ms=more.pop("now_ms", now_ms), limits=limits, **more)
    app = Starlette(routes=[WebSocketRoute("/ws/{show}", room_endpoint(hub, house))])
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        ws=ws,
        ws_per_message_deflate=False,
        ws_max_size=16384,
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # the tests' own signals stay theirs
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(hub.run())
            serving = group.create_task(server.serve(sockets=[listener]))
            async with AsyncExitStack() as clients:
                yield Web(hub, bus, f"ws://127.0.0.1:{listener.getsockname()[1]}", clients)
            server.should_exit = True
            await serving
            running.cancel()
    finally:
        listener.close()
        await redis.aclose()


async def until(ready: Callable[[], Any], within_s: float = 60) -> None:
    """Wait for what has no event of its own, with a deadline."""
    async with asyncio.timeout(within_s):
        while not ready():  # noqa: ASYNC110 - nothing to subscribe to
            await asyncio.sleep(0.01)
