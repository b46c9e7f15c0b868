"""The room on one process: sockets come in, what comes over the bus goes out to them, intents are answered.

The parts: `floor` (a room, its numbers and ticks), `joining` (bringing a socket up to date), `arrivals` (what the
store says to many who come), `mending` (what was missed), `expulsion` (who is banned), `pulse` (presence, hearts),
`switchboard` (what is given up under load), `keeper` (lines for the archive), `watch` (what holds whatever the bus
lost). This file wires them and is what the app and the socket's endpoint talk to.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import msgspec
from redis.exceptions import RedisError

from chat import keys
from chat.arrivals import Arrivals
from chat.bus import RedisBus
from chat.envelope import Frame, answer, encode
from chat.errors import Forbidden, Invalid, NotAdmitted, Refused, StoreDown, Throttled, UnknownKind
from chat.expulsion import Expulsion
from chat.floor import Room
from chat.intent import Intent
from chat.joining import Joining
from chat.keeper import Keeper
from chat.kinds import INTENTS, Going, Refusal
from chat.limits import Limits
from chat.mending import Mending
from chat.moderation.kinds import Silence
from chat.moderation.store import Decisions
from chat.outbox import Item, State, StateOf, volatile
from chat.ports import Archive, Member, Scene
from chat.pulse import Pulse
from chat.seat import Bucket, Seat, Wire
from chat.subscription import Subscription
from chat.switchboard import Switchboard
from chat.talk import Talk
from chat.watch import Watch

log = logging.getLogger("chat.hub")

Handler = Callable[[Intent], Awaitable[object]]


class Hub:
    """`scene` and `archive` are the app's. `media_ms(room)` is the media time to stamp lines with, or None.
    `coalesce(item)` says what an event of the app tells all of, for a slow reader."""

    def __init__(
        self,
        bus: RedisBus,
        *,
        archive: Archive,
        scene: Scene,
        now_ms: Callable[[], int],
        limits: Limits | None = None,
        media_ms: Callable[[str], int | None] = lambda room: None,
        coalesce: StateOf = lambda item: None,
    ) -> None:
        self.limits = limits or Limits()
        self.process = secrets.token_hex(6)
        self._bus = bus
        self._now_ms = now_ms
        self._coalesce = coalesce
        self._rooms: dict[str, Room] = {}
        self._handlers: dict[str, tuple[Handler, str]] = {}
        self._persons: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self._draining = False
        self._delivered_before = 0  # in rooms that are gone

        self._subscription = Subscription(bus.redis, self._delivered, self._restored, always=[keys.REVOKED_CHANNEL])
        self._keeper = Keeper(archive)
        self.switchboard = Switchboard(
            bus, archive, rooms=self._rooms, busy_share=self.limits.busy_share, up=self._subscription.up
        )
        self._pulse = Pulse(bus, process=self.process, rooms=self._rooms, limits=self.limits, empty=self._let_go)
        decisions = Decisions(bus, archive, now_ms)
        self._talk = Talk(
            bus, decisions, archive, now_ms, hearts=self._pulse.heart, archived=self._keeper.keep, media_ms=media_ms
        )
        self._arrivals = Arrivals(bus, self._talk, scene, store_s=self.limits.store_s)
        self._joining = Joining(
            bus,
            rooms=self._rooms,
            new_room=lambda name: Room(name, fall_behind=self._mending.fall_behind),
            subscription=self._subscription,
            arrivals=self._arrivals,
            talk=self._talk,
            scene=scene,
            switchboard=self.switchboard,
            now_ms=now_ms,
            store_s=self.limits.store_s,
        )
        self._expulsion = Expulsion(self._talk)
        self._mending = Mending(bus, rooms=self._rooms, joining=self._joining, limits=self.limits, reread=self._reread)
        self._watch = Watch(
            bus,
            rooms=self._rooms,
            limits=self.limits,
            revoked=self._revoked,
            bans_changed=self._look_at_bans,
            finish=self._talk.finish,
        )
        for kind, handler in {**self._talk.handlers, "service.set": self.switchboard.intent}.items():
            self.on(kind, handler, role=INTENTS[kind][1])

    # ---- for the app

    async def ask(self, room: str, member: Member, op: str, kind: str, body: msgspec.Raw) -> object:
        """What an intent's handler answers, also to one that came by another way than a socket: the door it came
        through has limits of its own. Raises: what the handler raises; UnknownKind, Forbidden."""
        if kind not in self._handlers:
            raise UnknownKind(kind[:64])
        handler, role = self._handlers[kind]
        if not member.may(role):
            raise Forbidden(role)
        try:
            async with asyncio.timeout(self.limits.intent_s):
                return await handler(Intent(room, member, op, kind, body, self._now_ms()))
        finally:
            self._forget_unheard(room)

    async def desk(self, room: str, member: Member) -> list[tuple[str, object]]:
        """What a moderator's page starts with, as (kind, body). Raises: StoreDown."""
        try:
            return await self._talk.private(room, member)
        finally:
            self._forget_unheard(room)

    def _forget_unheard(self, room: str) -> None:
        """Nobody of the room is here, so nobody tells this process when its words change: they are read anew."""
        if room not in self._rooms:
            self._talk.forget(room)

    def on(self, kind: str, handler: Handler, *, role: str = "viewer") -> None:
        """`handler` answers intents of `kind` from members with `role`. What it returns is the answer's body; an
        exception with `.code` and `.facts` is a refusal."""
        self._handlers[kind] = (handler, role)

    def now_ms(self) -> int:
        return self._now_ms()

    def viewers(self, room: str) -> int:
        """People in the room over all processes, each once; 0 for a room that has nobody on this process (ask
        `RedisBus.viewers` then)."""
        return self._rooms[room].viewers if room in self._rooms else 0

    def stats(self) -> dict[str, int]:
        """Gauges for /metrics; `deliveries` are envelopes × sockets since the start."""
        rooms = list(self._rooms.values())
        return {
            "rooms": len(rooms),
            "sockets": sum(len(room.seats) for room in rooms),
            "slow_sockets": sum(len(room.slow) for room in rooms),
            "deliveries": self._delivered_before + sum(room.deliveries for room in rooms),
            "lines_not_archived": self._keeper.lost,
            "load_level": self.switchboard.level,
        }

    async def run(self) -> None:
        """Everything that goes on by itself, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look_forever())
                for part in (self._subscription, self._pulse, self._mending, self._watch, self._keeper):
                    group.create_task(part.run())
        finally:
            for room in self._rooms.values():
                room.stop()
            await self._keeper.rest(self.limits.drain_s)

    async def drain(self) -> None:
        """Tell every socket to connect elsewhere and close it, spread over `drain_s` so that they don't all arrive at
        the next process at once; then leave the presence."""
        self._draining = True
        seats = [seat for room in self._rooms.values() for seat in room.seats]
        random.shuffle(seats)
        pause_s = self.limits.drain_s / max(1, len(seats))
        for n, seat in enumerate(seats):
            retry_ms = random.randrange(int(1000 * self.limits.reconnect_within_s) + 1)  # noqa: S311 - only spreads
            seat.send(Item("going", encode("going", Going(retry_ms))))
            seat.wire.close(1012, "going")
            if n % 20 == 19:
                await asyncio.sleep(20 * pause_s)
        for room in list(self._rooms.values()):
            with suppress(RedisError, OSError):
                await self._pulse.beat(room, nobody=True)

    # ---- sockets

    async def enter(
        self,
        room_name: str,
        member: Member,
        wire: Wire,
        *,
        epoch: str | None = None,
        seq: int | None = None,
        asked_ms: int | None = None,
    ) -> Seat:
        """Seat a socket and bring it up to date: from (epoch, seq) by the log if that reaches back, else by a snapshot.

        `asked_ms`: when the app was asked who she is. Who was signed out since then is not let in: a socket
        may wait with its hello, and must not keep a role by that.

        Raises: NotAdmitted (4401 signed out meanwhile, 4429 too many sockets, 1012 this process is going, 1013 the
        store is down)."""
        self._check_caps(member)
        self._persons[member.person] += 1
        self._networks[member.network] += 1
        seat: Seat | None = None
        try:
            # A store that hangs is a store that is down (a TimeoutError is an OSError).
            room = self._rooms.get(room_name)
            if room is None or not room.opened.is_set():
                async with asyncio.timeout(self.limits.store_s):
                    room = await self._joining.open(room_name)
            # Seated first: a revocation from here on finds her.
            seat = self._seat(room, member, wire, self._now_ms() if asked_ms is None else asked_ms)
            had = None if epoch is None or seq is None else (epoch, seq)
            otherwise = "welcome" if epoch is None else "reset"
            await self._joining.bring_up(room, seat, had, otherwise, asked_ms=seat.entered_ms)
        except BaseException as error:
            if seat is None:
                self._uncount(member)
            else:
                self.leave(seat)
            # By its code: the app's stores have errors of their own.
            if isinstance(error, (RedisError, OSError)) or getattr(error, "code", "") in ("store_down", "overloaded"):
                raise NotAdmitted(1013, "try again later") from error
            raise
        return seat

    def leave(self, seat: Seat) -> None:
        if seat.over:
            return
        seat.over = True
        self._uncount(seat.member)
        room = self._rooms.get(seat.room)
        if room is not None:
            room.unseat(seat)

    async def intent(self, seat: Seat, frame: Frame) -> None:
        """Answer one frame of a seated socket, whatever happens."""
        try:
            body = await self._handled(seat, frame)
            data = answer("ok", frame.op, body)
        except Exception as error:
            data = answer("refused", frame.op, _refusal(error, frame.kind))
        if not seat.over and not seat.send(Item("answer", data)):
            seat.wire.close(1013, "too slow")

    async def _handled(self, seat: Seat, frame: Frame) -> object:
        wait_s = seat.bucket.wait_s(time.monotonic())
        if wait_s > 0:
            seat.refused += 1
            if seat.refused > self.limits.intents_refused:
                seat.wire.close(1008, "too many intents")
            raise Throttled(int(1000 * wait_s) + 1)
        if not frame.op:
            raise Invalid("op", "empty")
        return await self.ask(seat.room, seat.member, frame.op, frame.kind, frame.body)

    def _check_caps(self, member: Member) -> None:
        if self._draining:
            raise NotAdmitted(1012, "going")
        if self._persons[member.person] >= self.limits.sockets_per_person:
            raise NotAdmitted(4429, "too many sockets for one person")
        if member.network and self._networks[member.network] >= self.limits.sockets_per_network:
            raise NotAdmitted(4429, "too many sockets from one network")

    def _uncount(self, member: Member) -> None:
        for counter, key in ((self._persons, member.person), (self._networks, member.network)):
            counter[key] -= 1
            if counter[key] <= 0:
                del counter[key]

    def _seat(self, room: Room, member: Member, wire: Wire, asked_ms: int) -> Seat:
        bucket = Bucket(self.limits.intents_s, self.limits.intents_burst)
        seat = Seat(room.name, member, wire, bucket, self._state_of, asked_ms)
        room.seat(seat)
        return seat

    def _state_of(self, item: Item) -> State | None:
        return volatile(item) or self._coalesce(item)

    # ---- from the bus

    def _delivered(self, channel: str, data: bytes) -> None:
        if channel == keys.REVOKED_CHANNEL:
            self._revoked({data.decode(): math.inf})
            return
        room = self._rooms.get(keys.room_of(channel))
        if room is None:
            return
        header, _, body = data.partition(b"\n")
        what, *words = header.decode().split(" ")
        if what == "e":
            epoch, seq, kind, *people = words
            room.event(epoch, Item(kind, body, int(seq), people[0] if people else "", people[1:]))
        elif what == "v":
            self._volatile(room, Item(words[0], body))
        elif what == "p":
            for seat in list(room.by_person.get(words[0], ())):
                room.tell(seat, Item(words[1], body))
        elif what == "r":
            for seat in [seat for seat in room.seats if seat.member.may(words[0])]:
                room.tell(seat, Item(words[1], body))
        elif what == "n":
            for seat in room.by_person.get(words[0], ()):
                seat.member = msgspec.structs.replace(seat.member, name=msgspec.json.decode(body))
        elif what == "b":
            # Who keeps the room has her own badge.
            for seat in [seat for seat in room.by_person.get(words[0], ()) if not seat.member.badge]:
                seat.member = msgspec.structs.replace(seat.member, badge=msgspec.json.decode(body))
        elif what == "x":
            self._expulsion.cut(room, words[0], words[1], msgspec.json.decode(body, type=Silence))
        elif what == "y":
            self._mending.come_back(self._expulsion.kept_out(room, words[0], words[1]))
        elif what in ("t", "s"):
            self._mending.rules_are_stale(room)

    def _volatile(self, room: Room, item: Item) -> None:
        if item.kind == "presence.counted":
            room.viewers = int(msgspec.json.decode(item.data)["body"]["viewers"])
        is_off = (item.kind == "presence.counted" and not room.service.presence) or (
            item.kind == "hearts.counted" and not room.service.hearts
        )
        if not is_off:
            room.queue(item)

    def _revoked(self, marks: Mapping[str, float]) -> None:
        """Who was admitted after her revocation (mark -> ms) signed in again."""
        sessions = {mark[2:]: at_ms for mark, at_ms in marks.items() if mark[0] == "s"}
        people = {mark[2:]: at_ms for mark, at_ms in marks.items() if mark[0] == "p"}
        for room in self._rooms.values():
            for seat in list(room.seats):
                member = seat.member
                if seat.entered_ms <= max(sessions.get(member.session, -1), people.get(member.person, -1)):
                    seat.wire.close(4401, "signed out")

    def _restored(self, channel: str) -> None:
        room = self._rooms.get(keys.room_of(channel))
        if room is not None:  # of the revocations nothing is missed: chat.watch asks for them
            self._mending.rules_are_stale(room)
            room.tell_all = True
            self._mending.fall_behind(room)

    # ---- by itself

    async def _look_forever(self) -> None:
        """Apart from the pulse, which asks the store: a store that hangs must not keep a slow reader in her seat."""
        while True:
            await asyncio.sleep(self.limits.pulse_s)
            self.switchboard.look()
            now = time.monotonic()
            for room in self._rooms.values():
                room.look_after_the_slow(now, self.limits.slow_s)

    async def _reread(self, room: Room) -> None:
        await self._talk.refresh(room.name)
        await self.switchboard.read(room)
        await self._look_at_bans(room)

    async def _look_at_bans(self, room: Room) -> None:
        self._mending.come_back(await self._expulsion.look(room))

    async def _let_go(self, room: Room) -> None:
        del self._rooms[room.name]
        room.stop()
        self._delivered_before += room.deliveries
        self._talk.forget(room.name)
        self._arrivals.forget(room.name)
        self.switchboard.forget(room.name)
        await self._subscription.leave(keys.channel(room.name))


def _refusal(error: Exception, kind: str) -> Refusal:
    """How an intent's failure is answered. Anything with `.code` and `.facts` was meant for the page."""
    code, facts = getattr(error, "code", None), getattr(error, "facts", None)
    if isinstance(code, str) and isinstance(facts, dict):
        return Refusal(code, facts)
    if isinstance(error, (RedisError, OSError)) and not isinstance(error, TimeoutError):
        return Refusal(StoreDown.code, StoreDown().facts)
    if isinstance(error, TimeoutError):
        return Refusal("timeout", {})
    log.error("%s failed", kind, exc_info=error)
    return Refusal("internal", {})


__all__ = ["Hub", "Intent", "Limits", "Refused", "Room"]
