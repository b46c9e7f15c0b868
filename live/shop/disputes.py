"""Disputes: heard of from the provider, and asked after until they are over. What is said there is written down by
dispute_books.py; a brand answers a dispute on the provider's own site."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, update

from live.clock import Clock
from live.errors import Invalid
from live.shop import dispute_books, unsold
from live.shop.payments.port import Charge, Provider
from live.shop.refunds import AT_ONCE, each, payment_named
from live.store.sql import Database
from live.store.tables import disputes


class Disputes:
    """Follows them."""

    def __init__(self, db: Database, provider: Provider, clock: Clock) -> None:
        self._db = db
        self._provider = provider
        self._clock = clock

    async def heard(self, payment_ref: str) -> bool:
        """The provider says that something became of a payment's disputes (its own name for that, or ours). True:
        something moved. Raises StoreDown."""
        payment = await payment_named(self._db, self._provider, payment_ref)
        return payment is not None and await self._follow(payment)

    async def look_due(self) -> int:
        """Ask after those that are not over: an event may have been missed. Claims what it takes. Answers how many
        payments' disputes had moved."""
        now = self._clock.now_ms()
        return await each(await self._db.write(lambda c: _claim(c, now)), self.heard, "dispute.unseen")

    async def refund_unsold(self, order_id: str, payment_id: str, charge: Charge) -> Charge | None:
        """Give back what was taken for an order that is never sold. None: the buyer's bank wants it too, so it waits,
        or is owed no more (unsold.py). Raises StoreDown, Invalid (the provider never will)."""
        if await self._held_back(order_id):
            return None
        key = f"refund:{payment_id}"
        try:
            return await self._provider.refund(charge.ref, charge.captured_minor, idempotency_key=key)
        except Invalid:  # mostly for a dispute that nobody told us of
            said = await self._provider.disputes(charge.ref)
            now = self._clock.now_ms()
            await self._db.write(lambda c: dispute_books.follow(c, payment_id, said, now))
            # Also of one that is over the same key may be answered as before: what is left goes back under another.
            if await self._held_back(order_id, refused=True):
                return None
            raise

    async def _held_back(self, order_id: str, *, refused: bool = False) -> bool:
        now = self._clock.now_ms()
        return await self._db.write(lambda c: unsold.hold_back(c, order_id, now, refused=refused))

    async def _follow(self, payment: Any) -> bool:
        if payment.provider != self._provider.name or not payment.provider_ref:
            return False
        said = await self._provider.disputes(payment.provider_ref)
        now = self._clock.now_ms()
        return await self._db.write(lambda c: dispute_books.follow(c, payment.id, said, now))


def _claim(connection: Connection, now: int) -> list[str]:
    """The payments of disputes whose look is due; each is put off until its next."""
    due = connection.execute(
        select(disputes.c.id, disputes.c.payment_id, disputes.c.looks)
        .where(disputes.c.look_ms <= now)
        .order_by(disputes.c.look_ms)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    for row in due:
        values = {"looks": row.looks + 1, "look_ms": dispute_books.next_look_ms(row.looks + 1, now)}
        connection.execute(update(disputes).where(disputes.c.id == row.id).values(values))
    return list(dict.fromkeys(row.payment_id for row in due))
