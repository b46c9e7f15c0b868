"""What the port promises, asked of every provider."""

from __future__ import annotations

import msgspec
import pytest
from payment_hands import Hand

from live.errors import Invalid, NotFound
from live.shop.payments.port import Charge, ChargeRequest

ASKED = ChargeRequest("pay_1", 12_900, "EUR", "FR-AAAA-BBBB", "http://shop.test/orders/x", "ada@example.org")


async def paid(hand: Hand, asked: ChargeRequest = ASKED) -> Charge:
    charge = await hand.provider.create(asked)
    await hand.pay(charge)
    return await hand.provider.fetch(charge.ref)


async def saved(hand: Hand, *, asks: bool = False) -> str:
    charge = await hand.provider.create(msgspec.structs.replace(ASKED, save=True))
    await (hand.pay_by_card_that_asks(charge) if asks else hand.pay(charge))
    method = (await hand.provider.fetch(charge.ref)).method
    assert method is not None
    assert method.label.endswith("·· 3184" if asks else "·· 4242")
    return method.ref


async def test_a_charge_is_captured_once_its_buyer_paid(hand: Hand) -> None:
    charge = await hand.provider.create(ASKED)
    assert charge.status in ("created", "authorising")
    assert (await hand.provider.page(charge.ref)).kind in ("frame", "checkout")
    await hand.pay(charge)
    now = await hand.provider.fetch(charge.ref)
    assert (now.status, now.captured_minor, now.refunded_minor, now.currency) == ("captured", 12_900, 0, "EUR")
    assert now.method is None, "nobody asked to keep it"


async def test_the_same_key_is_the_same_charge_and_another_amount_is_refused(hand: Hand) -> None:
    first, second = await hand.provider.create(ASKED), await hand.provider.create(ASKED)
    assert first.ref == second.ref
    with pytest.raises(Invalid):
        await hand.provider.create(msgspec.structs.replace(ASKED, amount_minor=1))


async def test_a_cancelled_charge_can_not_be_paid_and_a_paid_one_not_cancelled(hand: Hand) -> None:
    charge = await hand.provider.create(ASKED)
    assert (await hand.provider.cancel(charge.ref)).status == "cancelled"
    assert (await hand.provider.cancel(charge.ref)).status == "cancelled"
    other = await paid(hand, msgspec.structs.replace(ASKED, idempotency_key="pay_2"))
    assert (await hand.provider.cancel(other.ref)).status == "captured"


async def test_refunds_are_made_in_parts_once_each_and_never_beyond_the_capture(hand: Hand) -> None:
    charge = await paid(hand)
    for _ in range(2):
        part = await hand.provider.refund(charge.ref, 2_900, idempotency_key="refund:1")
        assert (part.status, part.refunded_minor) == ("captured", 2_900)
    with pytest.raises(Invalid):
        await hand.provider.refund(charge.ref, 10_001, idempotency_key="refund:2")
    rest = await hand.provider.refund(charge.ref, 10_000, idempotency_key="refund:3")
    assert (rest.status, rest.refunded_minor) == ("refunded", 12_900)


async def test_an_unknown_charge_is_not_found(hand: Hand) -> None:
    for ref in ("cs_unknown", "pi_unknown"):
        with pytest.raises(NotFound):
            await hand.provider.fetch(ref)


async def test_a_saved_method_pays_at_once(hand: Hand) -> None:
    method = await saved(hand)
    again = msgspec.structs.replace(ASKED, idempotency_key="pay_2", amount_minor=5_000, method=method)
    charge = await hand.provider.create(again)
    assert (charge.status, charge.captured_minor) == ("captured", 5_000)
    assert (await hand.provider.create(again)).ref == charge.ref
    assert (await hand.provider.page(charge.ref)).kind in ("frame", "none")
    other = msgspec.structs.replace(again, method="cus_other/pm_other")
    with pytest.raises(Invalid):
        await hand.provider.create(other)


@pytest.mark.parametrize("right", [True, False])
async def test_a_saved_methods_bank_may_ask_first(hand: Hand, right: bool) -> None:
    method = await saved(hand, asks=True)
    charge = await hand.provider.create(msgspec.structs.replace(ASKED, idempotency_key="pay_2", method=method))
    assert charge.status == "authorising"
    assert (await hand.provider.page(charge.ref)).kind in ("frame", "challenge")
    await hand.answer_bank(charge, right=right)
    now = await hand.provider.fetch(charge.ref)
    assert now.status == ("captured" if right else "declined")
    if not right:
        assert now.reason == "authentication_failed"
        assert (await hand.provider.cancel(charge.ref)).status in ("declined", "cancelled")


async def test_a_forgotten_method_pays_no_more(hand: Hand) -> None:
    method = await saved(hand)
    await hand.provider.forget(method)
    await hand.provider.forget(method)
    again = msgspec.structs.replace(ASKED, idempotency_key="pay_2", method=method)
    try:
        charge = await hand.provider.create(again)
    except Invalid:
        return  # refused outright
    assert charge.status == "declined"


async def test_a_message_names_its_charge_and_a_forged_or_old_one_is_refused(hand: Hand) -> None:
    charge = await paid(hand)
    event = hand.provider.parse_event(*hand.message(charge))
    assert event.ref in (charge.ref, ASKED.idempotency_key)
    for body, headers in (hand.message(charge, forged=True), (b"{}", {}), hand.message(charge, old=True)):
        with pytest.raises(Invalid):
            hand.provider.parse_event(body, headers)
