"""A payment provider to try the shop with: its own books, its own hosted page, and every trouble that real ones make.

Nothing of the shop reads its books but through the port. Its messages are rows of the outbox, so that they survive a
crash; the worker posts them, signed, to /api/payments/sandbox/events. Money never moves.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.errors import Invalid, NotFound
from live.ids import new_id, sign
from live.money import Money
from live.settings import Settings
from live.shop.payments.port import Charge, ChargeRequest, ChargeStatus, PayPage, ProviderEvent, SavedMethod
from live.store.sql import Database
from live.store.statements import Statement, insert_into
from live.store.tables import outbox, sandbox_charges, sandbox_methods

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
FORGED = "charge.forged"
EVENT_AFTER_MS = 300
LATE_AFTER_MS = 5_000
TOLERANCE_MS = 300_000  # an event signed longer ago is a replay
LAST4 = {"three_d_secure": "3184"}  # of the card that is told, by outcome; every other ends in 4242


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


class _Facts(msgspec.Struct):
    order_number: str = ""
    return_url: str = ""
    reason: str = ""
    refunds: list[str] = []
    save: bool = False
    method: str = ""
    last4: str = ""


class _Books(NamedTuple):
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


_facts = msgspec.json.Decoder(_Facts)


class SandboxProvider:
    """See `payments/port.py`. Its messages may be made troublesome (`FRONTROW_SANDBOX_TROUBLE`): `late` by five
    seconds, `twice` each, `unordered` (what happened first is told last), `forged` (one with a wrong signature goes
    ahead), `lost` (never sent: the shop has to ask)."""

    name = "sandbox"

    def __init__(self, db: Database, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._base_url = settings.base_url
        self._key = sign(settings.key, "sandbox", "events").encode()
        self._troubles = settings.troubles

    async def close(self) -> None:
        """It holds nothing of its own."""

    # ---- the port ------------------------------------------------------------------------------

    async def create(self, request: ChargeRequest) -> Charge:
        facts = _Facts(request.order_number, request.return_url, save=request.save, method=request.method)
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

        def write(connection: Connection) -> Charge:
            known = _BY_KEY.first(connection, {"key": request.idempotency_key})
            if known is None:
                _INSERT.run(connection, row)
                books = _Books(**row)
                return self._charge_saved(connection, books) if request.method else self._charge(books)
            charge = self._charge(_Books(*known))
            if (charge.amount_minor, charge.currency) != (request.amount_minor, request.currency):
                raise Invalid("idempotency_key", "was used for another amount")
            if _facts.decode(known[7]).method != request.method:
                raise Invalid("idempotency_key", "was used for another method")
            return charge

        try:
            return await self._db.write(write)
        except IntegrityError:  # the same key at the same moment: now it is known
            return await self._db.write(write)

    async def capture(self, ref: str) -> Charge:
        return await self._change(ref, lambda charge: _captured(charge) if charge.status == "authorised" else {})

    async def cancel(self, ref: str) -> Charge:
        return await self._change(ref, lambda charge: _closed(charge, "cancelled", "cancelled"))

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        def change(charge: _Books) -> dict[str, Any]:
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

    async def page(self, ref: str) -> PayPage:
        return PayPage("frame", self.pay_url(ref))

    async def forget(self, method: str) -> None:
        gone = update(sandbox_methods).where(sandbox_methods.c.ref == method).values(gone_ms=self._clock.now_ms())
        await self._db.write(lambda c: c.execute(gone).rowcount)

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
        asks = row.status == "authorising" and bool(facts.method)
        return HostedCharge(
            ref, row.status, amount, facts.order_number, facts.return_url, facts.reason, facts.save, asks
        )

    async def choose(self, ref: str, outcome: str, code: str | None = None, *, last4: str = "") -> Choice:
        """What the buyer did on the hosted page. A charge that is closed answers as it was closed.

        `three_d_secure` asks for a code first ("authorising", step "code"), then comes again with `code`. `last4` is
        all of a card's number that ever leaves the buyer's browser.
        Raises: NotFound, Invalid.
        """
        if outcome not in OUTCOMES:
            raise Invalid("outcome", f"must be one of {', '.join(OUTCOMES)}")
        if last4 and not (len(last4) == 4 and last4.isascii() and last4.isdigit()):
            raise Invalid("last4", "must be four digits")
        late = outcome == "timeout_after_success"
        last4 = last4 or LAST4.get(outcome, "4242")

        def change(charge: _Books) -> dict[str, Any]:
            changed = decide(charge)
            if changed.get("status") != "captured":
                return changed
            facts = _facts.decode(charge.facts)
            facts.last4 = facts.last4 or last4
            return changed | {"facts": msgspec.json.encode(facts).decode()}

        def decide(charge: _Books) -> dict[str, Any]:
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
        """The headers that make a message this provider's; one that is to be a forgery gets a signature of nobody."""
        now = self._clock.now_ms()
        signature = "0" * 64 if f'"{FORGED}"'.encode() in body else self._signature(now, body)
        return {"content-type": "application/json", SIGNATURE: f"t={now},v1={signature}"}

    def _signature(self, sent_ms: int, body: bytes) -> str:
        return hmac.new(self._key, f"{sent_ms}.".encode() + body, hashlib.sha256).hexdigest()

    def _tell(self, connection: Connection, ref: str, status: str, *, late: bool) -> None:
        now = self._clock.now_ms()
        late = late or "late" in self._troubles
        due = now + (LATE_AFTER_MS if late else EVENT_AFTER_MS)
        if "lost" in self._troubles:
            return
        told = [(f"charge.{status}", due)] * (2 if late or "twice" in self._troubles else 1)
        if late or "unordered" in self._troubles:  # what happened first is told last
            told.append(("charge.created", due + 1))
        if "forged" in self._troubles:
            told.insert(0, (FORGED, due - 1))
        event_ids = {kind: new_id("evt") for kind, _ in told}
        for kind, due_ms in told:
            body = msgspec.json.encode(ProviderEvent(event_ids[kind], kind, ref)).decode()
            _INSERT_OUTBOX.run(
                connection,
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

    async def _row(self, ref: str) -> _Books:
        return await self._db.read(lambda c: _read(c, _BY_REF, ref))

    async def _change(self, ref: str, change: Callable[[_Books], dict[str, Any]], *, late: bool = False) -> Charge:
        def write(connection: Connection) -> Charge:
            before = _read(connection, _BY_REF_LOCKED, ref)
            values = change(before)
            if not values:
                return self._charge(before)
            now = before._replace(**values)
            _CHANGE.run(connection, {"of": ref} | {name: getattr(now, name) for name in _CHANGING})
            if now.status == "captured" and before.status != "captured":
                self._save(connection, now)
            if now.status not in (before.status, "authorising"):
                self._tell(connection, ref, now.status, late=late)
            return self._charge(now)

        return await self._db.write(write)

    def _charge_saved(self, connection: Connection, books: _Books) -> Charge:
        """A saved card is charged at once, unless its bank asks for a code; one that is gone is declined."""
        facts = _facts.decode(books.facts)
        card = connection.execute(select(sandbox_methods).where(sandbox_methods.c.ref == facts.method)).first()
        if card is None or card.gone_ms is not None:
            values = _closed(books, "declined", "declined")
        elif card.asks:
            values = {"status": "authorising"}
        else:
            facts.last4 = card.last4
            values = _captured(books) | {"facts": msgspec.json.encode(facts).decode()}
        now = books._replace(**values)
        _CHANGE.run(connection, {"of": books.ref} | {name: getattr(now, name) for name in _CHANGING})
        if now.status != "authorising":
            self._tell(connection, books.ref, now.status, late=False)
        return self._charge(now)

    def _save(self, connection: Connection, books: _Books) -> None:
        facts = _facts.decode(books.facts)
        if not facts.save or facts.method:
            return
        row = {
            "ref": sign(self._key.decode(), "method", books.ref),
            "last4": facts.last4,
            "asks": int(facts.last4 == LAST4["three_d_secure"]),
            "created_ms": self._clock.now_ms(),
        }
        connection.execute(insert(sandbox_methods).values(row))

    def _saved(self, row: _Books, facts: _Facts) -> SavedMethod | None:
        if not facts.save or facts.method or not row.captured_minor:
            return None
        return SavedMethod(sign(self._key.decode(), "method", row.ref), f"Card ·· {facts.last4}")

    def _charge(self, row: _Books) -> Charge:
        facts = _facts.decode(row.facts)
        return Charge(
            ref=row.ref,
            status=row.status,
            amount_minor=row.amount_minor,
            currency=row.currency,
            captured_minor=row.captured_minor,
            refunded_minor=row.refunded_minor,
            pay_url=self.pay_url(row.ref),
            reason=facts.reason,
            method=self._saved(row, facts),
        )


_INSERT = Statement(insert_into(sandbox_charges))
_INSERT_OUTBOX = Statement(insert_into(outbox, without=["id", "done_ms"]))
_SELECT = select(*(sandbox_charges.c[name] for name in _Books._fields))
_OF_REF = _SELECT.where(sandbox_charges.c.ref == bindparam("ref"))
_BY_REF = Statement(_OF_REF)
_BY_REF_LOCKED = Statement(_OF_REF.with_for_update())
_BY_KEY = Statement(_SELECT.where(sandbox_charges.c.idempotency_key == bindparam("key")))
_CHANGING = ("status", "captured_minor", "refunded_minor", "facts")
_CHANGE = Statement(
    update(sandbox_charges)
    .where(sandbox_charges.c.ref == bindparam("of"))
    .values({name: bindparam(name) for name in _CHANGING})
)
_OPEN = ("created", "authorising", "authorised")


def _read(connection: Connection, by_ref: Statement, ref: str) -> _Books:
    row = by_ref.first(connection, {"ref": ref})
    if row is None:
        raise NotFound("charge", ref)
    return _Books(*row)


def _captured(charge: _Books) -> dict[str, Any]:
    return {"status": "captured", "captured_minor": charge.amount_minor} if charge.status in _OPEN else {}


def _closed(charge: _Books, status: str, reason: str) -> dict[str, Any]:
    if charge.status not in _OPEN:
        return {}
    facts = _facts.decode(charge.facts)
    facts.reason = reason
    return {"status": status, "facts": msgspec.json.encode(facts).decode()}
