"""The relay process: UDP port, control API, beat in Redis, and an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import structlog
import uvicorn
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, select

from chat.bus import RedisBus
from live.clock import SystemClock
from live.errors import Error, StoreDown
from live.events import Picture, PictureChanged
from live.ids import new_id, sign
from live.media.relays import Relays
from live.relay import kernel
from live.relay.control import control_app
from live.relay.mirror import Mirrors
from live.relay.pipe import folder_of
from live.relay.pipe_server import PipeServer
from live.relay.registry import BEAT_S, Registry
from live.relay.relay import Relay, monotonic_ms
from live.relay.show import RelayedShow
from live.relay.udp import UdpPort, open_sockets
from live.settings import Settings
from live.store.embedded import embedded_store
from live.store.redis import connect
from live.store.sql import Database
from live.store.tables import shows

if TYPE_CHECKING:  # PyAV is only loaded by those who record
    from live.relay.recording_news import RecordingNews

log = structlog.get_logger(__name__)

DRAIN_S = 1.0  # between "no new sessions" and the end of those that are there
SETTLED_WITHIN_S = 5.0  # what the end of the process waits for recordings to be ended
OPENED_WITHIN_S = 0.25  # how often it is asked whether a show that is to be recorded is open by now
_QUEUED_CHANGES = 256


async def run(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT. Raises StoreDown, OSError (the UDP port is taken)."""
    async with embedded_store(settings) as redis_url:
        redis = await connect(settings, url=redis_url)
        db = await Database.open(settings) if settings.record else None
        try:
            await RelayProcess(settings, redis, db).run()
        finally:
            if db is not None:
                await db.close()
            await redis.aclose()


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RelayProcess:
    """The parts of the process, and who runs when."""

    def __init__(self, settings: Settings, redis: Redis, db: Database | None = None) -> None:
        """`db` takes the rows of recordings; without one the files are made all the same."""
        self._settings = settings
        self._db = db
        self._news: RecordingNews | None = None
        self._open: set[str] = set()  # shows to record that are on air; all, without books
        self._clock = SystemClock()
        self._bus = RedisBus(redis, now_ms=self._clock.now_ms)
        in_c = kernel.load(settings.data_dir / ".cache") if settings.relay_kernel else None
        port = UdpPort(
            open_sockets(settings.relay_udp_host, settings.relay_udp_port), settings.relay_announce, monotonic_ms, in_c
        )
        self.relay = Relay(
            port,
            capacity=settings.relay_capacity,
            max_kbps=settings.publish_max_kbps,
            clock=self._clock,
            changed=self._changed,
            taken=self._taken,
            kernel=in_c,
            busy=settings.relay_busy_percent / 100,
        )
        self._control_socket = _listen(settings.relay_control_host, settings.relay_control_port)
        host, number = self._control_socket.getsockname()[:2]
        self.control = f"http://{f'[{host}]' if ':' in host else host}:{number}"
        relay_id = new_id("relay")
        pipe_token = sign(settings.key, "relay-pipe", "v1")
        self.pipe = self._pipe_server(relay_id, pipe_token)
        self._registry = Registry(redis, self.control, str(self.pipe.path) if self.pipe else "", relay_id)
        folder = self.pipe.path.parent if self.pipe else None
        if self.pipe is not None:
            self.relay.pipe_stats = self.pipe.stats
            self.relay.feeds_mirrors = self.pipe.feeds_mirrors
        self._relays = Relays(redis, settings.key)
        self.mirrors = Mirrors(self.relay, self._relays, relay_id, pipe_token, folder, self._changed)
        self._changes: asyncio.Queue[tuple[RelayedShow, Picture | None]] = asyncio.Queue(_QUEUED_CHANGES)
        self._unclaimed: set[str] = set()  # shows whose publisher came here, and Redis doesn't know yet
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until `stop()` or a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        token = sign(self._settings.key, "relay-control", "v1")
        http = _Uvicorn(
            uvicorn.Config(
                control_app(
                    self.relay,
                    token,
                    self._registry.first_frame,
                    self._registry.id,
                    self.mirrors.ready,
                    self.mirrors.stop,
                ),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=1,
            )
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                relaying = tasks.create_task(self.relay.run(), name="relay")
                serving = tasks.create_task(http.serve(sockets=[self._control_socket]), name="control API")
                telling = tasks.create_task(self._tell_for_ever(), name="state changes")
                beating = tasks.create_task(self._beat_for_ever(), name="beat")
                mirroring = tasks.create_task(self.mirrors.run(), name="mirrors")
                opening = tasks.create_task(self._look_for_open_shows(), name="shows that open")
                piping = tasks.create_task(self.pipe.run(), name="pipe") if self.pipe else None
                log.info("relay.ready", control=self.control, udp=self.relay.port.candidates)
                await self._stop.wait()
                await self._drain()
                http.should_exit = True
                await serving
                for task in filter(None, (relaying, telling, beating, mirroring, opening, piping)):
                    task.cancel()
        finally:
            if self._news is not None:
                await self._news.settled(SETTLED_WITHIN_S)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            self._control_socket.close()

    def stop(self) -> None:
        """Drain, then end."""
        self._stop.set()

    async def _drain(self) -> None:
        self.relay.draining = True
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._registry.leave(self.relay)
        if self.relay.sessions:
            await asyncio.sleep(DRAIN_S)

    def _pipe_server(self, relay_id: str, token: str) -> PipeServer | None:
        """The way to other processes of this machine; without one they come over the network."""
        try:
            folder = folder_of(self._settings.data_dir)
            pipe = PipeServer(
                folder,
                f"r{relay_id[-12:]}",
                token,
                show_of=self.relay.shows.get,
                wall_ms=self._clock.now_ms,
                wanted=lambda show: self.mirrors.start(show),  # which comes after the pipe
            )
            pipe.open()
        except OSError as error:
            log.warning("relay.no_pipe", error=str(error))
            return None
        return pipe

    # ---- what others hear ----------------------------------------------------------------------

    def _taken(self, show: RelayedShow) -> None:
        """The show's publisher is here: it is ours from now on."""
        self._unclaimed.add(show.name)
        self.mirrors.stop(show.name)
        if self._settings.record and show.recorder is None:
            self._record(show)
        with contextlib.suppress(asyncio.QueueFull):
            self._changes.put_nowait((show, None))

    def _lost(self, show: RelayedShow) -> None:
        """Another relay has its publisher: ours is the one from before, and viewers watch that one's."""
        log.info("relay.show_moved", show=show.name)
        show.mirrored = True  # first: the end of our publisher is nobody's news
        if show.recorder is not None:
            show.recorder.close()
            show.recorder = None
        self.relay.drop_publisher(show.name)
        self.mirrors.start(show.name)

    def _record(self, show: RelayedShow) -> None:
        from live.relay.recording import ShowRecording
        from live.relay.recording_news import RecordingNews

        if self._news is None:
            self._news = RecordingNews(self._db, self._bus)
            self.relay.figures.add(self._news.figures)
        show.recorder = ShowRecording(
            self._settings.data_dir, self._clock, self._news, lambda: self._db is None or show.name in self._open
        )

    async def _look_for_open_shows(self) -> None:
        """A show that opens is recorded from then on. Fails closed: without books no show can open."""
        while True:
            waiting = [show.name for show in self.relay.shows.values() if show.recorder and show.name not in self._open]
            if waiting and self._db is not None:
                self._open &= self.relay.shows.keys()
                with contextlib.suppress(Error):
                    self._open.update(await self._db.read(partial(_on_air, of=waiting)))
            await asyncio.sleep(OPENED_WITHIN_S)

    def _changed(self, show: RelayedShow) -> None:
        wall_ms = self._clock.now_ms()
        log.info("relay.picture", show=show.name, state=show.state, mirrored=show.mirrored)
        if show.mirrored:
            return  # its origin says so
        # Bound and overflow: beyond 256 untold changes the newest is left out; the beat brings the state anyway.
        with contextlib.suppress(asyncio.QueueFull):
            self._changes.put_nowait((show, Picture(show.state, show.media_ms(wall_ms), wall_ms)))

    async def _tell_for_ever(self) -> None:
        while True:
            show, picture = await self._changes.get()
            try:
                if picture is None:
                    await self._claim(show.name)
                    await self._registry.enter(self.relay, self._clock.now_ms())
                elif await self._registry.may_tell(show.name):
                    await self._registry.state(show, self._clock.now_ms())
                    await self._bus.publish(show.name, "picture.changed", PictureChanged(picture), at=picture.media_ms)
            except (RedisError, OSError, StoreDown) as error:
                # Fails open: pages learn of it with the next snapshot.
                log.warning("relay.untold", show=show.name, error=type(error).__name__)

    async def _claim(self, name: str) -> None:
        show = self.relay.shows.get(name)
        if show is not None and show.publisher is not None:  # else she is gone again, and another's claim may be newer
            await self._registry.claim(name)
        self._unclaimed.discard(name)

    async def _beat(self) -> None:
        for name in list(self._unclaimed):
            await self._claim(name)  # Redis was away when her publisher came
        before = {name: show.publisher for name, show in self.relay.shows.items()}
        for name in await self._registry.beat(self.relay, self._clock.now_ms()):
            show = self.relay.shows.get(name)
            # Whose publisher came meanwhile is ours: that answer is older than she.
            if show is not None and show.publisher is before.get(name):
                self._lost(show)

    async def _beat_for_ever(self) -> None:
        while True:
            try:
                if not self.relay.draining:
                    await self._beat()
            except (RedisError, OSError, StoreDown) as error:
                log.warning("relay.beat_missed", error=type(error).__name__)
            await asyncio.sleep(BEAT_S)


def _on_air(connection: Connection, of: list[str]) -> list[str]:
    return list(connection.scalars(select(shows.c.id).where(shows.c.id.in_(of), shows.c.status == "live")))


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
