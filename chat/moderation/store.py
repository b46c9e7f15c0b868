"""What was decided: in force in Redis, lasting in the Archive, put back from there when Redis is empty."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from redis.exceptions import RedisError

from chat import keys
from chat.bus import RedisBus
from chat.envelope import numbered, tail
from chat.errors import Invalid, StoreDown
from chat.history import LINES_KEPT, ROOM_LIFE_S, mode_of, new_epoch, script
from chat.kinds import LinePosted
from chat.message import Line
from chat.moderation.kinds import Case, Mode, Silence, SilencedPerson, TermKind
from chat.moderation.rules import MAX_TERMS
from chat.ports import FOREVER_MS, Archive, Decision, SilenceRecord, Taken

LOADED = "loaded"  # the field that says a room's silences are all there
TURN = "turn"  # the field that is another after each change of them
DECIDED_KEPT_S = 24 * 3600
GRAVEST_FIRST = ("ban", "timeout", "shadow")


def silence_of(stored: bytes) -> tuple[int, SilenceRecord]:
    """A stored value is `until_ms record`: the scripts compare the number without reading the JSON."""
    until_ms, _, record = stored.partition(b" ")
    return int(until_ms), msgspec.json.decode(record, type=SilenceRecord)


def public(record: SilenceRecord) -> Silence:
    return Silence(record.until_ms, record.reason, record.kind)


class Decisions:
    """Silences, terms and mode of rooms. Methods raise redis' RedisError when the store is down."""

    def __init__(self, bus: RedisBus, archive: Archive, now_ms: Callable[[], int]) -> None:
        self._redis = bus.redis
        self._history = bus.history
        self._archive = archive
        self._now_ms = now_ms
        self._load = script(bus.redis, "load")
        self._silence = script(bus.redis, "silence")
        self._block = script(bus.redis, "block")

    async def load_if_empty(self, room: str) -> None:
        """Put back what the Archive holds, if Redis has forgotten it, or may have forgotten some of it.

        Fails closed: a room whose bans can't be read takes no lines of viewers. Raises: StoreDown."""
        _, seq = await self._history.position(room)  # ends the epoch of a store that may have lost what it answered
        if await self._is_loaded(room):
            return
        await self.settle_taken(room)  # or the archive would put it back
        try:
            record = await self._archive.load(room, self._now_ms())
            said = await self._archive.find(room, most=LINES_KEPT) if seq else []
        except Exception as error:
            raise StoreDown(store="archive") from error
        silences: dict[str, bytes] = {}
        for silence in record.silences:
            silences |= _fields(silence)
        parts: list[dict[str, Any]] = [
            silences,
            dict(record.terms),
            {} if record.mode is None else _stored(msgspec.structs.asdict(record.mode)),
            {question.id: msgspec.json.encode(question) for question in record.questions},
            *(_cases(record.cases, kinds) for kinds in (("line", "question"), ("report",), ("appeal",))),
            {one.case: decided_value(one) for one in record.decided},
        ]
        pairs = [value for part in parts for pair in part.items() for value in pair]
        lines = [found.line for found in said if not found.removed and not found.shadow]
        pinned = record.pinned if seq else None
        if pinned is not None and pinned not in lines:
            lines.append(pinned)  # older than the others: what is pinned stands in the log
        entries = [value for line in lines for value in _entry(line)]
        await self._load(
            keys=[
                keys.silences(room),
                keys.terms(room),
                keys.mode(room),
                keys.questions(room),
                keys.cases(room),
                keys.reports(room),
                keys.appeals(room),
                keys.decided(room),
                keys.head(room),
                keys.log(room),
                keys.lines(room),
                keys.pinned(room),
            ],
            args=[
                DECIDED_KEPT_S,
                *map(len, parts),
                keys.lines_by(room, ""),
                ROOM_LIFE_S,
                "" if pinned is None else pinned.id,
                *pairs,
                *entries,
            ],
        )

    async def keep_taken(self, room: str, taken: Taken) -> None:
        """What was taken out is written, and then no longer waits for that. Raises: whatever the archive raises."""
        await self._archive.taken_out(room, taken)
        with suppress(RedisError, OSError):  # then it is done once more, which changes nothing
            await self._redis.hdel(keys.taken(room), taken.id)

    async def settle_taken(self, room: str, before_ms: int = FOREVER_MS) -> None:
        """Write what was taken out until then and is not written yet: its process died, or the archive was down.
        Raises: StoreDown."""
        waiting: Any = await self._redis.hvals(keys.taken(room))
        for stored in waiting:
            taken = msgspec.json.decode(stored, type=Taken)
            if taken.wall_ms < before_ms:
                try:
                    await self.keep_taken(room, taken)
                except Exception as error:
                    raise StoreDown(store="archive") from error

    async def silence(self, room: str, record: SilenceRecord) -> SilenceRecord | None:
        """It takes the place of what the person had, on every device; answers what that was."""
        fields = [part for pair in _fields(record).items() for part in pair]
        return await self._replace(room, record.person, fields)

    async def lift(self, room: str, person: str) -> SilenceRecord | None:
        """What was lifted, or None."""
        return await self._replace(room, person, [])

    async def in_force(self, room: str, person: str, device: str) -> SilenceRecord | None:
        """The person's, or her device's, the gravest that she is told of first. Raises: StoreDown."""
        return (await self.in_force_of_each(room, [(person, device)]))[0]

    async def in_force_of_each(self, room: str, people: list[tuple[str, str]]) -> list[SilenceRecord | None]:
        """The same for many (person, device)."""
        fields = [field for person, device in people for field in (f"p:{person}", f"d:{device}")]
        found: Any = await self._redis.hmget(keys.silences(room), [*fields, LOADED])
        if found[-1] is None:
            # Redis came back empty: who is banned must not be taken for somebody else.
            await self.load_if_empty(room)
            found = await self._redis.hmget(keys.silences(room), fields)
        now = self._now_ms()
        chosen: list[SilenceRecord | None] = []
        for n, (_, device) in enumerate(people):
            both = found[2 * n : 2 * n + (2 if device else 1)]
            records = [silence_of(stored)[1] for stored in both if stored is not None]
            records = [record for record in records if record.until_ms > now]
            chosen.append(min(records, key=lambda record: GRAVEST_FIRST.index(record.kind), default=None))
        return chosen

    async def bans(self, room: str) -> dict[str, SilenceRecord]:
        """Bans and shadow bans in force by the field they are found under: `p:<person>`, `d:<device>`. Raises:
        StoreDown."""
        await self.load_if_empty(room)
        found: Any = await self._redis.hgetall(keys.silences(room))
        now = self._now_ms()
        records = {
            field.decode(): silence_of(stored)[1] for field, stored in found.items() if field[:2] in (b"p:", b"d:")
        }
        return {
            field: record for field, record in records.items() if record.kind != "timeout" and record.until_ms > now
        }

    async def silences_in_force(self, room: str) -> list[SilencedPerson]:
        found: Any = await self._redis.hgetall(keys.silences(room))
        now = self._now_ms()
        records = [silence_of(stored)[1] for field, stored in found.items() if field.startswith(b"p:")]
        return [
            SilencedPerson(record.person, record.name, public(record)) for record in records if record.until_ms > now
        ]

    async def terms(self, room: str) -> dict[str, TermKind]:
        found: Any = await self._redis.hgetall(keys.terms(room))
        return {term.decode(): kind.decode() for term, kind in sorted(found.items()) if term}

    async def block(self, room: str, term: str, kind: TermKind) -> None:
        if not await self._block(keys=[keys.terms(room)], args=[term, kind, MAX_TERMS]):
            raise Invalid("term", f"there are {MAX_TERMS} already")

    async def free(self, room: str, term: str) -> None:
        await self._redis.hdel(keys.terms(room), term)

    async def mode(self, room: str) -> Mode:
        stored: Any = await self._redis.hgetall(keys.mode(room))
        return mode_of(stored)

    async def set_mode(self, room: str, changes: dict[str, Any]) -> Mode:
        """Only the fields named: two moderators who set two things have set both."""
        if changes:
            stored: dict[Any, Any] = {
                name: int(value) if isinstance(value, bool) else value for name, value in changes.items()
            }
            await self._redis.hset(keys.mode(room), mapping=stored)
        return await self.mode(room)

    async def _replace(self, room: str, person: str, fields: list[Any]) -> SilenceRecord | None:
        args = [person, TURN, new_epoch(), *fields]
        found: bytes | None = await self._silence(keys=[keys.silences(room)], args=args)
        return None if found is None else silence_of(found)[1]

    async def _is_loaded(self, room: str) -> bool:
        # One key may have been evicted or deleted without the other.
        silences = await self._redis.hexists(keys.silences(room), LOADED)
        terms = await self._redis.hexists(keys.terms(room), "")
        return bool(silences and terms)


def decided_value(decision: Decision) -> str:
    """As `decide.lua` writes it."""
    return f"{decision.verdict} {decision.by} {decision.made or '-'} {decision.by_name}"


def _cases(cases: list[Case], kinds: tuple[str, ...]) -> dict[str, bytes]:
    return {case.id: msgspec.json.encode(case) for case in cases if case.kind in kinds}


def _fields(record: SilenceRecord) -> dict[str, bytes]:
    stored = b"%d %b" % (record.until_ms, msgspec.json.encode(record))
    fields = {f"p:{record.person}": stored}
    if record.device:
        fields[f"d:{record.device}"] = stored
    if record.network and record.network_until_ms:
        fields[f"n:{record.network}"] = b"%d %d %b" % (record.network_until_ms, record.wall_ms, record.person.encode())
    return fields


def _entry(line: Line) -> tuple[str, str, bytes]:
    """Its number, who said it, and the log's entry."""
    number = line.id.rpartition(".")[2]
    return number, line.person, numbered(int(number), tail("line.posted", LinePosted(line), at=line.at))


def _stored(mode: dict[str, Any]) -> dict[Any, Any]:
    """The fields of a mode, or some of them, as Redis keeps them."""
    return {name: int(value) if isinstance(value, bool) else value for name, value in mode.items()}
