"""The fake of Stripe is held against Stripe's own description; here, that this can find something."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from stripe_fake import fake_stripe
from stripe_shapes import wrong_error, wrong_object, wrong_params

from live.shop.payments.stripe import API_VERSION


async def test_an_object_out_of_shape_is_found() -> None:
    async with fake_stripe() as fake:
        intent = fake.new_intent(100, "eur", {})
        assert wrong_object(intent) == []
        for wrong, words in (
            ({"status": "paid"}, "payment_intent.status: 'paid' is none of"),
            ({"amount": "100"}, "payment_intent.amount: '100' is no int"),
            ({"livemode": None}, "payment_intent.livemode: None is no bool"),
            ({"order": 1}, "payment_intent.order: PaymentIntent has no such field"),
            ({"next_action": {"kind": "x"}}, "payment_intent.next_action.kind: NextAction has no such field"),
            ({"latest_charge": {"object": "charge"}}, "payment_intent.latest_charge.amount: is missing"),
            ({"payment_method_types": ["card", 1]}, "payment_intent.payment_method_types[1]: 1 is no str"),
            ({"object": "intent"}, "no object is a 'intent'"),
        ):
            assert any(words in said for said in wrong_object(intent | wrong)), words
        del intent["currency"]
        assert wrong_object(intent) == ["payment_intent.currency: is missing"]
    assert wrong_error({"type": "stolen"}) != []
    assert wrong_error({"type": "card_error", "colour": "red"}) != []


def test_parameters_that_stripe_does_not_take_are_found() -> None:
    sound = {"payment_intent": "pi_1", "amount": "100", "metadata": {"refund": "r"}, "expand": {"0": "charge"}}
    assert wrong_params("POST", "/v1/refunds", sound) == []
    for wrong in ({"amount": "1.5"}, {"cents": "1"}, {"reason": "regret"}, {"expand": "charge"}, {"metadata": "x"}):
        assert wrong_params("POST", "/v1/refunds", sound | wrong) != [], wrong
    assert wrong_params("POST", "/v1/payment_intents", {"currency": "eur"}) == ["amount: is missing"]
    assert wrong_params("POST", "/v1/refunds/re_1/undo", {}) == ["POST /v1/refunds/re_1/undo is not described"]


async def test_a_parameter_that_was_taken_away_is_refused_and_fails_the_test_that_sent_it() -> None:
    """What happened to `payment_method_types` in 2026-09-30.endive."""

    async def asked() -> None:
        async with fake_stripe() as fake:
            headers = {"authorization": f"Bearer {fake.key}", "idempotency-key": "k", "stripe-version": API_VERSION}
            body = "amount=100&currency=eur&payment_method_types[0]=card"
            status, answer, _ = await fake._respond("POST", "/v1/payment_intents", headers, body)
            assert (status, answer["error"]["code"]) == (400, "parameter_unknown")

    with pytest.raises(AssertionError, match="payment_method_types: PaymentIntentCreateParams has no such field"):
        await asked()


async def test_the_same_key_is_in_use_then_replayed_then_another_bodys() -> None:
    async with fake_stripe() as fake:
        headers = {"authorization": f"Bearer {fake.key}", "idempotency-key": "k", "stripe-version": API_VERSION}
        ask = partial(fake._respond, "POST", "/v1/refunds", headers)
        fake.works.clear()
        first = asyncio.create_task(ask("payment_intent=pi_1"))
        await fake.taken.wait()
        status, busy, _ = await ask("payment_intent=pi_1")
        assert (status, busy["error"]["code"]) == (409, "idempotency_key_in_use")
        fake.works.set()
        assert "idempotent-replayed" not in (await first)[2]
        again = await ask("payment_intent=pi_1")
        assert again[:2] == (await first)[:2]
        assert again[2]["idempotent-replayed"] == "true"
        status, other, _ = await ask("payment_intent=pi_2")
        assert (status, other["error"]["type"]) == (400, "idempotency_error")
