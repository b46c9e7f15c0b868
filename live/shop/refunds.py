"""Refunds of sold orders, asked of the provider: in parts, each exactly once, whoever crashes when.

order_acts.py decided one, in SQL, so that no second one can spend the same money. Then the provider is asked, under the
refund's own idempotency key and with no SQL connection held; then its end is written. Who dies in between leaves a
refund that is `asked`: the worker asks again, under the same key, until the provider says yes or no.
Source: docs/decisions/0111-a-refund-is-decided-then-asked-for.md
"""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import Connection, or_, select, update

from live.clock import Clock
from live.errors import Invalid, NotFound
from live.shop import order_acts
from live.shop.payments.port import Provider
from live.store.sql import Database
from live.store.tables import orders, payments, refunds

log = structlog.get_logger()

AT_ONCE = 20
FIRST_WAIT_MS, LONGEST_WAIT_MS = 30_000, 3_600_000
KEY_LIVES_MS = 23 * 3_600_000  # providers forget idempotency keys after a day; from here on their books are read first
FAILURES_IN_A_ROW = 3


class Refunds:
    """Carries decided refunds out."""

    def __init__(self, db: Database, provider: Provider, clock: Clock) -> None:
        self._db = db
        self._provider = provider
        self._clock = clock

    async def ask(self, refund_id: str) -> bool:
        """One try. True: this call ended it, done or refused. Raises StoreDown (also "payments"): the worker tries
        again."""
        owed = await self._db.read(lambda c: _owed(c, refund_id))
        if owed is None:
            return False
        refused: str | None = None
        try:
            if owed.provider != self._provider.name:  # the shop takes its money by another one now
                raise Invalid("provider", f"{owed.provider} took this payment: refund it there")
            if not await self._is_in_the_books(owed):
                key = f"refund:{refund_id}"
                await self._provider.refund(owed.provider_ref, owed.amount_minor, idempotency_key=key)
        except (Invalid, NotFound) as no:  # for good: more than is there, or no such charge
            refused = " ".join(str(fact) for fact in no.facts.values()).replace("amount_minor", "the amount")
            log.warning("refund.refused", refund=refund_id, why=refused)
        now = self._clock.now_ms()
        return await self._db.write(lambda c: order_acts.settle_refund(c, refund_id, now, refused=refused))

    async def ask_due(self) -> int:
        """Ask again for those whose asker did not come back with an answer. Claims what it takes, so that any number of
        workers may run. Answers how many ended."""
        now = self._clock.now_ms()
        ended = failed = 0
        for refund_id in await self._db.write(lambda c: _claim(c, now)):
            try:
                ended += await self.ask(refund_id)
                failed = 0
            except Exception as error:  # whatever one provider's library raises must not keep the others waiting
                log.warning("refund.unsettled", refund=refund_id, error=type(error).__name__, exc_info=True)
                failed += 1
                if failed == FAILURES_IN_A_ROW:
                    break
        return ended

    async def heard(self, payment_ref: str) -> bool:
        """The provider says that money of a payment (its own name for it, or ours) went back: what the brand refunded
        on the provider's own site is noted here too, once. True: there was some. Raises StoreDown."""
        sold = await self._db.read(lambda c: _sold(c, payment_ref))
        if sold is None or sold.provider != self._provider.name:
            return False
        charge = await self._provider.fetch(sold.provider_ref)
        if charge.refunded_minor <= sold.refunded_minor:
            return False
        now = self._clock.now_ms()
        return await self._db.write(lambda c: order_acts.outside_refund(c, sold.order_id, charge.refunded_minor, now))

    async def _is_in_the_books(self, owed: Any) -> bool:
        """Whether an old refund was done, of which the provider may have forgotten the key.

        One refund of an order is under way at a time: all others are in `refunded_minor` already.
        """
        if self._clock.now_ms() - owed.created_ms < KEY_LIVES_MS:
            return False
        charge = await self._provider.fetch(owed.provider_ref)
        return bool(charge.refunded_minor >= owed.refunded_minor + owed.amount_minor)


def _owed(connection: Connection, refund_id: str) -> Any:
    return connection.execute(
        select(
            refunds.c.amount_minor,
            refunds.c.created_ms,
            payments.c.provider,
            payments.c.provider_ref,
            payments.c.refunded_minor,
        )
        .join(payments, payments.c.id == refunds.c.payment_id)
        .where(refunds.c.id == refund_id, refunds.c.status == "asked")
    ).first()


def _sold(connection: Connection, payment_ref: str) -> Any:
    return connection.execute(
        select(payments.c.order_id, payments.c.provider, payments.c.provider_ref, payments.c.refunded_minor)
        .join(orders, orders.c.id == payments.c.order_id)
        .where(or_(payments.c.id == payment_ref, payments.c.provider_ref == payment_ref))
        .where(orders.c.paid_ms.is_not(None))
    ).first()


def _claim(connection: Connection, now: int) -> list[str]:
    due = connection.execute(
        select(refunds.c.id, refunds.c.attempts)
        .where(refunds.c.status == "asked", refunds.c.due_ms <= now)
        .order_by(refunds.c.due_ms)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    for row in due:
        wait = min(FIRST_WAIT_MS * 2**row.attempts, LONGEST_WAIT_MS)
        connection.execute(
            update(refunds).where(refunds.c.id == row.id).values(due_ms=now + wait, attempts=row.attempts + 1)
        )
    return [row.id for row in due]
