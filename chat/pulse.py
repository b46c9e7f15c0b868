"""What beats by itself: who is in a room over all processes, hearts, readers who lag, rooms that nobody is in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import RedisError

from chat import keys
from chat.bus import RedisBus
from chat.floor import Room
from chat.history import script
from chat.kinds import HeartsCounted
from chat.limits import Limits
from chat.moderation.office import is_crew
from chat.ports import Member

log = logging.getLogger("chat.pulse")

# A count is one write to each who is here: in a hall of 5,000 it is told every two seconds, in one of 500 at once.
COUNTED_A_SECOND = 2_500
HEARTS_GAP_MS = 250  # at most four messages of hearts a second, over all processes


class Pulse:
    """`process` names this process in the store; `empty(room)` lets go of a room that nobody was in for a while."""

    def __init__(
        self,
        bus: RedisBus,
        *,
        process: str,
        rooms: dict[str, Room],
        limits: Limits,
        empty: Callable[[Room], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._process = process
        self._rooms = rooms
        self._limits = limits
        self._empty = empty
        self._presence = script(bus.redis, "presence")
        self._hearts = script(bus.redis, "hearts")

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._limits.pulse_s)
            now = time.monotonic()
            for room in list(self._rooms.values()):
                if not room.opened.is_set():
                    continue
                try:
                    async with asyncio.timeout(self._limits.store_s):
                        await self.beat_of(room, now)
                except (RedisError, OSError) as error:
                    # Fails open: the count stands still until the store is back.
                    log.debug("no pulse for %s: %s", room.name, error)

    def heart(self, room_name: str, member: Member, n: int) -> None:
        """Counted, unless hearts are off: then they are taken and let go. A shadow-banned person's are hers alone."""
        room = self._rooms.get(room_name)
        if room is None or not room.service.hearts:
            return
        if _is_heard(room, member):
            room.hearts += n
        else:
            room.hearts_apart[member.person] = room.hearts_apart.get(member.person, 0) + n

    async def beat(self, room: Room, *, nobody: bool = False) -> None:
        """Tell the store who came and went, or that `nobody` is here any more."""
        came, left = room.attendance.take_changes()
        tell_all, room.tell_all = room.tell_all or nobody, False
        persons = [] if nobody else room.attendance.persons
        names = persons if tell_all else [*came, *left]
        try:
            count, here = await self._presence(
                keys=[keys.here(room.name), keys.here_on(room.name, self._process), keys.head(room.name)],
                args=[
                    self._process,
                    int(1000 * self._limits.beat_life_s),
                    keys.channel(room.name),
                    keys.here_on(room.name, ""),
                    int(tell_all),
                    len(persons) if tell_all else len(came),
                    *names,
                ],
            )
        except BaseException:
            room.attendance.put_back(came, left)
            room.tell_all = True
            raise
        room.viewers = int(count)
        # The store forgot us (it was flushed, or our beat came too late): say everything again.
        if int(here) != len(persons):
            room.tell_all = True

    async def beat_of(self, room: Room, now: float) -> None:
        """One look at a room, at `now` on the monotonic clock."""
        # While presence is off nobody waits for the count: the beat that keeps the process in it is enough.
        here = len(room.attendance)
        since_s = now - room.beat_at
        changed = room.attendance.changed and (room.service.presence or not here)
        is_due = not here or since_s >= max(here, room.viewers) / COUNTED_A_SECOND
        if (changed and is_due) or (here and since_s >= self._limits.beat_s):
            await self.beat(room)
            room.beat_at = now
        waiting = room.hearts or room.hearts_wait or room.hearts_apart
        if waiting and now - room.hearts_at >= self._limits.hearts_every_s:
            n, room.hearts, room.hearts_at = room.hearts, 0, now
            apart, room.hearts_apart = room.hearts_apart, {}
            if n or room.hearts_wait:
                room.hearts_wait = await self._gather(room.name, n) > 0
            for person, hers in apart.items():
                await self._bus.tell(room.name, person, "hearts.counted", HeartsCounted(hers))
        idle_s = now - room.empty_since
        if not room.seats and not room.attendance.changed and idle_s > self._limits.empty_room_s:
            await self._empty(room)

    async def _gather(self, room: str, n: int) -> int:
        """Hearts of this process go with those of the others; answers how many still wait."""
        args: list[Any] = [n, self._bus.now_ms(), HEARTS_GAP_MS, keys.channel(room)]
        return int(await self._hearts(keys=[keys.hearts(room)], args=args))


def _is_heard(room: Room, member: Member) -> bool:
    """As this process has it, which looks twice a second (chat.watch): a heart is too light to ask the store about."""
    marks = {f"p:{member.person}"} | ({f"d:{member.device}"} if member.device else set())
    return is_crew(member) or room.unheard.isdisjoint(marks)
