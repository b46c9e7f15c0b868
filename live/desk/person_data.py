"""A person's data: all of it in one answer, or gone.

A person is an id that a browser's session carries; nothing here asks for a name. What she said, her questions, notes on
her, and what identifies her in bans (device, network) can be erased; orders and their payments are kept, because
accounts must be (ten years in most of Europe), and so is *that* a moderator acted, without the words
(docs/decisions/0136-an-act-outlives-its-words.md). Erasing a person lifts her bans: nothing is left to know her by.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

import msgspec
from redis.asyncio import Redis
from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, or_, select, update

from chat import keys as chat_keys
from chat.bus import RedisBus
from chat.history import script
from chat.message import Line
from chat.moderation.office import Office
from chat.moderation.store import Decisions
from chat.ports import Act
from chat.questions import Questions
from live.clock import Clock
from live.desk import audit_log, line_rows
from live.desk.archive import SqlArchive
from live.desk.people import HOUSE
from live.errors import NotFound, StoreDown
from live.play.service import PlayService
from live.shop import coupons
from live.shop.payments.port import Provider
from live.shop.saved import SavedBuyer, SavedBuyers
from live.store import keys
from live.store.sql import Database
from live.store.tables import (
    audit,
    cases,
    chat_lines,
    orders,
    outbox,
    person_notes,
    promotions,
    questions,
    room_pins,
    shows,
    silences,
)

ORDERS_KEPT = "Orders and payments are kept as long as tax and accounting law asks, then go with the accounts."
BACKUPS_KEPT = "Backups made before hold the data until they are deleted; restore none without erasing again."
ROOM_NOTICES = ("line.held", "line.removed", "line.reported", "person.banned", "person.timed_out")

Rows = list[dict[str, Any]]


class Export(msgspec.Struct, frozen=True):
    """What is kept of a person, as rows of the tables; `saved` is what her devices were asked to remember, unsealed,
    which is no brand's: narrowed to brands it is left out."""

    person: str
    lines: Rows
    questions: Rows
    silences: Rows
    notes: Rows
    cases: Rows
    acts: Rows
    orders: Rows
    coupons: Rows
    saved: Rows = []

    @property
    def is_empty(self) -> bool:
        room = (self.lines, self.questions, self.silences, self.notes, self.cases, self.acts)
        return not any((*room, self.orders, self.coupons, self.saved))


class Erased(msgspec.Struct, frozen=True):
    """How many of each went, how many orders stay, and why."""

    person: str
    lines: int
    questions: int
    silences: int
    notes: int
    cases: int
    acts: int
    orders_kept: int
    kept: tuple[str, ...] = (ORDERS_KEPT, BACKUPS_KEPT)


class PersonData:
    """`brands` narrows both to the shows of those; None: everywhere."""

    def __init__(
        self,
        db: Database,
        redis: Redis,
        bus: RedisBus,
        archive: SqlArchive,
        clock: Clock,
        saved: SavedBuyers,
        provider: Provider,
        play: PlayService,
    ) -> None:
        self._db = db
        self._saved = saved
        self._provider = provider
        self._play = play
        self._redis = redis
        self._bus = bus
        self._clock = clock
        self._office = Office(bus, Decisions(bus, archive, clock.now_ms), archive, clock.now_ms)
        self._archive = archive
        self._swap = script(redis, "swap")

    async def export(self, person: str, *, brands: Collection[str] | None = None) -> Export:
        def read(sql: Connection) -> Export:
            rooms = _rooms(brands)
            return Export(
                person=person,
                lines=_rows(sql, chat_lines, chat_lines.c.person == person, rooms),
                questions=_rows(sql, questions, questions.c.person == person, rooms),
                silences=_rows(sql, silences, silences.c.person == person, rooms),
                notes=_rows(sql, person_notes, person_notes.c.person == person, rooms),
                cases=_rows(sql, cases, cases.c.person == person, rooms, but=("by", "by_name")),
                acts=_rows(sql, audit, audit.c.target == person, rooms, but=("salt", "seal", "previous", "hash")),
                orders=_rows(sql, orders, orders.c.buyer == person, rooms, room=orders.c.show_id),
                coupons=_rows(
                    sql,
                    promotions,
                    promotions.c.buyer == person,
                    None if brands is None else list(brands),
                    room=promotions.c.brand_id,
                ),
            )

        found = await self._db.read(read)
        if brands is not None:
            return found
        _, devices = await self._sessions_of(person)
        kept = await self._saved.of_person(person, devices)
        saved = [_remembered(one) for one in kept.values() if one is not None]
        return msgspec.structs.replace(found, saved=saved)

    async def erase(self, person: str, *, by: str, brands: Collection[str] | None = None) -> Erased:
        """Redis first, so that nobody sees it while SQL is written. Doing it twice is doing it once.

        Raises: NotFound; StoreDown (ask again: what is gone is gone)."""
        only = None if brands is None else await self._db.read(lambda sql: set(sql.execute(_rooms(brands)).scalars()))
        played_in = await self._play.forget(person, only)
        if not played_in and (await self.export(person, brands=brands)).is_empty:
            raise NotFound("person", person)
        for room in sorted({*played_in, *await self._rooms_of(person, brands)}):
            await self._out_of_the_room(room, person)
        await self._play.forget(person, only)  # a game may have come out meanwhile, with her name among the winners'
        if brands is None:
            await self._sign_out(person)
        now = self._clock.now_ms()
        return await self._db.write(lambda sql: _erase(sql, person, by, brands, now))

    async def _rooms_of(self, person: str, brands: Collection[str] | None) -> list[str]:
        def read(sql: Connection) -> list[str]:
            found: set[str] = set()
            for table in (chat_lines, questions, silences, person_notes, cases):
                query = select(table.c.room).where(table.c.person == person, _of(table.c.room, _rooms(brands)))
                found |= set(sql.execute(query.distinct()).scalars())
            return sorted(found)

        return await self._db.read(read)

    async def _out_of_the_room(self, room: str, person: str) -> None:
        office, redis = self._office, self._redis
        await office.decisions.load_if_empty(room)
        await office.decisions.settle_taken(room)  # what waits there for SQL has words of hers
        gone = await office.take_out(room, "*", person, "author")
        await self._archive.lines_removed(room, gone, "erased", self._clock.now_ms())
        await Questions(office, lambda room: None).drop_of(room, person, also_answered=True)
        lifted = await office.decisions.lift(room, person)
        if lifted is not None:
            await self._bus.let_in(room, person, lifted.device)
        for shelf in (chat_keys.cases(room), chat_keys.reports(room), chat_keys.appeals(room)):
            for case, stored in (await redis.hgetall(shelf)).items():
                if msgspec.json.decode(stored)["person"] == person:
                    await redis.hdel(shelf, case)
        await self._unname(room, person)
        await redis.hdel(chat_keys.who(room), person)
        await redis.hdel(chat_keys.crew(room), person)
        await redis.hdel(chat_keys.asked(room), person)
        for key in (chat_keys.own, chat_keys.said, chat_keys.pace, chat_keys.lines_by, chat_keys.raised):
            await redis.delete(key(room, person))
        for what in ("name", "report", "appeal"):
            await redis.delete(chat_keys.spent(room, what, person))

    async def _unname(self, room: str, person: str) -> None:
        """Others' lines that answer or mention her keep her name in the room's log: it goes, their words stay, also as
        the archive has them, which puts them back. What stands elsewhere of what she said goes as well."""
        mark = f'"person":"{person}"'.encode()
        called: dict[str, str] = {}  # lines that called her by name, as they are now
        for key in (chat_keys.log(room), chat_keys.cases(room), chat_keys.reports(room)):
            async for field, entry in self._redis.hscan_iter(key, count=500):
                if mark in entry:
                    # Unless it changed meanwhile: a tombstone must not be undone.
                    now = unnamed(entry, person)
                    await self._swap(keys=[key], args=[field, entry, now])
                    line = msgspec.json.decode(now).get("body", {}).get("line")
                    if line and line.get("text"):
                        called[line["id"]] = line["text"]
        pinned: Any = await self._redis.get(chat_keys.pinned(room))
        if pinned is not None and mark in pinned:
            await self._redis.set(chat_keys.pinned(room), unnamed(pinned, person), xx=True, keepttl=True)
        await self._db.write(lambda sql: _say_anew(sql, called))

    async def _sign_out(self, person: str) -> None:
        """Her sessions end: the nickname goes with them, and what her devices were asked to remember."""
        await self._bus.revoke(person=person)
        sessions, devices = await self._sessions_of(person)
        for tag in await self._saved.of_person(person, devices):
            kept = await self._saved.forget_tag(tag)
            if kept is not None and kept.method is not None and kept.provider == self._provider.name:
                with contextlib.suppress(StoreDown):  # fails open, as web.till: only we could have charged it
                    await self._provider.forget(kept.method.ref)
        for key in sessions:
            await self._redis.delete(key)

    async def _sessions_of(self, person: str) -> tuple[list[bytes], set[str]]:
        """Her sessions' keys, and the devices that they are on."""
        sessions, devices = [], set()
        async for key in self._redis.scan_iter(match=keys.session("*"), count=1000):
            found: Any = await self._redis.hmget(key, ["person", "device"])
            whose, device = found
            if whose == person.encode():
                sessions.append(key)
                devices |= {device.decode()} if device else set()
        return sessions, devices


def unnamed(entry: bytes, person: str) -> bytes:
    """JSON in which `person` is named (a line that answers or mentions her), without her name, and without the text of
    what she said herself. Where another's text calls her `@name`, it says `@…`."""
    found = msgspec.json.decode(entry)
    _unname(found, person)
    return msgspec.json.encode(found)


def _unname(found: Any, person: str) -> None:
    if isinstance(found, list):
        for one in found:
            _unname(one, person)
    elif isinstance(found, dict):
        for mention in found.get("mentions") or ():
            if mention["person"] == person and mention["name"]:
                found["text"] = found["text"].replace(f"@{mention['name']}", "@…")
        if found.get("person") == person:
            found |= {field: "" for field in ("name", "text") if field in found}
        for value in found.values():
            _unname(value, person)


def _remembered(kept: SavedBuyer) -> dict[str, Any]:
    return {
        "contact": msgspec.to_builtins(kept.contact),
        "provider": kept.provider,
        "method_label": kept.method.label if kept.method else "",
        "updated_ms": kept.updated_ms,
    }


def retire(sql: Connection, before_ms: int, now_ms: int) -> int:
    """What is older than the room's memory goes: lines, pins of such, questions, notes, cases, silences that are over,
    acts' words; and networks whose time is up. Answers how many rows."""
    gone = 0
    for table in (chat_lines, questions, person_notes, cases):
        gone += sql.execute(delete(table).where(table.c.wall_ms < before_ms)).rowcount
    gone += sql.execute(delete(room_pins).where(room_pins.c.wall_ms < before_ms, ~_is_kept(room_pins.c.line))).rowcount
    is_over = or_(silences.c.until_ms < before_ms, silences.c.lifted_ms < before_ms)
    gone += sql.execute(delete(silences).where(is_over)).rowcount
    # The house's acts are on its keys and its terms of sale, and hold no words of people in a room.
    gone += audit_log.erase(sql, and_(audit.c.wall_ms < before_ms, audit.c.room != HOUSE), now_ms)
    unseen = update(silences).where(silences.c.network != "", silences.c.network_until_ms < now_ms)
    sql.execute(unseen.values(network="", network_until_ms=0))
    return gone


def _is_kept(line: ColumnElement[str]) -> ColumnElement[bool]:
    return select(chat_lines.c.id).where(chat_lines.c.id == line).exists()


def _erase(sql: Connection, person: str, by: str, brands: Collection[str] | None, now: int) -> Erased:
    rooms = _rooms(brands)
    hers = (chat_lines.c.person == person, _of(chat_lines.c.room, rooms))
    line_ids = list(sql.execute(select(chat_lines.c.id).where(*hers)).scalars())
    about_her = (audit.c.target == person, _of(audit.c.room, rooms))
    rooms_written = set(sql.execute(select(audit.c.room).where(*about_her).distinct()).scalars())
    rooms_written |= set(sql.execute(select(chat_lines.c.room).where(*hers).distinct()).scalars())
    # A row stays for each line, without words or author: one that is still on its way here must not come back.
    blank = {"person": "", "name": "", "text": "", "removed_ms": now, "removed_by": "erased"}
    blank |= {"badge": "", "reply": None, "mentions": "[]"}
    lines = sql.execute(update(chat_lines).where(*hers).values(**blank)).rowcount
    counts: dict[str, int] = {}
    hers_too = (("questions", questions), ("silences", silences), ("notes", person_notes), ("cases", cases))
    for name, table in hers_too:
        which = (table.c.person == person, _of(table.c.room, rooms))
        counts[name] = sql.execute(delete(table).where(*which)).rowcount
    _unname_lines(sql, person, rooms)
    _unname_cases(sql, person, rooms)
    acts = audit_log.erase(sql, and_(*about_her), now)
    for start in range(0, len(line_ids), 500):
        acts += audit_log.erase(sql, audit.c.target.in_(line_ids[start : start + 500]), now)
    _forget_notices(sql, person, rooms)
    coupons.erase(sql, person, None if brands is None else sorted(brands), now)
    kept = select(func.count()).select_from(orders).where(orders.c.buyer == person, _of(orders.c.show_id, rooms))
    orders_kept = int(sql.execute(kept).scalar_one())
    for room in sorted(rooms_written):
        audit_log.append(sql, Act(room, by, "person.erase", person, "", "", "", now))
    return Erased(
        person,
        lines=int(lines),
        questions=counts["questions"],
        silences=counts["silences"],
        notes=counts["notes"],
        cases=counts["cases"],
        acts=acts,
        orders_kept=orders_kept,
    )


def _say_anew(sql: Connection, texts: dict[str, str]) -> None:
    for line, text in texts.items():
        sql.execute(update(chat_lines).where(chat_lines.c.id == line, chat_lines.c.text != "").values(text=text))


def _unname_lines(sql: Connection, person: str, rooms: Any) -> None:
    """Others' lines that answer her or call her by name."""
    mark = f'"person":"{person}"'
    names_her = (chat_lines.c[column].contains(mark, autoescape=True) for column in ("reply", "mentions"))
    for row in sql.execute(select(chat_lines).where(or_(*names_her), _of(chat_lines.c.room, rooms))).all():
        line = msgspec.json.decode(unnamed(msgspec.json.encode(line_rows.line_of(row)), person), type=Line)
        values = {"text": line.text, **line_rows.named(line)}
        sql.execute(update(chat_lines).where(chat_lines.c.id == row.id).values(values))


def _unname_cases(sql: Connection, person: str, rooms: Any) -> None:
    """Others' cases that hold a line of hers (reports that were gathered), or one that names her."""
    named = cases.c.body.contains(f'"person":"{person}"', autoescape=True)
    found = sql.execute(select(cases.c.room, cases.c.id, cases.c.body).where(named, _of(cases.c.room, rooms))).all()
    for row in found:
        this = (cases.c.room == row.room, cases.c.id == row.id)
        sql.execute(update(cases).where(*this).values(body=unnamed(row.body.encode(), person).decode()))


def _forget_notices(sql: Connection, person: str, rooms: Any) -> None:
    """What other systems were told of her in those rooms, or will be: the deliveries go with it."""
    about = outbox.c.body.contains(f'"person":"{person}"', autoescape=True)
    told = sql.execute(select(outbox.c.id, outbox.c.body).where(outbox.c.kind.in_(ROOM_NOTICES), about)).all()
    if rooms is not None:
        within = set(sql.execute(rooms).scalars())
        told = [row for row in told if msgspec.json.decode(row.body)["show"] in within]
    for start in range(0, len(told), 500):
        sql.execute(delete(outbox).where(outbox.c.id.in_([row.id for row in told[start : start + 500]])))


def _rooms(brands: Collection[str] | None) -> Any:
    return None if brands is None else select(shows.c.id).where(shows.c.brand_id.in_(list(brands)))


def _of(room: Any, rooms: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = room.is_not(None) if rooms is None else room.in_(rooms)
    return found


def _rows(
    sql: Connection,
    table: Table,
    which: ColumnElement[bool],
    rooms: Any,
    *,
    room: Any = None,
    but: tuple[str, ...] = (),
) -> Rows:
    query = select(*(column for column in table.c if column.name not in but))
    query = query.where(which, _of(table.c.room if room is None else room, rooms))
    return [dict(row) for row in sql.execute(query).mappings()]
