"""The sandbox provider's books: a row a charge, and what is done to one. Statements, and pure rules."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select, tuple_, update

from live.errors import NotFound
from live.ids import new_id
from live.money import Money
from live.shop.payments.port import ChargeRequest, ChargeStatus, DisputeStatus, Repaid, RepaidStatus
from live.store.statements import Statement, insert_into
from live.store.tables import sandbox_charges, sandbox_disputes


class Choice(msgspec.Struct, frozen=True):
    """What the hosted page does next. `step`: "done"; "code" (ask for the bank's code); "silent" (the answer never
    comes: the page shows a time-out and asks the shop no question; the event arrives late)."""

    status: str
    step: Literal["done", "code", "silent"]
    reason: str = ""


class HostedCharge(msgspec.Struct, frozen=True):
    """What the hosted page shows."""

    ref: str
    status: str
    amount: Money
    order_number: str
    return_url: str
    reason: str
    saves: bool = False  # the buyer wants to pay by this card again
    asks: bool = False  # a saved card is being charged, and its bank asks for a code


class Returned(msgspec.Struct):
    """`ends`: the bank's answer, which it gives at `due_ms`; until then the refund is `first`."""

    key: str
    ref: str
    amount_minor: int
    first: RepaidStatus = "done"
    ends: RepaidStatus = "done"
    due_ms: int = 0


class Facts(msgspec.Struct):
    order_number: str = ""
    return_url: str = ""
    reason: str = ""
    refunds: list[Returned | str] = []  # a name alone: of before refunds had more to tell
    disputed_ms: int = 0  # when the buyer's bank wants, or wanted, the money back
    dispute_ends: DisputeStatus = "lost"  # … and what becomes of that
    save: bool = False
    method: str = ""
    last4: str = ""


class Books(NamedTuple):
    """A row of the books."""

    ref: str
    idempotency_key: str
    amount_minor: int
    currency: str
    status: ChargeStatus
    captured_minor: int
    refunded_minor: int
    facts: str
    created_ms: int


FACTS = msgspec.json.Decoder(Facts)
INSERT = Statement(insert_into(sandbox_charges))
_SELECT = select(*(sandbox_charges.c[name] for name in Books._fields))
_OF_REF = _SELECT.where(sandbox_charges.c.ref == bindparam("ref"))
BY_REF = Statement(_OF_REF)
BY_REF_LOCKED = Statement(_OF_REF.with_for_update())
BY_KEY = Statement(_SELECT.where(sandbox_charges.c.idempotency_key == bindparam("key")))
CHANGING = ("status", "captured_minor", "refunded_minor", "facts")
CHANGE = Statement(
    update(sandbox_charges)
    .where(sandbox_charges.c.ref == bindparam("of"))
    .values({name: bindparam(name) for name in CHANGING})
)
_OPEN = ("created", "authorising", "authorised")


def read(connection: Connection, by_ref: Statement, ref: str) -> Books:
    row = by_ref.first(connection, {"ref": ref})
    if row is None:
        raise NotFound("charge", ref)
    return Books(*row)


def disputed_since(connection: Connection, since_ms: int, now: int, after: str, limit: int) -> list[Books]:
    """Charges whose dispute was opened since then, the newest first; `after` is the last of the page before. Raises
    NotFound."""
    opened = sandbox_disputes.c
    query = _SELECT.join(sandbox_disputes, opened.ref == sandbox_charges.c.ref)
    query = query.where(opened.opened_ms.between(since_ms, now))
    if after:
        at = connection.execute(select(opened.opened_ms).where(opened.ref == after)).scalar()
        if at is None:
            raise NotFound("dispute", after)
        query = query.where(tuple_(opened.opened_ms, opened.ref) < (at, after))
    rows = connection.execute(query.order_by(opened.opened_ms.desc(), opened.ref.desc()).limit(limit))
    return [Books(*row) for row in rows]


def new_row(request: ChargeRequest, now: int) -> dict[str, Any]:
    facts = Facts(request.order_number, request.return_url, save=request.save, method=request.method)
    return {
        "ref": new_id("sbx"),
        "idempotency_key": request.idempotency_key,
        "amount_minor": request.amount_minor,
        "currency": request.currency,
        "status": "created",
        "captured_minor": 0,
        "refunded_minor": 0,
        "facts": msgspec.json.encode(facts).decode(),
        "created_ms": now,
    }


def repaid(one: Returned, now: int) -> Repaid:
    status = one.ends if now >= one.due_ms else one.first
    return Repaid(one.key, one.ref, one.amount_minor, status, "expired_card" if status == "failed" else "")


def captured(charge: Books) -> dict[str, Any]:
    return {"status": "captured", "captured_minor": charge.amount_minor} if charge.status in _OPEN else {}


def closed(charge: Books, status: str, reason: str) -> dict[str, Any]:
    if charge.status not in _OPEN:
        return {}
    facts = FACTS.decode(charge.facts)
    facts.reason = reason
    return {"status": status, "facts": msgspec.json.encode(facts).decode()}
