"""Bringing a socket up to date: by what it missed, or by the whole state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from chat import keys
from chat.bus import RedisBus
from chat.envelope import decode_envelope, encode
from chat.errors import NotAdmitted, StoreDown
from chat.floor import Room
from chat.history import LINES_REPLAYED, RESUMED_MOST
from chat.kinds import Resumed, RoomFacts, ServiceChanged, Welcome, You
from chat.message import Line
from chat.outbox import Item
from chat.ports import Member, Scene
from chat.seat import Seat
from chat.subscription import Subscription
from chat.switchboard import Switchboard
from chat.talk import Talk, Who, is_crew

WHO_LIFE_S = 24 * 3600


class Joining:
    """Opens rooms on this process and seats people in them. `new_room(name)` makes one, not opened."""

    def __init__(
        self,
        bus: RedisBus,
        *,
        rooms: dict[str, Room],
        new_room: Callable[[str], Room],
        subscription: Subscription,
        talk: Talk,
        scene: Scene,
        switchboard: Switchboard,
        now_ms: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._rooms = rooms
        self._new_room = new_room
        self._subscription = subscription
        self._talk = talk
        self._scene = scene
        self._switchboard = switchboard
        self._now_ms = now_ms

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

    async def bring_up(self, room: Room, seat: Seat, epoch: str | None, seq: int | None, otherwise: str) -> None:
        """Everything up to some number, then what was held meanwhile, then the private state."""
        room.fanout.step_out(seat)
        seat.turn += 1
        turn, seat.held = seat.turn, []
        private = await self._talk.private(room.name, seat.member)
        you = await self._you(room, seat)
        missed = None
        if epoch is not None and seq is not None:
            missed = await self._bus.history.since_bytes(room.name, epoch, seq, most=RESUMED_MOST)
        if missed is not None and epoch is not None and seq is not None:
            resumed = Resumed(epoch, seq + len(missed), self._now_ms(), you)
            private = [*private, *await self._scene.private(room.name, seat.member)]
            items = [Item("missed", data) for data in missed]
            items.append(Item("resumed", encode("resumed", resumed)))
            up_to = resumed.seq
        else:
            # The position first, then the state: the state may be newer, and events say what is, not what changed.
            wanted = LINES_REPLAYED if room.service.history else 0
            moment = await self._bus.history.moment(room.name, lines=wanted)
            live = await self._scene.snapshot(room.name, seat.member)
            # Without history nobody gets lines: whom only she hears would know by hers.
            lines = await self._lines_for(room.name, seat.member, moment.lines) if wanted else []
            facts = RoomFacts(max(moment.viewers, 1), lines, moment.mode, moment.pinned, moment.questions)
            welcome = Welcome(moment.epoch, moment.seq, self._now_ms(), you, facts, live)
            items = [Item(otherwise, encode(otherwise, welcome))]
            up_to = moment.seq
        if self._switchboard.is_unusual(room):
            private = [("service.changed", ServiceChanged(room.service)), *private]
        items += [Item(kind, encode(kind, body)) for kind, body in private]
        if seat.turn != turn:
            return  # the epoch changed meanwhile, and the reset brings her up
        held, seat.held = seat.held or [], None
        seat.write(items)
        seat.seq = up_to
        seat.write(held)

    async def check_in(self, room_name: str, member: Member, asked_ms: int) -> None:
        """Note what a moderator's act will need to know of her, and see that nobody signed her out since `asked_ms`:
        in one round, for when a process died thousands come at once.

        Raises: NotAdmitted 4401."""
        async with self._bus.redis.pipeline(transaction=False) as pipe:
            pipe.zrangebyscore(keys.REVOKED, asked_ms, "+inf")
            pipe.hset(keys.who(room_name), member.person, msgspec.json.encode(Who.of(member)))
            pipe.expire(keys.who(room_name), WHO_LIFE_S)
            if is_crew(member):
                pipe.hset(keys.crew(room_name), member.person, member.name)
                pipe.expire(keys.crew(room_name), WHO_LIFE_S)
            done = await pipe.execute()
        if {b"s " + member.session.encode(), b"p " + member.person.encode()} & set(done[0]):
            raise NotAdmitted(4401, "signed out")
        if is_crew(member) and done[3]:
            await self._bus.terms_changed(room_name)  # nobody may be called what she is

    async def _you(self, room: Room, seat: Seat) -> You:
        member = seat.member
        silenced = await self._talk.silence_of(room.name, member)
        return You(member.person, member.name, sorted({"viewer", *member.roles}), silenced)

    async def _lines_for(self, room: str, member: Member, envelopes: list[bytes]) -> list[Any]:
        """The newest lines; for one whom nobody else hears, with hers among them."""
        lines = [_line_of(data) for data in envelopes]
        own = await self._talk.own_lines(room, member.person)
        if not own:
            return lines
        both = [*(msgspec.json.decode(line, type=Line) for line in lines), *own]
        return sorted(both, key=lambda line: line.wall_ms)[-LINES_REPLAYED:]


def _line_of(envelope: bytes) -> Any:
    """The bytes of the line in a line.posted envelope, without decoding the text again."""
    body: dict[str, msgspec.Raw] = msgspec.json.decode(decode_envelope(envelope).body, type=dict[str, msgspec.Raw])
    return body["line"]
