"""What was decided: in force in Redis, lasting in the Archive, put back from there when Redis is empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from chat import keys
from chat.bus import RedisBus
from chat.errors import Invalid, StoreDown
from chat.history import mode_of, script
from chat.moderation.kinds import Mode, Silence, SilencedPerson, TermKind
from chat.moderation.rules import MAX_TERMS
from chat.ports import Archive, SilenceRecord


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
        self._archive = archive
        self._now_ms = now_ms
        self._load = script(bus.redis, "load")
        self._lift = script(bus.redis, "lift")
        self._block = script(bus.redis, "block")

    async def load_if_empty(self, room: str) -> None:
        """Put back what the Archive holds, if Redis has forgotten it.

        Fails closed: a room whose bans can't be read takes no lines of viewers. Raises: StoreDown."""
        if await self._is_loaded(room):
            return
        try:
            record = await self._archive.load(room, self._now_ms())
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
        ]
        pairs = [value for part in parts for pair in part.items() for value in pair]
        await self._load(
            keys=[keys.silences(room), keys.terms(room), keys.mode(room), keys.questions(room)],
            args=[*map(len, parts), *pairs],
        )

    async def silence(self, room: str, record: SilenceRecord) -> None:
        await self._redis.hset(keys.silences(room), mapping=_fields(record))  # type: ignore[arg-type]

    async def lift(self, room: str, person: str) -> SilenceRecord | None:
        """What was lifted, or None."""
        found: bytes | None = await self._lift(keys=[keys.silences(room)], args=[person])
        return None if found is None else silence_of(found)[1]

    async def in_force(self, room: str, person: str, device: str) -> SilenceRecord | None:
        """The person's, or her device's; one that she is told of before one that she isn't."""
        found: Any = await self._redis.hmget(keys.silences(room), [f"p:{person}", f"d:{device}"])
        records = [silence_of(stored)[1] for stored in found[: 2 if device else 1] if stored is not None]
        records = [record for record in records if record.until_ms > self._now_ms()]
        return min(records, key=lambda record: record.kind == "shadow", default=None)

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

    async def _is_loaded(self, room: str) -> bool:
        # One key may have been evicted or deleted without the other.
        silences = await self._redis.hexists(keys.silences(room), "loaded")
        terms = await self._redis.hexists(keys.terms(room), "")
        return bool(silences and terms)


def _fields(record: SilenceRecord) -> dict[str, bytes]:
    stored = b"%d %b" % (record.until_ms, msgspec.json.encode(record))
    fields = {f"p:{record.person}": stored}
    if record.device:
        fields[f"d:{record.device}"] = stored
    if record.network and record.network_until_ms:
        fields[f"n:{record.network}"] = b"%d %d %b" % (record.network_until_ms, record.wall_ms, record.person.encode())
    return fields


def _stored(mode: dict[str, Any]) -> dict[Any, Any]:
    """The fields of a mode, or some of them, as Redis keeps them."""
    return {name: int(value) if isinstance(value, bool) else value for name, value in mode.items()}
