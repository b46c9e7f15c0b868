"""Bringing a socket up to date: by what it missed, or by the whole state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chat import keys
from chat.arrivals import Arrivals, Missed, Newcomer, Snapshot
from chat.bus import RedisBus
from chat.envelope import encode
from chat.errors import StoreDown
from chat.floor import Room
from chat.kinds import Resumed, ServiceChanged, Welcome, You
from chat.moderation.store import public
from chat.outbox import Item
from chat.ports import Scene
from chat.seat import Seat
from chat.subscription import Subscription
from chat.switchboard import Switchboard
from chat.talk import Talk

# Half of the store's connections: when thousands come back at once, they wait in line here for what the app's scene
# asks of the store, instead of failing there.
SCENES_AT_ONCE = 32


class Joining:
    """Opens rooms on this process and seats people in them. `new_room(name)` makes one, not opened."""

    def __init__(
        self,
        bus: RedisBus,
        *,
        rooms: dict[str, Room],
        new_room: Callable[[str], Room],
        subscription: Subscription,
        arrivals: Arrivals,
        talk: Talk,
        scene: Scene,
        switchboard: Switchboard,
        now_ms: Callable[[], int],
        store_s: float,
    ) -> None:
        self._bus = bus
        self._rooms = rooms
        self._new_room = new_room
        self._subscription = subscription
        self._arrivals = arrivals
        self._talk = talk
        self._scene = scene
        self._switchboard = switchboard
        self._now_ms = now_ms
        self._store_s = store_s
        self._entering = asyncio.Semaphore(SCENES_AT_ONCE)

    async def open(self, name: str) -> Room:
        """The room, subscribed to and standing where the log stands.

        Raises: StoreDown, RedisError, OSError."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = self._new_room(name)
            try:
                # Subscribe before reading the position: an event between the two is stashed, not lost.
                await self._subscription.want(keys.channel(name))
                room.begin(*await self._bus.history.position(name))
                await self._talk.refresh(name)
                await self._switchboard.read(room)
            except BaseException:
                del self._rooms[name]
                room.opened.set()
                raise
            room.opened.set()
            room.caught_up()
        elif not room.opened.is_set():
            await room.opened.wait()
            if self._rooms.get(name) is not room:
                raise StoreDown()
        return room

    async def bring_up(
        self, room: Room, seat: Seat, had: tuple[str, int] | None, otherwise: str, *, asked_ms: int
    ) -> None:
        """Everything up to some number, then what was held meanwhile, then the private state. `had`: from that epoch
        and number on, if the log reaches back, else by a snapshot, which is called `otherwise`. Who is banned starts
        afresh, without the talk: what she had of it must leave her page.

        Raises: NotAdmitted 4401 (signed out since `asked_ms`), RedisError, OSError, and what the app's scene raises."""
        room.fanout.step_out(seat)
        seat.turn += 1
        turn = seat.turn
        seat.hold()
        member = seat.member
        found = await self._arrivals.of(room.name, Newcomer(member, asked_ms, had, room.service.history))
        seat.kept_out = found.kept_out
        silenced = None if found.silence is None else public(found.silence)
        you = You(member.person, member.name, sorted({"viewer", *member.roles}), silenced)
        private = found.private
        if member.may("moderator"):
            async with asyncio.timeout(self._store_s):
                private = [*await self._talk.private(room.name, member), *private]
        match found.brings:
            case Missed(epoch=epoch, seq=seq, frames=frames):
                body: Resumed | Welcome = Resumed(epoch, seq, self._now_ms(), you)
                kind = "resumed"
            case Snapshot(epoch=epoch, seq=seq, facts=facts):
                # The line doesn't count; a store that hangs is a store that is down (a TimeoutError is an OSError).
                async with self._entering, asyncio.timeout(self._store_s):
                    # Read after the position: it may be newer, and events say what is, not what changed.
                    live = await self._scene.snapshot(room.name, member)
                body = Welcome(epoch, seq, self._now_ms(), you, facts, live)  # type: ignore[arg-type]  # encoded
                frames, kind = [], otherwise
        if self._switchboard.is_unusual(room):
            private = [("service.changed", ServiceChanged(room.service)), *private]
        if seat.turn != turn:
            return  # the epoch changed meanwhile, and the reset brings her up
        held, seat.held = seat.held or [], None
        seat.write_frames(frames)
        seat.write([Item(kind, encode(kind, body)), *(Item(what, encode(what, state)) for what, state in private)])
        seat.seq = seq
        seat.write(held)
