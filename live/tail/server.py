"""The tail process: finds the shows that relays of this host carry, packages each, and answers web.

Each show is packaged by one tail. A tail that was killed leaves its entry for some seconds: whoever finds its address
refused takes the show over at once. Numbers of segments follow the clock, so they never go back, whoever packages.
Fails open: without Redis the shows that are packaged go on, and no new one is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from redis.asyncio import Redis
from redis.exceptions import RedisError

from live.errors import StoreDown
from live.ids import new_id, sign
from live.media.relays import Relays
from live.relay.pipe import PipeClient, folder_of
from live.settings import Settings
from live.store import keys
from live.store.embedded import embedded_store
from live.store.redis import connect, load_script
from live.tail.http import tail_app
from live.tail.show import ShowTail

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.5
BEAT_EVERY_S = 2.0
ENTRY_TTL_S = 8
# A show whose relay is gone for so long is over for us; until then its publisher may come back.
KEPT_S = 90.0
ENDED_KEPT_S = 5.0
# Segments are longer than a second, so that numbers by the second stay ahead of all that were given out before.
MSN_ZERO_S = 1_767_225_600  # 2026-01-01


async def run(settings: Settings) -> None:
    """Package until SIGTERM or SIGINT. Raises StoreDown, OSError (the address is taken)."""
    if not settings.hls:
        log.info("tail.off")  # it stays, with nothing to do: a process that ends would be started again
        await _told_to_stop()
        return
    async with embedded_store(settings) as redis_url:
        redis = await connect(settings, url=redis_url)
        try:
            await TailProcess(settings, redis).run()
        finally:
            await redis.aclose()


async def _told_to_stop() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Followed:
    """A show of ours: its packaging and its pipe."""

    def __init__(self, tail: ShowTail, pipe: PipeClient, task: asyncio.Task[None], now: float) -> None:
        self.tail, self.pipe, self.task = tail, pipe, task
        self.seen = now


class TailProcess:
    """The parts of the process, and who runs when."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self.id = new_id("tail")
        self.shows: dict[str, ShowTail] = {}
        self._settings = settings
        self._redis = redis
        self._relays = Relays(redis, settings.key)
        self._give_up = load_script(redis, "give_up")
        self._followed: dict[str, _Followed] = {}
        self._stop = asyncio.Event()
        self._socket = socket.socket()
        self._socket.bind((settings.tail_host, settings.tail_port))
        host, port = self._socket.getsockname()[:2]
        self.address = f"http://{host}:{port}"

    async def run(self) -> None:
        """Until `stop()` or a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        http = _Uvicorn(
            uvicorn.Config(
                tail_app(self.shows, sign(self._settings.key, "tail", "v1"), self.id),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=1,
                timeout_keep_alive=60,
            )
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(http.serve(sockets=[self._socket]), name="HTTP")
                looking = tasks.create_task(self._look_for_ever(tasks), name="shows")
                log.info("tail.ready", address=self.address)
                await self._stop.wait()
                looking.cancel()
                for show in list(self._followed):
                    await self._leave(show, over=False)
                http.should_exit = True
                await serving
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            self._socket.close()
            await self._relays.close()

    def stop(self) -> None:
        self._stop.set()

    # ---- which shows ---------------------------------------------------------------------------

    async def _look_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        beaten = float("-inf")
        while True:
            now = asyncio.get_running_loop().time()
            try:
                if now - beaten >= BEAT_EVERY_S:
                    await self._beat()
                    beaten = now
                await self._look(tasks, now)
            except (RedisError, OSError, StoreDown) as error:
                log.warning("tail.blind", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _beat(self) -> None:
        await self._redis.set(keys.tail(self.id), self.address, ex=ENTRY_TTL_S)
        for show in list(self._followed):
            owner: Any = await self._redis.get(keys.tail_of_show(show))
            if owner is not None and owner.decode() != self.id:
                # We were held up for so long that another took it: two playlists under one address are worse than one.
                log.warning("tail.lost", show=show, to=owner.decode())
                await self._leave(show, over=False)
            else:
                await self._redis.set(keys.tail_of_show(show), self.id, ex=ENTRY_TTL_S)

    async def _look(self, tasks: asyncio.TaskGroup, now: float) -> None:
        for show in await self._on_air():
            if show in self._followed:
                self._followed[show].seen = now
            elif await self._claim(show):
                self._follow(tasks, show, now)
        for show, followed in list(self._followed.items()):
            followed.tail.watched(now)
            if now - followed.seen > KEPT_S:
                await self._leave(show, over=True)

    async def _on_air(self) -> list[str]:
        """Shows whose publisher is on a relay of this machine: whose pipe is in our file system."""
        relays = [relay for relay in await self._relays.all() if relay.pipe and await _is_there(relay.pipe)]
        return [show for relay in relays for show in sorted(relay.shows)]

    async def _claim(self, show: str) -> bool:
        """Ours, unless another tail that lives has it."""
        if await self._redis.set(keys.tail_of_show(show), self.id, nx=True, ex=ENTRY_TTL_S):
            return True
        other: Any = await self._redis.get(keys.tail_of_show(show))
        if other is None:
            return False  # gone just now: at the next look
        other_id = other.decode()
        address: Any = await self._redis.get(keys.tail(other_id))
        if address is not None and address.decode() != self.address and await _answers(address.decode()):
            return False
        log.info("tail.took_over", show=show, of=other_id)
        await self._give_up([keys.tail_of_show(show)], [other_id])
        return bool(await self._redis.set(keys.tail_of_show(show), self.id, nx=True, ex=ENTRY_TTL_S))

    def _follow(self, tasks: asyncio.TaskGroup, show: str, now: float) -> None:
        tail = ShowTail(
            show,
            int(time.time()) - MSN_ZERO_S,
            window_s=self._settings.hls_window_s,
            want_key=lambda: self._want_key(show),
        )
        pipe = PipeClient(
            self._relays.pipe_of,
            show,
            sign(self._settings.key, "relay-pipe", "v1"),
            folder_of(self._settings.data_dir),
            on_start=tail.on_start,
            on_packets=tail.on_packets,
            on_clock=tail.on_clock,
            on_state=tail.on_state,
            on_gone=lambda why: self._gone(show, why),
        )
        self.shows[show] = tail
        task = tasks.create_task(self._run_pipe(show, pipe), name=f"pipe of {show}")
        self._followed[show] = _Followed(tail, pipe, task, now)
        log.info("tail.follows", show=show)

    async def _run_pipe(self, show: str, pipe: PipeClient) -> None:
        while True:
            try:
                await pipe.run()
            except (RedisError, OSError, StoreDown) as error:
                log.warning("tail.pipe_broke", show=show, error=type(error).__name__)
                await asyncio.sleep(LOOK_EVERY_S)

    def _gone(self, show: str, why: str) -> None:
        followed = self._followed.get(show)
        if followed is not None:
            followed.tail.on_gone(why)
            if why == "ended":  # over, unless it is soon on air again
                followed.seen = min(followed.seen, asyncio.get_running_loop().time() - KEPT_S + ENDED_KEPT_S)

    def _want_key(self, show: str) -> None:
        followed = self._followed.get(show)
        if followed is not None:
            followed.pipe.want_key()

    async def _leave(self, show: str, *, over: bool) -> None:
        followed = self._followed.pop(show)
        followed.task.cancel()
        await followed.tail.close(over=over)
        del self.shows[show]
        with contextlib.suppress(RedisError, OSError):
            await self._give_up([keys.tail_of_show(show)], [self.id])


async def _is_there(path: str) -> bool:
    return await asyncio.to_thread(Path(path).exists)


async def _answers(address: str) -> bool:
    """Whether somebody listens at `http://host:port`."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    try:
        async with asyncio.timeout(0.5):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
