"""The outbox: what must be told outside, written in the transaction of what it tells, handed to one worker at a time.

A claimed row is put off by a lease; whoever dies with it leaves it to be claimed again. So each is told at least once,
and every message carries its id for the receiver to know it by.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, select, update

from live.store.tables import outbox

LEASE_MS = 60_000
AT_ONCE = 50
MAIL_PAID, MAIL_REFUNDED = "mail.order_paid", "mail.order_refunded"
MAIL_SHIPPED, MAIL_UNSHIPPED = "mail.order_shipped", "mail.order_unshipped"
MAIL_RETURNED, MAIL_CANCELLED, MAIL_REPAID = "mail.order_returned", "mail.order_cancelled", "mail.order_repaid"
# The worker's letters to buyers; nobody else's business.
MAIL_KINDS = (
    MAIL_PAID,
    MAIL_REFUNDED,
    MAIL_SHIPPED,
    MAIL_UNSHIPPED,
    MAIL_RETURNED,
    MAIL_CANCELLED,
    MAIL_REPAID,
)
KEPT_MS = 30 * 86_400_000  # what was told stays readable this long


class Message(msgspec.Struct, frozen=True):
    """A row to be told. `attempts` counts this one."""

    id: int
    event_id: str
    kind: str
    body: str
    created_ms: int
    attempts: int


def claim(connection: Connection, now: int, *, only: Sequence[str] = (), but: Sequence[str] = ()) -> list[Message]:
    """Take what is due, of some kinds or of all but some. In a write."""
    due = select(outbox).where(outbox.c.done_ms.is_(None), outbox.c.due_ms <= now)
    due = due.where(outbox.c.kind.in_(only)) if only else due.where(outbox.c.kind.not_in(but))
    rows = connection.execute(due.order_by(outbox.c.due_ms).limit(AT_ONCE).with_for_update(skip_locked=True)).all()
    for row in rows:
        connection.execute(
            update(outbox).where(outbox.c.id == row.id).values(due_ms=now + LEASE_MS, attempts=row.attempts + 1)
        )
    return [Message(row.id, row.event_id, row.kind, row.body, row.created_ms, row.attempts + 1) for row in rows]


def done(connection: Connection, ids: Sequence[int], now: int) -> None:
    """They were told."""
    connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(done_ms=now))


def put_off(connection: Connection, message_id: int, due_ms: int) -> None:
    """It was not; try again then."""
    connection.execute(update(outbox).where(outbox.c.id == message_id).values(due_ms=due_ms))


def prune(connection: Connection, now: int) -> int:
    """Forget what was told long ago. Answers how many rows."""
    return connection.execute(delete(outbox).where(outbox.c.done_ms < now - KEPT_MS)).rowcount
