"""The line of a hot drop: a lobby until it opens, then those who were there in an order that was drawn, then tickets.
The first of it are let in as pieces allow, each with a window of her own to hold one.

Each step is one script (store/lua/line_*.lua). The draw itself is a row in SQL, written before anybody is told: a store
that was emptied after it lays the same order again. What it loses: tickets, which are taken anew, and before the draw
the lobby, into which open pages come back by themselves. Fails closed.
Source: docs/decisions/0118-a-hot-drop-is-drawn.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.errors import NotFound, OverLimit, Overloaded, StoreDown
from live.events import Place, PlaceState
from live.shop.drop_terms import DropTerms, heed
from live.store import keys
from live.store.redis import load_script
from live.store.sql import Database
from live.store.tables import drawn_lines

LIFE_S = 2 * 86_400
PEOPLE_MOST = 200_000
WINDOW_S = 60  # who is let in has so long to hold a piece
GRACE_S = 30  # who is away when it would be her turn keeps her place so long
DRAW_PART = 2_000  # people laid by one script: a few ms of the store
HEADS = 200  # of the line, looked at in one round

Came = Literal["TURN", "PASSED", "LOST"]


class Drawn(NamedTuple):
    """A line that was drawn, as SQL has it. `entries` are sorted."""

    commitment: str
    seed: str
    entries: list[str]
    entries_digest: str
    drawn_ms: int


class Round(NamedTuple):
    """What one round of letting in came to: `came` are (what, person, until_ms)."""

    gone: int
    waiting: int
    came: list[tuple[Came, str, int]]


def name_of(look: str, commitment: str) -> str:
    """A line belongs to one arming of its look: armed again, it begins anew."""
    return f"{look}:{commitment[:12]}"


class Lines:
    """The lines of hot drops, by their terms."""

    def __init__(self, redis: Redis, db: Database, clock: Clock) -> None:
        self._redis = redis
        self._db = db
        self._clock = clock
        self._join = load_script(redis, "line_join")
        self._place = load_script(redis, "line_place")
        self._leave = load_script(redis, "line_leave")
        self._seal = load_script(redis, "line_seal")
        self._draw = load_script(redis, "line_draw")
        self._admit = load_script(redis, "line_admit")

    # ---- a person's place ------------------------------------------------------------------------

    async def join(self, show_id: str, person: str, device: str, terms: DropTerms) -> Place:
        """Into the lobby, or to the end of the line; who stands there keeps her place.

        Raises: OverLimit (another person of this device stands there), Overloaded, Closed, Stale, StoreDown."""
        answer = await self._join(
            [*keys.line(show_id, terms.line), keys.stage(show_id)],
            [self._clock.now_ms(), person, device, *terms.times, LIFE_S, PEOPLE_MOST],
        )
        heed(terms, answer[0].split())
        if answer[0] == b"DEVICE":
            raise OverLimit(terms.look, 1, "device")
        if answer[0] == b"FULL":
            raise Overloaded()
        return _place(terms.look, answer)

    async def place(self, show_id: str, person: str, look: str, line: str) -> Place:
        """Where she stands. Raises: StoreDown."""
        return _place(look, await self._place(keys.line(show_id, line), [self._clock.now_ms(), person]))

    async def place_of_each(self, show_id: str, people: Sequence[str], look: str, line: str) -> list[Place]:
        """`place` of many. Raises: StoreDown."""
        where, now_ms = keys.line(show_id, line), self._clock.now_ms()
        return [_place(look, found) for found in await self._place.each([(where, [now_ms, one]) for one in people])]

    async def leave(self, show_id: str, person: str, line: str) -> bool:
        """Give the place up; whether there was one. Raises: StoreDown."""
        return bool(await self._leave(keys.line(show_id, line), [person]))

    # ---- the draw --------------------------------------------------------------------------------

    async def sealed(self, show_id: str, terms: DropTerms) -> list[str] | None:
        """Who is to be drawn, the same people each time; None before the opening and after the draw."""
        state, lobby, *_ = keys.line(show_id, terms.line)
        what, *people = await self._seal([state, lobby], [self._clock.now_ms(), terms.opens_ms, LIFE_S])
        return [person.decode() for person in people[0]] if what == b"SEALED" else None

    async def record(self, show_id: str, look: str, drawn: Drawn) -> Drawn:
        """Write the draw down, once: the first who did is who is believed."""
        row = {
            "look_id": look,
            "commitment": drawn.commitment,
            "show_id": show_id,
            "seed": drawn.seed,
            "entries": msgspec.json.encode(drawn.entries).decode(),
            "entries_digest": drawn.entries_digest,
            "people": len(drawn.entries),
            "drawn_ms": drawn.drawn_ms,
        }
        try:
            await self._db.write(lambda sql: sql.execute(insert(drawn_lines).values(row)) and None)
        except IntegrityError:
            return await self.drawn(look, drawn.commitment)
        return drawn

    async def drawn(self, look: str, commitment: str) -> Drawn:
        """Raises: NotFound while it was not drawn."""
        found = await self._db.read(lambda sql: _drawn(sql, look, commitment))
        if found is None:
            raise NotFound("draw", look)
        return found

    async def lay(self, show_id: str, line: str, order: Sequence[str]) -> bool:
        """Put the order that was drawn into the line; whether this call did. Any number of times."""
        state, _lobby, _who, queue, *_ = keys.line(show_id, line)
        made = 0
        for start in range(0, max(1, len(order)), DRAW_PART):
            part = order[start : start + DRAW_PART]
            last = "1" if start + DRAW_PART >= len(order) else "0"
            made = await self._draw([state, queue], [LIFE_S, start + 1, last, *part])
        return bool(made)

    # ---- letting in ------------------------------------------------------------------------------

    async def heads(self, show_id: str, line: str) -> list[str]:
        """The first of the line."""
        found: Any = await self._asked(self._redis.zrange(keys.line(show_id, line)[3], 0, HEADS - 1))
        return [person.decode() for person in found]

    async def everyone(self, show_id: str, line: str) -> list[str]:
        """Everybody in the line, the first first."""
        found: Any = await self._asked(self._redis.zrange(keys.line(show_id, line)[3], 0, -1))
        return [person.decode() for person in found]

    async def admit(self, show_id: str, line: str, skus: Sequence[str], heads: Sequence[tuple[str, bool]]) -> Round:
        """Let in as many of `heads` (person, is she there) as `skus` have units nobody's window stands for.

        Raises: StoreDown."""
        args: list[str | int] = [self._clock.now_ms(), WINDOW_S * 1000, GRACE_S * 1000, LIFE_S, len(skus), *skus]
        for person, there in heads:
            args += [person, int(there)]
        answer = await self._admit([*keys.line(show_id, line), keys.gate(show_id)], args)
        if answer[0] == b"NOGATE":
            raise StoreDown("redis")  # being made again; the next round finds it
        gone, waiting, flat = answer
        came = [
            (cast("Came", what.decode()), person.decode(), int(until_ms))
            for what, person, until_ms in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        ]
        return Round(int(gone), int(waiting), came)

    async def _asked(self, command: Any) -> Any:
        try:
            return await command
        except (RedisError, OSError) as why:
            raise StoreDown("redis") from why


def _place(look: str, answer: Sequence[bytes]) -> Place:
    what, number, gone = answer[0].decode(), int(answer[1]), int(answer[2])
    state = cast("PlaceState", what.lower())
    if what in ("TURN", "TOOK"):
        return Place(look, state, gone=gone, until_ms=number)
    return Place(look, state, ahead=number, gone=gone)


def _drawn(sql: Connection, look: str, commitment: str) -> Drawn | None:
    row = sql.execute(
        select(drawn_lines).where(drawn_lines.c.look_id == look, drawn_lines.c.commitment == commitment)
    ).first()
    if row is None:
        return None
    entries = msgspec.json.decode(row.entries, type=list[str])
    return Drawn(row.commitment, row.seed, entries, row.entries_digest, row.drawn_ms)
