"""What is put right after something was missed: gaps in the numbers, another epoch, rules that changed, revocations."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from chat.bus import RedisBus
from chat.envelope import decode_envelope
from chat.errors import StoreDown
from chat.floor import Room
from chat.joining import Joining
from chat.limits import Limits
from chat.outbox import Item

log = logging.getLogger("chat.mending")

# A lost connection to the store is noticed within this.
REVOKED_MARGIN_MS = 15_000


class Mending:
    """Works off what it is told, again and again until the store plays along. `reread(room)` reads a room's rules and
    switches; `revoked(mark, at_ms)` closes sockets."""

    def __init__(
        self,
        bus: RedisBus,
        *,
        rooms: dict[str, Room],
        joining: Joining,
        limits: Limits,
        reread: Callable[[Room], Awaitable[None]],
        revoked: Callable[[str, int], None],
    ) -> None:
        self._bus = bus
        self._rooms = rooms
        self._joining = joining
        self._limits = limits
        self._reread = reread
        self._revoked = revoked
        self._behind: set[str] = set()
        self._stale: set[str] = set()
        self._revocations_from_ms: int | None = None
        self._wake = asyncio.Event()

    @property
    def misses_revocations(self) -> bool:
        return self._revocations_from_ms is not None

    def fall_behind(self, room: Room) -> None:
        """The log has to say what the room missed."""
        room.behind = True
        if room.opened.is_set():
            self._behind.add(room.name)
            self._wake.set()

    def rules_are_stale(self, room: Room) -> None:
        self._stale.add(room.name)
        self._wake.set()

    def revocations_missed(self, since_ms: int) -> None:
        self._revocations_from_ms = since_ms - REVOKED_MARGIN_MS
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                async with asyncio.timeout(self._limits.mend_s):
                    await self._mend()
            except (RedisError, OSError, StoreDown) as error:
                log.debug("not mended yet: %s", error)
                await asyncio.sleep(self._limits.pulse_s)
                self._wake.set()

    async def _mend(self) -> None:
        if self._revocations_from_ms is not None:
            marks = await self._bus.revoked_since(self._revocations_from_ms)
            self._revocations_from_ms = None
            for mark, at_ms in marks:
                self._revoked(mark, at_ms)
        for name in list(self._stale):
            room = self._rooms.get(name)
            if room is not None and room.opened.is_set():
                await self._reread(room)
            self._stale.discard(name)
        for name in list(self._behind):
            # Off the list first: what arrives while it is filled may put it back.
            self._behind.discard(name)
            room = self._rooms.get(name)
            if room is not None:
                try:
                    await self._fill(room)
                except BaseException:
                    self._behind.add(name)
                    raise

    async def _fill(self, room: Room) -> None:
        """Bring the room up from the log, or over to the epoch that holds now."""
        epoch, _ = await self._bus.history.renew(room.name, room.epoch, room.seq)
        missed = await self._bus.history.since_bytes(room.name, room.epoch, room.seq) if epoch == room.epoch else None
        if missed is None:
            await self._reset(room)
            return
        for data in missed:
            envelope = decode_envelope(data)
            room.take(Item(envelope.kind, data, envelope.seq))
        room.caught_up()

    async def _reset(self, room: Room) -> None:
        """What the sockets know is of another epoch, or too old: each gets a new snapshot."""
        room.flush()
        room.fanout.break_up(room.seq)
        for seat in room.seats:
            seat.held = []
            seat.outbox = None
        room.begin(*await self._bus.history.position(room.name))
        room.tell_all = True
        room.caught_up()
        left = list(room.seats)
        try:
            while left:
                seat = left[-1]
                if not seat.over:
                    try:
                        await self._joining.bring_up(room, seat, None, None, "reset")
                    except Exception as error:
                        # Also what the app's scene raises: one snapshot that fails must not end the room for all.
                        log.warning("no reset for a socket in %s: %r", room.name, error)
                        seat.wire.close(1013, "try again later")
                left.pop()
        except BaseException:
            # Out of time, or going: nobody comes back to whom this had not got to, and she would wait for good.
            for seat in left:
                seat.wire.close(1013, "try again later")
            raise
