"""The relays as the others see them: which one takes a publisher or a viewer, orders to one or to all, and the dead.

A relay's entry in Redis lives 10 s longer than a relay that was killed. Whoever notices first (a connection to its
control port that ends, an order or a pipe that is refused) takes the entry away, and tells the rooms of its shows, so
that players join anew at once (docs/decisions/0071).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from typing import Any, NamedTuple, TypeVar

import httpx
import msgspec
import structlog
from redis.asyncio import Redis
from starlette.exceptions import HTTPException

from chat.bus import RedisBus
from live import events
from live.clock import SystemClock
from live.errors import Conflict, NotFound, NotLive, Overloaded
from live.ids import sign
from live.media.seen import LinesSeen, ShowSeen
from live.store import keys
from live.store.redis import load_script

log = structlog.get_logger(__name__)

T = TypeVar("T")

ANSWERS_WITHIN_S = 5.0
TELLS_WITHIN_S = 3.0
LOOKED_AT_S = 0.25  # a crowd that comes at once asks Redis for the relays only so often
ALIKE = 0.02  # of a relay's places: loads this near count as the same, so that few viewers don't need two relays
FULL = 0.999
_ID = re.compile(r"relay_[0-9A-Za-z]+")


class RelayGone(Exception):
    """The control address is refused, or somebody else's by now: the relay of that id is dead and was forgotten."""


class Entry(NamedTuple):
    """A relay as it tells of itself. `load`: 0 empty, 1 takes nobody. `pipe`: path of its Unix socket, "" for none.
    `shows` have their publisher there, `mirrors` it has from another relay."""

    id: str
    control: str
    load: float
    capacity: int
    pipe: str
    shows: frozenset[str]
    mirrors: frozenset[str]
    beat_ms: int


class Relays:
    """Reads the registry that relays write (`live/relay/registry.py`). `key`: the server's secret."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._clock = SystemClock()
        self._bus = RedisBus(redis, now_ms=self._clock.now_ms)
        self._token = sign(key, "relay-control", "v1")
        self._give_up = load_script(redis, "give_up")
        self._take_entry = load_script(redis, "take_entry")
        self._client: httpx.AsyncClient | None = None  # for what all relays are told
        self._looked: tuple[float, list[Entry]] = (-1.0, [])
        self._sent: dict[str, tuple[int, int]] = {}  # relay -> (beat_ms, viewers sent there since that beat)

    # ---- which one -----------------------------------------------------------------------------

    async def all(self) -> list[Entry]:
        """Those that beat. Entries that are gone leave the set. Raises redis-py's errors."""
        members: Any = await self._redis.smembers(keys.RELAYS)
        ids = sorted(_text(member) for member in members)
        fields = ["control", "load", "capacity", "pipe", "shows", "mirrors", "beat_ms"]
        async with self._redis.pipeline(transaction=False) as pipe:
            for relay_id in ids:
                pipe.hmget(keys.relay(relay_id), fields)
            rows = await pipe.execute()
        found = []
        for relay_id, row in zip(ids, rows, strict=True):
            if row[0] is None:
                await self._redis.srem(keys.RELAYS, relay_id)  # it stopped beating
            else:
                found.append(_entry(relay_id, row))
        return found

    async def origin(self, show: str) -> Entry | None:
        """The relay that has the show's publisher, or had her and lives. Raises redis-py's errors."""
        relay_id = await self.of_show(show)
        return next((entry for entry in await self.all() if entry.id == relay_id), None) if relay_id else None

    async def pipe_of(self, show: str) -> str | None:
        """Path of a pipe on this machine that the show comes out of: its origin's, else that of any relay here, which
        mirrors the show for who asks. Raises redis-py's errors."""
        found = await self.all()
        holder = await self.of_show(show)
        if holder is None:
            return None
        # A path that is there is on this machine: ids, and so names, are never used twice.
        here = [entry for entry in found if entry.pipe and os.path.exists(entry.pipe)]  # noqa: ASYNC240, PTH110
        here.sort(key=lambda entry: (entry.id != holder, show not in entry.mirrors, entry.load))
        return here[0].pipe if here else None

    async def of_show(self, show: str) -> str | None:
        """The relay that has the show's publisher, or had her less than 10 s ago."""
        found = await self._redis.get(keys.relay_of_show(show))
        return _text(found) if found is not None else None

    async def for_publisher(self, show: str) -> str:
        """The relay that has the show already, so that its viewers stay; else the one with most room. Raises
        Overloaded."""
        origin = await self.origin(show)
        if origin is not None and origin.capacity > 0:
            return origin.id
        open_to_her = [entry for entry in await self.all() if entry.capacity > 0]
        if not open_to_her:
            raise Overloaded(retry_after_s=1)
        return min(open_to_her, key=lambda entry: (entry.load, entry.id)).id

    async def for_viewer(self, show: str) -> str:
        """The relay with most room; of several alike one that has the show. Where it hasn't, it mirrors the origin.

        While the origin has just died any relay will do: it waits a moment for the publisher who comes back.
        Raises NotLive, Overloaded.
        """
        origin = await self.of_show(show)
        if origin is None and not await self._was_on_air(show):
            raise NotLive("waiting", retry_after_s=1)
        now = time.monotonic()
        if now - self._looked[0] > LOOKED_AT_S:
            self._looked = (now, await self.all())
        rooms = [(load, entry) for entry in self._looked[1] if (load := self._expected(entry)) < FULL]
        if not rooms:
            raise Overloaded(retry_after_s=2 if self._looked[1] else 1)
        least = min(load for load, _ in rooms)
        alike = [(load, entry) for load, entry in rooms if load <= least + ALIKE]
        _, chosen = min(alike, key=lambda room: (room[1].id != origin, show not in room[1].mirrors, room))
        beat_ms, sent = self._sent.get(chosen.id, (0, 0))
        self._sent[chosen.id] = (chosen.beat_ms, sent + 1 if beat_ms == chosen.beat_ms else 1)
        return chosen.id

    def _expected(self, entry: Entry) -> float:
        """Its load, and who was sent there since it told of it: else a crowd within a beat goes to one relay."""
        if entry.capacity <= 0:
            return 1.0
        beat_ms, sent = self._sent.get(entry.id, (0, 0))
        return entry.load + (sent / entry.capacity if beat_ms == entry.beat_ms else 0)

    def is_full(self, relay_id: str) -> None:
        """It refused a viewer: nobody is sent there before it tells of itself again."""
        for entry in self._looked[1]:
            if entry.id == relay_id:
                self._sent[relay_id] = (entry.beat_ms, entry.capacity)

    async def _was_on_air(self, show: str) -> bool:
        state = await self._redis.hget(keys.media(show), "state")
        return state in (b"live", b"slate")

    # ---- orders to one -------------------------------------------------------------------------

    async def ask(self, relay_id: str, show: str, method: str, path: str, **what: Any) -> httpx.Response:
        """One order; its refusal in the words of this API. Raises RelayGone, Error and HTTPException."""
        if not _ID.fullmatch(relay_id):
            raise RelayGone  # out of a stranger's address: it must not name another key
        control = await self._redis.hget(keys.relay(relay_id), "control")
        if control is None:
            await self._give_up([keys.relay_of_show(show)], [relay_id])
            raise RelayGone
        headers = what.pop("headers", {}) | {"Authorization": f"Bearer {self._token}", "Relay": relay_id}
        try:
            # No TLS context is made for a plain address, so a client a request costs little.
            async with httpx.AsyncClient(timeout=ANSWERS_WITHIN_S, trust_env=False, verify=False) as client:  # noqa: S501
                answer = await client.request(method, f"{_text(control)}{path}", headers=headers, **what)
        except httpx.ConnectError:
            await self._dead(relay_id, show)
            raise RelayGone from None
        except httpx.HTTPError:
            raise Overloaded(retry_after_s=2) from None  # busy, or gone just now: the next try finds out
        if answer.status_code == 421:  # a new process on the old one's port
            await self._dead(relay_id, show)
            raise RelayGone
        if not answer.is_success:
            raise _refusal(answer)
        return answer

    # ---- what all are told ---------------------------------------------------------------------

    async def addresses(self) -> list[str]:
        """Control addresses (`http://127.0.0.1:41234`) of the relays that beat."""
        return [entry.control for entry in await self.all()]

    async def drop_publisher(self, show: str) -> None:
        """The key that the publisher came with is void: cut it."""
        await self._tell_all(f"/shows/{show}/drop-publisher")

    async def end(self, show: str) -> None:
        """The show is over: publisher and viewers are let go."""
        await self._tell_all(f"/shows/{show}/end")

    async def stats(self) -> list[object]:
        """What each relay says of itself; one that doesn't answer is left out."""
        answers = await asyncio.gather(*(self._tell("GET", address, "/stats") for address in await self.addresses()))
        return [answer for answer in answers if answer is not None]

    async def seen(self, show: str, *, worst: int) -> list[tuple[str, ShowSeen]]:
        """(relay, its part of the show) of all that answer."""
        return await self._look(f"/shows/{show}/seen?worst={worst}", ShowSeen)

    async def lines(self, show: str, *, most: int) -> list[tuple[str, LinesSeen]]:
        """(relay, its worst lines) of all that answer."""
        return await self._look(f"/shows/{show}/viewers?most={most}", LinesSeen)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _tell_all(self, path: str) -> None:
        # Fails open: a relay that doesn't hear it is gone or about to be, and the show's state stands in SQL.
        await asyncio.gather(*(self._tell("POST", address, path) for address in await self.addresses()))

    async def _look(self, path: str, kind: type[T]) -> list[tuple[str, T]]:
        entries = await self.all()
        answers = await asyncio.gather(*(self._tell("GET", entry.control, path) for entry in entries))
        found = []
        for entry, answer in zip(entries, answers, strict=True):
            with contextlib.suppress(msgspec.ValidationError):  # a relay of another version: left out
                if answer is not None:
                    found.append((entry.id, msgspec.convert(answer, kind)))
        return found

    async def _tell(self, method: str, address: str, path: str) -> object | None:
        if self._client is None:
            headers = {"Authorization": f"Bearer {self._token}"}
            self._client = httpx.AsyncClient(timeout=TELLS_WITHIN_S, headers=headers, trust_env=False)
        try:
            answer = await self._client.request(method, f"{address}{path}")
            answer.raise_for_status()
            return answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            log.warning("relay.silent", path=path, error=type(error).__name__)
            return None

    # ---- the dead ------------------------------------------------------------------------------

    async def forget(self, relay_id: str) -> None:
        """It is dead. Of all who notice, one takes its entry away and tells the rooms. Raises redis-py's errors.

        Ids are never used twice, so the entry can't be another's; its shows may have been taken by another already.
        """
        taken = await self._take_entry([keys.relay(relay_id)])
        await self._redis.srem(keys.RELAYS, relay_id)
        self._looked = (-1.0, [])
        if taken is None:
            return
        _, shows, mirrors = (_text(part).split(",") for part in taken)
        log.warning("relay.gone", relay=relay_id, shows=shows)
        for show in filter(None, shows):
            if await self._give_up([keys.relay_of_show(show)], [relay_id]):
                await self._slate(show)
        for show in filter(None, {*shows, *mirrors}):
            await self._bus.hint(show, "relay.gone", events.RelayGone(relay_id))

    async def _dead(self, relay_id: str, show: str) -> None:
        await self.forget(relay_id)
        await self._give_up([keys.relay_of_show(show)], [relay_id])  # claimed since its last beat, perhaps

    async def _slate(self, show: str) -> None:
        """Its origin can't say any more that the picture stands still."""
        state, media_ms, wall_ms = await self._redis.hmget(keys.media(show), ["state", "media_ms", "wall_ms"])
        if state != b"live" or media_ms is None or wall_ms is None:
            return
        now_ms = self._clock.now_ms()
        picture = events.Picture("slate", int(media_ms) + max(0, now_ms - int(wall_ms)), now_ms)
        values: Any = {"state": picture.state, "media_ms": picture.media_ms, "wall_ms": picture.wall_ms}
        await self._redis.hset(keys.media(show), mapping=values)
        await self._bus.publish(show, "picture.changed", events.PictureChanged(picture), at=picture.media_ms)


def _entry(relay_id: str, row: list[bytes | None]) -> Entry:
    control, load, capacity, pipe, shows, mirrors, beat_ms = (_text(value or b"") for value in row)
    return Entry(
        relay_id,
        control,
        float(load or 0),
        int(capacity or 0),
        pipe,
        frozenset(filter(None, shows.split(","))),
        frozenset(filter(None, mirrors.split(","))),
        int(beat_ms or 0),
    )


def _refusal(answer: httpx.Response) -> Exception:
    facts = _facts(answer)
    retry_after_s = int(facts.get("retry_after_s", 2))
    if answer.status_code == 409 and facts.get("error") == "taken":
        return Conflict("another publisher is on", retry_after_s=retry_after_s)
    if answer.status_code == 409:
        return NotLive("waiting", retry_after_s=retry_after_s)
    if answer.status_code == 503:
        return Overloaded(retry_after_s=retry_after_s)
    if answer.status_code == 404:
        return NotFound("session", "")
    if answer.status_code in (400, 412, 422):
        return HTTPException(answer.status_code, detail=str(facts.get("why", "")) or None)
    return HTTPException(502)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _facts(answer: httpx.Response) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = answer.json()
    except ValueError:
        return {}
    return facts
