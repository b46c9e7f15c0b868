"""Stripe behind the port, by its own library: embedded checkout for a new card, a confirmed payment for a saved one.

our charge      Stripe's                        ref
new method      Checkout Session, embedded      cs_…
saved method    Payment Intent, confirmed       pi_…
costs nothing   nothing: it is not asked        free_…
what it refuses nothing: there is no charge     none_…

Only cards, and what rides on them (wallets): an order's holds can't wait for a method that takes days. A request is
sent with our own idempotency key and nothing in it changes from try to try, so that a repeat is the same charge. An
event only says which charge to look at. No card's number ever comes here: Stripe's script takes it, in frames of
Stripe's.
Source: https://docs.stripe.com/api/checkout/sessions, …/payment_intents, …/idempotent_requests, …/webhooks
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import httpx
import stripe
import structlog

from live.errors import Invalid, NotFound, StoreDown
from live.settings import Settings
from live.shop.payments.port import Charge, ChargeRequest, ChargeStatus, PayPage, ProviderEvent, SavedMethod

log = structlog.get_logger()

T = TypeVar("T")

API_VERSION = "2026-10-28.endive"  # the one that the pinned library's types are of
TIMEOUT_S = 8.0  # a try; with the library's one repeat a checkout still answers within its 20 s
REPEATS = 1
SIGNATURE = "stripe-signature"
TOLERANCE_S = 300  # an event signed longer ago is a replay
FREE = "free_"
REFUSED = "none_"
EXPAND = ["latest_charge", "payment_method"]
_NOT_NOW = (
    stripe.APIConnectionError,
    stripe.APIError,
    stripe.RateLimitError,
    stripe.AuthenticationError,
    stripe.PermissionError,
)
_STATUS: dict[str, ChargeStatus] = {  # of a Payment Intent
    "succeeded": "captured",
    "requires_capture": "authorised",
    "processing": "authorising",
    "requires_action": "authorising",
    "requires_confirmation": "authorising",
    "requires_payment_method": "declined",
    "canceled": "cancelled",
}


class StripeProvider:
    """See `payments/port.py`."""

    name = "stripe"

    def __init__(self, settings: Settings) -> None:
        logging.getLogger("stripe").setLevel(logging.WARNING)  # below that it logs whole bodies
        stripe.enable_telemetry = False
        self._http = stripe.HTTPXClient(timeout=httpx.Timeout(TIMEOUT_S))
        base = settings.stripe_api_base.rstrip("/")
        self._api = stripe.StripeClient(
            settings.stripe_secret_key,
            stripe_version=API_VERSION,
            http_client=self._http,
            max_network_retries=REPEATS,
            base_addresses={"api": base} if base else {},
        ).v1
        self._webhook_secret = settings.stripe_webhook_secret

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]

    # ---- the port ------------------------------------------------------------------------------

    async def create(self, request: ChargeRequest) -> Charge:
        if request.amount_minor == 0:
            return _free(f"{FREE}{request.currency}_{request.idempotency_key}")
        try:
            return await (self._confirm(request) if request.method else self._session(request))
        except stripe.InvalidRequestError as why:
            # It never will: a saved method that is gone there, less than Stripe takes. A charge that is over, so that
            # the order ends with it: one that waited for good would keep its buyer from every other.
            log.warning("stripe.refused", error=why.code, param=why.param)
            return _refused(f"{REFUSED}{request.currency}_{request.idempotency_key}")

    async def capture(self, ref: str) -> Charge:
        intent = await self._intent_id(ref)
        try:
            await _answer(self._api.payment_intents.capture_async(intent))
        except stripe.InvalidRequestError:
            log.info("stripe.not_captured", ref=ref)  # captured already, or gone: its state says which
        return await self.fetch(ref)

    async def cancel(self, ref: str) -> Charge:
        if ref.startswith((FREE, REFUSED)):
            return await self.fetch(ref)
        try:
            if ref.startswith("cs_"):
                await _answer(self._api.checkout.sessions.expire_async(ref))
            else:
                await _answer(self._api.payment_intents.cancel_async(ref))
        except stripe.InvalidRequestError as why:
            _known(why, ref)  # paid or closed a moment ago
        return await self.fetch(ref)

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        intent = await self._intent_id(ref)
        try:
            await _answer(
                self._api.refunds.create_async(
                    {"payment_intent": intent, "amount": amount_minor}, {"idempotency_key": idempotency_key}
                )
            )
        except stripe.InvalidRequestError as why:
            raise Invalid("amount_minor", "is more than was captured and not yet paid back") from why
        return await self.fetch(ref)

    async def fetch(self, ref: str) -> Charge:
        if ref.startswith(FREE):
            return _free(ref)
        if ref.startswith(REFUSED):
            return _refused(ref)
        if ref.startswith("cs_"):
            return _of_session(await self._read_session(ref))
        intent = await self._read_intent(ref)
        if intent.status == "requires_payment_method":
            # Its bank said no. Left open, the page could still pay it by another card, for an order that is over.
            try:
                await _answer(self._api.payment_intents.cancel_async(ref))
            except stripe.InvalidRequestError:  # closed by another process, or paid, a moment ago: its state says which
                intent = await self._read_intent(ref)
        return _of_intent(intent, ref)

    def pay_url(self, ref: str) -> str:
        return ""

    async def page(self, ref: str) -> PayPage:
        if ref.startswith("cs_"):
            session = await self._read_session(ref)
            return PayPage("checkout", secret=session.client_secret or "") if session.status == "open" else _NO_PAGE
        if ref.startswith("pi_"):
            intent = await self._read_intent(ref)
            if intent.status == "requires_action":
                return PayPage("challenge", secret=intent.client_secret or "")
        return _NO_PAGE

    async def forget(self, method: str) -> None:
        customer, _, _ = method.partition("/")
        try:
            await _answer(self._api.customers.delete_async(customer))  # its cards go with it
        except stripe.InvalidRequestError as why:
            log.info("stripe.nothing_to_forget", error=why.code)

    def parse_event(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        try:
            event = stripe.Webhook.construct_event(
                body, headers.get(SIGNATURE, ""), self._webhook_secret, tolerance=TOLERANCE_S
            )
        except stripe.SignatureVerificationError as why:
            raise Invalid("signature", "is not the provider's, or too old") from why
        except ValueError as why:
            raise Invalid("body", "is not an event") from why
        return ProviderEvent(event.id, event.type, _about(event.data.object))

    # ---- what is asked -------------------------------------------------------------------------

    async def _session(self, request: ChargeRequest) -> Charge:
        paid = {"metadata": {"payment": request.idempotency_key}, "description": f"Order {request.order_number}"}
        params: dict[str, Any] = {
            "mode": "payment",
            "ui_mode": "embedded_page",
            "redirect_on_completion": "if_required",
            "return_url": request.return_url,
            "client_reference_id": request.idempotency_key,
            "metadata": {"payment": request.idempotency_key},
            "payment_method_types": ["card"],
            "customer_email": request.email,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": request.currency.lower(),
                        "unit_amount": request.amount_minor,
                        "product_data": {"name": f"Order {request.order_number}"},
                    },
                }
            ],
            "payment_intent_data": paid | ({"setup_future_usage": "on_session"} if request.save else {}),
        }
        if request.save:
            params["customer_creation"] = "always"
        session = await self._create(self._api.checkout.sessions.create_async(params, _keyed(request)))  # type: ignore[arg-type]
        return _of_session(session)

    async def _confirm(self, request: ChargeRequest) -> Charge:
        customer, _, method = request.method.partition("/")
        params: dict[str, Any] = {
            "amount": request.amount_minor,
            "currency": request.currency.lower(),
            "customer": customer,
            "payment_method": method,
            "payment_method_types": ["card"],
            "confirm": True,
            "return_url": request.return_url,
            "description": f"Order {request.order_number}",
            "metadata": {"payment": request.idempotency_key},
            "expand": EXPAND,
        }
        try:
            intent = await self._create(self._api.payment_intents.create_async(params, _keyed(request)))  # type: ignore[arg-type]
        except stripe.CardError as why:
            refused = why.error.payment_intent if why.error else None
            if refused is None:
                raise StoreDown("payments") from why
            return await self.fetch(refused.id)
        return _of_intent(intent, intent.id)

    async def _create(self, asked: Awaitable[T]) -> T:
        try:
            return await _answer(asked)
        except stripe.IdempotencyError as why:
            raise Invalid("idempotency_key", "was used for another amount") from why

    async def _read_session(self, ref: str) -> stripe.checkout.Session:
        expand = [f"payment_intent.{name}" for name in EXPAND]
        try:
            return await _answer(self._api.checkout.sessions.retrieve_async(ref, {"expand": expand}))
        except stripe.InvalidRequestError as why:
            raise NotFound("charge", ref) from why

    async def _read_intent(self, ref: str) -> stripe.PaymentIntent:
        try:
            return await _answer(self._api.payment_intents.retrieve_async(ref, {"expand": EXPAND}))
        except stripe.InvalidRequestError as why:
            raise NotFound("charge", ref) from why

    async def _intent_id(self, ref: str) -> str:
        if ref.startswith("pi_"):
            return ref
        intent = (await self._read_session(ref)).payment_intent if ref.startswith("cs_") else None
        if intent is None:
            raise Invalid("amount_minor", "is more than was captured")
        return intent if isinstance(intent, str) else intent.id


_NO_PAGE = PayPage("none")


async def _answer(asked: Awaitable[T]) -> T:
    """Stripe's answer. Raises StoreDown when there is none: nothing is known then, ask again."""
    try:
        return await asked
    except _NOT_NOW as why:
        log.warning("stripe.no_answer", error=type(why).__name__, status=why.http_status)
        raise StoreDown("payments") from why


def _keyed(request: ChargeRequest) -> stripe.RequestOptions:
    return {"idempotency_key": request.idempotency_key}


def _known(why: stripe.InvalidRequestError, ref: str) -> None:
    if why.code == "resource_missing":
        raise NotFound("charge", ref) from why


def _about(thing: Any) -> str:
    """Which charge an event's object belongs to: our own payment's id, which every object of ours carries, or
    Stripe's; "" for what is none of a payment."""
    known = thing.to_dict() if hasattr(thing, "to_dict") else dict(thing)
    ours = (known.get("metadata") or {}).get("payment")
    if ours:
        return str(ours)
    for ref in (known.get("id"), known.get("payment_intent")):
        if isinstance(ref, str) and ref.startswith(("cs_", "pi_")):
            return ref
    return ""


def _free(ref: str) -> Charge:
    currency = ref.removeprefix(FREE).partition("_")[0]
    return Charge(ref, "captured", 0, currency, 0, 0, "")


def _refused(ref: str) -> Charge:
    currency = ref.removeprefix(REFUSED).partition("_")[0]
    return Charge(ref, "declined", 0, currency, 0, 0, "", "declined")


def _of_session(session: stripe.checkout.Session) -> Charge:
    intent = session.payment_intent
    if session.status != "complete" or intent is None or isinstance(intent, str):
        status: ChargeStatus = "cancelled" if session.status == "expired" else "authorising"
        amount, currency = session.amount_total or 0, (session.currency or "").upper()
        return Charge(session.id, status, amount, currency, 0, 0, "", "cancelled" if status == "cancelled" else "")
    return _of_intent(intent, session.id, customer=session.customer)


def _of_intent(intent: stripe.PaymentIntent, ref: str, *, customer: Any = None) -> Charge:
    paid = intent.latest_charge
    refunded = paid.amount_refunded if paid is not None and not isinstance(paid, str) else 0
    captured = intent.amount_received or 0
    status = _STATUS.get(intent.status, "authorising")
    if status == "captured" and captured and refunded >= captured:
        status = "refunded"
    return Charge(
        ref=ref,
        status=status,
        amount_minor=intent.amount,
        currency=intent.currency.upper(),
        captured_minor=captured,
        refunded_minor=refunded,
        pay_url="",
        reason=_reason(intent, status),
        method=_method(intent, customer) if status == "captured" else None,
    )


def _reason(intent: stripe.PaymentIntent, status: ChargeStatus) -> str:
    if status not in ("declined", "cancelled"):
        return ""
    error = intent.last_payment_error
    if error is None:
        return status
    if getattr(error, "decline_code", None) == "insufficient_funds":  # Stripe leaves out what doesn't apply
        return "insufficient_funds"
    failed = ("authentication_required", "payment_intent_authentication_failure")
    return "authentication_failed" if getattr(error, "code", None) in failed else "declined"


def _method(intent: stripe.PaymentIntent, customer: Any) -> SavedMethod | None:
    """What was saved with this payment, when the buyer wished so."""
    method = intent.payment_method
    if not getattr(intent, "setup_future_usage", None) or customer is None or method is None or isinstance(method, str):
        return None
    card = method.card
    owner = customer if isinstance(customer, str) else customer.id
    label = f"{card.brand.replace('_', ' ').title()} ·· {card.last4}" if card else "Saved method"
    return SavedMethod(f"{owner}/{method.id}", label)
