"""Rooms × sockets on one process: what comes over the bus goes to every socket, in order, once.

Laws that the code below keeps:
- Numbers reach a socket without gap or duplicate. A gap on the bus is filled from the log; a gap for a slow reader is
  announced; another epoch is a `reset`.
- A joining socket is seated before its snapshot is read, and what happens meanwhile is held for it.
- A tick is encoded once and the same bytes are written to every socket. No socket is ever waited for.
- Only `line.posted` and what is volatile may wait for a tick; anything else takes along what waits.

It is one file beyond the usual size because these laws share the same few fields.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
from redis.exceptions import RedisError

from chat import keys
from chat.bus import RedisBus
from chat.envelope import Frame, answer, decode_envelope, encode
from chat.errors import Forbidden, Invalid, NotAdmitted, Refused, StoreDown, Throttled, UnknownKind
from chat.fanout import Fanout
from chat.history import RESUMED_MOST, script
from chat.intent import Intent
from chat.kinds import INTENTS, Going, HeartsCounted, Mode, ModeChanged, Refusal, Resumed, RoomFacts, Welcome, You
from chat.moderation.store import Decisions
from chat.outbox import CoalesceKey, Item, volatile_key
from chat.pace import Pace
from chat.ports import Archive, LineRecord, Member, Scene
from chat.room import Attendance
from chat.seat import SLOW_BYTES, Bucket, Prepared, Seat, Wire
from chat.subscription import Subscription
from chat.talk import Talk, Who, is_crew

log = logging.getLogger("chat.hub")

Handler = Callable[[Intent], Awaitable[object]]

MAY_WAIT = frozenset({"line.posted", "presence.counted", "hearts.counted"})
STASH_KEPT = 10_000
ARCHIVE_QUEUE = 10_000
# Half of the store's connections: when thousands come back at once, they wait in line here instead of failing there.
JOINS_AT_ONCE = 32
ARCHIVE_BATCH = 200
WHO_LIFE_S = 24 * 3600
# A lost connection to the store is noticed within this.
REVOKED_MARGIN_MS = 15_000


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one process. Sockets are capped per person and per network (in this process); intents are counted per
    socket; `slow_s` is how long a reader may lag before it is closed with 1013."""

    sockets_per_person: int = 12
    sockets_per_network: int = 2_000
    intents_s: float = 20.0
    intents_burst: float = 60.0
    intents_refused: int = 200
    intent_s: float = 15.0
    store_s: float = 10.0
    mend_s: float = 60.0
    hello_s: float = 10.0
    slow_s: float = 10.0
    pulse_s: float = 0.25
    beat_s: float = 2.0
    beat_life_s: float = 6.0
    hearts_every_s: float = 0.5
    drain_s: float = 2.0
    reconnect_within_s: float = 2.0
    empty_room_s: float = 60.0


class Room:
    """One room on this process. `seq` is the newest number taken off the bus; while `behind`, the bus is stashed until
    the log has filled the gap."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = ""
        self.seq = 0
        self.viewers = 0
        self.behind = True
        self.stash: list[tuple[str, Item]] = []
        self.seats: set[Seat] = set()
        self.fanout = Fanout()
        self.by_person: dict[str, set[Seat]] = {}
        self.attendance = Attendance()
        self.waiting: list[Item] = []
        self.pace = Pace()
        self.timer: asyncio.TimerHandle | None = None
        self.due = 0.0  # when the timer runs, on the loop's clock
        self.hearts = 0
        self.hearts_at = 0.0
        self.beat_at = 0.0
        self.empty_since = 0.0
        self.tell_all = True  # the next beat names everyone, not only who came and went
        self.opened = asyncio.Event()


class Hub:
    """`scene` and `archive` are the app's. `media_ms(room)` is the media time to stamp lines with, or None.
    `coalesce(item)` names what a newer event of the app makes superfluous for a slow reader."""

    def __init__(
        self,
        bus: RedisBus,
        *,
        archive: Archive,
        scene: Scene,
        now_ms: Callable[[], int],
        limits: Limits | None = None,
        media_ms: Callable[[str], int | None] = lambda room: None,
        coalesce: CoalesceKey = lambda item: None,
    ) -> None:
        self.limits = limits or Limits()
        self.process = secrets.token_hex(6)
        self._bus = bus
        self._archive = archive
        self._scene = scene
        self._now_ms = now_ms
        self._coalesce = coalesce
        self._decisions = Decisions(bus, archive, now_ms)
        self._presence = script(bus.redis, "presence")
        self._subscription = Subscription(bus.redis, self._delivered, self._restored, always=[keys.REVOKED_CHANNEL])
        self._talk = Talk(
            bus, self._decisions, archive, now_ms, hearts=self._hearts, archived=self._archived, media_ms=media_ms
        )
        self._rooms: dict[str, Room] = {}
        self._handlers: dict[str, tuple[Handler, str]] = {}
        for kind, handler in self._talk.handlers.items():
            self.on(kind, handler, role=INTENTS[kind][1])
        self._persons: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self._slow: set[Seat] = set()
        self._behind: set[str] = set()
        self._stale_rules: set[str] = set()
        self._wake = asyncio.Event()
        self._lines: asyncio.Queue[tuple[str, LineRecord]] = asyncio.Queue(ARCHIVE_QUEUE)
        self._lines_lost = 0
        self._revoked_seen_ms = now_ms()
        self._revoked_missed = False
        self._joining = asyncio.Semaphore(JOINS_AT_ONCE)
        self._draining = False
        self.deliveries = 0  # envelopes × sockets since the start

    # ---- for the app

    def on(self, kind: str, handler: Handler, *, role: str = "viewer") -> None:
        """`handler` answers intents of `kind` from members with `role`. What it returns is the answer's body; an
        exception with `.code` and `.facts` is a refusal."""
        self._handlers[kind] = (handler, role)

    def viewers(self, room: str) -> int:
        """People in the room over all processes, each once; 0 for a room that has nobody on this process (ask
        `RedisBus.viewers` then)."""
        return self._rooms[room].viewers if room in self._rooms else 0

    def stats(self) -> dict[str, int]:
        """Gauges for /metrics."""
        return {
            "rooms": len(self._rooms),
            "sockets": sum(len(room.seats) for room in self._rooms.values()),
            "slow_sockets": len(self._slow),
            "deliveries": self.deliveries,
            "lines_not_archived": self._lines_lost,
        }

    async def run(self) -> None:
        """Everything that goes on by itself, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._subscription.run())
                group.create_task(self._pulse_forever())
                group.create_task(self._mend_forever())
                group.create_task(self._archive_forever())
        finally:
            for room in self._rooms.values():
                if room.timer is not None:
                    room.timer.cancel()
            await self._archive_rest()

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
                await self._beat(room, nobody=True)

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
            # A store that hangs is a store that is down (a TimeoutError is an OSError). The line doesn't count.
            async with self._joining, asyncio.timeout(self.limits.store_s):
                room = await self._open(room_name)
                seat = self._seat(room, member, wire, asked_ms)
                if asked_ms is not None:
                    # Seated first: a revocation from here on finds her.
                    await self._refuse_revoked(member, asked_ms)
                await self._bring_up(room, seat, epoch, seq, "welcome" if epoch is None else "reset")
                await self._note(room_name, member)
        except BaseException as error:
            if seat is None:
                self._uncount(member)
            else:
                self.leave(seat)
            if isinstance(error, (RedisError, OSError, StoreDown)):
                raise NotAdmitted(1013, "try again later") from error
            raise
        return seat

    async def _refuse_revoked(self, member: Member, since_ms: int) -> None:
        for mark, _ in await self._bus.revoked_since(since_ms):
            if mark in (f"s {member.session}", f"p {member.person}"):
                raise NotAdmitted(4401, "signed out")

    async def _note(self, room_name: str, member: Member) -> None:
        """What a moderator's act will need to know of her."""
        async with self._bus.redis.pipeline(transaction=False) as pipe:
            pipe.hset(keys.who(room_name), member.person, msgspec.json.encode(Who.of(member)))
            pipe.expire(keys.who(room_name), WHO_LIFE_S)
            if is_crew(member):
                pipe.hset(keys.crew(room_name), member.person, member.name)
                pipe.expire(keys.crew(room_name), WHO_LIFE_S)
            await pipe.execute()

    def leave(self, seat: Seat) -> None:
        if seat.over:
            return
        seat.over = True
        room = self._rooms.get(seat.room)
        self._slow.discard(seat)
        self._uncount(seat.member)
        if room is None or seat not in room.seats:
            return
        room.seats.discard(seat)
        room.fanout.remove(seat)
        person = seat.member.person
        room.by_person[person].discard(seat)
        if not room.by_person[person]:
            del room.by_person[person]
        room.attendance.leave(person)
        room.empty_since = time.monotonic()

    def now_ms(self) -> int:
        return self._now_ms()

    async def intent(self, seat: Seat, frame: Frame) -> None:
        """Answer one frame of a seated socket, whatever happens."""
        try:
            body = await self._handled(seat, frame)
            data = answer("ok", frame.op, body)
        except Exception as error:
            data = answer("refused", frame.op, _refusal(error, frame.kind))
        if not seat.over and not seat.send(Item("answer", data)):
            self._close_slow(seat)

    async def _handled(self, seat: Seat, frame: Frame) -> object:
        wait_s = seat.bucket.wait_s(time.monotonic())
        if wait_s > 0:
            seat.refused += 1
            if seat.refused > self.limits.intents_refused:
                seat.wire.close(1008, "too many intents")
            raise Throttled(int(1000 * wait_s) + 1)
        if not frame.op:
            raise Invalid("op", "empty")
        if frame.kind not in self._handlers:
            raise UnknownKind(frame.kind[:64])
        handler, role = self._handlers[frame.kind]
        if not seat.member.may(role):
            raise Forbidden(role)
        intent = Intent(seat.room, seat.member, frame.op, frame.kind, frame.body, self._now_ms())
        async with asyncio.timeout(self.limits.intent_s):
            return await handler(intent)

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

    def _seat(self, room: Room, member: Member, wire: Wire, asked_ms: int | None) -> Seat:
        bucket = Bucket(self.limits.intents_s, self.limits.intents_burst)
        seat = Seat(room.name, member, wire, bucket, self._key_of, self._now_ms() if asked_ms is None else asked_ms)
        room.seats.add(seat)
        room.fanout.add(seat)
        room.by_person.setdefault(member.person, set()).add(seat)
        room.attendance.enter(member.person)
        return seat

    def _key_of(self, item: Item) -> str | None:
        return volatile_key(item) or self._coalesce(item)

    # ---- joining

    async def _open(self, name: str) -> Room:
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name)
            room.empty_since = time.monotonic()
            try:
                # Subscribe before reading the position: an event between the two is stashed, not lost.
                await self._subscription.want(keys.channel(name))
                room.epoch, room.seq = await self._bus.history.position(name)
                room.fanout.seq = room.seq
                await self._talk.refresh(name)
            except BaseException:
                del self._rooms[name]
                room.opened.set()
                raise
            room.opened.set()
            self._caught_up(room)
        elif not room.opened.is_set():
            await room.opened.wait()
            if self._rooms.get(name) is not room:
                raise StoreDown()
        return room

    async def _bring_up(self, room: Room, seat: Seat, epoch: str | None, seq: int | None, otherwise: str) -> None:
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
            moment = await self._bus.history.moment(room.name)
            live = await self._scene.snapshot(room.name, seat.member)
            lines = [_line_of(data) for data in moment.lines]
            facts = RoomFacts(max(moment.viewers, 1), lines, moment.mode)
            welcome = Welcome(moment.epoch, moment.seq, self._now_ms(), you, facts, live)
            items = [Item(otherwise, encode(otherwise, welcome))]
            up_to = moment.seq
        items += [Item(kind, encode(kind, body)) for kind, body in private]
        if seat.turn != turn:
            return  # the epoch changed meanwhile, and the reset brings her up
        held, seat.held = seat.held or [], None
        seat.write(items)
        seat.seq = up_to
        seat.write(held)

    async def _you(self, room: Room, seat: Seat) -> You:
        member = seat.member
        silenced = await self._decisions.silence_in_force(room.name, member.person, member.device)
        return You(member.person, member.name, sorted({"viewer", *member.roles}), silenced)

    # ---- from the bus

    def _delivered(self, channel: str, data: bytes) -> None:
        if channel == keys.REVOKED_CHANNEL:
            self._revoked(data.decode())
            return
        room = self._rooms.get(keys.room_of(channel))
        if room is None:
            return
        header, _, body = data.partition(b"\n")
        what, *words = header.decode().split(" ")
        if what == "e":
            epoch, seq, kind, *author = words
            self._event(room, epoch, Item(kind, body, int(seq), author[0] if author else ""))
        elif what == "v":
            if words[0] == "presence.counted":
                room.viewers = int(msgspec.json.decode(body)["body"]["viewers"])
            self._queue(room, Item(words[0], body))
        elif what == "p":
            for seat in list(room.by_person.get(words[0], ())):
                self._tell(seat, Item(words[1], body))
        elif what == "r":
            for seat in [seat for seat in room.seats if seat.member.may(words[0])]:
                self._tell(seat, Item(words[1], body))
        elif what == "n":
            for seat in room.by_person.get(words[0], ()):
                seat.member = msgspec.structs.replace(seat.member, name=msgspec.json.decode(body))
        elif what == "t":
            self._stale_rules.add(room.name)
            self._wake.set()

    def _event(self, room: Room, epoch: str, item: Item) -> None:
        assert item.seq is not None
        if not room.behind and epoch == room.epoch:
            if item.seq <= room.seq:
                return
            if item.seq == room.seq + 1:
                self._take(room, item)
                return
        # A gap, another epoch, or a room that is being opened: the log decides.
        room.stash.append((epoch, item))
        if len(room.stash) > STASH_KEPT:
            room.stash.clear()
        self._fall_behind(room)

    def _take(self, room: Room, item: Item) -> None:
        assert item.seq is not None
        room.seq = item.seq
        if item.kind == "mode.changed":
            body = decode_envelope(item.data).body
            self._talk.mode_changed(room.name, msgspec.json.decode(body, type=ModeChanged).mode)
        self._queue(room, item)

    def _tell(self, seat: Seat, item: Item) -> None:
        self.deliveries += 1
        if not seat.send(item):
            self._close_slow(seat)

    def _revoked(self, mark: str, at_ms: int | None = None) -> None:
        what, _, which = mark.partition(" ")
        for room in self._rooms.values():
            for seat in list(room.seats):
                # Who was admitted after the revocation signed in again.
                is_later = at_ms is not None and seat.entered_ms > at_ms
                if not is_later and which == (seat.member.session if what == "s" else seat.member.person):
                    seat.wire.close(4401, "signed out")

    def _restored(self, channel: str) -> None:
        if channel == keys.REVOKED_CHANNEL:
            self._revoked_missed = True
            self._wake.set()
            return
        room = self._rooms.get(keys.room_of(channel))
        if room is not None:
            self._stale_rules.add(room.name)
            room.tell_all = True
            self._fall_behind(room)

    # ---- ticks

    def _queue(self, room: Room, item: Item) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        room.pace.note(now)
        room.waiting.append(item)
        due = now + room.pace.due_in(now, len(room.seats), urgent=item.kind not in MAY_WAIT)
        if room.timer is not None:
            # Not timer.when(): uvloop gives a plain handle for what is due at once.
            if room.due <= due:
                return
            room.timer.cancel()
        # At once means after what else has arrived by now: a burst becomes one write.
        room.due = due
        room.timer = loop.call_at(due, self._flush, room)

    def _flush(self, room: Room) -> None:
        if room.timer is not None:
            room.timer.cancel()
            room.timer = None
        items, room.waiting = room.waiting, []
        if not items or not room.seats:
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        fanout = room.fanout
        prepared = Prepared([item.data for item in items])
        numbers = [item.seq for item in items if item.seq is not None]
        before, last = (numbers[0] - 1, numbers[-1]) if numbers else (fanout.seq, fanout.seq)
        if before != fanout.seq:
            fanout.break_up(before)
        fanout.write(prepared.frame, last)
        for seat in list(fanout.others):
            if not self._offer(seat, items, prepared, before, last):
                self._close_slow(seat)
            elif seat.seq == last and seat.held is None and seat.outbox is None:
                fanout.step_in(seat)
        self.deliveries += len(items) * len(room.seats)
        room.pace.flushed(started, loop.time())

    def _offer(self, seat: Seat, items: list[Item], prepared: Prepared, before: int, last: int) -> bool:
        """A tick for one who is not in step. False when she must go: too much is waiting for her."""
        wire = seat.wire
        if seat.held is not None:
            seat.held += items
            return len(seat.held) <= STASH_KEPT
        if wire.is_closing():
            return True
        if seat.outbox is not None or wire.buffered() > SLOW_BYTES:
            if seat.outbox is None:
                seat.slow_since = time.monotonic()
                self._slow.add(seat)
            return seat.wait_with(items)
        if seat.seq == before:
            wire.write(prepared)
            seat.seq = last
        else:
            seat.write(items)
        return True

    def _close_slow(self, seat: Seat) -> None:
        self._slow.discard(seat)
        seat.wire.close(1013, "too slow")

    # ---- the pulse: presence, hearts, slow readers, empty rooms

    async def _pulse_forever(self) -> None:
        while True:
            await asyncio.sleep(self.limits.pulse_s)
            now = time.monotonic()
            if self._subscription.up and not self._revoked_missed:
                self._revoked_seen_ms = self._now_ms()
            for seat in list(self._slow):
                if seat.wire.is_closing() or seat.catch_up():
                    self._slow.discard(seat)
                elif now - seat.slow_since > self.limits.slow_s:
                    self._close_slow(seat)
            for room in list(self._rooms.values()):
                if not room.opened.is_set():
                    continue
                try:
                    async with asyncio.timeout(self.limits.store_s):
                        await self._pulse(room, now)
                except (RedisError, OSError) as error:
                    # Fails open: the count stands still until the store is back.
                    log.debug("no pulse for %s: %s", room.name, error)

    async def _pulse(self, room: Room, now: float) -> None:
        if room.attendance.changed or (len(room.attendance) and now - room.beat_at >= self.limits.beat_s):
            await self._beat(room)
            room.beat_at = now
        if room.hearts and now - room.hearts_at >= self.limits.hearts_every_s:
            n, room.hearts, room.hearts_at = room.hearts, 0, now
            await self._bus.hint(room.name, "hearts.counted", HeartsCounted(n))
        if not room.seats and not room.attendance.changed and now - room.empty_since > self.limits.empty_room_s:
            del self._rooms[room.name]
            self._talk.forget(room.name)
            await self._subscription.leave(keys.channel(room.name))

    async def _beat(self, room: Room, *, nobody: bool = False) -> None:
        came, left = room.attendance.take_changes()
        tell_all, room.tell_all = room.tell_all or nobody, False
        persons = [] if nobody else room.attendance.persons
        names = persons if tell_all else [*came, *left]
        try:
            count, here = await self._presence(
                keys=[keys.here(room.name), keys.here_on(room.name, self.process), keys.head(room.name)],
                args=[
                    self.process,
                    int(1000 * self.limits.beat_life_s),
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

    def _hearts(self, room_name: str, n: int) -> None:
        room = self._rooms.get(room_name)
        if room is not None:
            room.hearts += n

    # ---- mending: gaps, other epochs, rules that changed

    def _fall_behind(self, room: Room) -> None:
        room.behind = True
        if room.opened.is_set():
            self._behind.add(room.name)
            self._wake.set()

    def _caught_up(self, room: Room) -> None:
        room.behind = False
        stash, room.stash = room.stash, []
        for epoch, item in stash:
            self._event(room, epoch, item)

    async def _mend_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                async with asyncio.timeout(self.limits.mend_s):
                    await self._mend()
            except (RedisError, OSError, StoreDown) as error:
                log.debug("not mended yet: %s", error)
                await asyncio.sleep(self.limits.pulse_s)
                self._wake.set()

    async def _mend(self) -> None:
        if self._revoked_missed:
            marks = await self._bus.revoked_since(self._revoked_seen_ms - REVOKED_MARGIN_MS)
            self._revoked_missed = False
            for mark, at_ms in marks:
                self._revoked(mark, at_ms)
        for name in list(self._stale_rules):
            if name in self._rooms:
                await self._talk.refresh(name)
            self._stale_rules.discard(name)
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
            self._take(room, Item(envelope.kind, data, envelope.seq))
        self._caught_up(room)

    async def _reset(self, room: Room) -> None:
        """What the sockets know is of another epoch, or too old: each gets a new snapshot."""
        self._flush(room)
        room.fanout.break_up(room.seq)
        for seat in room.seats:
            seat.held = []
            seat.outbox = None
        room.epoch, room.seq = await self._bus.history.position(room.name)
        room.fanout.seq = room.seq
        room.tell_all = True
        self._caught_up(room)
        for seat in list(room.seats):
            if not seat.over:
                try:
                    await self._bring_up(room, seat, None, None, "reset")
                except (RedisError, OSError, StoreDown):
                    seat.wire.close(1013, "try again later")

    # ---- the archive

    def _archived(self, room_name: str, record: LineRecord) -> None:
        """Fails open: what doesn't fit is counted and stays in the room's log only."""
        try:
            self._lines.put_nowait((room_name, record))
        except asyncio.QueueFull:
            self._lines_lost += 1

    async def _archive_forever(self) -> None:
        while True:
            batch = [await self._lines.get()]
            await self._write_lines(batch)

    async def _archive_rest(self) -> None:
        if not self._lines.empty():
            with suppress(TimeoutError):
                async with asyncio.timeout(self.limits.drain_s):
                    await self._write_lines([self._lines.get_nowait()])

    async def _write_lines(self, batch: list[tuple[str, LineRecord]]) -> None:
        while not self._lines.empty():
            batch.append(self._lines.get_nowait())
        for room in {name for name, _ in batch}:
            records = [record for name, record in batch if name == room]
            for start in range(0, len(records), ARCHIVE_BATCH):
                part = records[start : start + ARCHIVE_BATCH]
                try:
                    await self._archive.lines_posted(room, part)
                except Exception:
                    self._lines_lost += len(part)
                    log.exception("%d lines of %s were not archived", len(part), room)


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


def _line_of(envelope: bytes) -> Any:
    """The bytes of the line in a line.posted envelope, without decoding the text again."""
    body: dict[str, msgspec.Raw] = msgspec.json.decode(decode_envelope(envelope).body, type=dict[str, msgspec.Raw])
    return body["line"]


__all__ = ["Hub", "Intent", "Limits", "Mode", "Refused", "Room"]
