"""Checkout on both SQL stores: an order is sold once or refunded once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from shop_world import ADA, TTL_S, World
from sqlalchemy import select, text

from live.clock import SetClock
from live.errors import (
    EmptyBag,
    HoldLapsed,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    OverLimit,
    PriceChanged,
    SoldOut,
)
from live.shop.checkout import PAYING_MS
from live.shop.payments.port import Charge
from live.shop.payments.sandbox import SandboxProvider
from live.shop.stock import Line
from live.store import keys
from live.store.tables import ledger, outbox


async def test_a_bought_piece_is_sold_paid_and_gone_from_the_bag(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    settled = await world.buy("per_ada", "COAT-38", 2)
    assert settled.status == "paid"
    assert settled.changed
    assert (await world.left("COAT-38"), await world.sold("COAT-38")) == (1, 2)
    bag = await world.carts.view(world.show, "per_ada")
    assert bag.lines == []
    assert bag.total.minor == 0
    order = await world.orders.by_token(settled.token)
    assert (order.status, order.total.minor, order.payment) == ("paid", 25800, "captured")
    assert [(line.sku, line.qty, line.title) for line in order.lines] == [("COAT-38", 2, "Long coat")]
    tally = await world.orders.tally(world.show)
    assert (tally.orders, tally.revenue.minor) == (1, 25800)
    assert await world.wrong() == []


async def test_settling_ten_times_at_once_sells_once(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    answers = await asyncio.gather(*(world.checkout.settle(placed.payment_ref) for _ in range(10)))
    assert {answer.status for answer in answers if answer} == {"paid"}
    assert sum(answer.changed for answer in answers if answer) == 1
    assert await world.sold("COAT-38") == 1
    assert await world.wrong() == []
    paid = await world.db.read(lambda c: c.execute(select(outbox.c.id).where(outbox.c.kind == "order.paid")).all())
    assert len(paid) == 1


async def test_the_same_key_answers_byte_for_byte_and_another_body_is_refused(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    first = await world.place("per_ada")
    await world.provider.choose(first.payment_ref, "success")
    await world.checkout.settle(first.payment_id)
    again = await world.place("per_ada")
    assert msgspec.json.encode(again) == msgspec.json.encode(first)
    with pytest.raises(IdempotencyMismatch):
        await world.place("per_ada", contact=msgspec.structs.replace(ADA, name="Grace Hopper"))
    assert (await world.orders.tally(world.show)).orders == 1
    assert await world.wrong() == []


async def test_the_same_key_from_twenty_tabs_at_once_is_one_order(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    answers = await asyncio.gather(*(world.place("per_ada") for _ in range(20)))
    assert len({msgspec.json.encode(answer) for answer in answers}) == 1
    assert len(await world.orders.of_buyer(world.show, "per_ada")) == 1


async def test_one_buyers_key_is_not_anothers(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    await world.add("per_bea", "COAT-38")
    assert (await world.place("per_ada")).order_id != (await world.place("per_bea")).order_id


async def test_a_second_checkout_of_the_same_bag_closes_the_first(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    first = await world.place("per_ada", "key-1")
    second = await world.place("per_ada", "key-2")
    assert (await world.orders.by_id(first.order_id)).status == "cancelled"
    await world.provider.choose(second.payment_ref, "success")
    settled = await world.checkout.settle(second.payment_ref)
    assert settled is not None
    assert settled.status == "paid"
    assert (await world.provider.choose(first.payment_ref, "success")).status == "cancelled"
    assert await world.sold("COAT-38") == 1
    assert await world.wrong() == []


async def test_a_declined_payment_cancels_the_order_and_leaves_the_hold_for_another_try(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada", "key-1")
    assert (await world.carts.view(world.show, "per_ada")).lines[0].state == "paying"
    choice = await world.provider.choose(placed.payment_ref, "insufficient_funds")
    assert (choice.status, choice.reason) == ("declined", "insufficient_funds")
    settled = await world.checkout.settle(placed.payment_ref)
    assert settled is not None
    assert (settled.status, settled.reason) == ("cancelled", "insufficient_funds")
    assert (await world.carts.view(world.show, "per_ada")).lines[0].state == "held"
    retry = await world.place("per_ada", "key-2")
    await world.provider.choose(retry.payment_ref, "success")
    paid = await world.checkout.settle(retry.payment_ref)
    assert paid is not None
    assert paid.status == "paid"
    assert await world.wrong() == []


async def test_three_d_secure_asks_for_a_code_and_a_wrong_one_declines(world: World) -> None:
    await world.stock_a_show({"COAT-38": 2})
    for cart, code, status in (("per_ada", "123456", "paid"), ("per_bea", "000000", "cancelled")):
        await world.add(cart, "COAT-38")
        placed = await world.place(cart)
        assert (await world.provider.choose(placed.payment_ref, "three_d_secure")).step == "code"
        pending = await world.checkout.settle(placed.payment_ref)
        assert pending is not None
        assert (pending.status, pending.changed) == ("pending", False)
        await world.provider.choose(placed.payment_ref, "three_d_secure", code)
        settled = await world.checkout.settle(placed.payment_ref)
        assert settled is not None
        assert settled.status == status
    assert await world.wrong() == []


async def test_a_late_payment_takes_the_piece_again_when_one_is_left(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await _lapse_all(world)
    assert await world.left("COAT-38") == 1, "the premise: the hold is gone"
    await world.provider.choose(placed.payment_ref, "success")
    settled = await world.checkout.settle(placed.payment_ref)
    assert settled is not None
    assert settled.status == "paid"
    assert settled.moved["COAT-38"].left == 0
    assert (await world.left("COAT-38"), await world.sold("COAT-38")) == (0, 1)
    assert await world.wrong() == []


async def test_a_late_payment_for_a_piece_that_went_to_another_is_refunded_once(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await _lapse_all(world)
    assert (await world.buy("per_bea", "COAT-38")).status == "paid"
    await world.provider.choose(placed.payment_ref, "success")
    answers = await asyncio.gather(*(world.checkout.settle(placed.payment_ref) for _ in range(5)))
    assert {answer.status for answer in answers if answer} == {"refunded"}
    charge = await world.provider.fetch(placed.payment_ref)
    assert (charge.status, charge.captured_minor, charge.refunded_minor) == ("refunded", 12900, 12900)
    assert (await world.orders.by_id(placed.order_id)).reason == "sold_out"
    assert await world.sold("COAT-38") == 1
    assert await world.wrong() == []


async def test_a_free_order_that_came_too_late_ends_with_nothing_to_give_back(world: World) -> None:
    await world.stock_a_show({"GIFT": 1}, price_minor=0)
    await world.add("per_ada", "GIFT")
    placed = await world.place("per_ada")
    await _lapse_all(world)
    assert (await world.buy("per_bea", "GIFT")).status == "paid"
    await world.provider.choose(placed.payment_ref, "success")
    settled = await world.checkout.settle(placed.payment_ref)
    assert settled is not None
    assert settled.status == "refunded"
    assert await world.sold("GIFT") == 1
    assert await world.wrong() == []


async def test_a_crash_between_the_refunds_decision_and_the_refund_is_finished_by_the_worker(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await _lapse_all(world)
    await world.buy("per_bea", "COAT-38")
    await world.provider.choose(placed.payment_ref, "success")

    class Dies(SandboxProvider):
        async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str):  # type: ignore[no-untyped-def]
            raise ConnectionError

    sound, world.checkout._provider = world.checkout._provider, Dies(world.db, world.settings, clock)
    with pytest.raises(ConnectionError):
        await world.checkout.settle(placed.payment_ref)
    world.checkout._provider = sound
    await world.db.write(lambda c: c.execute(text("update variants set on_hand = 5")))
    await world.gate.reconcile(world.show)
    assert await world.left("COAT-38") == 4, "the premise: the piece could be sold now, but the refund is decided"
    clock.advance(60_000)
    (settled,) = await world.checkout.settle_due()
    assert settled.status == "refunded"
    assert (await world.provider.fetch(placed.payment_ref)).refunded_minor == 12900
    assert await world.wrong() == []


async def test_a_cancelled_order_whose_money_arrives_after_all_is_refunded_once(world: World) -> None:
    await world.stock_a_show({"COAT-38": 2})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await world.checkout.cancel(placed.payment_ref)
    assert (await world.orders.by_id(placed.order_id)).status == "cancelled"
    # A provider that captures what it said it had cancelled.
    await world.db.write(
        lambda c: c.execute(text("update sandbox_charges set status = 'captured', captured_minor = amount_minor"))
    )
    for _ in range(2):
        settled = await world.checkout.settle(placed.payment_ref)
        assert settled is not None
        assert settled.status == "refunded"
    assert (await world.provider.fetch(placed.payment_ref)).refunded_minor == 12900
    assert await world.sold("COAT-38") == 0
    assert await world.wrong() == []


async def test_sql_refuses_what_a_gate_that_lost_count_gave_out(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    await world.redis.hset(keys.gate(world.show), "n:COAT-38", "5")
    await world.add("per_ada", "COAT-38", 1)
    await world.add("per_bea", "COAT-38", 1)
    statuses = []
    for cart in ("per_ada", "per_bea"):
        placed = await world.place(cart)
        await world.provider.choose(placed.payment_ref, "success")
        settled = await world.checkout.settle(placed.payment_ref)
        assert settled is not None
        statuses.append(settled.status)
    assert statuses == ["paid", "refunded"]
    assert (await world.left("COAT-38"), await world.sold("COAT-38")) == (0, 1)
    assert await world.wrong() == []


async def test_an_abandoned_payment_is_given_up_and_its_hold_lapses(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    clock.advance(TTL_S * 1000 + 1)
    assert await world.gate.lapse(world.show) == [], "the hold is kept while its buyer pays"
    clock.advance(PAYING_MS)
    (settled,) = await world.checkout.settle_due()
    assert settled.status == "cancelled"
    assert await world.checkout.settle_due() == []
    clock.advance(PAYING_MS)
    assert [lapsed.qty for lapsed in await world.gate.lapse(world.show)] == [1]
    assert (await world.provider.fetch(placed.payment_ref)).status == "cancelled"
    assert await world.left("COAT-38") == 1
    assert await world.wrong() == []


async def test_asking_to_pay_again_and_again_does_not_keep_a_piece_for_ever(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.stock_a_show({"COAT-38": 1})
    start = clock.now_ms()
    await world.add("per_ada", "COAT-38")

    async def ask_on_and_on() -> None:
        for turn in range(20):
            await world.place("per_ada", f"key-{turn}")
            clock.advance(PAYING_MS // 4)

    with pytest.raises(HoldLapsed):
        await ask_on_and_on()
    assert clock.now_ms() - start <= TTL_S * 1000 + PAYING_MS + PAYING_MS // 4


async def test_the_worker_settles_what_a_dead_web_process_left(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "timeout_after_success")
    assert await world.checkout.settle_due() == [], "not yet due"
    clock.advance(10_000)
    answers = await asyncio.gather(*(world.checkout.settle_due() for _ in range(4)))
    assert [settled.status for some in answers for settled in some] == ["paid"]
    assert await world.wrong() == []


async def test_one_payment_that_cannot_be_settled_keeps_no_other_buyer_waiting(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.stock_a_show({"COAT-38": 3})
    refs = []
    for buyer in ("per_ada", "per_bea", "per_cem"):
        await world.add(buyer, "COAT-38")
        refs.append((await world.place(buyer)).payment_ref)
        await world.provider.choose(refs[-1], "success")

    class LosesOne(SandboxProvider):
        async def fetch(self, ref: str) -> Charge:
            if ref == refs[1]:
                raise NotFound("charge", ref)
            return await super().fetch(ref)

    world.checkout._provider = LosesOne(world.db, world.settings, clock)
    clock.advance(10_000)
    settled = await world.checkout.settle_due()
    assert sorted(one.cart for one in settled) == ["per_ada", "per_cem"]


async def test_an_order_placed_before_the_provider_answered_is_completed_with_its_key(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")

    class Dies(SandboxProvider):
        async def create(self, request):  # type: ignore[no-untyped-def]
            await super().create(request)
            raise ConnectionError

    sound, world.checkout._provider = world.checkout._provider, Dies(world.db, world.settings, world.clock)
    with pytest.raises(ConnectionError):
        await world.place("per_ada")
    world.checkout._provider = sound
    placed = await world.place("per_ada")
    charges = await world.db.read(lambda c: c.execute(text("select count(*) from sandbox_charges")).scalar())
    assert charges == 1
    await world.provider.choose(placed.payment_ref, "success")
    settled = await world.checkout.settle(placed.payment_ref)
    assert settled is not None
    assert settled.status == "paid"
    assert await world.wrong() == []


async def test_events_that_come_twice_late_reordered_or_forged_change_nothing_more(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "timeout_after_success")
    bodies = await world.db.read(
        lambda c: c.execute(select(outbox.c.body).where(outbox.c.kind == "sandbox.event").order_by(outbox.c.id)).all()
    )
    assert len(bodies) == 3, "the premise: twice, and the first thing told last"
    for (body,) in reversed(bodies):
        event = await world.checkout.heard(body.encode(), world.provider.signed_headers(body.encode()))
        settled = await world.checkout.settle(event.ref)
        assert settled is not None
        assert settled.status == "paid"
    assert await world.sold("COAT-38") == 1
    forged = bodies[0][0].encode()
    for headers in (
        {},
        {"sandbox-signature": "t=1,v1=00"},
        {"sandbox-signature": "nonsense"},
        world.provider.signed_headers(b"another body"),
    ):
        with pytest.raises(Invalid):
            await world.checkout.heard(forged, headers)
    old = world.provider.signed_headers(forged)
    assert isinstance(world.clock, SetClock)
    world.clock.advance(600_000)
    with pytest.raises(Invalid):
        await world.checkout.heard(forged, old)
    assert await world.wrong() == []


async def test_a_price_that_changed_since_the_hold_is_told_before_paying(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    await world.catalogue.set_price("COAT-38", 9900, announced=True)
    with pytest.raises(PriceChanged) as told:
        await world.place("per_ada")
    assert told.value.facts == {"sku": "COAT-38", "was": 12900, "now": 9900}
    assert (await world.carts.view(world.show, "per_ada")).total.minor == 9900
    assert (await world.place("per_ada")).total.minor == 9900


async def test_a_lapsed_hold_or_an_empty_bag_is_refused(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.stock_a_show({"COAT-38": 1})
    with pytest.raises(EmptyBag):
        await world.place("per_ada")
    await world.add("per_ada", "COAT-38")
    clock.advance(TTL_S * 1000)
    with pytest.raises(HoldLapsed) as lapsed:
        await world.place("per_ada")
    assert lapsed.value.facts == {"skus": ["COAT-38"]}
    assert (await world.carts.view(world.show, "per_ada")).lines[0].state == "lapsed"
    await world.add("per_ada", "COAT-38")
    assert (await world.carts.view(world.show, "per_ada")).lines[0].state == "held"


async def test_a_buyers_limit_counts_what_she_bought(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    await world.buy("per_ada", "COAT-38", 3)
    with pytest.raises(OverLimit):
        await world.add("per_ada", "COAT-38", 2)
    await world.add("per_ada", "COAT-38", 1)
    await world.gate.rebuild(world.show)
    with pytest.raises(OverLimit):
        await world.add("per_ada", "COAT-38", 2)


async def test_a_store_that_lost_everything_is_made_again_from_sql(world: World) -> None:
    await world.stock_a_show({"COAT-38": 5, "COAT-40": 2})
    await world.buy("per_ada", "COAT-38", 2)
    await world.add("per_bea", "COAT-40", 1)
    before = await world.levels()
    rebuilt: list[str] = []

    async def told(show_id: str) -> None:
        rebuilt.append(show_id)

    world.gate.on_rebuilt = told
    isinstance(world.clock, SetClock) and world.clock.advance(10)
    bag = await world.carts.view(world.show, "per_bea")
    await world.redis.flushall()
    levels = await asyncio.gather(*(world.levels() for _ in range(5)))
    assert rebuilt == [world.show], "one of five makes it, and tells"
    assert {sku: level.left for sku, level in levels[0].items()} == {"COAT-38": 3, "COAT-40": 2}
    assert all(levels[0][sku].rev > before[sku].rev for sku in before), "pages keep the higher rev"
    lost = await world.carts.view(world.show, "per_bea")
    assert lost.lines == []
    assert lost.rev > bag.rev
    assert await world.wrong() == []


async def test_an_order_paid_while_the_store_was_emptied_is_sold_from_the_new_gate(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    await world.redis.flushall()
    settled = await world.checkout.settle(placed.payment_ref)
    assert settled is not None
    assert settled.status == "paid"
    assert (await world.left("COAT-38"), await world.sold("COAT-38")) == (0, 1)
    assert await world.wrong() == []


async def test_a_store_emptied_between_claim_and_sale_is_set_right(world: World) -> None:
    await world.stock_a_show({"COAT-38": 2})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    claim = world.gate.claim

    async def claim_then_lose_everything(*args, **kwargs):  # type: ignore[no-untyped-def]
        made = await claim(*args, **kwargs)
        await world.redis.flushall()
        isinstance(world.clock, SetClock) and world.clock.advance(5)
        assert (await world.left("COAT-38")) == 2, "the premise: the new gate has not heard of the sale"
        return made

    world.gate.claim = claim_then_lose_everything  # type: ignore[method-assign]
    settled = await world.checkout.settle(placed.payment_ref)
    assert settled is not None
    assert settled.status == "paid"
    assert await world.left("COAT-38") == 1
    assert await world.wrong() == []


async def test_a_crash_between_sale_and_consume_is_set_right_by_reconciling(world: World) -> None:
    await world.stock_a_show({"COAT-38": 2})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")

    async def dies(*_args, **_kwargs):  # type: ignore[no-untyped-def]
        raise ConnectionError

    world.gate.consume = dies  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await world.checkout.settle(placed.payment_ref)
    assert await world.redis.hlen(keys.claims(world.show)) == 1, "the premise: the claim still stands"
    assert await world.wrong() == []
    await world.gate.reconcile(world.show)
    assert await world.redis.hlen(keys.claims(world.show)) == 0
    assert await world.left("COAT-38") == 1
    assert await world.wrong() == []


async def test_more_units_on_hand_reach_the_gate(world: World) -> None:
    await world.stock_a_show({"COAT-38": 2})
    await world.add("per_ada", "COAT-38")
    await world.db.write(lambda c: c.execute(text("update variants set on_hand = 10")))
    moved = await world.gate.reconcile(world.show)
    assert moved["COAT-38"].left == 9
    assert await world.gate.reconcile(world.show) == {}
    assert await world.wrong() == []


async def test_every_change_of_an_order_is_in_the_ledger(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    settled = await world.buy("per_ada", "COAT-38")
    query = select(ledger.c.kind).where(ledger.c.order_id == settled.order_id).order_by(ledger.c.id)
    kinds = await world.db.read(lambda c: list(c.execute(query).scalars()))
    assert kinds == ["order.placed", "order.paid"]


async def test_a_forged_or_unknown_order_link_opens_nothing(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    settled = await world.buy("per_ada", "COAT-38")
    for token in (settled.order_id, settled.token[:-1] + "x", "", "a.b", "é.ü"):
        with pytest.raises(NotFound):
            await world.orders.by_token(token)


async def test_the_last_unit_raced_by_a_hundred_is_sold_once(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})

    async def try_to_buy(n: int) -> str:
        try:
            return (await world.buy(f"per_{n}", "COAT-38")).status
        except SoldOut as told:
            return f"told {told.left} left"

    answers = await asyncio.gather(*(try_to_buy(n) for n in range(100)))
    assert sorted(answers) == ["paid", *["told 0 left"] * 99]
    assert await world.sold("COAT-38") == 1
    assert await world.wrong() == []


async def test_a_process_that_is_a_moment_late_claims_nothing_anew(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    late = _Late(world)
    slow = asyncio.ensure_future(late.checkout.settle(placed.payment_ref))
    await late.has_asked.wait()
    first = await world.checkout.settle(placed.payment_ref)
    assert first is not None
    assert first.status == "paid"
    late.may_go_on.set()
    second = await slow
    assert second is not None
    assert (second.status, second.changed) == ("paid", False)
    assert await world.left("COAT-38") == 2
    assert await world.wrong() == []


async def test_a_late_process_does_not_sell_what_another_has_decided_to_refund(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await _lapse_all(world)
    await world.buy("per_bea", "COAT-38")
    await world.provider.choose(placed.payment_ref, "success")
    late = _Late(world)
    slow = asyncio.ensure_future(late.checkout.settle(placed.payment_ref))
    await late.has_asked.wait()

    async def dies(*_args, **_kwargs):  # type: ignore[no-untyped-def]
        raise ConnectionError

    world.provider.refund = dies  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await world.checkout.settle(placed.payment_ref)
    del world.provider.refund
    await world.db.write(lambda c: c.execute(text("update variants set on_hand = 5")).rowcount)
    await world.gate.reconcile(world.show)
    assert await world.left("COAT-38") == 4, "the premise: a claim would find a piece now"
    late.may_go_on.set()
    await slow
    assert (await world.orders.by_id(placed.order_id)).status == "pending", "decided, not yet done"
    assert await world.left("COAT-38") == 4
    settled = await world.checkout.settle(placed.payment_ref)
    assert settled is not None
    assert settled.status == "refunded"
    assert await world.wrong() == []


class _Late:
    """Another process's checkout, which has read the payment and waits for the provider's answer."""

    def __init__(self, world: World) -> None:
        self.has_asked = asyncio.Event()
        self.may_go_on = asyncio.Event()
        late = self

        class Slow(SandboxProvider):
            async def fetch(self, ref: str) -> Charge:
                answer = await super().fetch(ref)
                late.has_asked.set()
                await late.may_go_on.wait()
                return answer

        provider = Slow(world.db, world.settings, world.clock)
        self.checkout = world.till(provider)


async def _lapse_all(world: World) -> None:
    """Let every hold run out, also one that is being paid for, without the worker giving the payment up."""
    assert isinstance(world.clock, SetClock)
    world.clock.advance(TTL_S * 1000 + PAYING_MS + 1)
    await world.gate.lapse(world.show)


async def test_units_that_staff_took_away_while_they_were_held_come_back_to_nobody(world: World) -> None:
    await world.stock_a_show({"COAT-38": 2})
    await world.add("per_ada", "COAT-38")
    await world.add("per_bea", "COAT-38")
    one_less = text("update variants set on_hand = 1 where sku = 'COAT-38'")
    await world.db.write(lambda c: c.execute(one_less).rowcount)
    await world.gate.reconcile(world.show)
    assert await world.left("COAT-38") == 0
    assert await world.wrong() == []
    await world.carts.remove(world.show, "per_bea", "COAT-38", op="1")
    assert await world.left("COAT-38") == 0, "what she gave back is what staff took"
    with pytest.raises(SoldOut) as sold_out:
        await world.add("per_cleo", "COAT-38")
    assert sold_out.value.facts["left"] == 0
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    settled = await world.checkout.settle(placed.payment_id)
    assert settled is not None
    assert settled.status == "paid", "who holds the one that there is pays for it"
    assert await world.wrong() == []


async def test_who_finishes_a_refund_gives_back_what_the_one_that_died_had_claimed(world: World) -> None:
    await world.stock_a_show({"COAT-38": 2})
    await world.add("per_ada", "COAT-38", 2)
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    one_less = text("update variants set on_hand = 1 where sku = 'COAT-38'")
    await world.db.write(lambda c: c.execute(one_less).rowcount)
    real = world.provider.refund

    async def dies(*args: object, **kwargs: object) -> Charge:
        await real(*args, **kwargs)  # type: ignore[arg-type]
        raise ConnectionAbortedError

    world.provider.refund = dies  # type: ignore[method-assign,assignment]
    with pytest.raises(ConnectionAbortedError):
        await world.checkout.settle(placed.payment_id)
    world.provider.refund = real  # type: ignore[method-assign]
    settled = await world.checkout.settle(placed.payment_id)
    assert settled is not None
    assert settled.status == "refunded"
    assert not await world.redis.hlen(keys.claims(world.show)), "nobody's claim stands"
    await world.gate.reconcile(world.show)  # on-hand was changed past the desk, which would have
    assert await world.left("COAT-38") == 1
    assert await world.wrong() == []


async def test_a_sale_that_comes_between_a_reconciles_two_reads_is_not_counted_twice(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    consume, facts = world.gate.consume, world.gate._facts

    async def dies(*_args, **_kwargs):  # type: ignore[no-untyped-def]
        raise ConnectionError

    async def sold_meanwhile(*args):  # type: ignore[no-untyped-def]
        read = await facts(*args)
        world.gate._facts = facts
        world.gate.consume = dies  # type: ignore[method-assign]
        with pytest.raises(ConnectionError):  # the sale is a fact, its claim stands a moment longer
            await world.checkout.settle(placed.payment_ref)
        world.gate.consume = consume  # type: ignore[method-assign]
        return read

    world.gate._facts = sold_meanwhile  # type: ignore[assignment]
    await world.gate.reconcile(world.show)
    await world.checkout.settle(placed.payment_ref)
    assert await world.left("COAT-38") == 2
    assert await world.wrong() == []


async def test_what_counts_against_a_buyers_limit_is_set_right_from_sql(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    await world.buy("per_ada", "COAT-38")
    await world.add("per_bea", "COAT-38", 2)
    await world.gate.claim(world.show, "per_bea", (await world.place("per_bea")).order_id, [Line("COAT-38", 2)])
    owned, right = keys.owned(world.show), {b"per_ada|COAT-38": b"1", b"per_bea|COAT-38": b"2"}
    assert await world.redis.hgetall(owned) == right, "the premise: one bought, two about to be"
    await world.redis.hset(owned, mapping={"per_ada|COAT-38": 4, "per_cleo|COAT-38": 1})
    await world.redis.hdel(owned, "per_bea|COAT-38")
    await world.gate.reconcile(world.show, owners=True)
    assert await world.redis.hgetall(owned) == right
    assert await world.wrong() == []
