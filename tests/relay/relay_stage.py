"""A relay process with a small web front, as the tests of this folder need it: real sockets, a real store, and the
real WHIP/WHEP endpoints over a book of shows that is a dictionary."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import imageio_ffmpeg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount, Route, Router

from live.accounts.sessions import NOBODY
from live.clock import SystemClock
from live.errors import NotFound
from live.media.embedded import EmbeddedEngine
from live.media.relays import Relays
from live.relay.server import RelayProcess, _Uvicorn
from live.settings import Settings
from live.store.embedded import embedded_store
from live.store.redis import connect
from live.web import whip

STATIC = Path(__file__).parents[2] / "static"
KEY = "key-of-show-one"


async def until(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    """Wait for a condition, looking 100 times a second. Fails by TimeoutError."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        await asyncio.sleep(0.01)


@dataclass
class StubShows:
    """The parts of `live.stage.shows.Shows` that WHIP asks."""

    known: dict[str, SimpleNamespace] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    async def by_slug(self, slug: str) -> Any:
        if slug not in self.known:
            raise NotFound("show", slug)
        return self.known[slug]

    async def check_publish_key(self, key: str) -> str | None:
        return self.keys.get(key)


class Stage:
    """A running relay and its front."""

    def __init__(self, settings: Settings, redis: Any, *, relays: bool = True) -> None:
        self.settings = settings
        self.redis = redis
        if relays:
            self.process = RelayProcess(settings, redis)
        self.shows = StubShows(
            {
                "one": SimpleNamespace(
                    id="shw_one", slug="one", brand_id="b", status="live", second_publisher="takes_over"
                ),
                "two": SimpleNamespace(
                    id="shw_two", slug="two", brand_id="b", status="scheduled", second_publisher="takes_over"
                ),
            },
            {KEY: "shw_one", "key-of-show-two": "shw_two"},
        )
        self.url = ""
        self.http = httpx.AsyncClient(trust_env=False, timeout=60)

    @property
    def relay(self) -> Any:
        return self.process.relay

    @property
    def show(self) -> Any:
        return self.relay.shows["shw_one"]

    def app(self) -> Starlette:
        async def page(request: Request) -> Response:
            return HTMLResponse("<!doctype html><video muted playsinline></video>")

        async def script(request: Request) -> Response:
            return FileResponse(STATIC / "js" / request.path_params["name"])

        both = ["GET", "HEAD", "POST", "OPTIONS"]
        session = ["PATCH", "DELETE", "OPTIONS"]

        async def nobody(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("state", {})["session"] = NOBODY
            await routes(scope, receive, send)

        app = Starlette(routes=[Mount("/", app=nobody)])
        routes = Router(
            [
                Route("/whip/{slug}", whip.publish, methods=both),
                Route("/whip/{slug}/{session}", whip.publish_session, methods=session),
                Route("/whep/{slug}", whip.play, methods=both),
                Route("/whep/{slug}/{session}", whip.play_session, methods=session),
                Route("/page", page),
                Route("/js/{name}", script),
            ]
        )
        relays, clock = Relays(self.redis, self.settings.key), SystemClock()
        app.state.services = SimpleNamespace(
            shows=self.shows,
            redis=self.redis,
            settings=self.settings,
            clock=clock,
            relays=relays,
            engine=EmbeddedEngine(self.settings, relays, clock),
        )
        return app

    async def publish(self, offer: str, key: str = KEY, slug: str = "one") -> httpx.Response:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {key}"}
        return await self.http.post(f"{self.url}/whip/{slug}", content=offer, headers=headers)

    async def play(self, offer: str, slug: str = "one") -> httpx.Response:
        headers = {"Content-Type": "application/sdp"}
        return await self.http.post(f"{self.url}/whep/{slug}", content=offer, headers=headers)


@contextlib.asynccontextmanager
async def front(tmp_path: Path, redis_url: str) -> AsyncIterator[Stage]:
    """The web's part alone; relays are processes of their own (`relay_child`)."""
    settings = Settings(_env_file=None, data_dir=tmp_path)
    redis = await connect(settings, url=redis_url)
    running = Stage(settings, redis, relays=False)
    sock = socket.create_server(("127.0.0.1", 0))
    running.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    server = _Uvicorn(uvicorn.Config(running.app(), log_config=None, lifespan="off", ws="none"))
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[sock]))
            await until(lambda: server.started)
            try:
                yield running
            finally:
                server.should_exit = True
    finally:
        await running.http.aclose()
        await redis.aclose()
        sock.close()


@contextlib.asynccontextmanager
async def relay_child(running: Stage, redis_url: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A relay in a process of its own, ready; killed at the end if it still runs."""
    code = "import asyncio; from live.settings import Settings; from live.relay.server import run; "
    code += "asyncio.run(run(Settings()))"
    environment = os.environ | {
        "REDIS_URL": redis_url, "FRONTROW_DATA_DIR": str(running.settings.data_dir), "FRONTROW_RELAY_UDP_PORT": "0",
        "FRONTROW_RELAY_UDP_HOST": "127.0.0.1", "FRONTROW_RECORD": "0", "FRONTROW_RELAY_BUSY_PERCENT": "0", **settings,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    told: list[bytes] = []
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_read(process.stdout, told))
        try:
            await until(lambda: any(b"relay.ready" in line for line in told) or process.returncode is not None, 120)
            assert process.returncode is None, b"".join(told)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading


async def _read(stream: asyncio.StreamReader, told: list[bytes]) -> None:
    async for line in stream:  # a pipe that nobody reads would stop the relay
        told.append(line)


@contextlib.asynccontextmanager
async def stage(tmp_path: Path, *, udp_host: str = "127.0.0.1", **more: Any) -> AsyncIterator[Stage]:
    """Everything up; everything down again."""
    # Its clients run in the same process, so what it measures of itself would be theirs.
    more = {"relay_busy_percent": 0, **more}
    settings = Settings(
        _env_file=None, data_dir=tmp_path, relay_udp_port=0, relay_control_port=0, relay_udp_host=udp_host, **more
    )
    async with embedded_store(settings) as url:
        redis = await connect(settings, url=url)
        running = Stage(settings, redis)
        sock = socket.create_server(("127.0.0.1", 0))
        running.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        server = _Uvicorn(uvicorn.Config(running.app(), log_config=None, lifespan="off", ws="none"))
        try:
            async with asyncio.TaskGroup() as tasks:
                relaying = tasks.create_task(running.process.run())
                fronting = tasks.create_task(server.serve(sockets=[sock]))
                await until(lambda: server.started or relaying.done())
                await _registered(running)
                try:
                    yield running
                finally:
                    server.should_exit = True
                    running.process.stop()
                await fronting
                await relaying
        finally:
            await running.http.aclose()
            await redis.aclose()
            sock.close()


async def _registered(running: Stage) -> None:
    while not await running.redis.exists(f"relay:{running.process._registry.id}"):  # noqa: ASYNC110 - Redis tells nobody
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def ffmpeg(
    url: str,
    *arguments: str,
    key: str = KEY,
    active: bool = True,
    picture: str = "testsrc2=size=320x240:rate=30",
    sound: str = "sine=frequency=440",
) -> AsyncIterator[None]:
    """FFmpeg 9 publishing a test picture by WHIP until the block is left."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "warning"]
    command += ["-re", "-f", "lavfi", "-i", picture, "-re", "-f", "lavfi", "-i", sound]
    command += arguments or (
        "-c:v", "libx264", "-profile:v", "baseline", "-tune", "zerolatency", "-preset", "ultrafast", "-g", "30",
        "-b:v", "600k", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    command += ["-c:a", "libopus", "-ac", "2", "-ar", "48000", "-authorization", key]
    command += ["-whip_flags", "dtls_active"] if active else []
    process = await asyncio.to_thread(_start, [*command, "-f", "whip", url])
    try:
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(_reap, process)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=3)
    except subprocess.TimeoutExpired:
        process.kill()  # FFmpeg may wait for a peer that is gone
        process.wait()
