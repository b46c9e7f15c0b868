"""The whole checkout by Stripe, against a fake of it that is a real HTTP server and honours idempotency keys."""

from __future__ import annotations

import asyncio

import pytest
from payment_hands import StripeHand
from pydantic import ValidationError
from shop_world import ADA, World

from live.clock import SetClock
from live.errors import Invalid, StoreDown
from live.settings import Settings


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
    early = at_stripe.fake.event("payment_intent.created", {"id": "pi_1", "metadata": {"payment": placed.payment_id}})
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
    stranger = at_stripe.fake.event("customer.created", {"id": "cus_1", "object": "customer"})
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
