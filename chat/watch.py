"""What holds whatever the bus lost: who was signed out or banned is cut within a second, and what was decided is done.

The bus tells at once, but a connection may be dead for seconds before anyone knows. So the store is asked again and
again, in one round for all rooms: for the newest revocations, and whether anybody's silence changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError

from chat import keys
from chat.bus import RedisBus
from chat.errors import StoreDown
from chat.floor import Room
from chat.limits import Limits
from chat.moderation.store import TURN

log = logging.getLogger("chat.watch")

# Clocks of two machines may differ by so much.
MARGIN_MS = 15_000


class Watch:
    """`revoked(marks)`, each with its ms, closes sockets; `bans_changed(room)` looks at a room's bans; `finish(room)`
    carries out what was decided in it and left."""

    def __init__(
        self,
        bus: RedisBus,
        *,
        rooms: dict[str, Room],
        limits: Limits,
        revoked: Callable[[Mapping[str, float]], None],
        bans_changed: Callable[[Room], Awaitable[None]],
        finish: Callable[[str], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._rooms = rooms
        self._limits = limits
        self._revoked = revoked
        self._bans_changed = bans_changed
        self._finish = finish
        self._since_ms = bus.now_ms()
        self._marks: dict[str, float] = {}  # those of the last round: every socket that they mean was there
        self._turns: dict[Room, Any] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(self._limits.watch_s, self._look))
            group.create_task(self._forever(self._limits.finish_s, self._finish_each))

    async def _forever(self, every_s: float, once: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(every_s)
            with _until_the_next_round():
                async with asyncio.timeout(self._limits.store_s):
                    await once()

    async def _look(self) -> None:
        rooms, now = [room for room in self._rooms.values() if room.opened.is_set()], self._bus.now_ms()
        async with self._bus.redis.pipeline(transaction=False) as pipe:
            pipe.zrangebyscore(keys.REVOKED, self._since_ms - MARGIN_MS, "+inf", withscores=True)
            for room in rooms:
                pipe.hget(keys.silences(room.name), TURN)
            # On a cluster one node may be away: what the others say holds all the same.
            found, *turns = await pipe.execute(raise_on_error=False)
        if not isinstance(found, Exception):
            marks = {mark.decode(): at_ms for mark, at_ms in found}
            fresh = {mark: at_ms for mark, at_ms in marks.items() if self._marks.get(mark) != at_ms}
            if fresh:
                self._revoked(fresh)
            self._since_ms, self._marks = now, marks
        known, self._turns = self._turns, {room: self._turns.get(room, b"") for room in rooms}
        for room, turn in zip(rooms, turns, strict=True):
            if not isinstance(turn, Exception) and known.get(room, b"") != turn:
                with _until_the_next_round():
                    await self._bans_changed(room)
                    self._turns[room] = turn

    async def _finish_each(self) -> None:
        for room in [room.name for room in self._rooms.values() if room.opened.is_set()]:
            with _until_the_next_round():
                await self._finish(room)


@contextmanager
def _until_the_next_round() -> Iterator[None]:
    """What fails is asked again with the next round, and keeps nothing else from being asked in this one."""
    try:
        yield
    except (RedisError, OSError, StoreDown) as error:
        log.debug("not looked: %s", error)
