"""What every part of moderation works with, and how an act is written down."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from chat import keys
from chat.bus import RedisBus
from chat.errors import NotFound, StoreDown, Throttled
from chat.history import LOG_KEPT, ROOM_LIFE_S, new_epoch, script
from chat.intent import Intent
from chat.message import Line
from chat.moderation.store import Decisions
from chat.ports import Act, Archive, Member, Notice, Taken
from chat.seat import Bucket

Handlers = dict[str, Callable[[Intent], Awaitable[object]]]

RANKS = ("moderator", "host", "staff")
_PERSONS_REMEMBERED = 20_000


class Who(msgspec.Struct, frozen=True):
    """What a moderator's act needs to know of a person who may have left."""

    device: str
    name: str
    roles: list[str]
    network: str = ""
    badge: str = ""
    since_ms: int = 0

    @classmethod
    def of(cls, member: Member) -> Who:
        return cls(member.device, member.name, sorted(member.roles), member.network, member.badge, member.since_ms)


class Office:
    """The stores, the clock, and the book in which acts are written."""

    def __init__(self, bus: RedisBus, decisions: Decisions, archive: Archive, now_ms: Callable[[], int]) -> None:
        self.bus = bus
        self.decisions = decisions
        self.archive = archive
        self.now_ms = now_ms
        self._remove = bus.numbering("remove")
        self._spend = script(bus.redis, "spend")
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    async def book(self, intent: Intent, target: str, work: Awaitable[Any] | None = None, **more: str) -> None:
        """Write down what was done, `work` and then the act. What a moderator did holds already; that it was also
        written is part of the answer.

        Raises: StoreDown (carries `.applied`): in force, but it may not outlive the store."""
        fields = {"reason": "", "before": "", "after": "", **more}
        act = Act(intent.room, intent.member.person, intent.kind, target, wall_ms=self.now_ms(), **fields)
        try:
            if work is not None:
                await work
            await self.archive.act(act)
        except Exception as error:
            raise StoreDown(store="archive", applied=True) from error

    async def notice(self, room: str, kind: str, **facts: object) -> None:
        """For other systems. Raises: StoreDown (carries `.applied`), as `book`."""
        try:
            await self.archive.notice(Notice(room, kind, facts, self.now_ms()))
        except Exception as error:
            raise StoreDown(store="archive", applied=True) from error

    async def who(self, room: str, person: str) -> Who:
        found: Any = await self.bus.redis.hget(keys.who(room), person)
        return msgspec.json.decode(found, type=Who) if found else Who("", "", [])

    async def line(self, room: str, wanted: str) -> Line | None:
        """A line as the log has it, or None when it was removed. Its epoch may be over: what the log kept is still on
        the screens. Raises: NotFound."""
        epoch, _, number = wanted.rpartition(".")
        if not epoch or not (number.isascii() and number.isdecimal()):
            raise NotFound("line", wanted[:64])
        entry: Any = await self.bus.redis.hget(keys.log(room), number)
        if entry is None:
            raise NotFound("line", wanted[:64])
        envelope = msgspec.json.decode(entry)
        if envelope["kind"] == "line.removed" and envelope["body"]["line"] == wanted:
            return None
        if envelope["kind"] != "line.posted" or envelope["body"]["line"]["id"] != wanted:
            raise NotFound("line", wanted[:64])
        return msgspec.convert(envelope["body"]["line"], Line)

    async def line_seen_by(self, room: str, person: str, wanted: str) -> Line | None:
        """As `line`, or one that she alone sees. Raises: NotFound."""
        try:
            return await self.line(room, wanted)
        except NotFound:
            own = await self.own_line(room, person, wanted)
            if own is None:
                raise
            return own[1]

    async def own_line(self, room: str, person: str, wanted: str) -> tuple[bytes, Line] | None:
        """A line that she alone sees, as it is stored and as it is, or None."""
        found: Any = await self.bus.redis.lrange(keys.own(room, person), 0, -1)
        own = ((stored, msgspec.json.decode(stored, type=Line)) for stored in found)
        return next((one for one in own if one[1].id == wanted), None)

    async def is_shadowed(self, room: str, member: Member) -> bool:
        """Whether nobody else hears her, and she is not to notice. Raises: StoreDown."""
        record = None if is_crew(member) else await self.decisions.in_force(room, member.person, member.device)
        return record is not None and record.kind == "shadow"

    async def take_out(self, room: str, which: str, person: str, by: str, taken: Taken | None = None) -> list[str]:
        """Remove a number of the log, or "*" for all of the person's; ids of the lines that were there. With `taken`,
        and these as its lines, `keep_taken` is to follow: others do it if this process doesn't.

        Raises: StoreDown, when Redis has only just forgotten the room."""
        before, _, after = msgspec.json.encode(taken).partition(b'"lines":[') if taken else (b"", b"", b"")
        answer = await self._remove(
            keys=[
                keys.head(room),
                keys.log(room),
                keys.lines(room),
                keys.lines_by(room, person),
                keys.pinned(room),
                keys.pins(room),
                keys.silences(room),
                keys.taken(room),
            ],
            args=[
                new_epoch(),
                LOG_KEPT,
                keys.channel(room),
                ROOM_LIFE_S,
                by,
                which,
                taken.id if taken else "",
                before + b'"lines":[',
                after,
            ],
        )
        if answer[0] == b"unloaded":
            # Not put back here: what this act did before may be lost, and is to be asked for again as a whole.
            raise StoreDown()
        return [found.decode() for found in answer[2:]]

    def taking(self, room: str, by: str, act: Act | None = None, **told: object) -> Taken:
        """A `Taken` for `take_out`; `told`: what a line.removed says."""
        now = self.now_ms()
        notice = Notice(room, "line.removed", {**told, "by": by}, now) if told else None
        return Taken([], f"tkn_{new_epoch()}", by, now, act, notice)

    async def keep_taken(self, room: str, taken: Taken) -> None:
        """Raises: StoreDown (carries `.applied`): they are gone, and it is written when the archive is back."""
        try:
            await self.decisions.keep_taken(room, taken)
        except Exception as error:
            raise StoreDown(store="archive", applied=True) from error

    async def spend(self, room: str, what: str, person: str, most: int, within_s: int) -> None:
        """Raises: Throttled, when the person did it `most` times already within `within_s`, on whichever process."""
        wait_ms = await self._spend(keys=[keys.spent(room, what, person)], args=[most, 1000 * within_s])
        if wait_ms:
            raise Throttled(int(wait_ms))

    def spend_here(self, what: str, person: str, rate_s: float, burst: float, n: int = 1) -> None:
        """As `spend`, on this process alone: for what is too frequent, and too light, to ask the store about.

        Raises: Throttled, when she asks for more than `burst` at once or `rate_s` a second."""
        bucket = self._buckets.get((what, person))
        if bucket is None:
            bucket = self._buckets[what, person] = Bucket(rate_s, burst)
        self._buckets.move_to_end((what, person))
        while len(self._buckets) > _PERSONS_REMEMBERED:
            self._buckets.popitem(last=False)
        wait_s = bucket.wait_s(self.now_ms() / 1000, n)
        if wait_s > 0:
            raise Throttled(int(1000 * wait_s) + 1)


def is_crew(member: Member) -> bool:
    """Whether the room's limits don't bind her."""
    return rank(member.roles) > 0


def rank(roles: Any) -> int:
    return max((RANKS.index(role) + 1 for role in roles if role in RANKS), default=0)


def as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()
