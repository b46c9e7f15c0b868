"""What was decided: in force in Redis, lasting in the Archive, put back from there when Redis is empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from chat import keys
from chat.bus import RedisBus
from chat.errors import Invalid, StoreDown
from chat.history import script
from chat.kinds import Mode, Silence, SilencedPerson
from chat.moderation.rules import MAX_TERMS
from chat.ports import Archive, SilenceRecord


def silence_of(stored: bytes) -> tuple[int, SilenceRecord]:
    """A stored value is `until_ms record`: the scripts compare the number without reading the JSON."""
    until_ms, _, record = stored.partition(b" ")
    return int(until_ms), msgspec.json.decode(record, type=SilenceRecord)


def public(record: SilenceRecord) -> Silence:
    return Silence(record.until_ms, record.reason, record.kind)


class Decisions:
    """Silences, blocked terms and mode of rooms. Methods raise redis' RedisError when the store is down."""

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
        args: list[Any] = []
        for silence in record.silences:
            for field in _fields(silence):
                args += [field, _stored(silence)]
        await self._load(keys=[keys.silences(room), keys.terms(room)], args=[len(args) // 2, *args, *record.terms])

    async def silence(self, room: str, record: SilenceRecord) -> None:
        await self._redis.hset(keys.silences(room), mapping={field: _stored(record) for field in _fields(record)})

    async def lift(self, room: str, person: str) -> SilenceRecord | None:
        """What was lifted, or None."""
        found: bytes | None = await self._lift(keys=[keys.silences(room)], args=[person])
        return None if found is None else silence_of(found)[1]

    async def silence_in_force(self, room: str, person: str, device: str) -> Silence | None:
        found: Any = await self._redis.hmget(keys.silences(room), [f"p:{person}", f"d:{device}"])
        for stored in found[: 2 if device else 1]:
            if stored is not None:
                until_ms, record = silence_of(stored)
                if until_ms > self._now_ms():
                    return public(record)
        return None

    async def silences_in_force(self, room: str) -> list[SilencedPerson]:
        found: Any = await self._redis.hgetall(keys.silences(room))
        now = self._now_ms()
        records = [silence_of(stored)[1] for field, stored in found.items() if field.startswith(b"p:")]
        return [
            SilencedPerson(record.person, record.name, public(record)) for record in records if record.until_ms > now
        ]

    async def terms(self, room: str) -> list[str]:
        found: Any = await self._redis.smembers(keys.terms(room))
        return sorted(term.decode() for term in found if term)

    async def block(self, room: str, term: str) -> None:
        if not await self._block(keys=[keys.terms(room)], args=[term, MAX_TERMS]):
            raise Invalid("term", f"there are {MAX_TERMS} already")

    async def free(self, room: str, term: str) -> None:
        await self._redis.srem(keys.terms(room), term)

    async def mode(self, room: str) -> Mode:
        slow_s, links = await self._redis.hmget(keys.mode(room), ["slow_s", "links"])
        return Mode(int(slow_s or 0), bool(int(links or 0)))

    async def set_mode(self, room: str, mode: Mode) -> None:
        await self._redis.hset(keys.mode(room), mapping={"slow_s": mode.slow_s, "links": int(mode.links)})

    async def _is_loaded(self, room: str) -> bool:
        # One key may have been evicted or deleted without the other.
        silences = await self._redis.hexists(keys.silences(room), "loaded")
        terms = await self._redis.sismember(keys.terms(room), "")
        return bool(silences and terms)


def _fields(record: SilenceRecord) -> list[str]:
    return [f"p:{record.person}", *([f"d:{record.device}"] if record.device else [])]


def _stored(record: SilenceRecord) -> bytes:
    return b"%d %b" % (record.until_ms, msgspec.json.encode(record))
