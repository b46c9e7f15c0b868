"""What must hold at every quiet moment, and after every fault, as sentences of what does not.

`frontrow doctor` prints them; tests ask after each injected fault.

I1  available + held + sold == on hand, for each SKU of the show
I2  sold ≤ on hand, and sold is what the sold orders say, less what came back to be sold again
I3  every order has its lines, its payment and its ledger, and its total is what these and its terms come to
I4  at most one capture an order, never more than it costs; refunds ≤ captures, net of those that came back, and each
    is in the payment;
    a sold order's status is what its units and its money say
I5  one (buyer, idempotency key), one order
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from redis.asyncio import Redis
from sqlalchemy import Connection, func, select

from live.shop.order_sheet import units_in
from live.shop.order_state import WENT_BACK, Units, standing
from live.shop.stock import stock_of
from live.store import keys
from live.store.sql import Database
from live.store.tables import ledger, order_lines, orders, payments, refunds


async def check(db: Database, redis: Redis, show_id: str) -> list[str]:
    """Everything of a show that contradicts I1–I5; empty when all is well.

    Exact while nobody buys. A sale between its commit and its consume shows as a claim of a paid order, which is right.
    """
    wrong = await db.read(lambda c: in_sql(c, show_id))
    gate, held, claims = await _in_redis(redis, show_id)
    if not gate:
        return wrong  # a lost gate is made again by whoever asks next
    taken: Counter[str] = Counter()
    for member, units in held.items():
        taken[member.partition("|")[2]] += units
    stock, sold_claims = await db.read(lambda c: (stock_of(c, show_id), _not_pending(c, list(claims))))
    for order, lines in claims.items():
        if order not in sold_claims:
            taken.update(lines)
    for sku, (on_hand, sold) in sorted(stock.items()):
        left = int(gate.get(f"n:{sku}", 0))  # below 0 when staff took away what is held: it comes back to nobody
        if f"n:{sku}" not in gate:
            wrong.append(f"I1 {sku}: the gate does not know it")
        elif left + taken[sku] + sold != on_hand:
            wrong.append(f"I1 {sku}: {left} left + {taken[sku]} held + {sold} sold is not {on_hand} on hand")
    if int(gate.get("held", 0)) != sum(held.values()):
        wrong.append(f"I1 the gate counts {gate.get('held')} held units, the holds {sum(held.values())}")
    return wrong


async def _in_redis(redis: Redis, show_id: str) -> tuple[dict[str, str], dict[str, int], dict[str, dict[str, int]]]:
    async with redis.pipeline(transaction=True) as pipe:  # one moment
        pipe.hgetall(keys.gate(show_id))
        pipe.hgetall(keys.held(show_id))
        pipe.hgetall(keys.claims(show_id))
        gate, held, claims = await pipe.execute()
    return (
        {name.decode(): value.decode() for name, value in gate.items()},
        {member.decode(): int(units) for member, units in held.items()},
        {order.decode(): msgspec.json.decode(claim)["lines"] for order, claim in claims.items()},
    )


def _not_pending(connection: Connection, order_ids: list[str]) -> set[str]:
    query = select(orders.c.id).where(orders.c.id.in_(order_ids), orders.c.status != "pending")
    return set(connection.execute(query).scalars())


def in_sql(connection: Connection, show_id: str) -> list[str]:
    wrong = []
    by_orders = connection.execute(
        select(order_lines.c.sku, func.sum(order_lines.c.qty - order_lines.c.restocked))
        .join(orders, orders.c.id == order_lines.c.order_id)
        .where(orders.c.paid_ms.is_not(None))
        .group_by(order_lines.c.sku)
    )
    paid = {sku: int(units) for sku, units in by_orders}
    for sku, (on_hand, sold) in sorted(stock_of(connection, show_id).items()):
        if sold > on_hand:
            wrong.append(f"I2 {sku}: {sold} sold of {on_hand} on hand")
        if sold != paid.get(sku, 0):
            wrong.append(f"I2 {sku}: {sold} sold, but sold orders have {paid.get(sku, 0)}")

    rows = connection.execute(
        select(
            orders.c.id,
            orders.c.buyer,
            orders.c.idempotency_key,
            orders.c.status,
            orders.c.total_minor,
            orders.c.goods_minor,
            orders.c.discount_minor,
            orders.c.shipping_minor,
            orders.c.tax_minor,
            orders.c.tax_included,
            orders.c.paid_ms,
        ).where(orders.c.show_id == show_id)
    ).all()
    lines = _sums(connection, select(order_lines.c.order_id, func.sum(order_lines.c.qty * order_lines.c.unit_minor)))
    noted = set(connection.execute(select(ledger.c.order_id).distinct()).scalars())
    money: dict[str, list[tuple[str, int, int]]] = {}
    for order, status, captured, refunded in connection.execute(
        select(payments.c.order_id, payments.c.status, payments.c.captured_minor, payments.c.refunded_minor)
    ):
        money.setdefault(order, []).append((status, captured, refunded))
    units, back = _units(connection, show_id), _refunds(connection, show_id)
    for row in rows:
        if lines.get(row.id) != row.goods_minor:
            wrong.append(f"I3 {row.id}: its lines come to {lines.get(row.id)}, not {row.goods_minor}")
        due = row.goods_minor - row.discount_minor + row.shipping_minor + (0 if row.tax_included else row.tax_minor)
        if due != row.total_minor:
            wrong.append(f"I3 {row.id}: its parts come to {due}, not {row.total_minor}")
        if row.id not in money or row.id not in noted:
            wrong.append(f"I3 {row.id}: has no payment or no ledger")
        captures = [captured for _, captured, _ in money.get(row.id, []) if captured]
        if len(captures) > 1 or sum(captures) > row.total_minor:
            wrong.append(f"I4 {row.id}: captured {captures}, costs {row.total_minor}")
        if any(refunded > captured for _, captured, refunded in money.get(row.id, [])):
            wrong.append(f"I4 {row.id}: more refunded than captured")
        if row.paid_ms is not None:
            wrong += _after_the_sale(row, captures, money.get(row.id, []), units.get(row.id, []), back.get(row.id, {}))
        if row.status == "refunded" and any(c != r for _, c, r in money.get(row.id, [])):
            wrong.append(f"I4 {row.id}: is refunded, but not its whole payment")
    for (buyer, key), count in Counter((row.buyer, row.idempotency_key) for row in rows).items():
        if count > 1:
            wrong.append(f"I5 {buyer}: {count} orders with key {key}")
    return wrong


def _after_the_sale(
    row: Any, captures: list[int], money: list[tuple[str, int, int]], units: list[Units], back: dict[str, int]
) -> list[str]:
    wrong = []
    captured, refunded = sum(captures), sum(r for _, _, r in money)
    if captured != row.total_minor:
        wrong.append(f"I4 {row.id}: is sold for {row.total_minor}, but {captured} was captured")
    gone = sum(back.get(status, 0) for status in WENT_BACK)
    if gone != refunded:
        wrong.append(f"I4 {row.id}: its payment says {refunded} refunded, its refunds {gone}")
    if back.get("asked", 0) + refunded > captured:
        wrong.append(f"I4 {row.id}: {back['asked']} more is to be refunded than was captured")
    if row.status != (read := standing(units, captured=captured, refunded=refunded)):
        wrong.append(f"I4 {row.id}: is {row.status}, but its units and money say {read}")
    return wrong


def _units(connection: Connection, show_id: str) -> dict[str, list[Units]]:
    found: dict[str, list[Units]] = {}
    of = select(order_lines, orders.c.tax_included).join(orders, orders.c.id == order_lines.c.order_id)
    for line in connection.execute(of.where(orders.c.show_id == show_id)):
        found.setdefault(line.order_id, []).append(units_in(line))
    return found


def _refunds(connection: Connection, show_id: str) -> dict[str, dict[str, int]]:
    """Order -> status -> minor units."""
    found: dict[str, dict[str, int]] = {}
    of = (
        select(refunds.c.order_id, refunds.c.status, func.sum(refunds.c.amount_minor))
        .join(orders, orders.c.id == refunds.c.order_id)
        .where(orders.c.show_id == show_id)
        .group_by(refunds.c.order_id, refunds.c.status)
    )
    for order, status, amount in connection.execute(of):
        found.setdefault(order, {})[status] = int(amount)
    return found


def _sums(connection: Connection, query: object) -> dict[str, int]:
    grouped = query.group_by(order_lines.c.order_id)  # type: ignore[attr-defined]
    return {order: int(amount) for order, amount in connection.execute(grouped)}
