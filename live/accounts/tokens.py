"""Tokens by which programs use the API: `Authorization: Bearer fr_…`. SQL keeps a digest and the first characters.

Read at each request, so a token that was revoked is gone at once. Fails closed: without SQL no token opens anything.
Source: docs/decisions/0113-a-token-opens-the-doors-that-name-its-scope.md
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Sequence
from typing import Any, get_args

import structlog
from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update

from live.accounts.scopes import OF_A_BRAND, ApiToken, Scope
from live.clock import Clock
from live.errors import Conflict, Error, Forbidden, Invalid, NotFound, OverLimit
from live.ids import digest, new_id, new_secret
from live.store.sql import Database
from live.store.tables import api_tokens as rows
from live.store.tables import brands, shows, staff

log = structlog.get_logger()

_ID = re.compile("tok_[0-9a-z]{26}")
MARK = "fr_"  # what secret scanners and people know one by
SHOWN = len(MARK) + 6  # characters of a token that lists show: 36 of its 256 bits
NAME_MAX = 60
MOST = 50  # working tokens a brand, those of its shows included
USED_EVERY_MS = 3_600_000  # how often a token's last use is written down


class Tokens:
    """Makes, reads, lists and revokes tokens."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def make(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        by: str,
        brand_id: str | None = None,
        show_id: str | None = None,
        days: int | None = None,
        token_id: str = "",
    ) -> tuple[str, ApiToken]:
        """A new token and the only sight of its secret. `days` until it ends; None never. With a `token_id` of its own
        the same asked again makes no second one.

        Raises: Invalid (name, scopes, scope, days), NotFound (brand, show), Forbidden (`by` was dismissed this moment),
        OverLimit, Conflict (made already).
        """
        name = " ".join(name.split())
        if not 1 <= len(name) <= NAME_MAX or not name.isprintable():
            raise Invalid("name", f"takes 1 to {NAME_MAX} characters")
        if (brand_id is None) == (show_id is None):
            raise Invalid("scope", "one_of_brand_or_show")
        if days is not None and not 1 <= days <= 3650:
            raise Invalid("days", "takes 1 to 3650")
        if token_id and not _ID.fullmatch(token_id):
            raise Invalid("op", "is no id")
        held = _scopes(scopes, of_a_show=show_id is not None)
        secret, now = MARK + new_secret(), self._clock.now_ms()
        row = {
            "id": token_id or new_id("tok"),
            "name": name,
            "prefix": secret[:SHOWN],
            "digest": digest(secret),
            "scopes": " ".join(held),
            "brand_id": brand_id,
            "show_id": show_id,
            "created_by": by,
            "created_ms": now,
            "expires_ms": None if days is None else now + days * 86_400_000,
        }

        def write(sql: Connection) -> ApiToken:
            if brand_id is not None:
                brand = sql.execute(select(brands.c.id).where(brands.c.id == brand_id).with_for_update()).scalar()
            else:
                brand = sql.execute(select(shows.c.brand_id).where(shows.c.id == show_id).with_for_update()).scalar()
            if brand is None:
                raise NotFound("brand" if brand_id is not None else "show", brand_id or show_id or "")
            # Her dismissal changes this row: it waits for us and then finds the token, or we find her gone.
            maker = sql.execute(select(staff.c.disabled).where(staff.c.id == by).with_for_update()).first()
            if maker is not None and maker.disabled:
                raise Forbidden("staff")
            if sql.execute(select(func.count()).where(_of(brand), _works(now))).scalar_one() >= MOST:
                raise OverLimit("api_tokens", MOST)
            if sql.execute(select(rows.c.id).where(rows.c.id == row["id"])).first() is not None:
                raise Conflict("made_already")  # two at once wait for each other at the brand's row
            sql.execute(insert(rows).values(row))
            return _token(sql.execute(select(rows).where(rows.c.id == row["id"])).one())

        return secret, await self._db.write(write)

    async def by_secret(self, secret: str) -> ApiToken | None:
        """The token that `secret` is; None when it was never one, was revoked or has ended."""
        if not secret.startswith(MARK) or not 20 <= len(secret) <= 128:
            return None
        query = select(rows).where(rows.c.digest == digest(secret))  # by digest: timing tells nothing
        row = await self._db.read(lambda sql: sql.execute(query).first())
        token = None if row is None else _token(row)
        return token if token is not None and token.works(self._clock.now_ms()) else None

    async def used(self, token: ApiToken) -> None:
        """Write down that it was used, once an hour. Fails open: it is only for the list."""
        now = self._clock.now_ms()
        if token.last_used_ms is not None and now - token.last_used_ms < USED_EVERY_MS:
            return
        hour = now - now % USED_EVERY_MS
        try:
            await self._db.write(
                lambda sql: sql.execute(update(rows).where(rows.c.id == token.id).values(last_used_ms=hour))
            )
        except Error as error:
            log.warning("token.use_not_noted", token=token.id, error=type(error).__name__)

    async def list(self, *, brand_id: str | None = None, by: str | None = None) -> builtins.list[ApiToken]:
        """Tokens of a brand and its shows, or made by someone; working ones first, the newest first."""
        query = select(rows)
        if brand_id is not None:
            query = query.where(_of(brand_id))
        if by is not None:
            query = query.where(rows.c.created_by == by)
        query = query.order_by(rows.c.created_ms.desc(), rows.c.id)
        found = await self._db.read(lambda sql: [_token(row) for row in sql.execute(query)])
        now = self._clock.now_ms()
        return sorted(found, key=lambda token: not token.works(now))

    async def by_id(self, token_id: str) -> ApiToken:
        """Raises: NotFound."""
        row = await self._db.read(lambda sql: sql.execute(select(rows).where(rows.c.id == token_id)).first())
        if row is None:
            raise NotFound("token", token_id)
        return _token(row)

    async def revoke(self, token_id: str) -> None:
        """It opens nothing from here on; again changes nothing. Raises: NotFound."""
        now = self._clock.now_ms()

        def write(sql: Connection) -> None:
            if sql.execute(select(rows.c.id).where(rows.c.id == token_id)).first() is None:
                raise NotFound("token", token_id)
            revoke(sql, token_id, now)

        await self._db.write(write)


def working_of(sql: Connection, maker: str, now: int) -> builtins.list[ApiToken]:
    """The tokens made by someone that work, the newest first."""
    query = select(rows).where(rows.c.created_by == maker, _works(now)).order_by(rows.c.created_ms.desc(), rows.c.id)
    return [_token(row) for row in sql.execute(query)]


def revoke(sql: Connection, token_id: str, now: int) -> None:
    """It opens nothing from the end of this transaction on; again changes nothing."""
    sql.execute(update(rows).where(rows.c.id == token_id, rows.c.revoked_ms.is_(None)).values(revoked_ms=now))


def _scopes(asked: Sequence[str], *, of_a_show: bool) -> builtins.list[Scope]:
    if not asked:
        raise Invalid("scopes", "choose at least one")
    unknown = set(asked) - set(get_args(Scope))
    if unknown:
        raise Invalid("scopes", f"unknown: {min(unknown)[:40]}")
    if of_a_show and (wide := OF_A_BRAND & set(asked)):
        raise Invalid("scopes", f"of the brand as a whole, not of one show: {min(wide)}")
    return [scope for scope in get_args(Scope) if scope in asked]


def _of(brand_id: str) -> ColumnElement[bool]:
    of_its_shows = select(shows.c.id).where(shows.c.brand_id == brand_id)
    return or_(rows.c.brand_id == brand_id, rows.c.show_id.in_(of_its_shows))


def _works(now: int) -> ColumnElement[bool]:
    return rows.c.revoked_ms.is_(None) & or_(rows.c.expires_ms.is_(None), rows.c.expires_ms > now)


def _token(row: Row[Any]) -> ApiToken:
    values = {name: getattr(row, name) for name in ApiToken.__struct_fields__}
    return ApiToken(**{**values, "scopes": tuple(row.scopes.split())})
