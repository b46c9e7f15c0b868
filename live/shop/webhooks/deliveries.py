"""One event to one endpoint: made from the outbox, claimed, recorded, listed, sent again. Functions over a connection.

A claimed delivery is leased for a minute, so that a dead worker's is taken over: each is sent at least once, and
`webhook-id` tells the receiver a repeat (invariant I8).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, exists, insert, or_, select, update

from live.errors import NotFound, WrongState
from live.ids import new_id
from live.shop import outbox as box
from live.shop.webhooks.kinds import SHAPES, TEST
from live.store.tables import outbox, shows
from live.store.tables import webhook_deliveries as rows
from live.store.tables import webhook_endpoints as endpoints

# The specification's example: at once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
REPLAYED_AT_ONCE = 10_000
GONE = 410  # the specification's way to say "no more"
TAKEN_EVERY_MS = 60_000  # how often an endpoint's last success is written down
Outcome = Literal["waiting", "taken", "failed"]


class Delivery(msgspec.Struct, frozen=True):
    """An entry of the log. `answer` is the last status, or why there was none; `reply` how its body began; `due_ms`
    the next try of one that waits; `data` the event's body (JSON)."""

    id: int
    event_id: str
    kind: str
    data: str
    created_ms: int
    outcome: Outcome
    attempts: int
    due_ms: int
    tried_ms: int | None
    took_ms: int
    answer: str
    reply: str


class Due(msgspec.Struct, frozen=True):
    """What is to be posted. `secrets` sign, the newest first."""

    outbox_id: int
    endpoint_id: str
    attempts: int
    event_id: str
    kind: str
    body: str
    created_ms: int
    url: str
    secrets: tuple[str, ...]


def fan_out(sql: Connection, now: int) -> int:
    """Turn events that are due into one delivery an endpoint of their brand that wants the kind. Answers how many
    events. In a write: the event is done in the same transaction, so it is fanned out once."""
    messages = box.claim(sql, now, only=list(SHAPES))
    stock: dict[str, int] = {}  # the last event of each SKU: the earlier ones say nothing more
    told: list[tuple[box.Message, Any]] = [(message, msgspec.json.decode(message.body)) for message in messages]
    for message, about in told:
        if message.kind == "stock.changed":
            stock[about.get("sku", "")] = max(message.id, stock.get(about.get("sku", ""), 0))
    for message, about in told:
        if message.kind == "stock.changed" and stock[about.get("sku", "")] != message.id:
            continue
        brand = about.get("brand") or select(shows.c.brand_id).where(shows.c.id == about.get("show", ""))
        brand = brand if isinstance(brand, str) else brand.scalar_subquery()
        wanting = select(endpoints.c.id, endpoints.c.kinds).where(
            endpoints.c.brand_id == brand, endpoints.c.disabled_ms.is_(None)
        )
        for endpoint in sql.execute(wanting).all():
            if not endpoint.kinds or message.kind in endpoint.kinds.split():
                sql.execute(insert(rows).values(_new(message.id, endpoint.id, now)))
    if messages:
        box.done(sql, [message.id for message in messages], now)
    return len(messages)


def claim(sql: Connection, now: int, *, busy: Mapping[str, int], each: int, most: int) -> list[Due]:
    """Take what is due, at most `each` of an endpoint, those under way (`busy`) included. In a write."""
    due_at_all = exists().where(rows.c.endpoint_id == endpoints.c.id, *_due(now))
    waiting = sql.execute(select(endpoints).where(endpoints.c.disabled_ms.is_(None), due_at_all)).all()
    taken: list[Due] = []
    for endpoint in waiting:
        room = min(each - busy.get(endpoint.id, 0), most - len(taken))
        if room <= 0:
            continue
        query = (
            select(rows.c.attempts, rows.c.due_ms, outbox.c.id, *(outbox.c[name] for name in _OF_THE_EVENT))
            .join(outbox, outbox.c.id == rows.c.outbox_id)
            .where(rows.c.endpoint_id == endpoint.id, *_due(now))
            .order_by(rows.c.due_ms, rows.c.outbox_id)
            .limit(room)
            .with_for_update(skip_locked=True, of=rows)
        )
        for row in sql.execute(query).all():
            sql.execute(_of(row.id, endpoint.id).values(attempts=row.attempts + 1, due_ms=now + box.LEASE_MS))
            taken.append(_to_post(row, endpoint, now))
    return taken


def record(sql: Connection, due: Due, *, status: int, answer: str, reply: str, took_ms: int, now: int) -> None:
    """What came of one post. One that was taken stays taken, whatever a second worker says of it."""
    tried = {"status": status, "answer": answer, "reply": reply, "took_ms": took_ms, "tried_ms": now}
    one = _of(due.outbox_id, due.endpoint_id).where(rows.c.done_ms.is_(None))
    if 200 <= status < 300:
        sql.execute(one.values(**tried, outcome="taken", done_ms=now))
        stale = or_(endpoints.c.last_taken_ms.is_(None), endpoints.c.last_taken_ms < now - TAKEN_EVERY_MS)
        sql.execute(update(endpoints).where(endpoints.c.id == due.endpoint_id, stale).values(last_taken_ms=now))
        return
    if status == GONE:
        _disable(sql, due.endpoint_id, "gone", now)
    if due.attempts >= len(RETRY_AFTER_S):
        sql.execute(one.values(**tried, outcome="failed", done_ms=now))
        # Ten tries over three days, and nothing at all was taken meanwhile: nobody is there.
        silent = or_(endpoints.c.last_taken_ms.is_(None), endpoints.c.last_taken_ms < due.created_ms)
        if sql.execute(select(endpoints.c.id).where(endpoints.c.id == due.endpoint_id, silent)).first():
            _disable(sql, due.endpoint_id, "failing", now)
        return
    wait_s = RETRY_AFTER_S[due.attempts] * (1 + JITTER * secrets.SystemRandom().random())
    sql.execute(one.values(**tried, due_ms=now + int(wait_s * 1000)))


def log(
    sql: Connection, endpoint_id: str, *, outcome: str = "", before: int | None = None, limit: int = 50
) -> list[Delivery]:
    """An endpoint's deliveries, the newest first; `before` is the last one's id of the page before."""
    query = (
        select(rows, outbox.c.id, outbox.c.event_id, outbox.c.kind, outbox.c.body, outbox.c.created_ms)
        .join(outbox, outbox.c.id == rows.c.outbox_id)
        .where(rows.c.endpoint_id == endpoint_id)
    )
    if outcome:
        query = query.where(rows.c.outcome == outcome)
    if before is not None:
        query = query.where(rows.c.outbox_id < before)
    return [_delivery(row) for row in sql.execute(query.order_by(rows.c.outbox_id.desc()).limit(limit))]


def replay(sql: Connection, endpoint_id: str, delivery_id: int, now: int) -> None:
    """Send one again, under the same `webhook-id`. Raises: NotFound, WrongState while the endpoint is off."""
    _is_on(sql, endpoint_id)
    if not sql.execute(_of(delivery_id, endpoint_id).values(**_again(now))).rowcount:
        raise NotFound("delivery", str(delivery_id))


def replay_failed(sql: Connection, endpoint_id: str, since_ms: int, now: int) -> int:
    """Send again all that were given up of what happened since then; at most 10,000 at once, the first first.
    Answers how many. Raises: WrongState while the endpoint is off."""
    _is_on(sql, endpoint_id)
    failed = (
        select(rows.c.outbox_id)
        .join(outbox, outbox.c.id == rows.c.outbox_id)
        .where(rows.c.endpoint_id == endpoint_id, rows.c.outcome == "failed", outbox.c.created_ms >= since_ms)
        .order_by(rows.c.outbox_id)
        .limit(REPLAYED_AT_ONCE)
    )
    again = update(rows).where(rows.c.endpoint_id == endpoint_id, rows.c.outbox_id.in_(failed))
    return sql.execute(again.values(**_again(now))).rowcount


def test(sql: Connection, endpoint_id: str, brand_id: str, now: int) -> int:
    """An event for this endpoint alone, to see that it arrives; its id in the log. Raises: WrongState, NotFound."""
    _is_on(sql, endpoint_id)
    body = msgspec.json.encode({"brand": brand_id, "endpoint": endpoint_id}).decode()
    row = {"event_id": new_id("evt"), "kind": TEST, "body": body, "created_ms": now, "due_ms": now, "done_ms": now}
    key = sql.execute(insert(outbox).values(**row, attempts=0)).inserted_primary_key
    assert key is not None
    sql.execute(insert(rows).values(_new(key[0], endpoint_id, now)))
    return int(key[0])


_OF_THE_EVENT = ("event_id", "kind", "body", "created_ms")


def _due(now: int) -> tuple[Any, ...]:
    return rows.c.done_ms.is_(None), rows.c.due_ms <= now


def _of(outbox_id: int, endpoint_id: str) -> Any:
    return update(rows).where(rows.c.outbox_id == outbox_id, rows.c.endpoint_id == endpoint_id)


def _new(outbox_id: int, endpoint_id: str, now: int) -> dict[str, object]:
    return {"outbox_id": outbox_id, "endpoint_id": endpoint_id, "attempts": 0, "due_ms": now, "outcome": "waiting"}


def _again(now: int) -> dict[str, object]:
    return {"outcome": "waiting", "done_ms": None, "attempts": 0, "due_ms": now}


def _is_on(sql: Connection, endpoint_id: str) -> None:
    row = sql.execute(select(endpoints.c.disabled_ms).where(endpoints.c.id == endpoint_id)).first()
    if row is None:
        raise NotFound("endpoint", endpoint_id)
    if row.disabled_ms is not None:
        raise WrongState("disabled", "enabled")


def _disable(sql: Connection, endpoint_id: str, why: str, now: int) -> None:
    on = update(endpoints).where(endpoints.c.id == endpoint_id, endpoints.c.disabled_ms.is_(None))
    sql.execute(on.values(disabled_ms=now, disabled_why=why))


def _to_post(row: Row[Any], endpoint: Row[Any], now: int) -> Due:
    old = endpoint.old_secret if (endpoint.old_secret_until_ms or 0) > now else ""
    return Due(
        row.id,
        endpoint.id,
        row.attempts,
        row.event_id,
        row.kind,
        row.body,
        row.created_ms,
        endpoint.url,
        (endpoint.secret, *old.split()),
    )


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        event_id=row.event_id,
        kind=row.kind,
        data=row.body,
        created_ms=row.created_ms,
        outcome=row.outcome,
        attempts=row.attempts,
        due_ms=row.due_ms,
        tried_ms=row.tried_ms,
        took_ms=row.took_ms,
        answer=row.answer,
        reply=row.reply,
    )
