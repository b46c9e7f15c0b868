"""How refunds and disputes read to staff: each of them, and what of them somebody has to see to."""

from __future__ import annotations

from typing import Any

from live.shop.order_state import STAYED
from live.shop.order_story import StaffDispute, StaffOrder, StaffRefund
from live.web.words import when

BANK_WORDS = {  # why a bank sent a refund back; another's is printed as it is
    "lost_or_stolen_card": "the card was lost or stolen",
    "expired_card": "the card has expired",
    "expired_or_canceled_card": "the card has expired, or was cancelled",
    "charge_for_pending_refund_disputed": "the payment is disputed",
    "insufficient_funds": "the provider's balance was too low",
    "merchant_request": "it was called off on the provider's site",
    "canceled": "it was called off on the provider's site",
    "declined": "the bank declined it",
    "unknown": "the bank gave no reason",
}
DISPUTE_WORDS = {
    "open": "Payment disputed",
    "won": "Dispute won",
    "lost": "Dispute lost",
    "closed": "Dispute closed",
}


def troubles_of(found: StaffOrder) -> list[str]:
    """What stands above the order until somebody has seen to it."""
    disputed = [
        f"The buyer's bank disputes {one.amount.words()}: {one.reason.replace('_', ' ')}."
        " Answer on the provider's own site. Until it decides, nothing of this payment can be refunded."
        for one in found.disputes
        if one.status == "open"
    ]
    came_back = [
        f"The refund of {one.amount.words()} came back: {bank_words(one.answer)}."
        " Send it again, or pay it another way and note that here."
        for one in found.refunds
        if one.owed
    ]
    return disputed + came_back


def bank_words(reason: str) -> str:
    """Why a bank sent a refund back."""
    return BANK_WORDS.get(reason, reason.replace("_", " "))


def refund_view(refund: StaffRefund, *, can: bool) -> dict[str, Any]:
    """A refund as studio/order.html prints it. `can`: the order allows another."""
    waits = (
        "the buyer has to tell the provider where to" if refund.answer == "requires_action" else "the banks are at it"
    )
    state = {
        "asked": "Asked of the provider; not answered yet",
        "accepted": f"On its way: {waits}",
        "done": "Done",
        "refused": f"Refused by the provider: {refund.answer}",
        "failed": f"Came back: {bank_words(refund.answer)}",
    }[refund.status]
    again = refund.status in STAYED and not refund.sent_again
    return {
        "id": refund.id,
        "again": can and again,
        "amount": refund.amount.words(),
        "status": refund.status,
        "words": state,
        "note": refund.note,
        "by": refund.actor,
        "when_ms": refund.created_ms,
        "when": when(refund.created_ms),
    }


def dispute_view(dispute: StaffDispute) -> dict[str, Any]:
    """A dispute as studio/order.html prints it."""
    due = f", evidence until {when(dispute.due_ms)}" if dispute.status == "open" and dispute.due_ms else ""
    money = "; the bank has the money" if dispute.withdrawn else ""
    return {
        "amount": dispute.amount.words(),
        "status": dispute.status,
        "words": f"{DISPUTE_WORDS[dispute.status]}: {dispute.reason.replace('_', ' ')}{due}{money}",
        "ref": dispute.provider_ref,
        "when_ms": dispute.opened_ms,
        "when": when(dispute.opened_ms),
    }
