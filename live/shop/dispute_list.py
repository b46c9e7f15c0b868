"""The provider's list of disputes, read now and then for those that no message told of. What it says of one is written
down by dispute_books.py, as what a message leads to is; from then on it is followed by disputes.py.
Source: docs/decisions/0174-disputes-are-looked-for.md
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.errors import NotFound, StoreDown
from live.shop import dispute_books
from live.shop.payments.port import Dispute, DisputePage, Provider
from live.shop.refunds import payment_named
from live.store.sql import Database
from live.store.tables import dispute_reads, disputes, payments

log = structlog.get_logger()

READ_EVERY_MS = 900_000
PAGES_AT_ONCE = 10  # of the provider's list; the next reading goes on from there
AGAIN_MS = 86_400_000  # so much of the list is read again each time: lists and clocks are behind, and books fail
FARTHEST_MS = 180 * 86_400_000  # how far back the first reading goes: no card's dispute is open longer

Settle = Callable[[str], Awaitable[object]]


class Reading(NamedTuple):
    """How far the list was read: see `dispute_reads`."""

    since_ms: int
    next_ms: int
    after: str


class DisputeList:
    """Reads it."""

    def __init__(self, db: Database, provider: Provider, clock: Clock) -> None:
        self._db = db
        self._provider = provider
        self._clock = clock

    async def find_due(self, settle: Settle) -> int:
        """Look for those that no message told of, in the provider's list. `settle` brings an order to where its
        payment is, as before a message is followed. Answers how many were found.

        What was read is kept before it is written how far that was: who dies in between reads the page again. What
        can't be kept doesn't keep the others from it, but then the next reading begins where this one did. Raises
        StoreDown.
        """
        now, name = self._clock.now_ms(), self._provider.name
        reading: Reading | None = None
        with contextlib.suppress(IntegrityError):  # the very first, by two workers: the other one reads
            reading = await self._db.write(lambda c: _claim_reading(c, name, now))
        found = 0
        for _ in range(PAGES_AT_ONCE):
            if reading is None:
                break
            kept, reading = await self._read(reading, settle)
            found += kept
        return found

    async def _read(self, reading: Reading, settle: Settle) -> tuple[int, Reading | None]:
        """One page: how many it had that were new, and how the reading goes on. None: it is through, or by now
        another worker's."""
        try:
            page = await self._provider.disputes_since(reading.since_ms, reading.after)
        except NotFound:  # that page was another account's
            kept, went = 0, reading._replace(after="")
        else:
            kept, whole = await self._keep(page, settle)
            next_ms = reading.next_ms if whole else reading.since_ms
            went = Reading(reading.since_ms, next_ms, page.next) if page.next else Reading(next_ms, 0, "")
        mine = await self._db.write(lambda c: _move_on(c, self._provider.name, reading, went))
        return kept, went if mine and went.next_ms else None

    async def _keep(self, page: DisputePage, settle: Settle) -> tuple[int, bool]:
        """How many of these were new, and whether all are kept."""
        refs, new, whole = [one.ref for _, one in page.found], 0, True
        known = await self._db.read(lambda c: _known(c, self._provider.name, refs))
        for payment, one in page.found:
            if not payment or one.ref in known:
                continue
            try:
                new += await self._note(payment, one, settle)
            except StoreDown:
                raise
            except Exception as error:  # whatever is wrong with one must not keep the others waiting
                log.warning("dispute.not_kept", dispute=one.ref, error=type(error).__name__, exc_info=True)
                whole = False
        return new, whole

    async def _note(self, name: str, one: Dispute, settle: Settle) -> bool:
        payment = await payment_named(self._db, self._provider, name)
        if payment is None:  # its order may not know yet that it was paid
            await settle(name)
            payment = await payment_named(self._db, self._provider, name)
        if payment is None or payment.provider != self._provider.name:
            return False
        now = self._clock.now_ms()
        return await self._db.write(lambda c: dispute_books.follow(c, payment.id, [one], now))


def _claim_reading(connection: Connection, provider: str, now: int) -> Reading | None:
    """The reading that is due, the one that was left or a new one; it is put off for the others."""
    of = dispute_reads.c.provider == provider
    row = connection.execute(select(dispute_reads).where(of).with_for_update()).first()
    if row is None:
        first = Reading(now - FARTHEST_MS, 0, "")
        connection.execute(insert(dispute_reads).values(**first._asdict(), provider=provider, due_ms=now))
        row = connection.execute(select(dispute_reads).where(of)).one()
    if row.due_ms > now:
        return None
    reading = Reading(row.since_ms, row.next_ms, row.after)
    if not reading.next_ms:
        since_ms = max(row.since_ms, now - FARTHEST_MS)
        reading = Reading(since_ms, max(since_ms, now - AGAIN_MS), "")
    connection.execute(update(dispute_reads).where(of).values(**reading._asdict(), due_ms=now + READ_EVERY_MS))
    return reading


def _move_on(connection: Connection, provider: str, before: Reading, now: Reading) -> bool:
    """False: another worker, which took this one for dead, moved it on meanwhile."""
    here = [dispute_reads.c[name] == value for name, value in before._asdict().items()]
    moved = update(dispute_reads).where(dispute_reads.c.provider == provider, *here).values(now._asdict())
    return bool(connection.execute(moved).rowcount)


def _known(connection: Connection, provider: str, refs: list[str]) -> set[str]:
    """Of these disputes, those that are followed already."""
    query = select(disputes.c.provider_ref).join(payments, payments.c.id == disputes.c.payment_id)
    return set(
        connection.execute(query.where(payments.c.provider == provider, disputes.c.provider_ref.in_(refs))).scalars()
    )
