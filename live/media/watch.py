"""Who notices that a relay died: an idle TCP connection to its control port ends in the same moment.

Each web process holds one to each relay; a relay that pulls from another machine holds one to its origin. Without an
answer to a new connection the relay is dead; its entry is taken away and the rooms of its shows are told
(`Relays.forget`). One that drains has taken its entry away itself. A machine that vanishes without a word is noticed
by TCP's keepalive within about 4 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit

import structlog
from redis.exceptions import RedisError

from live.errors import Error
from live.media.relays import Entry, Relays

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.5  # for relays that are new
CONNECTS_WITHIN_S = 1.0
AGAIN_S = 0.02
_KEEPALIVE = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 4000}


class RelayWatch:
    """Notices the dead, as long as `run` runs."""

    def __init__(self, relays: Relays) -> None:
        self._relays = relays
        self._watched: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled. Fails open: while Redis is down nobody new is watched, and nobody forgotten."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                with contextlib.suppress(RedisError, OSError):
                    found = {entry.id: entry for entry in await self._relays.all()}
                    for relay_id in self._watched.keys() - found.keys():
                        self._watched.pop(relay_id).cancel()  # it drained, or another process was quicker
                    for relay_id in found.keys() - self._watched.keys():
                        self._watched[relay_id] = tasks.create_task(self._watch(found[relay_id]), name=relay_id)
                await asyncio.sleep(LOOK_EVERY_S)

    async def _watch(self, entry: Entry) -> None:
        await until_dead(entry.control)
        try:
            await self._relays.forget(entry.id)
        except (RedisError, OSError, Error) as error:
            # Fails open: the entry ends by itself, or the next order finds it dead.
            log.warning("relay.not_forgotten", relay=entry.id, error=type(error).__name__)


async def until_dead(control: str) -> None:
    """Returns when nobody listens at `control` (http://host:port) any more."""
    while True:
        try:
            async with asyncio.timeout(CONNECTS_WITHIN_S):
                reader, writer = await asyncio.open_connection(*_address(control))
        except OSError:  # refused, or no answer
            return
        try:
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            with contextlib.suppress(OSError):
                await reader.read(1)  # it never says anything; this ends with the connection
        finally:
            writer.close()
        await asyncio.sleep(AGAIN_S)  # it lives, and ended an idle connection: no need to hurry


def _address(control: str) -> tuple[str, int]:
    parts = urlsplit(control)
    return parts.hostname or "127.0.0.1", parts.port or 80
