"""Where a brand's events go: addresses, their secrets, and which kinds each wants to hear."""

from __future__ import annotations

import base64
import builtins
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from live.clock import Clock
from live.errors import Forbidden, Invalid, NotFound, OverLimit
from live.ids import new_id
from live.shop.webhooks.kinds import CHOSEN, READ_BY, Kind
from live.shop.webhooks.way_out import Network, is_public
from live.store.sql import Database
from live.store.tables import brands
from live.store.tables import webhook_deliveries as delivery_rows
from live.store.tables import webhook_endpoints as rows

URL_MAX = 2_000
MOST = 20  # endpoints a brand
OVERLAP_MS = 86_400_000  # how long the old secret signs beside the new one
OLD_SECRETS = 3  # that sign at most, beside the new one


class Endpoint(msgspec.Struct, frozen=True):
    """One address. `kinds` empty: every kind. `disabled_why`: gone (it answered 410), failing (ten tries over three
    days, and nothing taken in between) or hand. `made_by`: staff, a token, cli, or "" where it is
    older than that was asked. `waiting` and `failed` count its deliveries in the log."""

    id: str
    brand_id: str
    url: str
    kinds: tuple[str, ...]
    created_ms: int
    disabled_ms: int | None
    disabled_why: str
    rotating_until_ms: int | None
    last_taken_ms: int | None
    made_by: str = ""
    waiting: int = 0
    failed: int = 0


class Endpoints:
    """The brands' endpoints in SQL. `networks` are private ones that the operator lets through."""

    def __init__(self, db: Database, clock: Clock, networks: Sequence[Network] = ()) -> None:
        self._db = db
        self._clock = clock
        self._networks = networks

    async def add(
        self, brand_id: str, url: str, kinds: Sequence[str] = (), *, may: Collection[str] = CHOSEN, by: str = "cli"
    ) -> tuple[str, str]:
        """A new endpoint's id and its signing secret; `may` are the kinds that who makes it may read.

        Raises: Invalid (url, kinds), Forbidden (the scope that a kind needs), NotFound, OverLimit.
        """
        chosen = _kinds(kinds)
        _within(may, chosen or CHOSEN)
        row = {
            "id": new_id("whk"),
            "brand_id": brand_id,
            "url": self._checked(url),
            "secret": _new_secret(),
            "kinds": " ".join(chosen),
            "disabled_why": "",
            "created_ms": self._clock.now_ms(),
            "made_by": by,
        }

        def write(sql: Connection) -> None:
            if sql.execute(select(brands.c.id).where(brands.c.id == brand_id).with_for_update()).scalar() is None:
                raise NotFound("brand", brand_id)
            if sql.execute(select(func.count()).where(rows.c.brand_id == brand_id)).scalar_one() >= MOST:
                raise OverLimit("webhook_endpoints", MOST)
            sql.execute(insert(rows).values(row))

        await self._db.write(write)
        return str(row["id"]), str(row["secret"])

    async def list(self, brand_ids: Sequence[str] | None = None) -> builtins.list[Endpoint]:
        """Endpoints of these brands (None: of all), the oldest first, with the state of their logs."""
        query = select(rows).order_by(rows.c.created_ms, rows.c.id)
        if brand_ids is not None:
            query = query.where(rows.c.brand_id.in_(brand_ids))

        def read(sql: Connection) -> builtins.list[Endpoint]:
            found = sql.execute(query).all()
            counts: dict[tuple[str, str], int] = {
                (row.endpoint_id, row.outcome): row.n
                for row in sql.execute(
                    select(delivery_rows.c.endpoint_id, delivery_rows.c.outcome, func.count().label("n"))
                    .where(
                        delivery_rows.c.endpoint_id.in_([row.id for row in found]),
                        delivery_rows.c.outcome.in_(("waiting", "failed")),
                    )
                    .group_by(delivery_rows.c.endpoint_id, delivery_rows.c.outcome)
                )
            }
            return [_endpoint(row, counts) for row in found]

        return await self._db.read(read)

    async def by_id(self, endpoint_id: str) -> Endpoint:
        """Raises: NotFound."""
        row = await self._db.read(lambda sql: sql.execute(select(rows).where(rows.c.id == endpoint_id)).first())
        if row is None:
            raise NotFound("endpoint", endpoint_id)
        return _endpoint(row, {})

    async def rotate(self, endpoint_id: str) -> str:
        """A new secret. For a day the old one signs too, so that a receiver can change without missing an event; also
        when it is rotated again meanwhile (a page that was loaded again), since nobody knows which one the receiver
        has. Raises: NotFound."""
        secret, now = _new_secret(), self._clock.now_ms()

        def write(sql: Connection) -> None:
            row = sql.execute(select(rows).where(rows.c.id == endpoint_id).with_for_update()).first()
            if row is None:
                raise NotFound("endpoint", endpoint_id)
            older = row.old_secret.split() if (row.old_secret_until_ms or 0) > now else []
            kept = " ".join([row.secret, *older][:OLD_SECRETS])
            _change(sql, endpoint_id, secret=secret, old_secret=kept, old_secret_until_ms=now + OVERLAP_MS)

        await self._db.write(write)
        return secret

    async def choose(self, endpoint_id: str, kinds: Sequence[str], *, may: Collection[str] = CHOSEN) -> None:
        """Which kinds it hears from here on; none named: all. Who may read only some (`may`) adds no others: what it
        hears already it keeps. Raises: Invalid, Forbidden (the scope that a kind needs), NotFound."""
        chosen = _kinds(kinds)

        def write(sql: Connection) -> None:
            heard = sql.execute(select(rows.c.kinds).where(rows.c.id == endpoint_id).with_for_update()).scalar()
            if heard is None:
                raise NotFound("endpoint", endpoint_id)
            _within({*may, *(heard.split() or CHOSEN)}, chosen or CHOSEN)
            _change(sql, endpoint_id, kinds=" ".join(chosen))

        await self._db.write(write)

    async def disable(self, endpoint_id: str) -> None:
        """Nothing is sent from here on, and nothing is kept for later but what waits already. Raises: NotFound."""
        now = self._clock.now_ms()
        await self._db.write(lambda sql: _change(sql, endpoint_id, disabled_ms=now, disabled_why="hand"))

    async def enable(self, endpoint_id: str) -> None:
        """On again; what waited goes out. Raises: NotFound."""
        await self._db.write(lambda sql: _change(sql, endpoint_id, disabled_ms=None, disabled_why=""))

    async def remove(self, endpoint_id: str) -> None:
        """Gone with its log. Raises: NotFound."""

        def write(sql: Connection) -> None:
            if not sql.execute(delete(rows).where(rows.c.id == endpoint_id)).rowcount:
                raise NotFound("endpoint", endpoint_id)

        await self._db.write(write)

    def _checked(self, url: str) -> str:
        """Raises: Invalid. What a name leads to is looked at with each connection: here only what is written."""
        url = url.strip()
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise Invalid("url", "is no address") from None
        schemes = ("https", "http") if self._networks else ("https",)
        if parts.scheme not in schemes or not host or len(url) > URL_MAX or not url.isascii() or not url.isprintable():
            raise Invalid("url", "must be an https:// address")
        if " " in url or parts.username is not None or parts.password is not None:
            raise Invalid("url", "must not carry a name or password")
        if parts.fragment:
            raise Invalid("url", "must not carry a fragment")
        with suppress(ValueError):
            literal = ip_address(host)
            if not is_public(literal) and not any(literal in network for network in self._networks):
                raise Invalid("url", "leads to a private network")
        return url


def living_of(sql: Connection, makers: Collection[str]) -> builtins.list[Endpoint]:
    """The endpoints that any of these made and that are on, the oldest first."""
    query = select(rows).where(rows.c.made_by.in_(makers), rows.c.disabled_ms.is_(None))
    return [_endpoint(row, {}) for row in sql.execute(query.order_by(rows.c.created_ms, rows.c.id))]


def stop(sql: Connection, endpoint_id: str, now: int) -> None:
    """As `Endpoints.disable`, in the caller's transaction."""
    _change(sql, endpoint_id, disabled_ms=now, disabled_why="hand")


def hand_over(sql: Connection, endpoint_id: str, to: str) -> None:
    """Somebody else's from here on. Raises: NotFound."""
    _change(sql, endpoint_id, made_by=to)


def _kinds(asked: Sequence[str]) -> builtins.list[Kind]:
    unknown = set(asked) - set(CHOSEN)
    if unknown:
        raise Invalid("kinds", f"unknown: {min(unknown)[:40]}")
    return [kind for kind in CHOSEN if kind in asked]


def _within(may: Collection[str], chosen: Sequence[Kind]) -> None:
    """Raises: Forbidden, with the scope that the first kind beyond `may` needs."""
    for kind in chosen:
        if kind not in may:
            raise Forbidden(READ_BY[kind])


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _change(sql: Connection, endpoint_id: str, **values: Any) -> None:
    if not sql.execute(update(rows).where(rows.c.id == endpoint_id).values(**values)).rowcount:
        raise NotFound("endpoint", endpoint_id)


def _endpoint(row: Row[Any], counts: dict[tuple[str, str], int]) -> Endpoint:
    return Endpoint(
        id=row.id,
        brand_id=row.brand_id,
        url=row.url,
        kinds=tuple(row.kinds.split()),
        created_ms=row.created_ms,
        disabled_ms=row.disabled_ms,
        disabled_why=row.disabled_why,
        rotating_until_ms=row.old_secret_until_ms,
        last_taken_ms=row.last_taken_ms,
        made_by=row.made_by,
        waiting=counts.get((row.id, "waiting"), 0),
        failed=counts.get((row.id, "failed"), 0),
    )
