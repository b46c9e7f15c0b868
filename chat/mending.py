"""What is put right after something was missed: gaps in the numbers, another epoch, rules that changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from redis.exceptions import RedisError

from chat.bus import RedisBus
from chat.errors import NotAdmitted, StoreDown
from chat.floor import Room
from chat.joining import Joining
from chat.limits import Limits
from chat.outbox import logged
from chat.seat import Seat

log = logging.getLogger("chat.mending")


class Mending:
    """Works off what it is told, again and again until the store plays along. `reread(room)` reads a room's rules and
    switches."""

    def __init__(
        self,
        bus: RedisBus,
        *,
        rooms: dict[str, Room],
        joining: Joining,
        limits: Limits,
        reread: Callable[[Room], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._rooms = rooms
        self._joining = joining
        self._limits = limits
        self._reread = reread
        self._behind: set[str] = set()
        self._stale: set[str] = set()
        self._returning: set[Seat] = set()
        self._under_way: set[str] = set()
        self._wake = asyncio.Event()

    def fall_behind(self, room: Room) -> None:
        """The log has to say what the room missed."""
        room.behind = True
        if room.opened.is_set():
            self._behind.add(room.name)
            self._wake.set()

    def rules_are_stale(self, room: Room) -> None:
        self._stale.add(room.name)
        self._wake.set()

    def come_back(self, seats: Iterable[Seat]) -> None:
        """Their bans are over: each starts afresh, with the talk unless another ban holds."""
        self._returning.update(seats)
        self._wake.set()

    async def run(self) -> None:
        """Each room by itself: on a cluster the node of one may hang, and keeps no other waiting."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for room in self._to_mend():
                    self._under_way.add(room.name)
                    group.create_task(self._mend(room))

    def _to_mend(self) -> list[Room]:
        """Rooms that wait for it and that nobody is at. Those that are gone wait for nothing."""
        for names in (self._stale, self._behind):
            names.intersection_update(self._rooms)
        self._returning = {seat for seat in self._returning if seat.room in self._rooms}
        waiting = self._stale | self._behind | {seat.room for seat in self._returning}
        return [self._rooms[name] for name in waiting - self._under_way]

    async def _mend(self, room: Room) -> None:
        try:
            async with asyncio.timeout(self._limits.mend_s):
                await self._mend_all_of(room)
        except (RedisError, OSError, StoreDown) as error:
            log.debug("not mended yet: %s", error)
            await asyncio.sleep(self._limits.pulse_s)
        finally:
            self._under_way.discard(room.name)
            self._wake.set()  # what came meanwhile, or failed

    async def _mend_all_of(self, room: Room) -> None:
        for seat in [seat for seat in self._returning if seat.room == room.name]:
            self._returning.discard(seat)
            try:
                await self._reset_one(room, seat)
            except BaseException:
                seat.wire.close(1013, "try again later")  # out of time, or going
                raise
        for names, mend in ((self._stale, self._reread_if_open), (self._behind, self._fill)):
            if room.name in names:
                # Off the list first: what changes or arrives meanwhile puts it back.
                names.discard(room.name)
                try:
                    await mend(room)
                except BaseException:
                    names.add(room.name)
                    raise

    async def _reread_if_open(self, room: Room) -> None:
        if room.opened.is_set():
            await self._reread(room)

    async def _fill(self, room: Room) -> None:
        """Bring the room up from the log, or over to the epoch that holds now."""
        room.forget_stash()
        epoch, _ = await self._bus.history.renew(room.name, room.epoch, room.seq)
        missed = await self._bus.history.since_bytes(room.name, room.epoch, room.seq) if epoch == room.epoch else None
        if missed is None:
            await self._reset(room)
            return
        for data in missed:
            room.take(logged(data))
        room.caught_up()

    async def _reset(self, room: Room) -> None:
        """What the sockets know is of another epoch, or too old: each gets a new snapshot."""
        room.flush()
        room.fanout.break_up(room.seq)
        for seat in room.seats:
            seat.hold()
            seat.outbox = None
        room.begin(*await self._bus.history.position(room.name))
        room.tell_all = True
        room.caught_up()
        seats = list(room.seats)
        try:
            # Together: what the store is asked about them is asked about many at once.
            await asyncio.gather(*(self._reset_one(room, seat) for seat in seats))
        except BaseException:
            # Out of time, or going: nobody comes back to whom this had not got to, and she would wait for good.
            for seat in seats:
                if seat.held is not None:
                    seat.wire.close(1013, "try again later")
            raise

    async def _reset_one(self, room: Room, seat: Seat) -> None:
        try:
            if not seat.over:
                await self._joining.bring_up(room, seat, None, "reset", asked_ms=seat.entered_ms)
        except NotAdmitted as refusal:
            seat.wire.close(refusal.close_code, refusal.reason)
        except Exception as error:
            # Also what the app's scene raises: one snapshot that fails must not end the room for all.
            log.warning("no reset for a socket in %s: %r", room.name, error)
            seat.wire.close(1013, "try again later")
