"""What staff's forms ask of an order: each becomes an act, with the question to ask before it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData

from live.desk.wiring import Services
from live.errors import Conflict, Invalid
from live.money import Money
from live.shop.after_sale import By
from live.shop.order_acts import Parcel
from live.shop.order_story import StaffOrder
from live.web import order_words as words


@dataclass(frozen=True)
class Doing:
    """An act as its form describes it. `question` empty: it is done at once, since it can be undone."""

    do: Callable[[By], Any]
    question: str = ""
    consequences: tuple[str, ...] = ()
    button: str = ""


def _fulfil(s: Services, found: StaffOrder, form: FormData) -> Doing:
    parcel = Parcel(
        _units(found, form, "qty"), *(_text(form, name) for name in ("carrier", "tracking", "tracking_url"))
    )
    return Doing(lambda by: s.order_desk.fulfil(found.order.id, by, parcel))


def _void(s: Services, found: StaffOrder, form: FormData) -> Doing:
    return Doing(lambda by: s.order_desk.unfulfil(found.order.id, by, _text(form, "shipment")))


def _take_back(s: Services, found: StaffOrder, form: FormData) -> Doing:
    units = _units(found, form, "qty")
    if not units:
        raise Invalid("lines", "name at least one piece")
    again = {sku: qty for sku, qty in units.items() if form.get(f"restock-{sku}")}
    amount = words.repays(found, units) if form.get("refund") else Money(0, found.left.currency)
    # Their worth is reckoned by the act itself: sent again when it is done, it is still the same act.
    minor = None if form.get("refund") else 0
    return Doing(
        lambda by: s.order_desk.take_back(found.order.id, by, units, again, minor),
        f"{_pieces(units)} came back from {found.order.name}?",
        (
            f"{_pieces(again)} for sale again, at once." if again else "Nothing of it is for sale again.",
            _money(found, amount, "No money is refunded."),
            "The buyer gets a letter. This can't be undone.",
        ),
        f"Take it back and refund {amount.words()}" if amount.minor else "Take it back",
    )


def _refund(s: Services, found: StaffOrder, form: FormData) -> Doing:
    units, note = _units(found, form, "qty"), _text(form, "note")
    if form.get("of") == "pieces":
        amount, minor, lines = words.repays(found, units), None, units
        if not units:
            raise Invalid("lines", "name at least one piece")
        what = f" for {_pieces(units)}"
    else:
        amount = Money(words.minor_of(_text(form, "amount"), found.left.currency), found.left.currency)
        minor, lines, what = amount.minor, None, ""
    if amount.minor > found.left.minor and form.get("confirm") != "yes":  # then the act says so, unless it is done
        raise Conflict("more_than_is_left", left_minor=found.left.minor)
    left = Money(max(0, found.left.minor - amount.minor), found.left.currency)
    return Doing(
        lambda by: s.order_desk.refund(found.order.id, by, minor, lines, note),
        f"Refund {amount.words()}{what} to {found.order.name}?",
        (f"{left.words()} of {found.order.total.words()} stays.", "The buyer gets a letter. This can't be undone."),
        f"Refund {amount.words()}",
    )


def _send_again(s: Services, found: StaffOrder, form: FormData) -> Doing:
    refund = next((one for one in found.refunds if one.id == form.get("refund")), None)
    if refund is None:
        raise Invalid("refund", "is none of this order")
    return Doing(
        lambda by: s.order_desk.send_again(found.order.id, by, refund.id),
        f"Send {refund.amount.words()} to {found.order.name} again?",
        (
            "It goes to where the payment came from: if its card is gone for good, it may come back again.",
            "The buyer gets a letter. This can't be undone.",
        ),
        f"Refund {refund.amount.words()}",
    )


def _cancel(s: Services, found: StaffOrder, form: FormData) -> Doing:
    note = _text(form, "note")
    if found.order.status == "pending":
        return Doing(
            lambda by: s.order_desk.cancel(found.order.id, by, None, note),
            f"Give up the order of {found.order.name}?",
            ("Nothing was paid for it yet. If it is paid this very moment, it stands, and you are told.",),
            "Give it up",
        )
    units = _units(found, form, "qty")
    if not units:
        raise Invalid("lines", "name at least one piece")
    amount = words.cancelling_repays(found, units)
    return Doing(
        lambda by: s.order_desk.cancel(found.order.id, by, units, note),
        f"Cancel {_pieces(units)} of {found.order.name}’s order?",
        (
            f"{_pieces(units)} for sale again, at once.",
            _money(found, amount, "There is nothing to refund."),
            "The buyer gets a letter. This can't be undone.",
        ),
        f"Cancel and refund {amount.words()}" if amount.minor else "Cancel",
    )


def _money(found: StaffOrder, amount: Money, none: str) -> str:
    if amount.minor:
        return f"{amount.words()} is refunded."
    disputed = any(one.status == "open" for one in found.disputes)
    return "The payment is disputed: no money is refunded by this." if disputed else none


def _note(s: Services, found: StaffOrder, form: FormData) -> Doing:
    return Doing(lambda by: s.order_desk.note(found.order.id, by, _text(form, "note")))


ACTS: dict[str, Callable[[Services, StaffOrder, FormData], Doing]] = {
    "fulfil": _fulfil,
    "void": _void,
    "return": _take_back,
    "refund": _refund,
    "again": _send_again,
    "cancel": _cancel,
    "note": _note,
}


def _units(found: StaffOrder, form: FormData, name: str) -> dict[str, int]:
    """SKU -> units of the form's fields `qty-<sku>`; those of no line are left out. Raises Invalid."""
    units = {}
    for sku in found.units:
        text = str(form.get(f"{name}-{sku}", "")).strip() or "0"
        if not (text.isascii() and text.isdigit() and len(text) <= 4):
            raise Invalid(name, "must be a whole number")
        if int(text):
            units[sku] = int(text)
    return units


def _pieces(units: dict[str, int]) -> str:
    count = sum(units.values())
    return f"{count} piece" + ("" if count == 1 else "s")


def _text(form: FormData, name: str) -> str:
    return str(form.get(name, ""))
