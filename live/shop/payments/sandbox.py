"""A payment provider to try the shop with: its own books, its own hosted page, and every trouble that real ones make.

Nothing of the shop reads its books but through the port. Its messages are rows of the outbox, so that they survive a
crash; the worker posts them, signed, to /api/payments/sandbox/events. Money never moves.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import msgspec
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.errors import Invalid
from live.ids import new_id, sign
from live.money import Money
from live.settings import Settings
from live.shop.payments.port import (
    Charge,
    ChargeRequest,
    Dispute,
    DisputePage,
    PayPage,
    ProviderEvent,
    SavedMethod,
)
from live.shop.payments.sandbox_books import (
    BY_KEY,
    BY_REF,
    BY_REF_LOCKED,
    CHANGE,
    CHANGING,
    FACTS,
    INSERT,
    Books,
    Choice,
    Facts,
    HostedCharge,
    Returned,
    captured,
    closed,
    disputed_since,
    new_row,
    read,
    repaid,
)
from live.store.sql import Database
from live.store.statements import Statement, insert_into
from live.store.tables import outbox, sandbox_disputes, sandbox_methods

Outcome = Literal["success", "decline", "insufficient_funds", "three_d_secure", "timeout_after_success", "abandon"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
EVENTS_PATH = "/api/payments/sandbox/events"
EVENT_KIND = "sandbox.event"  # of the outbox's rows that are this provider's, not the shop's
SIGNATURE = "sandbox-signature"
CODE = "123456"  # what the pretended bank sends to the pretended telephone
FORGED = "charge.forged"
EVENT_AFTER_MS = 300
LATE_AFTER_MS = 5_000
BANK_MS = 5_000  # how long a troublesome bank takes to answer a refund, or to want its money back
CASE_MS = 60_000  # how long a dispute is open
PAGE = 100  # of its list of disputes
TOLERANCE_MS = 300_000  # an event signed longer ago is a replay
LAST4 = {"three_d_secure": "3184"}  # of the card that is told, by outcome; every other ends in 4242


class SandboxProvider:
    """See `payments/port.py`. Its messages may be made troublesome (`FRONTROW_SANDBOX_TROUBLE`): `late` by five
    seconds, `twice` each, `unordered` (what happened first is told last), `forged` (one with a wrong signature goes
    ahead), `lost` (never sent: the shop has to ask). So may its banks: a refund is `refund_pending` for five seconds,
    `refund_fails` five seconds after it was taken (with both: it was pending until then); `disputed` is every payment,
    five seconds after its capture, and lost a minute later (with `dispute_won`: won)."""

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
        row = new_row(request, self._clock.now_ms())

        def write(connection: Connection) -> Charge:
            known = BY_KEY.first(connection, {"key": request.idempotency_key})
            if known is None:
                INSERT.run(connection, row)
                books = Books(**row)
                return self._charge_saved(connection, books) if request.method else self._charge(books)
            charge = self._charge(Books(*known))
            if (charge.amount_minor, charge.currency) != (request.amount_minor, request.currency):
                raise Invalid("idempotency_key", "was used for another amount")
            if FACTS.decode(known[7]).method != request.method:
                raise Invalid("idempotency_key", "was used for another method")
            return charge

        try:
            return await self._db.write(write)
        except IntegrityError:  # the same key at the same moment: now it is known
            return await self._db.write(write)

    async def void(self, request: ChargeRequest) -> Charge:
        row = new_row(request, self._clock.now_ms()) | {"status": "cancelled"}

        def write(connection: Connection) -> str:
            known = BY_KEY.first(connection, {"key": request.idempotency_key})
            if known is not None:
                return str(known[0])
            INSERT.run(connection, row)
            return str(row["ref"])

        try:
            return await self.cancel(await self._db.write(write))
        except IntegrityError:  # the lost request arrived at the same moment: now it is known
            return await self.cancel(await self._db.write(write))

    async def capture(self, ref: str) -> Charge:
        return await self._change(ref, lambda charge: captured(charge) if charge.status == "authorised" else {})

    async def cancel(self, ref: str) -> Charge:
        return await self._change(ref, lambda charge: closed(charge, "cancelled", "cancelled"))

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        def change(charge: Books) -> dict[str, Any]:
            facts = FACTS.decode(charge.facts)
            if any(idempotency_key in (one, getattr(one, "key", "")) for one in facts.refunds):
                return {}
            if facts.disputed_ms and any(one.withdrawn for one in self._disputes(charge)):
                raise Invalid("amount_minor", "is of a payment that is disputed")
            gone = self._charge(charge).refunded_minor
            if amount_minor <= 0 or gone + amount_minor > charge.captured_minor:
                raise Invalid("amount_minor", "is more than was captured")
            slow, fails = "refund_pending" in self._troubles, "refund_fails" in self._troubles
            made = Returned(
                idempotency_key,
                new_id("sbr"),
                amount_minor,
                "pending" if slow else "done",
                "failed" if fails else "done",
                self._clock.now_ms() + BANK_MS if slow or fails else 0,
            )
            facts.refunds.append(made)
            return {
                "refunded_minor": charge.refunded_minor + amount_minor,
                "facts": msgspec.json.encode(facts).decode(),
            }

        return await self._change(ref, change)

    async def disputes(self, ref: str) -> list[Dispute]:
        return self._disputes(await self._row(ref))

    def _disputes(self, row: Books) -> list[Dispute]:
        facts, now = FACTS.decode(row.facts), self._clock.now_ms()
        since = facts.disputed_ms
        if not since or since > now:
            return []
        status = facts.dispute_ends if now >= since + CASE_MS else "open"
        of = sign(self._key.decode(), "dispute", row.ref)
        until, kept = since + CASE_MS, status != "won"
        return [Dispute(of, status, row.captured_minor, row.currency, "fraudulent", until, kept)]

    async def disputes_since(self, since_ms: int, after: str = "") -> DisputePage:
        now = self._clock.now_ms()
        rows = await self._db.read(lambda c: disputed_since(c, since_ms, now, after, PAGE + 1))
        found = tuple((row.idempotency_key, one) for row in rows[:PAGE] for one in self._disputes(row))
        return DisputePage(found, rows[PAGE - 1].ref if len(rows) > PAGE else "")

    async def payment_of(self, ref: str) -> str:
        return ""  # its events name charges alone

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
        facts = FACTS.decode(row.facts)
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

        def change(charge: Books) -> dict[str, Any]:
            changed = decide(charge)
            if changed.get("status") != "captured":
                return changed
            facts = FACTS.decode(charge.facts)
            facts.last4 = facts.last4 or last4
            return changed | {"facts": msgspec.json.encode(facts).decode()}

        def decide(charge: Books) -> dict[str, Any]:
            if outcome in ("success", "timeout_after_success"):
                return captured(charge)
            if outcome == "three_d_secure" and code is None:
                return {"status": "authorising"} if charge.status in ("created", "authorising") else {}
            if outcome == "three_d_secure":
                return captured(charge) if code == CODE else closed(charge, "declined", "authentication_failed")
            if outcome == "abandon":
                return closed(charge, "cancelled", "abandoned")
            return closed(charge, "declined", "insufficient_funds" if outcome == "insufficient_funds" else "declined")

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

    def _tell_of_the_bank(self, connection: Connection, before: Books, now: Books) -> None:
        """What the buyer's bank is going to say, told when it says it."""
        old, new = FACTS.decode(before.facts), FACTS.decode(now.facts)
        told = [
            ("refund.failed" if one.ends == "failed" else "refund.updated", one.due_ms)
            for one in new.refunds[len(old.refunds) :]
            if isinstance(one, Returned) and one.due_ms
        ]
        if new.disputed_ms and not old.disputed_ms:
            connection.execute(insert(sandbox_disputes).values(ref=now.ref, opened_ms=new.disputed_ms))
            told += [("charge.dispute.created", new.disputed_ms), ("charge.dispute.closed", new.disputed_ms + CASE_MS)]
        for kind, due_ms in told:
            if "lost" not in self._troubles:
                self._put(connection, ProviderEvent(new_id("evt"), kind, now.ref), due_ms)

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
            self._put(connection, ProviderEvent(event_ids[kind], kind, ref), due_ms)

    def _put(self, connection: Connection, event: ProviderEvent, due_ms: int) -> None:
        _INSERT_OUTBOX.run(
            connection,
            {
                "event_id": new_id("snd"),
                "kind": EVENT_KIND,
                "body": msgspec.json.encode(event).decode(),
                "created_ms": self._clock.now_ms(),
                "due_ms": due_ms,
                "attempts": 0,
            },
        )

    # ---- the books -----------------------------------------------------------------------------

    async def _row(self, ref: str) -> Books:
        return await self._db.read(lambda c: read(c, BY_REF, ref))

    async def _change(self, ref: str, change: Callable[[Books], dict[str, Any]], *, late: bool = False) -> Charge:
        def write(connection: Connection) -> Charge:
            before = read(connection, BY_REF_LOCKED, ref)
            values = change(before)
            if not values:
                return self._charge(before)
            now = self._as_told_to(before._replace(**values), before)
            CHANGE.run(connection, {"of": ref} | {name: getattr(now, name) for name in CHANGING})
            if now.status == "captured" and before.status != "captured":
                self._save(connection, now)
            if now.status not in (before.status, "authorising"):
                self._tell(connection, ref, now.status, late=late)
            if now.refunded_minor == now.captured_minor and now.refunded_minor != before.refunded_minor:
                self._tell(connection, ref, "refunded", late=late)
            self._tell_of_the_bank(connection, before, now)
            return self._charge(now)

        return await self._db.write(write)

    def _charge_saved(self, connection: Connection, books: Books) -> Charge:
        """A saved card is charged at once, unless its bank asks for a code; one that is gone is declined."""
        facts = FACTS.decode(books.facts)
        card = connection.execute(select(sandbox_methods).where(sandbox_methods.c.ref == facts.method)).first()
        if card is None or card.gone_ms is not None:
            values = closed(books, "declined", "declined")
        elif card.asks:
            values = {"status": "authorising"}
        else:
            facts.last4 = card.last4
            values = captured(books) | {"facts": msgspec.json.encode(facts).decode()}
        now = self._as_told_to(books._replace(**values), books)
        CHANGE.run(connection, {"of": books.ref} | {name: getattr(now, name) for name in CHANGING})
        if now.status != "authorising":
            self._tell(connection, books.ref, now.status, late=False)
        self._tell_of_the_bank(connection, books, now)
        return self._charge(now)

    def _as_told_to(self, now: Books, before: Books) -> Books:
        """With the dispute that was asked for in the settings."""
        if "disputed" not in self._troubles or now.status != "captured" or before.status == "captured":
            return now
        facts = FACTS.decode(now.facts)
        facts.disputed_ms = self._clock.now_ms() + BANK_MS
        facts.dispute_ends = "won" if "dispute_won" in self._troubles else "lost"
        return now._replace(facts=msgspec.json.encode(facts).decode())

    def _save(self, connection: Connection, books: Books) -> None:
        facts = FACTS.decode(books.facts)
        if not facts.save or facts.method:
            return
        row = {
            "ref": sign(self._key.decode(), "method", books.ref),
            "last4": facts.last4,
            "asks": int(facts.last4 == LAST4["three_d_secure"]),
            "created_ms": self._clock.now_ms(),
        }
        connection.execute(insert(sandbox_methods).values(row))

    def _saved(self, row: Books, facts: Facts) -> SavedMethod | None:
        if not facts.save or facts.method or not row.captured_minor:
            return None
        return SavedMethod(sign(self._key.decode(), "method", row.ref), f"Card ·· {facts.last4}")

    def _charge(self, row: Books) -> Charge:
        facts, now = FACTS.decode(row.facts), self._clock.now_ms()
        refunds = tuple(repaid(one, now) for one in facts.refunds if isinstance(one, Returned))
        refunded = row.refunded_minor - sum(one.amount_minor for one in refunds if one.status == "failed")
        return Charge(
            ref=row.ref,
            status="refunded" if refunded and refunded == row.captured_minor else row.status,
            amount_minor=row.amount_minor,
            currency=row.currency,
            captured_minor=row.captured_minor,
            refunded_minor=refunded,
            pay_url=self.pay_url(row.ref),
            reason=facts.reason,
            method=self._saved(row, facts),
            refunds=refunds,
        )


_INSERT_OUTBOX = Statement(insert_into(outbox, without=["id", "done_ms"]))
