"""What Stripe's objects say, in our words, and ours in Stripe's. Pure."""

from __future__ import annotations

from typing import Any

import stripe

from live.shop.payments.port import (
    Charge,
    ChargeRequest,
    ChargeStatus,
    Dispute,
    DisputePage,
    DisputeStatus,
    Repaid,
    RepaidStatus,
    SavedMethod,
)

FREE = "free_"
REFUSED = "none_"
_STATUS: dict[str, ChargeStatus] = {  # of a Payment Intent
    "succeeded": "captured",
    "requires_capture": "authorised",
    "processing": "authorising",
    "requires_action": "authorising",
    "requires_confirmation": "authorising",
    "requires_payment_method": "declined",
    "canceled": "cancelled",
}
_REPAID: dict[str | None, RepaidStatus] = {"succeeded": "done", "failed": "failed", "canceled": "failed"}
_DISPUTED: dict[str, DisputeStatus] = {
    "won": "won",
    "lost": "lost",
    "warning_closed": "closed",
    "prevented": "closed",
}


def unconfirmed(request: ChargeRequest) -> dict[str, Any]:
    """A Payment Intent by a saved method that charges nothing yet."""
    customer, _, method = request.method.partition("/")
    return {
        "amount": request.amount_minor,
        "currency": request.currency.lower(),
        "customer": customer,
        "payment_method": method,
        "allowed_payment_method_types": ["card"],
        "description": f"Order {request.order_number}",
        "metadata": {"payment": request.idempotency_key},
    }


def repaid(one: stripe.Refund) -> Repaid:
    key = (one.metadata.to_dict() if one.metadata else {}).get("refund", "")
    status = _REPAID.get(one.status, "pending")
    reason = str(getattr(one, "failure_reason", None) or one.status) if status == "failed" else ""
    if one.status == "requires_action":  # Stripe wrote to the buyer: she has to say where it is to go
        reason = "requires_action"
    return Repaid(key, one.id, one.amount, status, reason)


def dispute(one: stripe.Dispute) -> Dispute:
    due_s = one.evidence_details.due_by
    status = _DISPUTED.get(one.status, "open")
    withdrawn = sum(moved.amount for moved in one.balance_transactions) < 0  # in the account's currency, not its own
    due_ms = due_s * 1000 if due_s else None
    return Dispute(one.id, status, one.amount, one.currency.upper(), one.reason, due_ms, withdrawn)


def dispute_page(page: stripe.ListObject[stripe.Dispute]) -> DisputePage:
    """Of a list whose payment intents were asked for with it: they say which payments are ours."""
    found = [
        (
            "" if one.payment_intent is None or isinstance(one.payment_intent, str) else payment_in(one.payment_intent),
            one,
        )
        for one in page.data
    ]
    ours = tuple((payment, dispute(one)) for payment, one in found)
    return DisputePage(ours, page.data[-1].id if page.has_more and page.data else "")


def payment_in(intent: stripe.PaymentIntent) -> str:
    """Our payment's id that it carries; "" for another shop's."""
    return str((intent.metadata.to_dict() if intent.metadata else {}).get("payment", ""))


def about(thing: Any) -> str:
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


def free(ref: str) -> Charge:
    currency = ref.removeprefix(FREE).partition("_")[0]
    return Charge(ref, "captured", 0, currency, 0, 0, "")


def refused(ref: str) -> Charge:
    currency = ref.removeprefix(REFUSED).partition("_")[0]
    return Charge(ref, "declined", 0, currency, 0, 0, "", "declined")


def of_session(session: stripe.checkout.Session) -> Charge:
    intent = session.payment_intent
    if session.status != "complete" or intent is None or isinstance(intent, str):
        status: ChargeStatus = "cancelled" if session.status == "expired" else "authorising"
        amount, currency = session.amount_total or 0, (session.currency or "").upper()
        return Charge(session.id, status, amount, currency, 0, 0, "", "cancelled" if status == "cancelled" else "")
    return of_intent(intent, session.id, customer=session.customer)


def of_intent(intent: stripe.PaymentIntent, ref: str, *, customer: Any = None) -> Charge:
    captured = intent.amount_received or 0
    status = _STATUS.get(intent.status, "authorising")
    return Charge(
        ref=ref,
        status=status,
        amount_minor=intent.amount,
        currency=intent.currency.upper(),
        captured_minor=captured,
        refunded_minor=0,
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
