"""Promotion codes: which hold, and their use by an order, counted in that order's own transaction.

A cap can't be passed by any race: the row's own condition (`used < cap`) decides, in one UPDATE, and SQL's check
stands behind it. The use ends with its order, when that is cancelled or refunded before it was ever paid.
One person is who has the same bag or the same address of e-mail, kept as a keyed hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.edition import edition_of, same
from live.errors import CodeRefused, Conflict, Invalid, NotFound
from live.ids import new_id, sign
from live.shop import totals
from live.shop.totals import CODES_LIMIT, Promotion, PromotionKind
from live.store.sql import Database
from live.store.tables import promotion_uses, promotions

CODE = re.compile(r"[A-Z0-9][A-Z0-9_-]{2,31}")
LISTED = 500


class CodeTerms(msgspec.Struct, frozen=True):
    """What of a code may change: from which goods on, when, how often, and whether beside others. The code itself and
    what it takes off stay as orders used it."""

    min_minor: int = 0
    starts_ms: int | None = None
    ends_ms: int | None = None
    cap: int | None = None
    cap_each: int | None = None
    stacks: bool = False


class Row(msgspec.Struct, frozen=True):
    """A code as its staff see it."""

    id: str
    code: str
    kind: PromotionKind
    value: int
    min_minor: int
    starts_ms: int | None
    ends_ms: int | None
    cap: int | None
    cap_each: int | None
    stacks: bool
    used: int
    retired_ms: int | None

    @property
    def terms(self) -> CodeTerms:
        return CodeTerms(self.min_minor, self.starts_ms, self.ends_ms, self.cap, self.cap_each, self.stacks)

    @property
    def edition(self) -> str:
        return edition_of(self.terms)


def spelled(code: str) -> str:
    """A code as it is kept: people type blanks and small letters."""
    return "".join(code.split()).upper()


def tag_of(secret_key: str, email: str) -> str:
    """One address, whatever its capitals; says nothing without the key."""
    return sign(secret_key, "promotion", email.strip().lower())


def find(
    connection: Connection,
    brand_id: str,
    codes: Sequence[str],
    *,
    now: int,
    buyer: str,
    email_tag: str | None,
    goods_minor: int,
) -> list[Promotion]:
    """The codes' promotions as they stand now. Raises CodeRefused for the first that can't be used: what is said of a
    cap may be older by the time the order is written; `use` decides."""
    asked = list(dict.fromkeys(spelled(code) for code in codes if code.strip()))
    if len(asked) > CODES_LIMIT:
        raise CodeRefused(asked[CODES_LIMIT], "not_together")
    if not asked:
        return []
    found = {
        row.code: row
        for row in connection.execute(
            select(promotions).where(promotions.c.brand_id == brand_id, promotions.c.code.in_(asked))
        )
    }
    for code in asked:
        row = found.get(code)
        if row is None or row.retired_ms is not None or row.buyer not in ("", buyer):
            raise CodeRefused(code[:32], "unknown")
        if row.starts_ms is not None and now < row.starts_ms:
            raise CodeRefused(code, "not_yet", from_ms=row.starts_ms)
        if row.ends_ms is not None and now >= row.ends_ms:
            raise CodeRefused(code, "over")
        if goods_minor < row.min_minor:
            raise CodeRefused(code, "too_little", min_minor=row.min_minor)
        if row.cap is not None and row.used >= row.cap:
            raise CodeRefused(code, "used_up")
        if row.cap_each is not None and _uses(connection, row.id, buyer, email_tag) >= row.cap_each:
            raise CodeRefused(code, "used_by_you")
    usable = [
        Promotion(row.id, row.code, row.kind, row.value, row.min_minor, bool(row.stacks))
        for row in (found[code] for code in asked)
    ]
    alone = totals.together(usable)
    if alone is not None:
        raise CodeRefused(alone.code, "not_together")
    return usable


def use(
    connection: Connection, codes: Sequence[Promotion], order_id: str, *, now: int, buyer: str, email_tag: str
) -> None:
    """Count one use of each by this order. Raises CodeRefused; then the order's transaction writes nothing."""
    for one in sorted(codes, key=lambda one: one.id):  # always in one order: two orders never wait in a ring
        p = promotions.c
        counted = connection.execute(
            update(promotions)
            .where(
                p.id == one.id,
                p.retired_ms.is_(None),
                or_(p.cap.is_(None), p.used < p.cap),
                or_(p.starts_ms.is_(None), p.starts_ms <= now),
                or_(p.ends_ms.is_(None), p.ends_ms > now),
            )
            .values(used=p.used + 1)
            .returning(p.cap_each)
        ).first()
        if counted is None:
            raise CodeRefused(one.code, "used_up")
        # The row is locked now until this transaction ends, so no other use of this person's can come in between.
        if counted.cap_each is not None and _uses(connection, one.id, buyer, email_tag) >= counted.cap_each:
            raise CodeRefused(one.code, "used_by_you")
        row = {"promotion_id": one.id, "order_id": order_id, "buyer": buyer, "email_tag": email_tag}
        connection.execute(insert(promotion_uses).values(row))


def release(connection: Connection, order_id: str) -> None:
    """The order came to nothing: its codes may be used again. Once, however often it is called."""
    gone = connection.execute(
        delete(promotion_uses).where(promotion_uses.c.order_id == order_id).returning(promotion_uses.c.promotion_id)
    ).scalars()
    for promotion_id in sorted(gone):
        connection.execute(update(promotions).where(promotions.c.id == promotion_id).values(used=promotions.c.used - 1))


def _uses(connection: Connection, promotion_id: str, buyer: str, email_tag: str | None) -> int:
    u = promotion_uses.c
    person = u.buyer == buyer if email_tag is None else or_(u.buyer == buyer, u.email_tag == email_tag)
    query = select(func.count()).select_from(promotion_uses).where(and_(u.promotion_id == promotion_id, person))
    return int(connection.execute(query).scalar_one())


class Promotions:
    """What staff do with codes."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def of_brand(self, brand_id: str) -> list[Row]:
        """The brand's codes, newest first; those retired last. 500 at most."""
        query = (
            select(promotions)
            .where(promotions.c.brand_id == brand_id, promotions.c.buyer == "")
            .order_by(promotions.c.retired_ms.is_not(None), promotions.c.created_ms.desc())
            .limit(LISTED)
        )
        return await self._db.read(lambda c: [_kept(row) for row in c.execute(query)])

    async def add(
        self,
        brand_id: str,
        code: str,
        kind: PromotionKind,
        value: int = 0,
        *,
        min_minor: int = 0,
        starts_ms: int | None = None,
        ends_ms: int | None = None,
        cap: int | None = None,
        cap_each: int | None = None,
        stacks: bool = False,
        buyer: str = "",
        also: Callable[[Connection, Row], None] | None = None,
    ) -> str:
        """A new code; its id. `also` writes in the same transaction, and is given the code. Raises Invalid(field, why),
        Conflict("code_taken")."""
        row: dict[str, Any] = {
            "id": new_id("pro"),
            "brand_id": brand_id,
            "code": spelled(code),
            "kind": kind,
            "value": value,
            "min_minor": min_minor,
            "starts_ms": starts_ms,
            "ends_ms": ends_ms,
            "cap": cap,
            "cap_each": cap_each,
            "stacks": stacks,
            "buyer": buyer,
            "used": 0,
            "created_ms": self._clock.now_ms(),
        }
        _check(row)

        def write(sql: Connection) -> None:
            sql.execute(insert(promotions).values(row))
            if also is not None:
                also(sql, _kept(sql.execute(select(promotions).where(promotions.c.id == row["id"])).one()))

        try:
            await self._db.write(write)
        except IntegrityError as why:
            raise Conflict("code_taken", promotion=row["code"]) from why
        return str(row["id"])

    async def change(
        self,
        brand_id: str,
        code: str,
        terms: CodeTerms,
        *,
        edition: str = "",
        also: Callable[[Connection, Row], None] | None = None,
    ) -> Row:
        """From now on the code holds so; orders that used it keep what it took off. `edition` is the one that the
        change was made from; `also` writes in the same transaction, and is given the code as it was. Answers it as it
        is.

        Raises: NotFound (also for one that is switched off), Invalid(field, why), Edited.
        """

        def write(sql: Connection) -> Row:
            p = promotions.c
            of = and_(p.brand_id == brand_id, p.code == spelled(code), p.buyer == "", p.retired_ms.is_(None))
            found = sql.execute(select(promotions).where(of).with_for_update()).first()
            if found is None:
                raise NotFound("promotion", code[:32])
            was = _kept(found)
            same(edition, was.terms)
            asked = msgspec.structs.asdict(terms)
            _check_terms(asked)
            if terms.cap is not None and terms.cap < was.used:  # locked: no order uses it meanwhile
                raise Invalid("cap", f"must be {was.used:,} or more: so many orders used it")
            sql.execute(update(promotions).where(of).values(asked))
            if also is not None:
                also(sql, was)
            return msgspec.structs.replace(was, **asked)

        return await self._db.write(write)

    async def retire(self, brand_id: str, code: str, *, also: Callable[[Connection, Row], None] | None = None) -> None:
        """Nobody can use it from now on. Orders that did keep what it took off. Raises NotFound."""
        await self._set(brand_id, code, promotions.c.retired_ms.is_(None), self._clock.now_ms(), also)

    async def restore(self, brand_id: str, code: str, *, also: Callable[[Connection, Row], None] | None = None) -> None:
        """It can be used again, within the windows and caps that it has. Raises NotFound (also where it can be)."""
        await self._set(brand_id, code, promotions.c.retired_ms.is_not(None), None, also)

    async def _set(
        self,
        brand_id: str,
        code: str,
        when: ColumnElement[bool],
        retired_ms: int | None,
        also: Callable[[Connection, Row], None] | None,
    ) -> None:
        p = promotions.c
        of = and_(p.brand_id == brand_id, p.code == spelled(code), p.buyer == "")

        def write(sql: Connection) -> int:
            changed = sql.execute(update(promotions).where(of, when).values(retired_ms=retired_ms)).rowcount
            if changed and also is not None:
                also(sql, _kept(sql.execute(select(promotions).where(of)).one()))
            return changed

        if not await self._db.write(write):
            raise NotFound("promotion", code[:32])


def _kept(row: Any) -> Row:
    return Row(**{name: getattr(row, name) for name in Row.__struct_fields__})


def _check(row: dict[str, Any]) -> None:
    if not CODE.fullmatch(row["code"]):
        raise Invalid("code", "takes 3 to 32 letters, digits, - and _")
    if row["kind"] not in ("percent", "amount", "free_shipping"):
        raise Invalid("kind", "is percent, amount or free_shipping")
    if row["kind"] == "percent" and not 1 <= row["value"] <= 10_000:
        raise Invalid("value", "must be above 0 and at most 100 percent")
    if row["kind"] == "amount" and not 1 <= row["value"] <= 1_000_000_000:
        raise Invalid("value", "must be above 0")
    _check_terms(row)


def _check_terms(row: dict[str, Any]) -> None:
    if not 0 <= row["min_minor"] <= 10_000_000_000:
        raise Invalid("min", "must be 0 or more")
    for name in ("cap", "cap_each"):
        if row[name] is not None and not 1 <= row[name] <= 1_000_000_000:
            raise Invalid(name, "must be 1 or more")
    if row["starts_ms"] is not None and row["ends_ms"] is not None and row["starts_ms"] >= row["ends_ms"]:
        raise Invalid("ends", "must come after it starts")
