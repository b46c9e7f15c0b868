"""A sold order, locked, and the parts that its acts are made of. All within the transaction of the act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from live.errors import Conflict, IdempotencyMismatch, NotFound, WrongState
from live.events import OrderStatus
from live.ids import digest, new_id
from live.money import Money
from live.shop.order_state import STAYED, Units, allowed, repaid_by, standing
from live.shop.order_state import Act as StateAct
from live.shop.webhooks.stock import tell_change
from live.store.tables import disputes, ledger, order_lines, orders, outbox, payments, products, refunds, variants

NEVER_MS = 2**53 - 1
ASK_AFTER_MS = 30_000  # the process that decided a refund asks for it at once; after this the worker does

_NOBODYS_DECISION = ("order.noted", "order.refunded")  # entries that no act has to know of
# Of a payment whose order is never sold (unsold.py): what was taken for it is owed by staff, or by a refund that they
# see; waits for the bank to decide; stays with the buyer, since the bank decided so.
OWED, DISPUTED, LOST = "refund_failed", "disputed", "lost"
UNSOLD = (OWED, DISPUTED, LOST)

Why = Literal["asked", "cancelled", "returned", "outside", "unsold"]


class Act(msgspec.Struct, frozen=True):
    """Who acts on which order. `seen` None: she doesn't say what she saw. `actor` is a staff id."""

    order: str
    actor: str
    op: str
    now: int
    seen: int | None = None


class Moved(msgspec.Struct, frozen=True):
    """What an act did. `changed` False: it was done before, by the same `op`. `refund`: the one to ask for now;
    `restocked`: SKU -> units that are for sale again, of `cart`'s."""

    order: str
    show: str
    cart: str
    changed: bool = True
    shipment: str = ""
    refund: str = ""
    refund_minor: int = 0
    restocked: dict[str, int] = {}


@dataclass
class Sheet:
    """A sold order, locked, as an act finds it and leaves it. `disputed`: its payment is, and nobody has decided;
    `lost_minor` is what disputes took for good."""

    row: Any
    pay: Any
    lines: dict[str, Units]
    under_way: bool
    disputed: bool
    lost_minor: int

    @property
    def left_minor(self) -> int:
        """Captured, and neither given back nor about to be: while one refund is under way nothing else is begun, and
        of a disputed payment nothing is given back, since the bank has it already."""
        return left_of(self.pay, disputed=self.disputed, lost_minor=self.lost_minor)

    def repaid_by(self, units: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        return repaid_by(self.lines, units, left_minor=self.left_minor)

    def allow(self, act: Any) -> None:
        """Raises: WrongState with the order's status, Conflict while a refund is under way or the payment disputed."""
        if act not in acts_of(self.row, self.pay, self.lines, left_minor=self.left_minor, under_way=self.under_way):
            if self.under_way and act in ("refund", "cancel"):
                raise Conflict("refund_under_way")
            if self.disputed and act == "refund":
                raise Conflict("disputed")
            raise WrongState(self.row.status, f"an order of which there is something to {act}")


def begin(connection: Connection, act: Act, kind: str, asked: object) -> Sheet | Moved:
    """The order, locked, for an act that was not done yet; what was done by its `op` before.

    Raises: NotFound, IdempotencyMismatch, Conflict (somebody acted since `act.seen`), WrongState (it is not sold).
    """
    sheet = sheet_of(connection, act.order)
    known = known_act(connection, act, kind, asked)
    if known is not None:
        return known
    if act.seen is not None:
        last = select(ledger.c.id, ledger.c.kind, ledger.c.actor).where(
            ledger.c.order_id == act.order, ledger.c.id > act.seen, ledger.c.kind.not_in(_NOBODYS_DECISION)
        )
        since = connection.execute(last.order_by(ledger.c.id.desc()).limit(1)).first()
        if since is not None:
            raise Conflict("order_moved", kind=since.kind, actor=since.actor)
    if sheet.row.paid_ms is None and sheet.pay.status != OWED:
        raise WrongState(sheet.row.status, "paid")
    return sheet


def acts_of(
    order: Any, pay: Any, lines: Mapping[str, Units], *, left_minor: int, under_way: bool
) -> frozenset[StateAct]:
    """What may be done with an order, sold or not."""
    if order.paid_ms is not None:
        return allowed(lines.values(), left_minor=left_minor, under_way=under_way)
    owed = pay.status == OWED and left_minor > 0 and not under_way
    return frozenset({"refund"} if owed else ())


def sheet_of(connection: Connection, order_id: str) -> Sheet:
    """The order with its payment and lines; whoever else wants it waits for this transaction. Raises NotFound."""
    row = connection.execute(select(orders).where(orders.c.id == order_id).with_for_update()).first()
    if row is None:
        raise NotFound("order", order_id)
    pay = connection.execute(select(payments).where(payments.c.order_id == order_id).with_for_update()).one()
    asked = select(refunds.c.id).where(refunds.c.order_id == order_id, refunds.c.status == "asked")
    under_way = connection.execute(asked).first() is not None
    return Sheet(row, pay, units_of(connection, order_id), under_way, *disputed_of(connection, order_id))


def left_of(pay: Any, *, disputed: bool, lost_minor: int) -> int:
    """What of a payment can be given back, refunds that are under way aside: minor units."""
    return 0 if disputed else max(0, int(pay.captured_minor - pay.refunded_minor - lost_minor))


def disputed_of(connection: Connection, order_id: str) -> tuple[bool, int]:
    """Whether a dispute of an order is open, and the minor units that were lost by others."""
    query = select(disputes.c.status, disputes.c.amount_minor).where(disputes.c.order_id == order_id)
    found = connection.execute(query).all()
    return any(one.status == "open" for one in found), sum(one.amount_minor for one in found if one.status == "lost")


def units_of(connection: Connection, order_id: str) -> dict[str, Units]:
    """SKU -> what became of its units."""
    repaid: dict[str, int] = {}
    owed = select(refunds.c.lines).where(refunds.c.order_id == order_id, refunds.c.status.not_in(STAYED))
    for lines in connection.execute(owed).scalars():
        for sku, qty in msgspec.json.decode(lines, type=dict[str, int]).items():
            repaid[sku] = repaid.get(sku, 0) + qty
    of = select(order_lines, orders.c.tax_included).join(orders, orders.c.id == order_lines.c.order_id)
    rows = connection.execute(of.where(order_lines.c.order_id == order_id).order_by(order_lines.c.sku))
    return {line.sku: units_in(line, repaid.get(line.sku, 0)) for line in rows}


def units_in(line: Any, repaid: int = 0) -> Units:
    """Of a row of order_lines, with its order's `tax_included`. What was paid for a line has its part of a discount
    taken off, and its tax on it where the prices don't contain that (shop.totals)."""
    added = 0 if line.tax_included else line.tax_minor
    paid = line.unit_minor * line.qty - line.discount_minor + added
    return Units(line.sku, line.qty, paid, line.shipped, line.struck, line.returned, line.restocked, repaid)


def add(connection: Connection, sheet: Sheet, what: str, units: Mapping[str, int]) -> None:
    """Move units of lines: `what` is shipped, struck, returned or restocked."""
    for sku, qty in sorted(units.items()):
        line = sheet.lines[sku] = msgspec.structs.replace(
            sheet.lines[sku], **{what: getattr(sheet.lines[sku], what) + qty}
        )
        connection.execute(
            update(order_lines)
            .where(order_lines.c.order_id == sheet.row.id, order_lines.c.sku == sku)
            .values({what: getattr(line, what)})
        )


def release(connection: Connection, act: Act, sheet: Sheet, units: Mapping[str, int]) -> None:
    """Sold units are for sale again; the merchant's system hears of each. The gate learns it from who called."""
    add(connection, sheet, "restocked", units)
    for sku, qty in sorted(units.items()):  # in the order of SKUs, as sales take them: no two wait in a ring
        connection.execute(update(variants).where(variants.c.sku == sku).values(sold=variants.c.sold - qty))
        stock = connection.execute(
            select(variants.c.on_hand, variants.c.sold, products.c.brand_id)
            .join(products, products.c.id == variants.c.product_id)
            .where(variants.c.sku == sku)
        ).one()
        tell_change(connection, stock.brand_id, sku, stock.on_hand, stock.sold, act.now, change=0, by=act.actor)


def decide(
    connection: Connection,
    act: Act,
    sheet: Sheet,
    amount: int,
    why: Why,
    units: Mapping[str, int],
    note: str = "",
    *,
    again_of: str = "",
) -> str:
    """From here on this much is the buyer's. The refund's id, or "" where there is nothing to give back."""
    if amount <= 0:
        return ""
    refund_id = new_id("rfd")
    connection.execute(
        insert(refunds).values(
            id=refund_id,
            order_id=act.order,
            payment_id=sheet.pay.id,
            amount_minor=amount,
            why=why,
            lines=_json(dict(units)),
            note=note,
            status="asked",
            answer="",
            actor=act.actor,
            created_ms=act.now,
            due_ms=act.now + ASK_AFTER_MS,
            attempts=0,
            again_of=again_of,
        )
    )
    return refund_id


def finish(connection: Connection, act: Act, sheet: Sheet, kind: str, asked: object, facts: dict[str, Any]) -> None:
    """The act's end: status, ledger, and the event for the merchant's system."""
    moved = stand(connection, sheet, captured=sheet.pay.captured_minor, refunded=sheet.pay.refunded_minor)
    write(connection, act, kind, {**facts, **moved, "asked": digest_of(asked)})
    if kind != "refund.asked":  # told once it is done
        told = {name: value for name, value in facts.items() if name != "note"}
        tell(connection, act, sheet, kind, {**told, "status": moved["to"]})


def stand(connection: Connection, sheet: Sheet, *, captured: int, refunded: int) -> dict[str, OrderStatus]:
    """Write the status that the order has by now; where it came from and where it is."""
    before = sheet.row.status
    if sheet.row.paid_ms is not None:
        status = standing(sheet.lines.values(), captured=captured, refunded=refunded)
    else:
        status = "refunded" if refunded >= captured else "cancelled"
    if status != before:
        connection.execute(
            update(orders).where(orders.c.id == sheet.row.id).values(status=status, settle_after_ms=NEVER_MS)
        )
    return {"from": before, "to": status}


def known_act(connection: Connection, act: Act, kind: str, asked: object) -> Moved | None:
    """What was done by this `op` before. Raises IdempotencyMismatch when that was something else."""
    done = connection.execute(
        select(ledger.c.kind, ledger.c.facts, orders.c.show_id, orders.c.cart)
        .join(orders, orders.c.id == ledger.c.order_id)
        .where(ledger.c.order_id == act.order, ledger.c.op == act.op)
    ).first()
    if done is None:
        return None
    facts = msgspec.json.decode(done.facts)
    if done.kind != kind or facts.get("asked") != digest_of(asked):
        raise IdempotencyMismatch(act.op)
    return Moved(act.order, done.show_id, done.cart, changed=False, shipment=facts.get("shipment", ""))


def digest_of(asked: object) -> str:
    return digest(msgspec.json.encode(asked, order="deterministic").decode())[:32]


def write(connection: Connection, act: Act, kind: str, facts: Mapping[str, Any], *, by_op: bool = True) -> None:
    """One entry of the ledger."""
    op = act.op if by_op else None
    row = {"order_id": act.order, "kind": kind, "wall_ms": act.now, "facts": _json(facts), "actor": act.actor, "op": op}
    connection.execute(insert(ledger).values(row))


def tell(connection: Connection, act: Act, sheet: Sheet, kind: str, facts: Mapping[str, Any]) -> None:
    """An event for the merchant's system."""
    row = sheet.row
    about = {"order": row.id, "number": row.number, "show": row.show_id, "total": Money(row.total_minor, row.currency)}
    _put(connection, kind, {**about, **facts}, act.now)


def mail(
    connection: Connection, act: Act, kind: str, *, due_ms: int | None = None, event_id: str = "", **facts: Any
) -> None:
    """A letter for the buyer."""
    _put(connection, kind, {"order": act.order, **facts}, act.now, due_ms=due_ms, event_id=event_id)


def _put(
    connection: Connection,
    kind: str,
    body: Mapping[str, Any],
    now: int,
    *,
    due_ms: int | None = None,
    event_id: str = "",
) -> None:
    told = {"event_id": event_id or new_id("evt"), "kind": kind, "body": _json(body), "created_ms": now}
    connection.execute(insert(outbox).values(**told, due_ms=due_ms or now, attempts=0))


def _json(body: object) -> str:
    return msgspec.json.encode(body).decode()


def version(connection: Connection, order_id: str) -> int:
    """What `seen` has to be for an act of who reads the order now."""
    query = select(func.coalesce(func.max(ledger.c.id), 0)).where(ledger.c.order_id == order_id)
    return int(connection.execute(query).scalar_one())
