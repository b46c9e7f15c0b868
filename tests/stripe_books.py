"""What a Stripe keeps: sessions, intents, charges, refunds, disputes, and what buyers and banks do to them.

Each object has all that Stripe always sends and what we read, in Stripe's own shape (stripe_shapes.py looks at every
one that leaves). Names that begin with `_` never leave.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

CARDS = {"4242": "ok", "0002": "generic_decline", "9995": "insufficient_funds", "3184": "asks"}
Thing = dict[str, Any]
NO_ADDRESS = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
NO_EVIDENCE = {"due_by": None, "has_evidence": False, "past_due": False, "submission_count": 0,
               "submission_method": "not_submitted", "enhanced_eligibility": {}}  # fmt: skip


class Refusal(Exception):
    def __init__(self, status: int, kind: str, **facts: Any) -> None:
        self.status, self.error = status, {"type": kind, "message": kind.replace("_", " "), **facts}


class Books:
    """`slow_refunds`: what a refund is at first is `pending`. `keeps_failed`: a charge's `amount_refunded` still
    counts refunds that failed. `lists_of_the_deleted`: the intents of a deleted customer can still be listed by her
    name. Stripe's documentation says of neither which it is; "": listing is refused, "none": none are found."""

    def __init__(self) -> None:
        self.sessions: dict[str, Thing] = {}
        self.intents: dict[str, Thing] = {}
        self.charges: dict[str, Thing] = {}
        self.customers: dict[str, Thing] = {}
        self.methods: dict[str, Thing] = {}
        self.refunds: dict[str, Thing] = {}
        self.disputes: dict[str, Thing] = {}
        self.slow_refunds = False
        self.keeps_failed = True
        self.lists_of_the_deleted: Literal["", "none", "all"] = ""
        self.now_s: Callable[[], float] = time.time
        self._count = 0

    # ---- what a buyer and her bank do ----------------------------------------------------------

    def pay(self, session_id: str, card: str = "4242") -> None:
        """She pays on the embedded page. A card that is declined leaves the session open, as Stripe does."""
        session = self.sessions[session_id]
        assert session["status"] == "open", "Stripe's page takes nothing any more"
        if CARDS[card] not in ("ok", "asks"):
            return
        asked = session["_asked"]
        intent = self.new_intent(session["amount_total"], session["currency"], asked["payment_intent_data"])
        method = self._new_method(card)
        if asked.get("customer_creation") == "always":
            session["customer"] = self.new_customer()["id"]
            method["customer"] = intent["customer"] = session["customer"]
        self.succeed(intent, method)
        session |= {"status": "complete", "payment_status": "paid", "payment_intent": intent["id"]}
        session["client_secret"] = None

    def paid_elsewhere(self, metadata: Thing) -> Thing:
        """A payment that another shop of the same account took."""
        intent = self.new_intent(5_000, "eur", {"metadata": metadata})
        self.succeed(intent, self._new_method("4242"))
        return intent

    def answer_bank(self, intent_id: str, *, right: bool = True) -> None:
        """She answers her bank's question about a saved card."""
        intent = self.intents[intent_id]
        assert intent["status"] == "requires_action"
        intent["next_action"] = None
        method = self.methods[intent["payment_method"]]
        if right:
            self.succeed(intent, method)
        else:
            self._fail(intent, method, code="payment_intent_authentication_failure")

    def end_refund(self, refund_id: str, status: Literal["succeeded", "failed", "canceled", "requires_action"]) -> None:
        """What becomes of a refund, also long after it succeeded."""
        refund = self.refunds[refund_id]
        refund["status"] = status
        if status == "failed":
            refund |= {"failure_reason": "expired_or_canceled_card", "failure_balance_transaction": self.id("txn")}
        if status in ("failed", "canceled") and not self.keeps_failed:
            charge = self.charges[refund["charge"]]
            charge |= {"amount_refunded": charge["amount_refunded"] - refund["amount"], "refunded": False}

    def dispute(self, intent_id: str, reason: str = "fraudulent") -> Thing:
        """The buyer's bank wants its money back."""
        charge = self.charges[self.intents[intent_id]["latest_charge"]]
        charge["disputed"] = True
        due = {**NO_EVIDENCE, "due_by": int(time.time()) + 604_800}
        return self._new("du", "dispute", self.disputes, amount=charge["amount"],
                         balance_transactions=[self._moved(charge, -charge["amount"])],
                         charge=charge["id"], currency=charge["currency"], enhanced_eligibility_types=[],
                         evidence=_no_evidence(), evidence_details=due, is_charge_refundable=False, livemode=False,
                         metadata={}, payment_intent=intent_id, reason=reason, status="needs_response")  # fmt: skip

    def end_dispute(self, dispute_id: str, status: Literal["won", "lost"]) -> None:
        """The bank decides; who won has the money again."""
        dispute = self.disputes[dispute_id]
        dispute["status"] = status
        if status == "won":
            charge = self.charges[dispute["charge"]]
            charge["disputed"] = False
            dispute["balance_transactions"].append(self._moved(charge, charge["amount"]))

    def _moved(self, charge: Thing, amount: int) -> Thing:
        now = int(self.now_s())
        return {"id": self.id("txn"), "object": "balance_transaction", "amount": amount, "available_on": now,
                "balance_type": "payments", "created": now, "currency": charge["currency"], "description": None,
                "exchange_rate": None, "fee": 0, "fee_details": [], "net": amount, "reporting_category": "dispute",
                "source": charge["id"], "status": "available", "type": "adjustment"}  # fmt: skip

    # ---- what its API does ---------------------------------------------------------------------

    def new_session(self, params: Thing) -> Thing:
        for needed in ("mode", "ui_mode", "line_items", "return_url"):
            if needed not in params:
                raise Refusal(400, "invalid_request_error", code="parameter_missing", param=needed)
        price = params["line_items"]["0"]["price_data"]
        session = self._new(
            "cs_test",
            "checkout.session",
            self.sessions,
            amount_subtotal=int(price["unit_amount"]),
            amount_total=int(price["unit_amount"]),
            automatic_tax={"enabled": False, "liability": None, "provider": None, "status": None},
            client_reference_id=params.get("client_reference_id"),
            currency=price["currency"],
            custom_fields=[],
            custom_text={
                "after_submit": None,
                "shipping_address": None,
                "submit": None,
                "terms_of_service_acceptance": None,
            },
            customer=None,
            customer_creation=params.get("customer_creation", "if_required"),
            customer_email=params.get("customer_email"),
            expires_at=int(time.time()) + 86_400,
            livemode=False,
            metadata=params.get("metadata", {}),
            mode=params["mode"],
            payment_intent=None,
            payment_method_types=["card"],
            payment_status="unpaid",
            redirect_on_completion=params["redirect_on_completion"],
            return_url=params["return_url"],
            shipping_options=[],
            status="open",
            ui_mode=params["ui_mode"],
            url=None,
            _asked=params,
        )
        session["client_secret"] = f"{session['id']}_secret_{self._count}"
        return session

    def charge_saved(self, params: Thing) -> Thing:
        """A Payment Intent by a saved method, confirmed at once or (`confirm` left out) not at all yet."""
        if params["customer"] not in self.customers:
            raise Refusal(400, "invalid_request_error", code="resource_missing", param="customer")
        method = self.methods.get(params["payment_method"])
        if method is None or method["customer"] != params["customer"]:
            raise Refusal(400, "invalid_request_error", code="resource_missing", param="payment_method")
        intent = self.new_intent(int(params["amount"]), params["currency"], params)
        intent |= {"payment_method": method["id"], "customer": params["customer"]}
        if params.get("confirm") != "true":
            intent["status"] = "requires_confirmation"
            return intent
        what = CARDS[method["card"]["last4"]]
        if what == "asks":
            intent |= {"status": "requires_action", "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {}}}
        elif what == "ok":
            self.succeed(intent, method)
        else:
            self._fail(intent, method, code="card_declined", decline_code=what)
            told = {"code": "card_declined", "decline_code": what, "charge": intent["latest_charge"]}
            raise Refusal(402, "card_error", **told, payment_intent=intent, payment_method=method)
        return intent

    def intents_since(self, params: Thing) -> list[Thing]:
        """The newest first, as Stripe lists."""
        customer, made = params.get("customer"), params["created"]
        since, until = int(made["gte"]), int(made.get("lte", self.now_s()))
        known = [one for one in reversed(self.intents.values()) if since <= one["created"] <= until]
        if customer is None:
            return known
        if customer not in self.customers and self.lists_of_the_deleted != "all":
            if self.lists_of_the_deleted == "none":
                return []
            raise Refusal(400, "invalid_request_error", code="resource_missing", param="customer")
        return [one for one in known if one["customer"] == customer]

    def disputes_since(self, params: Thing) -> list[Thing]:
        """The newest first, as Stripe lists; of one intent or of all."""
        of, since = params.get("payment_intent"), int(params.get("created", {}).get("gte", 0))
        known = [one for one in reversed(self.disputes.values()) if one["created"] >= since]
        return [one for one in known if of in (None, one["payment_intent"])]

    def cancel_intent(self, ref: str) -> Thing:
        intent = self.find(self.intents, ref)
        if intent["status"] in ("succeeded", "canceled"):
            raise Refusal(400, "invalid_request_error", code="payment_intent_unexpected_state")
        intent |= {"status": "canceled", "canceled_at": int(time.time()), "next_action": None}
        return intent

    def new_refund(self, params: Thing) -> Thing:
        intent = self.find(self.intents, params["payment_intent"])
        charge = self.charges.get(intent["latest_charge"] or "")
        if charge is None or not charge["paid"]:
            raise Refusal(400, "invalid_request_error", code="charge_not_captured")
        amount, kept = int(params.get("amount", charge["amount"])), self._refunded(charge["id"])
        if charge["disputed"]:
            raise Refusal(400, "invalid_request_error", code="charge_disputed")
        if kept == charge["amount"]:
            raise Refusal(400, "invalid_request_error", code="charge_already_refunded")
        if amount <= 0 or kept + amount > charge["amount"]:
            raise Refusal(400, "invalid_request_error", code="amount_too_large", param="amount")
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        return self._new("re", "refund", self.refunds, amount=amount, balance_transaction=self.id("txn"),
                         charge=charge["id"], currency=charge["currency"], metadata=params.get("metadata", {}),
                         payment_intent=intent["id"], reason=params.get("reason"), receipt_number=None,
                         status="pending" if self.slow_refunds else "succeeded")  # fmt: skip

    def refunds_of(self, field: str, ref: str) -> list[Thing]:
        """The newest first, as Stripe lists."""
        return [one for one in reversed(self.refunds.values()) if one[field] == ref]

    def _refunded(self, charge: str) -> int:
        return sum(one["amount"] for one in self.refunds_of("charge", charge) if one["status"] not in _GONE)

    def forget(self, customer_id: str) -> Thing:
        self.find(self.customers, customer_id)
        del self.customers[customer_id]
        for kept in self.methods.values():
            if kept["customer"] == customer_id:
                kept["customer"] = None
        return {"id": customer_id, "object": "customer", "deleted": True}

    def new_customer(self) -> Thing:
        return self._new("cus", "customer", self.customers, balance=0, default_source=None, description=None,
                         email=None, livemode=False, metadata={}, shipping=None)  # fmt: skip

    def new_intent(self, amount: int, currency: str, asked: Thing) -> Thing:
        intent = self._new(
            "pi",
            "payment_intent",
            self.intents,
            amount=amount,
            amount_capturable=0,
            amount_received=0,
            canceled_at=None,
            capture_method="automatic_async",
            confirmation_method="automatic",
            currency=currency,
            customer=None,
            description=asked.get("description"),
            last_payment_error=None,
            latest_charge=None,
            livemode=False,
            metadata=asked.get("metadata", {}),
            next_action=None,
            payment_method=None,
            payment_method_types=["card"],
            setup_future_usage=asked.get("setup_future_usage"),
            status="requires_payment_method",
        )
        intent["client_secret"] = f"{intent['id']}_secret_{self._count}"
        return intent

    def succeed(self, intent: Thing, method: Thing) -> None:
        charge = self._new_charge(intent, method, paid=True)
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"],
                   "payment_method": method["id"]}  # fmt: skip

    def _fail(self, intent: Thing, method: Thing, **why: str) -> None:
        """As Stripe does: the method is the intent's no more, the failed charge is its latest."""
        charge = self._new_charge(intent, method, paid=False)
        error = {"type": "card_error", "message": "declined", "payment_method": method, "charge": charge["id"], **why}
        intent |= {"status": "requires_payment_method", "payment_method": None, "latest_charge": charge["id"],
                   "last_payment_error": error}  # fmt: skip

    def _new_charge(self, intent: Thing, method: Thing, *, paid: bool) -> Thing:
        amount = intent["amount"]
        return self._new("ch", "charge", self.charges, amount=amount, amount_captured=amount if paid else 0,
                         amount_refunded=0, billing_details=NO_ADDRESS, captured=paid, currency=intent["currency"],
                         customer=intent["customer"], disputed=False, livemode=False, metadata=intent["metadata"],
                         paid=paid, payment_intent=intent["id"], payment_method=method["id"], refunded=False,
                         status="succeeded" if paid else "failed")  # fmt: skip

    def _new_method(self, card: str) -> Thing:
        known = {"brand": "visa", "checks": None, "country": "DE", "display_brand": "visa", "exp_month": 12,
                 "exp_year": 2040, "funding": "credit", "generated_from": None, "last4": card, "networks": None,
                 "regulated_status": "unregulated", "three_d_secure_usage": {"supported": True},
                 "wallet": None}  # fmt: skip
        return self._new("pm", "payment_method", self.methods, billing_details=NO_ADDRESS, card=known, customer=None,
                         livemode=False, metadata={}, type="card")  # fmt: skip

    def find(self, shelf: dict[str, Thing], ref: str) -> Thing:
        if ref not in shelf:
            raise Refusal(404, "invalid_request_error", code="resource_missing", param="id")
        return shelf[ref]

    def _new(self, prefix: str, name: str, shelf: dict[str, Thing], **facts: Any) -> Thing:
        thing = {"id": self.id(prefix), "object": name, "created": int(self.now_s()), **facts}
        shelf[thing["id"]] = thing
        return thing

    def id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._count:06d}"


_GONE = ("failed", "canceled")


def _no_evidence() -> Thing:
    """All that a brand could say, unsaid."""
    from stripe import Dispute

    nothing: Thing = dict.fromkeys(name for name in Dispute.Evidence.__annotations__ if not name.startswith("_"))
    return {**nothing, "enhanced_evidence": {}}
