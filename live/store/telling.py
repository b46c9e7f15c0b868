"""Writes into the outbox, in the transaction of what is told: areas that may not know each other all tell."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert

from live.ids import new_id
from live.store.tables import outbox


def tell(sql: Connection, kind: str, body: object, now: int, *, event_id: str = "") -> None:
    """A row of `kind` for the worker to tell; the kinds that merchants hear are in shop/webhooks/kinds.py."""
    row = {
        "event_id": event_id or new_id("evt"),
        "kind": kind,
        "body": msgspec.json.encode(body).decode(),
        "created_ms": now,
        "due_ms": now,
        "attempts": 0,
    }
    sql.execute(insert(outbox).values(row))
