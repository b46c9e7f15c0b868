"""What the brand's staff do with orders, checked at the edge: parcels, returns, cancellations, refunds, notes.

The acts themselves are one transaction each (order_acts.py); here what people typed is cleaned, and a refund that was
decided is asked for at once (refunds.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec
import structlog
from sqlalchemy import Connection

from live.clock import Clock
from live.errors import Invalid, StoreDown
from live.shop import order_acts
from live.shop.dispute_list import DisputeList
from live.shop.disputes import Disputes
from live.shop.order_acts import Parcel
from live.shop.order_sheet import Act, Moved
from live.shop.payments.port import Provider
from live.shop.refunds import Refunds
from live.store.sql import Database

log = structlog.get_logger()

OP_LIMIT = 64
LINES_LIMIT = 100
_LIMITS = {"carrier": 60, "tracking": 80, "tracking_url": 500, "note": 500}


class By(msgspec.Struct, frozen=True):
    """Who acts: `actor` a staff id, `op` the act's own name, `seen` the version of the order she looked at."""

    actor: str
    op: str
    seen: int | None = None


class AfterSale:
    """The shop's back room, for every process: all it remembers is in SQL."""

    def __init__(self, db: Database, provider: Provider, clock: Clock) -> None:
        self.refunds = Refunds(db, provider, clock)
        self.disputes = Disputes(db, provider, clock)
        self.dispute_list = DisputeList(db, provider, clock)
        self._db = db
        self._clock = clock

    async def fulfil(self, order: str, by: By, parcel: Parcel) -> Moved:
        """Units left the house. Raises: NotFound, Invalid, WrongState, Conflict, IdempotencyMismatch."""
        parcel = Parcel(
            _lines(parcel.lines),
            _text("carrier", parcel.carrier),
            _text("tracking", parcel.tracking),
            _link(_text("tracking_url", parcel.tracking_url)),
        )
        return await self._do(order, by, lambda c, act: order_acts.fulfil(c, act, parcel))

    async def unfulfil(self, order: str, by: By, shipment: str) -> Moved:
        """They did not: it was noted by mistake. Raises as `fulfil`."""
        return await self._do(order, by, lambda c, act: order_acts.unfulfil(c, act, shipment))

    async def take_back(
        self, order: str, by: By, back: Mapping[str, int], restock: Mapping[str, int], refund_minor: int | None
    ) -> Moved:
        """Units came back; with `refund_minor` None their worth is refunded. Raises as `fulfil`."""
        units, again = _lines(back), _lines(restock)
        return await self._do(order, by, lambda c, act: order_acts.take_back(c, act, units, again, refund_minor))

    async def cancel(self, order: str, by: By, wanted: Mapping[str, int] | None, note: str = "") -> Moved:
        """Units won't be shipped, all that are open or some; their money goes back. Raises as `fulfil`."""
        units, why = None if wanted is None else _lines(wanted), _text("note", note)
        return await self._do(order, by, lambda c, act: order_acts.cancel(c, act, units, why))

    async def refund(
        self, order: str, by: By, amount_minor: int | None, wanted: Mapping[str, int] | None, note: str = ""
    ) -> Moved:
        """Money goes back: an amount, or what some units cost. Raises as `fulfil`."""
        units, why = None if wanted is None else _lines(wanted), _text("note", note)
        return await self._do(order, by, lambda c, act: order_acts.refund(c, act, amount_minor, units, why))

    async def send_again(self, order: str, by: By, refund: str) -> Moved:
        """A refund that was refused or came back is made anew. Raises as `fulfil`."""
        return await self._do(order, by, lambda c, act: order_acts.send_again(c, act, refund))

    async def note(self, order: str, by: By, text: str) -> Moved:
        """Write something down that only staff read. Raises: NotFound, Invalid, IdempotencyMismatch."""
        words = _text("note", text)
        if not words:
            raise Invalid("note", "is empty")
        return await self._do(order, by, lambda c, act: order_acts.note(c, act, words))

    async def _do(self, order: str, by: By, run: Callable[[Connection, Act], Moved]) -> Moved:
        if not 1 <= len(by.op) <= OP_LIMIT:
            raise Invalid("op", f"must have 1 to {OP_LIMIT} characters")
        act = Act(order, by.actor, by.op, self._clock.now_ms(), by.seen)
        moved = await self._db.write(lambda c: run(c, act))
        if moved.refund:
            try:
                await self.refunds.ask(moved.refund)
            except StoreDown:  # decided all the same: the worker asks until it is known
                log.warning("refund.later", refund=moved.refund)
        return moved


def _lines(lines: Mapping[str, int]) -> dict[str, int]:
    if len(lines) > LINES_LIMIT:
        raise Invalid("lines", f"are more than {LINES_LIMIT}")
    return {sku: qty for sku, qty in sorted(lines.items()) if qty}


def _text(field: str, text: str) -> str:
    clean = " ".join(text.split())
    if len(clean) > _LIMITS[field]:
        raise Invalid(field, f"has more than {_LIMITS[field]} characters")
    if not clean.isprintable():
        raise Invalid(field, "has characters that can't be printed")
    return clean


def _link(url: str) -> str:
    """A buyer follows it from our page and from a letter: https alone, a host, and no name or password in it."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        sound = parts.scheme == "https" and bool(parts.hostname) and not (parts.username or parts.password)
        _ = parts.port
    except ValueError:
        sound = False
    if not sound or not url.isascii() or any(character in url for character in ' "<>\\^`{|}'):
        raise Invalid("tracking_url", "must be an https:// address")
    return url
