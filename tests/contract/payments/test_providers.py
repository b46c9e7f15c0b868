"""What the port promises, asked of every provider."""

from __future__ import annotations

import msgspec
import pytest
from payment_hands import Hand, SandboxHand

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


async def test_a_refund_may_be_pending_first_and_counts_until_the_bank_says_no(hand: Hand) -> None:
    charge = await paid(hand)
    hand.slow_bank(fails=True)
    asked = await hand.provider.refund(charge.ref, 2_900, idempotency_key="refund:1")
    (one,) = asked.refunds
    assert (one.key, one.status, one.amount_minor, asked.refunded_minor) == ("refund:1", "pending", 2_900, 2_900)
    hand.bank_answers(charge)
    now = await hand.provider.fetch(charge.ref)
    (one,) = now.refunds
    assert (one.status, bool(one.reason), now.refunded_minor, now.status) == ("failed", True, 0, "captured")
    again = await hand.provider.refund(charge.ref, 2_900, idempotency_key="refund:1")
    assert [one.status for one in again.refunds] == ["failed"], "the same key never pays anew"
    anew = await hand.provider.refund(charge.ref, 12_900, idempotency_key="refund:2")
    assert ([one.key for one in anew.refunds], anew.refunded_minor) == (["refund:1", "refund:2"], 12_900)


async def test_a_pending_refund_is_done_when_the_bank_took_it(hand: Hand) -> None:
    charge = await paid(hand)
    hand.slow_bank(fails=False)
    asked = await hand.provider.refund(charge.ref, 1, idempotency_key="refund:1")
    assert [one.status for one in asked.refunds] == ["pending"]
    hand.bank_answers(charge)
    assert [one.status for one in (await hand.provider.fetch(charge.ref)).refunds] == ["done"]


async def test_a_whole_refund_that_was_done_may_fail_later_and_the_charge_is_captured_again(hand: Hand) -> None:
    charge = await paid(hand)
    hand.late_bank()
    done = await hand.provider.refund(charge.ref, 12_900, idempotency_key="refund:1")
    assert (done.status, [one.status for one in done.refunds]) == ("refunded", ["done"])
    hand.bank_answers(charge)
    event = hand.provider.parse_event(*hand.told_of_bank(charge, "refund.failed"))
    assert "refund" in event.kind
    assert event.ref == charge.ref or await hand.provider.payment_of(event.ref) == ASKED.idempotency_key
    now = await hand.provider.fetch(charge.ref)
    assert (now.status, now.captured_minor, now.refunded_minor) == ("captured", 12_900, 0)


async def test_more_refunds_than_a_page_are_all_read(hand: Hand) -> None:
    charge = await paid(hand)
    for n in range(12):
        await hand.provider.refund(charge.ref, 100 + n, idempotency_key=f"refund:{n}")
    now = await hand.provider.fetch(charge.ref)
    assert [(one.key, one.amount_minor) for one in now.refunds] == [(f"refund:{n}", 100 + n) for n in range(12)]
    assert now.refunded_minor == sum(100 + n for n in range(12))


@pytest.mark.parametrize("won", [False, True])
async def test_a_dispute_is_read_with_what_it_is_about_and_how_it_ended(hand: Hand, won: bool) -> None:
    if isinstance(hand, SandboxHand):
        hand._trouble("disputed,dispute_won" if won else "disputed")
    charge = await paid(hand)
    assert await hand.provider.disputes(charge.ref) == []
    hand.bank_disputes(charge)
    event = hand.provider.parse_event(*hand.told_of_bank(charge, "charge.dispute.created"))
    assert event.ref == charge.ref or await hand.provider.payment_of(event.ref) == ASKED.idempotency_key
    (dispute,) = await hand.provider.disputes(charge.ref)
    assert (dispute.status, dispute.amount_minor, dispute.currency, dispute.reason) == (
        "open",
        12_900,
        "EUR",
        "fraudulent",
    )
    assert dispute.due_ms is not None
    assert dispute.withdrawn
    with pytest.raises(Invalid, match="disputed"):
        await hand.provider.refund(charge.ref, 100, idempotency_key="refund:1")
    hand.bank_decides(charge, won=won)
    (ended,) = await hand.provider.disputes(charge.ref)
    assert (ended.status, ended.withdrawn) == (("won", False) if won else ("lost", True))
    if won:
        assert (await hand.provider.refund(charge.ref, 100, idempotency_key="refund:2")).refunded_minor == 100
    else:
        with pytest.raises(Invalid):
            await hand.provider.refund(charge.ref, 100, idempotency_key="refund:2")


async def test_the_disputes_of_all_payments_are_listed_the_newest_first_page_by_page(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"live.shop.payments.{hand.provider.name}.PAGE", 2)
    if isinstance(hand, SandboxHand):
        hand._trouble("disputed")
    assert (await hand.provider.disputes_since(0)).found == ()
    opened_ms = []
    for key in ("pay_1", "pay_2", "pay_3"):
        charge = await paid(hand, msgspec.structs.replace(ASKED, idempotency_key=key))
        hand.bank_disputes(charge)
        opened_ms.append(hand.later(0))
        hand.later(60_000)
        (alone,) = await hand.provider.disputes(charge.ref)
        first = await hand.provider.disputes_since(opened_ms[-1])
        assert first.found == ((key, alone),), "as the charge's own list has it, by our payment's name"
    first = await hand.provider.disputes_since(0)
    last = await hand.provider.disputes_since(0, first.next)
    assert ([name for name, _ in first.found], [name for name, _ in last.found]) == (["pay_3", "pay_2"], ["pay_1"])
    assert (bool(first.next), last.next) == (True, "")
    since = await hand.provider.disputes_since(opened_ms[1])
    assert ([name for name, _ in since.found], since.next) == (["pay_3", "pay_2"], "")
    with pytest.raises(NotFound):
        await hand.provider.disputes_since(0, "du_of_another_account")


async def test_another_shops_payment_is_not_ours(hand: Hand) -> None:
    assert await hand.provider.payment_of("pi_of_another") == ""
    assert await hand.provider.payment_of("ch_1") == ""


# ---- a create that was never answered ------------------------------------------------------------


@pytest.mark.parametrize("saved_card", [False, True])
async def test_an_attempt_that_never_arrived_is_closed_and_what_still_comes_of_it_charges_nothing(
    hand: Hand, saved_card: bool
) -> None:
    asked = msgspec.structs.replace(ASKED, idempotency_key="pay_2", method=await saved(hand) if saved_card else "")
    for _ in range(2):
        closed = await hand.provider.void(asked)
        assert (closed.status, closed.captured_minor) == ("cancelled", 0)
    try:
        late = await hand.provider.create(asked)
    except Invalid:
        return  # refused outright
    now = await hand.provider.fetch(late.ref)  # what a repeat answers may be of when it was made
    assert (now.status, now.captured_minor) == ("cancelled", 0)
    assert (await hand.provider.page(late.ref)).kind in ("frame", "none")


async def test_an_attempt_by_a_saved_card_that_did_arrive_is_found_as_it_is(hand: Hand) -> None:
    asked = msgspec.structs.replace(ASKED, idempotency_key="pay_2", method=await saved(hand))
    paid_for = await hand.provider.create(asked)
    for _ in range(2):
        found = await hand.provider.void(asked)
        assert (found.ref, found.status, found.captured_minor) == (paid_for.ref, "captured", 12_900)


async def test_an_attempt_whose_bank_asks_is_closed(hand: Hand) -> None:
    asked = msgspec.structs.replace(ASKED, idempotency_key="pay_2", method=await saved(hand, asks=True))
    waiting = await hand.provider.create(asked)
    closed = await hand.provider.void(asked)
    assert (closed.ref, closed.status) == (waiting.ref, "cancelled")
