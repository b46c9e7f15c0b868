"""The whole checkout by Stripe, against a fake of it that is a real HTTP server and honours idempotency keys."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from payment_hands import StripeHand
from pydantic import ValidationError
from shop_world import ADA, World
from stripe_fake import FakeStripe

from live.clock import SetClock
from live.errors import Conflict, Invalid, StoreDown
from live.settings import Settings
from live.shop.after_sale import AfterSale, By
from live.shop.checkout import Placed
from live.shop.dispute_list import READ_EVERY_MS
from live.shop.order_list import Reach
from live.shop.order_rows import pending_of
from live.shop.order_sheet import ASK_AFTER_MS
from live.shop.order_story import StaffOrder


async def test_a_piece_is_bought_in_stripes_embedded_checkout(world: World, at_stripe: StripeHand) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    assert placed.pay_url == ""
    page = await world.checkout.page(placed.order_id)
    assert page.kind == "checkout"
    assert page.secret.startswith(placed.payment_ref)
    _, _, asked, key = at_stripe.fake.heard[0]
    assert (asked["ui_mode"], asked["redirect_on_completion"], key) == (
        "embedded_page",
        "if_required",
        placed.payment_id,
    )
    at_stripe.fake.pay(placed.payment_ref)
    body, headers = at_stripe.fake.event("checkout.session.completed", at_stripe.fake.sessions[placed.payment_ref])
    event = await world.checkout.heard(body, headers)
    settled = await world.checkout.settle(event.ref)
    assert settled is not None
    assert settled.status == "paid"
    assert (await world.checkout.page(placed.order_id)).kind == "none"
    assert (await world.place("per_ada")) == placed, "the same key answers the same, also now"
    assert await world.wrong() == []


async def test_an_answer_lost_after_success_is_the_same_charge_when_asked_again(
    world: World, at_stripe: StripeHand
) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    at_stripe.fake.lose = 2  # the try and the library's own repeat
    with pytest.raises(StoreDown):
        await world.place("per_ada")
    assert len(at_stripe.fake.sessions) == 1, "the premise: Stripe did it, and we don't know"
    placed = await world.place("per_ada")
    assert len(at_stripe.fake.sessions) == 1
    at_stripe.fake.pay(placed.payment_ref)
    settled = await world.checkout.settle(placed.payment_id)
    assert settled is not None
    assert settled.status == "paid"


async def test_a_saved_card_charged_whose_answer_was_lost_is_charged_once_and_found_by_the_worker(
    world: World, at_stripe: StripeHand
) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    method = await _saved(world, at_stripe)
    await world.add("per_ada", "COAT-38")
    at_stripe.fake.lose = 2
    with pytest.raises(StoreDown):
        await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    clock.advance(10_000)
    (settled,) = await world.checkout.settle_due()
    assert settled.status == "paid"
    assert sum(intent["status"] == "succeeded" for intent in at_stripe.fake.intents.values()) == 2, "one an order"
    assert await world.wrong() == []


async def test_events_twice_unordered_late_or_forged_sell_once(world: World, at_stripe: StripeHand) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    session = at_stripe.fake.sessions[placed.payment_ref]
    intent = at_stripe.fake.new_intent(12_900, "eur", {"metadata": {"payment": placed.payment_id}})
    early = at_stripe.fake.event("payment_intent.created", intent)
    at_stripe.fake.pay(placed.payment_ref)
    paid = at_stripe.fake.event("checkout.session.completed", session)
    charge = at_stripe.fake.event("charge.succeeded", next(iter(at_stripe.fake.charges.values())))
    statuses = []
    for body, headers in (charge, paid, paid, early):
        event = await world.checkout.heard(body, headers)
        settled = await world.checkout.settle(event.ref)
        assert settled is not None
        statuses.append((settled.status, settled.changed))
    assert statuses == [("paid", True), ("paid", False), ("paid", False), ("paid", False)]
    with pytest.raises(Invalid):
        await world.checkout.heard(*at_stripe.fake.event("checkout.session.completed", session, secret="whsec_x"))
    stranger = at_stripe.fake.event("customer.created", at_stripe.fake.new_customer())
    assert (await world.checkout.heard(*stranger)).ref == ""
    assert await world.sold("COAT-38") == 1


async def test_a_refund_by_stripe_is_made_once_for_a_piece_that_went_to_another(
    world: World, at_stripe: StripeHand
) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    clock.advance(1_000_000)
    await world.gate.lapse(world.show)
    await world.add("per_bea", "COAT-38")
    other = await world.place("per_bea")
    at_stripe.fake.pay(other.payment_ref)
    await world.checkout.settle(other.payment_id)
    at_stripe.fake.pay(placed.payment_ref)
    answers = await asyncio.gather(*(world.checkout.settle(placed.payment_id) for _ in range(5)))
    assert {answer.status for answer in answers if answer} == {"refunded"}
    refunds = [asked for method, path, asked, _ in at_stripe.fake.heard if (method, path) == ("POST", "/v1/refunds")]
    assert refunds
    charge = await at_stripe.provider.fetch(placed.payment_ref)
    assert (charge.captured_minor, charge.refunded_minor) == (12_900, 12_900)
    assert await world.wrong() == []


async def test_an_order_that_costs_nothing_asks_stripe_nothing(world: World, at_stripe: StripeHand) -> None:
    await world.stock_a_show({"GIFT": 2}, price_minor=0)
    await world.add("per_ada", "GIFT")
    placed = await world.place("per_ada")
    assert (await world.orders.by_id(placed.order_id)).status == "paid"
    assert at_stripe.fake.heard == []
    assert await world.wrong() == []


async def test_a_declined_saved_card_leaves_nothing_open_at_stripe(world: World, at_stripe: StripeHand) -> None:
    method = await _saved(world, at_stripe)
    kept = at_stripe.fake.methods[method.partition("/")[2]]
    kept["card"]["last4"] = "9995"
    await world.add("per_ada", "COAT-38")
    placed = await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    order = await world.orders.by_id(placed.order_id)
    assert (order.status, order.reason) == ("cancelled", "insufficient_funds")
    assert at_stripe.fake.intents[placed.payment_ref]["status"] == "canceled"
    assert (await world.carts.view(world.show, "per_ada")).lines[0].state == "held"


async def test_what_stripe_refuses_for_good_ends_the_order_and_the_bag_can_be_bought_again(
    world: World, at_stripe: StripeHand
) -> None:
    method = await _saved(world, at_stripe)
    await world.add("per_ada", "COAT-38")
    await at_stripe.provider.forget(method)  # as by hand, on Stripe's own site: here it still counts as saved
    refused = await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    assert (await world.orders.by_id(refused.order_id)).status == "cancelled"
    assert (await world.checkout.page(refused.order_id)).kind == "none"
    assert (await world.carts.view(world.show, "per_ada")).lines[0].state == "held"
    again = await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    assert again == refused, "the same key answers the same"
    placed = await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-3")
    at_stripe.fake.pay(placed.payment_ref)
    settled = await world.checkout.settle(placed.payment_id)
    assert settled is not None
    assert settled.status == "paid"
    assert await world.wrong() == []


async def test_a_declined_card_that_two_processes_close_at_once_is_declined_for_both(
    world: World, at_stripe: StripeHand
) -> None:
    method = await _saved(world, at_stripe)
    at_stripe.fake.methods[method.partition("/")[2]]["card"]["last4"] = "3184"
    await world.add("per_ada", "COAT-38")
    placed = await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    at_stripe.fake.answer_bank(placed.payment_ref, right=False)
    answers = await asyncio.gather(*(world.checkout.settle(placed.payment_id) for _ in range(5)))
    assert {answer.status for answer in answers if answer} == {"cancelled"}
    assert await world.wrong() == []


async def test_stripe_without_its_keys_does_not_start(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValidationError, match="STRIPE_SECRET_KEY, STRIPE_PUBLISHABLE_KEY, STRIPE_WEBHOOK_SECRET"):
        Settings(data_dir=tmp_path, payments="stripe", _env_file=None)  # type: ignore[call-arg]


async def test_a_wrong_key_is_told_as_a_provider_that_does_not_answer(world: World, at_stripe: StripeHand) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    at_stripe.fake.key = "sk_test_another"
    with pytest.raises(StoreDown):
        await world.place("per_ada")


@pytest.mark.parametrize("lost", ["request", "reply", "request, then reply", "reply, a day ago"])
@pytest.mark.parametrize("by", ["worker", "buyer"])
async def test_an_order_by_a_saved_card_whose_create_was_never_answered_is_not_charged_after_it_was_given_up(
    world: World, at_stripe: StripeHand, lost: str, by: str
) -> None:
    """Lost on its way there, nothing may be charged any more; lost on its way back, what was charged is sold."""
    clock, fake = world.clock, at_stripe.fake
    assert isinstance(clock, SetClock)
    method = await _saved(world, at_stripe)
    await world.add("per_ada", "COAT-38")
    fake.drop, fake.lose = (2, 0) if lost.startswith("request") else (0, 2)
    with pytest.raises(StoreDown):
        await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    pending = await world.db.read(lambda c: pending_of(c, "per_ada", world.show))
    assert pending is not None
    charged = not lost.startswith("request")
    assert sum(one["status"] == "succeeded" for one in fake.intents.values()) == 1 + charged, "the premise"
    if lost == "reply, a day ago":
        fake.kept.clear()  # Stripe forgets its keys
        clock.advance(86_400_000)
    clock.advance(600_000)
    if lost == "request, then reply":
        fake.lose = 2
        assert await world.checkout.settle_due() == []
        clock.advance(60_000)
    if by == "worker":
        (settled,) = await world.checkout.settle_due()
    else:
        settled = await world.checkout.cancel(pending.payment_id)
        assert settled is not None
    assert settled.status in (("paid", "refunded") if charged else ("cancelled",))
    assert sum(one["status"] == "succeeded" for one in fake.intents.values()) == 1 + charged
    assert not any(one["status"].startswith("requires_") for one in fake.intents.values()), "nothing is left to be paid"
    # The same taps again, and a request that comes from the past, charge nothing either.
    await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    await world.checkout.settle(pending.payment_id)
    assert sum(one["status"] == "succeeded" for one in fake.intents.values()) == 1 + charged
    assert await world.wrong() == []


async def test_an_order_that_is_found_a_day_later_is_not_charged_by_looking_at_it(
    world: World, at_stripe: StripeHand
) -> None:
    """No worker ran. Its page, and the tap sent again, would have been the first to reach Stripe."""
    clock, fake = world.clock, at_stripe.fake
    assert isinstance(clock, SetClock)
    method = await _never_arrived(world, at_stripe)
    clock.advance(86_400_000)
    placed = await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    assert (await world.checkout.page(placed.order_id)).kind == "none"
    assert (await world.orders.by_id(placed.order_id)).status == "cancelled"
    assert sum(one["status"] == "succeeded" for one in fake.intents.values()) == 1


@pytest.mark.parametrize("lists", ["", "none", "all"])
@pytest.mark.parametrize("a_day_ago", [False, True])
async def test_what_a_lost_create_charged_is_found_though_its_buyer_had_her_card_forgotten_meanwhile(
    world: World, at_stripe: StripeHand, lists: Literal["", "none", "all"], a_day_ago: bool
) -> None:
    clock, fake = world.clock, at_stripe.fake
    assert isinstance(clock, SetClock)
    method = await _saved(world, at_stripe)
    await world.add("per_ada", "COAT-38")
    fake.lose, fake.lists_of_the_deleted = 2, lists
    with pytest.raises(StoreDown):
        await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    for _ in range(150):  # other people's, more than a page
        fake.new_intent(100, "eur", {})
    await at_stripe.provider.forget(method)
    assert not fake.customers, "the premise"
    clock.advance(600_000)
    if a_day_ago:
        fake.kept.clear()  # Stripe forgets its keys
        clock.advance(86_400_000)
    (settled,) = await world.checkout.settle_due()
    assert settled.status in ("paid", "refunded")
    assert sum(one["status"] == "succeeded" for one in fake.intents.values()) == 2
    assert await world.wrong() == []


async def test_a_lost_create_that_never_arrived_is_closed_also_where_its_buyer_had_her_card_forgotten(
    world: World, at_stripe: StripeHand
) -> None:
    clock, fake = world.clock, at_stripe.fake
    assert isinstance(clock, SetClock)
    method = await _never_arrived(world, at_stripe)
    await at_stripe.provider.forget(method)
    clock.advance(600_000)
    (settled,) = await world.checkout.settle_due()
    assert settled.status == "cancelled"
    assert sum(one["status"] == "succeeded" for one in fake.intents.values()) == 1


async def _never_arrived(world: World, at_stripe: StripeHand) -> str:
    """An order by a card that Stripe keeps, none of whose requests came there; the card."""
    method = await _saved(world, at_stripe)
    await world.add("per_ada", "COAT-38")
    at_stripe.fake.drop = 2
    with pytest.raises(StoreDown):
        await world.checkout.place(world.show, "per_ada", ADA, idempotency_key="key-2", method=method)
    return method


async def _saved(world: World, at_stripe: StripeHand) -> str:
    """A buyer's card that Stripe keeps, from an order of hers."""
    await world.stock_a_show({"COAT-38": 5})
    await world.saved.keep("dev_ada", ADA)
    await world.add("per_ada", "COAT-38")
    placed = await world.checkout.place(
        world.show, "per_ada", ADA, idempotency_key="key-0", saver=world.saved.tag("dev_ada")
    )
    at_stripe.fake.pay(placed.payment_ref)
    await world.checkout.settle(placed.payment_id)
    kept = await world.saved.of("dev_ada")
    assert kept is not None
    assert kept.method is not None
    assert kept.method.label == "Visa ·· 4242"
    return kept.method.ref


async def a_paid_order(world: World, fake: FakeStripe) -> Placed:
    """Of one coat."""
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    fake.pay(placed.payment_ref)
    await world.checkout.settle(placed.payment_id)
    return placed


async def test_a_refund_that_stripe_tells_of_days_later_is_owed_again(world: World, at_stripe: StripeHand) -> None:
    fake, sale = at_stripe.fake, AfterSale(world.db, at_stripe.provider, world.clock)
    placed = await a_paid_order(world, fake)

    async def hear(kind: str) -> bool:
        event = await world.checkout.heard(*fake.event(kind, fake.refunds[ref]))
        await world.checkout.settle(event.ref)
        return await sale.refunds.heard(event.ref)

    async def now() -> StaffOrder:
        return await world.order_list.one(Reach(frozenset({world.brand})), placed.number)

    fake.slow_refunds = True
    await sale.refund(placed.order_id, By("stf_ada", "refund-1"), 2_900, None)
    (ref,) = fake.refunds
    assert [(one.status, one.provider_ref) for one in (await now()).refunds] == [("accepted", ref)]
    fake.end_refund(ref, "requires_action")
    assert not await hear("refund.updated"), "nothing moved"
    assert [(one.status, one.answer) for one in (await now()).refunds] == [("accepted", "requires_action")]
    fake.end_refund(ref, "succeeded")
    assert await hear("refund.updated")
    assert [(one.status, one.answer) for one in (await now()).refunds] == [("done", "")]
    fake.end_refund(ref, "failed")
    assert [await hear("refund.failed"), await hear("charge.refund.updated")] == [True, False]
    came_back = await now()
    assert [(one.status, one.answer) for one in came_back.refunds] == [("failed", "expired_or_canceled_card")]
    assert (came_back.order.status, came_back.left.minor) == ("paid", 12_900)
    fake.slow_refunds = False
    await sale.send_again(placed.order_id, By("stf_ada", "again-1"), came_back.refunds[0].id)
    assert [one.status for one in (await now()).refunds] == ["failed", "done"]
    assert (await at_stripe.provider.fetch(placed.payment_ref)).refunded_minor == 2_900
    assert await world.wrong() == []


async def test_a_dispute_that_stripe_tells_of_stops_refunds_until_it_is_won(
    world: World, at_stripe: StripeHand
) -> None:
    fake, sale = at_stripe.fake, AfterSale(world.db, at_stripe.provider, world.clock)
    placed = await a_paid_order(world, fake)
    intent = str(fake.sessions[placed.payment_ref]["payment_intent"])

    async def hear(kind: str) -> bool:
        event = await world.checkout.heard(*fake.event(kind, dispute))
        await world.checkout.settle(event.ref)
        return await sale.disputes.heard(event.ref)

    async def now() -> StaffOrder:
        return await world.order_list.one(Reach(frozenset({world.brand})), placed.number)

    dispute = fake.dispute(intent)
    assert [await hear("charge.dispute.created"), await hear("charge.dispute.funds_withdrawn")] == [True, False]
    seen = await now()
    assert [(one.provider_ref, one.status, one.withdrawn) for one in seen.disputes] == [(dispute["id"], "open", True)]
    assert ("refund" in seen.acts, seen.left.minor) == (False, 0)
    with pytest.raises(Conflict, match="disputed"):
        await sale.refund(placed.order_id, By("stf_ada", "refund-1"), 100, None)
    fake.end_dispute(dispute["id"], "won")
    assert [await hear("charge.dispute.closed"), await hear("charge.dispute.funds_reinstated")] == [True, False]
    assert [(one.status, one.withdrawn) for one in (await now()).disputes] == [("won", False)]
    await sale.refund(placed.order_id, By("stf_ada", "refund-2"), 100, None)
    assert [one.status for one in (await now()).refunds] == ["done"]
    assert await world.wrong() == []


async def test_a_dispute_whose_every_message_was_missed_is_found_in_stripes_list_beside_those_of_others(
    world: World, at_stripe: StripeHand
) -> None:
    fake, sale = at_stripe.fake, AfterSale(world.db, at_stripe.provider, world.clock)
    placed = await a_paid_order(world, fake)
    assert await sale.dispute_list.find_due(world.checkout.settle) == 0, "the premise: there is none"
    fake.dispute(fake.paid_elsewhere({})["id"])
    fake.dispute(fake.paid_elsewhere({"payment": "pay_of_another_shop"})["id"])
    fake.dispute(fake.paid_elsewhere({})["id"])["payment_intent"] = None  # of a charge that has none
    dispute = fake.dispute(str(fake.sessions[placed.payment_ref]["payment_intent"]))
    world.clock.advance(READ_EVERY_MS)  # type: ignore[attr-defined]
    fake.heard.clear()
    assert await sale.dispute_list.find_due(world.checkout.settle) == 1
    assert [(method, path) for method, path, _, _ in fake.heard] == [("GET", "/v1/disputes")], "one request a page"
    (seen,) = (await world.order_list.one(Reach(frozenset({world.brand})), placed.number)).disputes
    assert (seen.provider_ref, seen.status, seen.withdrawn) == (dispute["id"], "open", True)
    assert await world.wrong() == []


async def test_a_late_payment_that_is_disputed_goes_back_once_it_is_won_under_a_key_that_stripe_has_not_refused(
    world: World, at_stripe: StripeHand
) -> None:
    fake, sale = at_stripe.fake, AfterSale(world.db, at_stripe.provider, world.clock)
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    world.clock.advance(1_000_000)  # type: ignore[attr-defined]
    await world.gate.lapse(world.show)
    await world.add("per_bea", "COAT-38")
    fake.pay(placed.payment_ref)
    dispute = fake.dispute(str(fake.sessions[placed.payment_ref]["payment_intent"]))
    for _ in range(2):
        now = await world.checkout.settle(placed.payment_id)
        assert now is not None
        assert now.status == "cancelled"
    tried = [key for method, path, _, key in fake.heard if (method, path) == ("POST", "/v1/refunds")]
    assert len(tried) == 1
    assert fake.kept[tried[0]][1] == 400, "the premise: Stripe repeats its no to this key, whatever the bank says"
    fake.end_dispute(dispute["id"], "won")
    assert await sale.disputes.heard(placed.payment_id)
    world.clock.advance(ASK_AFTER_MS)  # type: ignore[attr-defined]
    assert await sale.refunds.ask_due() == 1
    assert (await world.orders.by_id(placed.order_id)).status == "refunded"
    assert (await at_stripe.provider.fetch(placed.payment_ref)).refunded_minor == 12_900
    assert await world.wrong() == []
