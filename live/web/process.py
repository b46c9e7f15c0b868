"""The web process: uvicorn with the room's WebSocket class, and an orderly end.

SIGTERM or Ctrl-C: stop accepting, tell the sockets to reconnect elsewhere, let requests in flight finish, exit 0.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import socket as sockets
import sys
import threading
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.applications import Starlette

from chat.wire import RoomProtocol
from live import logs
from live.settings import Settings
from live.web.app import create_app
from live.web.punctual import PunctualHttp

log = structlog.get_logger()

BACKLOG = 4_096  # connections that wait to be taken: one too many is tried again by its kernel, after 1, 3, 7 s
# When the collector walks: young, middle, all. By Python's own pace (700, 10, 10) all that a growing room has was
# walked over and over, for up to 0.4 s; ours are let go by count, and what is not dies in the middle.
COLLECT = (5_000, 10, 100)
GRACE_S = 20  # for requests in flight: a checkout waits for its provider
FRAME_MAX = 16 * 1024  # bytes a client may send in one WebSocket message


class Server(uvicorn.Server):
    """uvicorn that drains the room first and ends with exit code 0 when it was asked to end."""

    def __init__(self, config: uvicorn.Config, app: Starlette) -> None:
        super().__init__(config)
        self._app = app
        self.crashed = False

    def crash(self) -> None:
        """A task that must run for ever ended: go, and be started again."""
        self.crashed = True
        self.should_exit = True

    async def shutdown(self, sockets: list[sockets.socket] | None = None) -> None:
        # First the listener, or a drained socket comes straight back to us.
        for server in self.servers:
            server.close()
        self._app.state.draining = True
        log.info("web.draining")
        self._app.state.services.audience.close()  # their answers have no end of their own
        with contextlib.suppress(Exception):  # the stores may be gone already; the way out stays open
            await self._app.state.hub.drain()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal once more after a graceful end, so the process would die of SIGTERM: to a
        # supervisor that looks like a crash.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def new_server(settings: Settings, app: Starlette | None = None) -> Server:
    """The server for `settings`, not started. Tests start it on port 0."""
    app = app or create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        backlog=BACKLOG,
        loop="uvloop",
        http=PunctualHttp,
        ws=RoomProtocol,
        ws_max_size=FRAME_MAX,
        ws_per_message_deflate=False,  # costs 2 to 4 times the CPU and 30 KiB a socket; measured, see decision 0003
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=15,
        h11_max_incomplete_event_size=32 * 1024,
    )
    server = Server(config, app)
    app.state.on_crash = server.crash
    return server


def run(settings: Settings) -> None:
    """Serve until told to stop. Exits with 1 when it had to stop by itself."""
    logs.configure(settings)
    log.info("web.starting", url=settings.base_url)
    server = new_server(settings)
    # What was loaded stays for good: the collector need not walk it, which stopped everybody for tens of milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)
    server.run()
    if server.crashed:
        sys.exit(1)
