"""A payment provider to try the shop with: its own books, its own hosted page, and every trouble that real ones make.

Nothing of the shop reads its books but through the port. Its messages are rows of the outbox, so that they survive a
crash; the worker posts them, signed, to /api/payments/sandbox/events. Money never moves.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.errors import Invalid, NotFound
from live.ids import new_id, sign
from live.money import Money
from live.settings import Settings
from live.shop.payments.port import Charge, ChargeRequest, ProviderEvent
from live.store.sql import Database
from live.store.tables import outbox, sandbox_charges

Outcome = Literal["success", "decline", "insufficient_funds", "three_d_secure", "timeout_after_success", "abandon"]
OUTCOMES: tuple[Outcome, ...] = (
    "success",
    "decline",
    "insufficient_funds",
    "three_d_secure",
    "timeout_after_success",
    "abandon",
)
EVENTS_PATH = "/api/payments/sandbox/events"
EVENT_KIND = "sandbox.event"  # of the outbox's rows that are this provider's, not the shop's
SIGNATURE = "sandbox-signature"
CODE = "123456"  # what the pretended bank sends to the pretended telephone
EVENT_AFTER_MS = 300
LATE_AFTER_MS = 5_000
TOLERANCE_MS = 300_000  # an event signed longer ago is a replay


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


class _Facts(msgspec.Struct):
    order_number: str = ""
    return_url: str = ""
    reason: str = ""
    refunds: list[str] = []


_facts = msgspec.json.Decoder(_Facts)


class SandboxProvider:
    """See `payments/port.py`. `repeat` says how often each of its messages is sent, the last ones first."""

    name = "sandbox"

    def __init__(self, db: Database, settings: Settings, clock: Clock, *, repeat: int = 1) -> None:
        self._db = db
        self._clock = clock
        self._base_url = settings.base_url
        self._key = sign(settings.key, "sandbox", "events").encode()
        self._repeat = repeat

    # ---- the port ------------------------------------------------------------------------------

    async def create(self, request: ChargeRequest) -> Charge:
        facts = _Facts(request.order_number, request.return_url)
        row: dict[str, Any] = {
            "ref": new_id("sbx"),
            "idempotency_key": request.idempotency_key,
            "amount_minor": request.amount_minor,
            "currency": request.currency,
            "status": "created",
            "captured_minor": 0,
            "refunded_minor": 0,
            "facts": msgspec.json.encode(facts).decode(),
            "created_ms": self._clock.now_ms(),
        }
        known = select(sandbox_charges).where(sandbox_charges.c.idempotency_key == request.idempotency_key)

        def write(connection: Connection) -> Charge:
            try:
                with connection.begin_nested():
                    connection.execute(_INSERT, row)
            except IntegrityError:
                charge = self._charge(connection.execute(known).one())
                if (charge.amount_minor, charge.currency) != (request.amount_minor, request.currency):
                    raise Invalid("idempotency_key", "was used for another amount") from None
                return charge
            return Charge(row["ref"], "created", request.amount_minor, request.currency, 0, 0, self.pay_url(row["ref"]))

        return await self._db.write(write)

    async def capture(self, ref: str) -> Charge:
        return await self._change(ref, lambda charge: _captured(charge) if charge.status == "authorised" else {})

    async def cancel(self, ref: str) -> Charge:
        return await self._change(ref, lambda charge: _closed(charge, "cancelled", "cancelled"))

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        def change(charge: Row[Any]) -> dict[str, Any]:
            facts = _facts.decode(charge.facts)
            if idempotency_key in facts.refunds:
                return {}
            if amount_minor <= 0 or charge.refunded_minor + amount_minor > charge.captured_minor:
                raise Invalid("amount_minor", "is more than was captured")
            facts.refunds.append(idempotency_key)
            refunded = charge.refunded_minor + amount_minor
            status = "refunded" if refunded == charge.captured_minor else charge.status
            return {"refunded_minor": refunded, "status": status, "facts": msgspec.json.encode(facts).decode()}

        return await self._change(ref, change)

    async def fetch(self, ref: str) -> Charge:
        return self._charge(await self._row(ref))

    def pay_url(self, ref: str) -> str:
        return f"{self._base_url}/sandbox/pay/{ref}"

    def parse_event(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        parts = dict(part.partition("=")[::2] for part in headers.get(SIGNATURE, "").split(","))
        sent_ms = int(parts["t"]) if parts.get("t", "").isascii() and parts.get("t", "").isdigit() else 0
        expected = self._signature(sent_ms, body)
        if not hmac.compare_digest(parts.get("v1", "").encode(), expected.encode()):
            raise Invalid("signature", "is not the provider's")
        if abs(self._clock.now_ms() - sent_ms) > TOLERANCE_MS:
            raise Invalid("signature", "is too old")
        try:
            return msgspec.json.decode(body, type=ProviderEvent)
        except msgspec.DecodeError as why:
            raise Invalid("body", "is not an event") from why

    # ---- the hosted page -----------------------------------------------------------------------

    async def charge(self, ref: str) -> HostedCharge:
        """What the hosted page shows. Raises NotFound."""
        row = await self._row(ref)
        facts = _facts.decode(row.facts)
        amount = Money(row.amount_minor, row.currency)
        return HostedCharge(ref, row.status, amount, facts.order_number, facts.return_url, facts.reason)

    async def choose(self, ref: str, outcome: str, code: str | None = None) -> Choice:
        """What the buyer did on the hosted page. A charge that is closed answers as it was closed.

        `three_d_secure` asks for a code first ("authorising", step "code"), then comes again with `code`.
        Raises: NotFound, Invalid.
        """
        if outcome not in OUTCOMES:
            raise Invalid("outcome", f"must be one of {', '.join(OUTCOMES)}")
        late = outcome == "timeout_after_success"

        def change(charge: Row[Any]) -> dict[str, Any]:
            if outcome in ("success", "timeout_after_success"):
                return _captured(charge)
            if outcome == "three_d_secure" and code is None:
                return {"status": "authorising"} if charge.status in ("created", "authorising") else {}
            if outcome == "three_d_secure":
                return _captured(charge) if code == CODE else _closed(charge, "declined", "authentication_failed")
            if outcome == "abandon":
                return _closed(charge, "cancelled", "abandoned")
            return _closed(charge, "declined", "insufficient_funds" if outcome == "insufficient_funds" else "declined")

        charge = await self._change(ref, change, late=late)
        if charge.status == "authorising":
            return Choice("authorising", "code")
        return Choice(charge.status, "silent" if late and charge.status == "captured" else "done", charge.reason)

    # ---- its messages --------------------------------------------------------------------------

    def signed_headers(self, body: bytes) -> dict[str, str]:
        """The headers that make a message this provider's."""
        now = self._clock.now_ms()
        return {"content-type": "application/json", SIGNATURE: f"t={now},v1={self._signature(now, body)}"}

    def _signature(self, sent_ms: int, body: bytes) -> str:
        return hmac.new(self._key, f"{sent_ms}.".encode() + body, hashlib.sha256).hexdigest()

    def _tell(self, connection: Connection, ref: str, status: str, *, late: bool) -> None:
        now = self._clock.now_ms()
        due = now + (LATE_AFTER_MS if late else EVENT_AFTER_MS)
        told = [(f"charge.{status}", due)] * (self._repeat + (1 if late else 0))
        if late or self._repeat > 1:  # what happened first is told last
            told.append(("charge.created", due + 1))
        event_ids = {kind: new_id("evt") for kind, _ in told}
        for kind, due_ms in told:
            body = msgspec.json.encode(ProviderEvent(event_ids[kind], kind, ref)).decode()
            connection.execute(
                _INSERT_OUTBOX,
                {
                    "event_id": new_id("snd"),
                    "kind": EVENT_KIND,
                    "body": body,
                    "created_ms": now,
                    "due_ms": due_ms,
                    "attempts": 0,
                },
            )

    # ---- the books -----------------------------------------------------------------------------

    async def _row(self, ref: str) -> Row[Any]:
        row = await self._db.read(lambda c: c.execute(_BY_REF, {"ref": ref}).first())
        if row is None:
            raise NotFound("charge", ref)
        return row

    async def _change(self, ref: str, change: Callable[[Row[Any]], dict[str, Any]], *, late: bool = False) -> Charge:
        def write(connection: Connection) -> Charge:
            row = connection.execute(_BY_REF_LOCKED, {"ref": ref}).first()
            if row is None:
                raise NotFound("charge", ref)
            values = change(row)
            if not values:
                return self._charge(row)
            after = row._asdict() | values
            connection.execute(_CHANGE, {"of": ref} | {name: after[name] for name in _CHANGING})
            status = after["status"]
            if status != row.status and status != "authorising":
                self._tell(connection, ref, status, late=late)
            return self._charge_of(after)

        return await self._db.write(write)

    def _charge(self, row: Row[Any]) -> Charge:
        return self._charge_of(row._asdict())

    def _charge_of(self, row: Mapping[str, Any]) -> Charge:
        return Charge(
            ref=row["ref"],
            status=row["status"],
            amount_minor=row["amount_minor"],
            currency=row["currency"],
            captured_minor=row["captured_minor"],
            refunded_minor=row["refunded_minor"],
            pay_url=self.pay_url(row["ref"]),
            reason=_facts.decode(row["facts"]).reason,
        )


_INSERT = insert(sandbox_charges)
_INSERT_OUTBOX = insert(outbox)
_BY_REF = select(sandbox_charges).where(sandbox_charges.c.ref == bindparam("ref"))
_BY_REF_LOCKED = _BY_REF.with_for_update()
_CHANGING = ("status", "captured_minor", "refunded_minor", "facts")
_CHANGE = (
    update(sandbox_charges)
    .where(sandbox_charges.c.ref == bindparam("of"))
    .values({name: bindparam(name) for name in _CHANGING})
)
_OPEN = ("created", "authorising", "authorised")


def _captured(charge: Row[Any]) -> dict[str, Any]:
    return {"status": "captured", "captured_minor": charge.amount_minor} if charge.status in _OPEN else {}


def _closed(charge: Row[Any], status: str, reason: str) -> dict[str, Any]:
    if charge.status not in _OPEN:
        return {}
    facts = _facts.decode(charge.facts)
    facts.reason = reason
    return {"status": status, "facts": msgspec.json.encode(facts).decode()}
