"""Shows in SQL: found by slug or id, opened and ended once, and their keys for publishing."""

from __future__ import annotations

import builtins
import re

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from chat.rounds import Rounds
from live.clock import Clock
from live.errors import Conflict, Invalid, NotFound
from live.ids import digest, new_id, new_secret
from live.stage import show as rules
from live.stage import timeline
from live.stage.show import Act, Ended, Opened, SecondPublisher, Show
from live.store.sql import Database
from live.store.tables import brands, shows
from live.store.telling import tell

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")  # part of addresses, of WHIP's too


class Shows:
    """The shows of every brand on this server."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._by_slug: Rounds[str, Show] = Rounds(self._by_slugs)  # a hall that comes back asks at once

    async def by_slug(self, slug: str) -> Show:
        """Raises: NotFound."""
        return await self._by_slug.of(slug)

    async def _by_slugs(self, slugs: builtins.list[str]) -> builtins.list[Show | Exception]:
        query = _SELECT.where(shows.c.slug.in_(set(slugs)))
        found = await self._db.read(lambda sql: {row.slug: _show(row) for row in sql.execute(query)})
        return [found.get(slug) or NotFound("show", slug) for slug in slugs]

    async def by_id(self, show_id: str) -> Show:
        """Raises: NotFound."""
        return await self._db.read(lambda sql: _one(sql, shows.c.id == show_id, show_id))

    async def list(self, *, brand_id: str | None = None) -> builtins.list[Show]:
        """Every show, live ones first, then those to come by their start, then those that ended, the last first."""

        def read(sql: Connection) -> builtins.list[Show]:
            query = _SELECT if brand_id is None else _SELECT.where(shows.c.brand_id == brand_id)
            return [_show(row) for row in sql.execute(query)]

        rank = {"live": 0, "scheduled": 1, "ended": 2}
        return sorted(
            await self._db.read(read),
            key=lambda show: (
                rank[show.status],
                -(show.ended_ms or 0) if show.status == "ended" else (show.starts_ms or 0),
                show.id,
            ),
        )

    async def live_ids(self) -> builtins.list[str]:
        """Ids of the shows on air."""
        query = select(shows.c.id).where(shows.c.status == "live")
        return await self._db.read(lambda sql: [str(row.id) for row in sql.execute(query)])

    async def create(
        self,
        brand_id: str,
        slug: str,
        title: str,
        *,
        tagline: str = "",
        poster: str = "",
        starts_ms: int | None = None,
        hold_ttl_s: int = 300,
        max_per_buyer: int = 4,
    ) -> Show:
        """A show to come. Raises: Invalid (slug: small letters, digits and hyphens), Conflict when it is taken."""
        if not SLUG.fullmatch(slug):
            raise Invalid("slug", "takes 1 to 64 small letters, digits and hyphens")
        show_id = new_id("shw")

        def write(sql: Connection) -> Show:
            try:
                sql.execute(
                    insert(shows).values(
                        id=show_id,
                        brand_id=brand_id,
                        slug=slug,
                        title=title,
                        tagline=tagline,
                        poster=poster,
                        status="scheduled",
                        starts_ms=starts_ms,
                        hold_ttl_s=hold_ttl_s,
                        max_per_buyer=max_per_buyer,
                        created_ms=self._clock.now_ms(),
                    )
                )
            except IntegrityError:
                raise Conflict("slug_taken", slug=slug) from None
            return _one(sql, shows.c.id == show_id, show_id)

        return await self._db.write(write)

    async def advance(
        self, show_id: str, act: Act, *, at_ms: int, actor: str
    ) -> tuple[Show, builtins.list[Opened | Ended]]:
        """Open or end the show, with its entry in the timeline, in one transaction.

        Raises: NotFound, WrongState: of two hosts who press at once, the second.
        """
        now_ms = self._clock.now_ms()

        def write(sql: Connection) -> tuple[Show, builtins.list[Opened | Ended]]:
            before = _one(sql, shows.c.id == show_id, show_id, lock=True)
            after, happened = rules.advance(before, act, now_ms)
            sql.execute(
                update(shows)
                .where(shows.c.id == show_id)
                .values(status=after.status, opened_ms=after.opened_ms, ended_ms=after.ended_ms)
            )
            for event in happened:
                timeline.write(sql, show_id, event.kind, at_ms=at_ms, wall_ms=now_ms, actor=actor, body={})
                tell(sql, event.kind, {"show": show_id, "slug": before.slug}, now_ms)
            return after, happened

        return await self._db.write(write)

    async def set_second_publisher(self, show_id: str, rule: SecondPublisher) -> None:
        """Whether who comes with the key takes over from a publisher whose picture is on. Raises: NotFound."""

        def write(sql: Connection) -> None:
            if not sql.execute(update(shows).where(shows.c.id == show_id).values(second_publisher=rule)).rowcount:
                raise NotFound("show", show_id)

        await self._db.write(write)

    async def set_publish_key(self, show_id: str) -> str:
        """A new key for publishing; the one before is void. The only time it is seen: its digest is what we keep.

        Raises: NotFound.
        """
        key = new_secret()

        def write(sql: Connection) -> None:
            values = {"publish_key_digest": digest(key), "publish_key_rotated_ms": self._clock.now_ms()}
            if not sql.execute(update(shows).where(shows.c.id == show_id).values(values)).rowcount:
                raise NotFound("show", show_id)

        await self._db.write(write)
        return key

    async def has_publish_key(self, show_id: str) -> bool:
        """Whether anybody was given a key for the show yet."""
        query = select(shows.c.publish_key_digest).where(shows.c.id == show_id)
        return await self._db.read(lambda sql: sql.execute(query).scalar() is not None)

    async def check_publish_key(self, key: str) -> str | None:
        """The id of the show that `key` publishes to, or None. The lookup goes by digest: timing tells nothing."""
        query = select(shows.c.id).where(shows.c.publish_key_digest == digest(key))
        return await self._db.read(lambda sql: sql.execute(query).scalar())


_SELECT = select(shows, brands.c.name.label("brand"), brands.c.currency).join(brands, brands.c.id == shows.c.brand_id)


def _one(sql: Connection, condition: ColumnElement[bool], which: str, *, lock: bool = False) -> Show:
    query = _SELECT.where(condition)
    row = sql.execute(query.with_for_update(of=shows) if lock else query).first()
    if row is None:
        raise NotFound("show", which)
    return _show(row)


def _show(row: object) -> Show:
    return Show(**{field: getattr(row, field) for field in Show.__struct_fields__})
