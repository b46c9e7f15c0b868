"""Refunds of sold orders, asked of the provider: in parts, each exactly once, whoever crashes when.

order_acts.py decided one, in SQL, so that no second one can spend the same money. Then the provider is asked, under the
refund's own idempotency key and with no SQL connection held; then its answer is written (refund_books.py). Who dies in
between leaves a refund that is `asked`: the worker asks again, under the same key, until the provider says yes or no.
One that it took may still come back: the provider tells, and where that was missed the worker looks, now and then.
Source: docs/decisions/0111-a-refund-is-decided-then-asked-for.md, 0173-a-refund-that-comes-back-is-owed-again.md
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from sqlalchemy import Connection, or_, select, update

from live.clock import Clock
from live.errors import Invalid, NotFound
from live.shop import refund_books
from live.shop.order_state import WENT_BACK
from live.shop.payments.port import Charge, Provider, Repaid
from live.store.sql import Database
from live.store.tables import payments, refunds

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
        """One try. True: this call ended it, taken or refused. Raises StoreDown (also "payments"): the worker tries
        again."""
        owed = await self._db.read(lambda c: _owed(c, refund_id))
        if owed is None:
            return False
        refused: str | None = None
        said: Repaid | None = None
        try:
            if owed.provider != self._provider.name:  # the shop takes its money by another one now
                raise Invalid("provider", f"{owed.provider} took this payment: refund it there")
            key = f"refund:{refund_id}"
            charge = await self._in_the_books(owed, key)
            if charge is None:
                charge = await self._provider.refund(owed.provider_ref, owed.amount_minor, idempotency_key=key)
            said = next((one for one in charge.refunds if one.key == key), None)
        except (Invalid, NotFound) as no:  # for good: more than is there, or no such charge
            refused = " ".join(str(fact) for fact in no.facts.values()).replace("amount_minor", "the amount")
            log.warning("refund.refused", refund=refund_id, why=refused)
        now = self._clock.now_ms()
        return await self._db.write(lambda c: refund_books.settle(c, refund_id, now, said=said, refused=refused))

    async def ask_due(self) -> int:
        """Ask again for those whose asker did not come back with an answer. Claims what it takes, so that any number of
        workers may run. Answers how many ended."""
        now = self._clock.now_ms()
        return await each(await self._db.write(lambda c: _claim(c, now)), self.ask, "refund.unsettled")

    async def heard(self, payment_ref: str) -> bool:
        """The provider says that something became of a payment's refunds (its own name for that, or ours): they are
        brought to where its books have them. What the brand refunded on the provider's own site is noted too, once.
        True: something moved. Raises StoreDown."""
        payment = await payment_named(self._db, self._provider, payment_ref)
        return payment is not None and await self._follow(payment)

    async def look_due(self) -> int:
        """Ask what became of those that were taken, as long as they may still come back: an event may have been missed.
        Claims what it takes. Answers how many payments' refunds had moved."""
        now = self._clock.now_ms()
        return await each(await self._db.write(lambda c: _claim_looks(c, now)), self.heard, "refund.unseen")

    async def _follow(self, payment: Any) -> bool:
        if payment.provider != self._provider.name or not payment.provider_ref:
            return False
        charge = await self._provider.fetch(payment.provider_ref)
        now = self._clock.now_ms()
        return await self._db.write(lambda c: refund_books.follow(c, payment.id, charge, now))

    async def _in_the_books(self, owed: Any, key: str) -> Charge | None:
        """The charge, if an old refund was done of which the provider may have forgotten the key.

        What it keeps in its books is under that key for good.
        """
        if self._clock.now_ms() - owed.created_ms < KEY_LIVES_MS:
            return None
        charge = await self._provider.fetch(owed.provider_ref)
        return charge if any(one.key == key for one in charge.refunds) else None


async def each(ids: list[str], ask: Callable[[str], Awaitable[bool]], unheard: str) -> int:
    """Ask the provider about each, one after the other; answers how many had moved. One that fails is logged as
    `unheard` and waits for its next turn; when three do in a row the provider is taken to be away."""
    moved = failed = 0
    for one in ids:
        try:
            moved += await ask(one)
            failed = 0
        except Exception as error:  # whatever one provider's library raises must not keep the others waiting
            log.warning(unheard, id=one, error=type(error).__name__, exc_info=True)
            failed += 1
            if failed == FAILURES_IN_A_ROW:
                break
    return moved


async def payment_named(db: Database, provider: Provider, ref: str) -> Any:
    """The payment that a name is of: ours, the provider's, or its name for another thing of that payment's."""
    found = await db.read(lambda c: _payment(c, ref))
    if found is None and (ours := await provider.payment_of(ref)):
        found = await db.read(lambda c: _payment(c, ours))
    return found


def _owed(connection: Connection, refund_id: str) -> Any:
    return connection.execute(
        select(
            refunds.c.amount_minor,
            refunds.c.created_ms,
            payments.c.provider,
            payments.c.provider_ref,
        )
        .join(payments, payments.c.id == refunds.c.payment_id)
        .where(refunds.c.id == refund_id, refunds.c.status == "asked")
    ).first()


def _payment(connection: Connection, ref: str) -> Any:
    """By our id of it or the provider's. Of one that nobody paid there is nothing to refund."""
    return connection.execute(
        select(payments.c.id, payments.c.provider, payments.c.provider_ref)
        .where(or_(payments.c.id == ref, payments.c.provider_ref == ref))
        .where(payments.c.captured_minor > 0)
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


def _claim_looks(connection: Connection, now: int) -> list[str]:
    """The payments of refunds whose look is due; each is put off until its next."""
    due = connection.execute(
        select(refunds.c.id, refunds.c.payment_id, refunds.c.status, refunds.c.attempts)
        .where(refunds.c.status.in_(WENT_BACK), refunds.c.due_ms <= now)
        .order_by(refunds.c.due_ms)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    for row in due:
        looks = row.attempts + 1
        values = {"attempts": looks, "due_ms": refund_books.next_look_ms(row.status, looks, now)}
        connection.execute(update(refunds).where(refunds.c.id == row.id).values(values))
    return list(dict.fromkeys(row.payment_id for row in due))
