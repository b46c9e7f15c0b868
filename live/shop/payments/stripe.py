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
import msgspec
import stripe
import structlog

from live.errors import Invalid, NotFound, StoreDown
from live.settings import Settings
from live.shop.payments.port import (
    Charge,
    ChargeRequest,
    Dispute,
    DisputePage,
    PayPage,
    ProviderEvent,
)
from live.shop.payments.stripe_words import (
    FREE,
    REFUSED,
    about,
    dispute,
    dispute_page,
    free,
    of_intent,
    of_session,
    payment_in,
    refused,
    repaid,
    unconfirmed,
)

log = structlog.get_logger()

T = TypeVar("T")

API_VERSION = "2026-10-28.endive"  # the one that the pinned library's types are of
TIMEOUT_S = 8.0  # a try; with the library's one repeat a checkout still answers within its 20 s
REPEATS = 1
SIGNATURE = "stripe-signature"
TOLERANCE_S = 300  # an event signed longer ago is a replay
EXPAND = ["latest_charge.refunds", "payment_method"]
PAGE = 100  # the most that a list answers at once
CLOCKS_APART_S = 300  # what was made at most this long before we asked for it is taken for ours too
ASKED_FOR_S = 900  # from when an order was placed: ten minutes until it is given up, and what was on its way then
_NOT_NOW = (
    stripe.APIConnectionError,
    stripe.APIError,
    stripe.RateLimitError,
    stripe.AuthenticationError,
    stripe.PermissionError,
)


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
            return free(f"{FREE}{request.currency}_{request.idempotency_key}")
        try:
            return await (self._confirm(request) if request.method else self._session(request))
        except stripe.InvalidRequestError as why:
            # It never will: a saved method that is gone there, less than Stripe takes. A charge that is over, so that
            # the order ends with it: one that waited for good would keep its buyer from every other.
            log.warning("stripe.refused", error=why.code, param=why.param)
            return refused(f"{REFUSED}{request.currency}_{request.idempotency_key}")

    async def void(self, request: ChargeRequest) -> Charge:
        if request.amount_minor == 0:
            return refused(f"{REFUSED}{request.currency}_{request.idempotency_key}")
        if not request.method:
            # A session is paid on its page alone, whose key nobody was given: the same one again, and closed.
            return await self.cancel((await self.create(request)).ref)
        # The same key for an intent that charges nothing. Where the lost request arrived, Stripe says so by refusing;
        # where it didn't, it never will: whatever still comes under this key is refused. Either way the customer's
        # intents say what there is, also a day later, when the key is forgotten.
        unpaid = ""
        try:
            made = self._api.payment_intents.create_async(unconfirmed(request), _keyed(request))  # type: ignore[arg-type]
            unpaid = (await _answer(made)).id
        except stripe.IdempotencyError:
            log.info("stripe.arrived_after_all", payment=request.idempotency_key)
        except stripe.InvalidRequestError as why:  # its customer or card is gone
            log.warning("stripe.refused", error=why.code, param=why.param)
        paid = await self._intent_of(request, unless=unpaid)
        if unpaid:
            await self.cancel(unpaid)
        if paid or unpaid:
            return await self.cancel(paid or unpaid)
        return refused(f"{REFUSED}{request.currency}_{request.idempotency_key}")

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
                    {
                        "payment_intent": intent,
                        "amount": amount_minor,
                        "metadata": {"refund": idempotency_key},
                    },
                    {"idempotency_key": idempotency_key},
                )
            )
        except stripe.InvalidRequestError as why:
            if why.code == "charge_disputed":
                raise Invalid("amount_minor", "is of a payment that is disputed") from why
            raise Invalid("amount_minor", "is more than was captured and not yet paid back") from why
        return await self.fetch(ref)

    async def fetch(self, ref: str) -> Charge:
        if ref.startswith(FREE):
            return free(ref)
        if ref.startswith(REFUSED):
            return refused(ref)
        if ref.startswith("cs_"):
            session = await self._read_session(ref)
            return await self._with_refunds(session.payment_intent, of_session(session))
        intent = await self._read_intent(ref)
        if intent.status == "requires_payment_method":
            # Its bank said no. Left open, the page could still pay it by another card, for an order that is over.
            try:
                await _answer(self._api.payment_intents.cancel_async(ref))
            except stripe.InvalidRequestError:  # closed by another process, or paid, a moment ago: its state says which
                intent = await self._read_intent(ref)
        return await self._with_refunds(intent, of_intent(intent, ref))

    async def disputes(self, ref: str) -> list[Dispute]:
        if ref.startswith((FREE, REFUSED)):
            return []
        intent = await self._intent_id(ref)
        page = await _answer(self._api.disputes.list_async({"payment_intent": intent, "limit": PAGE}))
        return [dispute(one) for one in reversed(page.data)]

    async def disputes_since(self, since_ms: int, after: str = "") -> DisputePage:
        asked: Any = {"created": {"gte": since_ms // 1000}, "limit": PAGE, "expand": ["data.payment_intent"]}
        try:
            page = await _answer(self._api.disputes.list_async(asked | ({"starting_after": after} if after else {})))
        except stripe.InvalidRequestError as why:
            if not after:
                raise
            raise NotFound("dispute", after) from why  # another account's, where the key was changed since
        return dispute_page(page)

    async def payment_of(self, ref: str) -> str:
        if not ref.startswith("pi_"):
            return ""
        try:
            intent = await self._read_intent(ref)
        except NotFound:
            return ""
        return payment_in(intent)

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
        return ProviderEvent(event.id, event.type, about(event.data.object))

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
            "allowed_payment_method_types": ["card"],
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
        return of_session(session)

    async def _confirm(self, request: ChargeRequest) -> Charge:
        params = unconfirmed(request) | {"confirm": True, "return_url": request.return_url, "expand": EXPAND}
        try:
            intent = await self._create(self._api.payment_intents.create_async(params, _keyed(request)))  # type: ignore[arg-type]
        except stripe.CardError as why:
            declined = why.error.payment_intent if why.error else None
            if declined is None:
                raise StoreDown("payments") from why
            return await self.fetch(declined.id)
        return of_intent(intent, intent.id)

    async def _intent_of(self, request: ChargeRequest, *, unless: str) -> str:
        """The intent that a lost request made: of this customer, since the order was placed, with our payment's id.

        A buyer who had her card forgotten meanwhile is no customer any more, and whether Stripe still lists a deleted
        one's intents is nowhere said: where she has none, everybody's of those minutes are looked through.
        """
        customer, _, _ = request.method.partition("/")
        since = request.placed_ms // 1000 - CLOCKS_APART_S
        until = request.placed_ms // 1000 + ASKED_FOR_S + CLOCKS_APART_S
        found = ""
        try:
            found = await self._with_payment(request, unless, {"customer": customer, "created": {"gte": since}})
        except stripe.InvalidRequestError as why:
            log.info("stripe.customer_gone", payment=request.idempotency_key, error=why.code)
        if found or unless:  # an intent could be made for her: she is there
            return found
        return await self._with_payment(request, unless, {"created": {"gte": since, "lte": until}})

    async def _with_payment(self, request: ChargeRequest, unless: str, asked: Any) -> str:
        found = ""
        page = await _answer(self._api.payment_intents.list_async(asked | {"limit": PAGE}))
        async for intent in page.auto_paging_iter():
            if payment_in(intent) == request.idempotency_key and intent.id != unless:
                found = intent.id
                if intent.status != "canceled":  # else it may be one that an earlier try closed
                    break
        return found

    async def _with_refunds(self, intent: Any, charge: Charge) -> Charge:
        """Each refund's own state decides: whether a charge's sum still counts those that failed is nowhere said."""
        paid = getattr(intent, "latest_charge", None)
        if charge.status != "captured" or paid is None or isinstance(paid, str):
            return charge
        found = getattr(paid, "refunds", None)
        some = list(found.data) if found is not None else []
        if found is None or found.has_more:  # a charge carries ten
            page = await _answer(self._api.refunds.list_async({"payment_intent": intent.id, "limit": PAGE}))
            some = [one async for one in page.auto_paging_iter()]
        refunds = tuple(repaid(one) for one in reversed(some))
        refunded = sum(one.amount_minor for one in refunds if one.status != "failed")
        whole = charge.captured_minor and refunded >= charge.captured_minor
        return msgspec.structs.replace(
            charge, refunds=refunds, refunded_minor=refunded, status="refunded" if whole else charge.status
        )

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
