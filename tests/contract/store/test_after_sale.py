"""What becomes of a sold order, on both SQL stores: parcels, returns, refunds, each once and right to the cent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from shop_world import World
from sqlalchemy import select

from live.clock import SetClock
from live.errors import Conflict, IdempotencyMismatch, Invalid, NotFound, StoreDown, WrongState
from live.ids import new_id
from live.shop.after_sale import By
from live.shop.order_acts import UNDO_MS, Parcel
from live.shop.order_list import Reach, Wanted
from live.shop.order_sheet import Moved
from live.shop.order_story import StaffOrder
from live.shop.payments.port import Charge
from live.shop.payments.sandbox import SandboxProvider
from live.shop.refunds import KEY_LIVES_MS
from live.store.tables import ledger, order_lines, orders, outbox, payments, refunds, sandbox_charges, shows

COAT, CAPE = "COAT-38", "CAPE-38"


def by(actor: str = "stf_ada", op: str = "", seen: int | None = None) -> By:
    return By(actor, op or new_id("op"), seen)


async def sold(world: World, qty: int = 3, **stock: int) -> str:
    """A paid order of that many coats; its id."""
    await world.stock_a_show({COAT: 5, **stock})
    return (await world.buy("per_ada", COAT, qty)).order_id


async def seen_by_staff(world: World, order: str) -> StaffOrder:
    brand = await world.db.read(lambda c: c.execute(select(shows.c.brand_id)).scalar_one())
    number = (await world.orders.by_id(order)).number
    return await world.order_list.one(Reach(frozenset({brand})), number)


async def kinds(world: World, order: str) -> list[str]:
    query = select(ledger.c.kind).where(ledger.c.order_id == order).order_by(ledger.c.id)
    return await world.db.read(lambda c: list(c.execute(query).scalars()))


async def told(world: World, kind: str) -> list[dict[str, Any]]:
    query = select(outbox.c.body).where(outbox.c.kind == kind).order_by(outbox.c.id)
    bodies = await world.db.read(lambda c: list(c.execute(query).scalars()))
    return [msgspec.json.decode(body) for body in bodies]


async def well(world: World) -> None:
    await world.gate.reconcile(world.show)
    assert await world.wrong() == []


# ---- parcels -----------------------------------------------------------------------------------


async def test_an_order_leaves_in_parcels_and_each_is_told_once(world: World) -> None:
    order = await sold(world)
    first = Parcel({COAT: 2}, " DHL ", "JJD 1", "https://dhl.example/JJD1")
    await world.after_sale.fulfil(order, by(), first)
    assert (await world.orders.by_id(order)).status == "part_fulfilled"
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 1}))
    now = await world.orders.by_id(order)
    assert (now.status, [one.lines for one in now.shipments]) == ("fulfilled", [{COAT: 2}, {COAT: 1}])
    assert (now.shipments[0].carrier, now.shipments[0].tracking_url) == ("DHL", "https://dhl.example/JJD1")
    assert await kinds(world, order) == ["order.placed", "order.paid", "order.fulfilled", "order.fulfilled"]
    events = await told(world, "order.fulfilled")
    assert [(one["lines"], one["status"]) for one in events] == [
        ({COAT: 2}, "part_fulfilled"),
        ({COAT: 1}, "fulfilled"),
    ]
    assert len(await told(world, "mail.order_shipped")) == 2
    with pytest.raises(WrongState):
        await world.after_sale.fulfil(order, by(), Parcel({COAT: 1}))
    await well(world)


async def test_ten_clicks_of_one_act_are_one_parcel(world: World) -> None:
    order = await sold(world)
    answers = await asyncio.gather(
        *(world.after_sale.fulfil(order, by(op="op_1"), Parcel({COAT: 1})) for _ in range(10))
    )
    assert sum(answer.changed for answer in answers) == 1
    assert len({answer.shipment for answer in answers}) == 1
    assert (await world.orders.by_id(order)).lines[0].shipped == 1
    with pytest.raises(IdempotencyMismatch):
        await world.after_sale.fulfil(order, by(op="op_1"), Parcel({COAT: 2}))
    with pytest.raises(IdempotencyMismatch):
        await world.after_sale.note(order, by(op="op_1"), "something else by the same name")


async def test_two_of_the_staff_ship_the_same_units_and_one_is_told(world: World) -> None:
    order = await sold(world)
    answers = await asyncio.gather(
        *(world.after_sale.fulfil(order, by(f"stf_{n}"), Parcel({COAT: 2})) for n in range(2)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    assert [one.facts for one in refused] == [{"why": "too_many_units", "sku": COAT, "left": 1}]
    assert (await world.orders.by_id(order)).lines[0].shipped == 2


async def test_who_acts_on_what_she_no_longer_sees_is_told_who_was_there_first(world: World) -> None:
    """Two people refund the same complaint: each would be within what was captured."""
    order = await sold(world)
    seen = (await seen_by_staff(world, order)).version
    await world.after_sale.refund(order, by("stf_ada", seen=seen), 1000, None)
    with pytest.raises(Conflict) as late:
        await world.after_sale.refund(order, by("stf_bea", seen=seen), 1000, None)
    assert late.value.facts == {"why": "order_moved", "kind": "refund.asked", "actor": "stf_ada"}
    assert (await world.provider.fetch((await world.orders.by_id(order)).payment_ref)).refunded_minor == 1000
    now = (await seen_by_staff(world, order)).version
    await world.after_sale.note(order, by("stf_cleo"), "a note moves nothing")
    await world.after_sale.refund(order, by("stf_bea", seen=now), 500, None)
    await well(world)


async def test_a_parcel_noted_by_mistake_is_taken_back_before_its_buyer_hears(world: World) -> None:
    order = await sold(world)
    moved = await world.after_sale.fulfil(order, by(), Parcel({COAT: 3}))
    await world.after_sale.unfulfil(order, by(), moved.shipment)
    now = await world.orders.by_id(order)
    assert (now.status, now.lines[0].shipped, now.shipments) == ("paid", 0, [])
    query = select(outbox.c.done_ms).where(outbox.c.kind == "mail.order_shipped")
    assert await world.db.read(lambda c: c.execute(query).scalar_one()) is not None, "the letter never leaves"
    assert await told(world, "mail.order_unshipped") == []
    with pytest.raises(WrongState):
        await world.after_sale.unfulfil(order, by(), moved.shipment)
    with pytest.raises(NotFound):
        await world.after_sale.unfulfil(order, by(), "shp_none")
    await well(world)


async def test_a_parcel_taken_back_after_its_letter_left_is_put_right_by_another(world: World) -> None:
    order = await sold(world)
    moved = await world.after_sale.fulfil(order, by(), Parcel({COAT: 3}))
    sent = outbox.update().where(outbox.c.kind == "mail.order_shipped").values(attempts=1, done_ms=1)
    await world.db.write(lambda c: c.execute(sent))
    await world.after_sale.unfulfil(order, by(), moved.shipment)
    assert [one["order"] for one in await told(world, "mail.order_unshipped")] == [order]


async def test_a_parcel_of_which_something_came_back_was_no_mistake(world: World) -> None:
    order = await sold(world)
    moved = await world.after_sale.fulfil(order, by(), Parcel({COAT: 3}))
    await world.after_sale.take_back(order, by(), {COAT: 1}, {}, 0)
    with pytest.raises(Conflict):
        await world.after_sale.unfulfil(order, by(), moved.shipment)


@pytest.mark.parametrize(
    "link",
    [
        "http://dhl.example/1",
        "javascript:alert(1)",
        "https://",
        "https://a:b@dhl.example/1",
        "https://dhl.example/ 1",
        "//x",
        "https://dhl.example:no/",
        "https://dhl.example/<script>",
        "https://" + "d" * 600 + ".example",
    ],
)
async def test_a_link_that_is_not_https_is_not_given_to_a_buyer(world: World, link: str) -> None:
    order = await sold(world)
    with pytest.raises(Invalid, match="tracking_url"):
        await world.after_sale.fulfil(order, by(), Parcel({COAT: 1}, tracking_url=link))
    assert (await world.orders.by_id(order)).lines[0].shipped == 0


async def test_an_order_that_is_not_paid_can_not_be_shipped_or_refunded(world: World) -> None:
    await world.stock_a_show({COAT: 3})
    await world.add("per_ada", COAT)
    order = (await world.place("per_ada")).order_id
    for act in (
        world.after_sale.fulfil(order, by(), Parcel({COAT: 1})),
        world.after_sale.refund(order, by(), 1, None),
        world.after_sale.cancel(order, by(), None),
    ):
        with pytest.raises(WrongState):
            await act


# ---- what comes back ---------------------------------------------------------------------------


async def test_what_comes_back_is_sold_again_where_staff_say_so_and_its_worth_goes_back(world: World) -> None:
    order = await sold(world)
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 3}))
    assert (await world.left(COAT), await world.sold(COAT)) == (2, 3), "the premise"
    moved = await world.after_sale.take_back(order, by(), {COAT: 2}, {COAT: 1}, None)
    assert (moved.refund_minor, moved.restocked) == (25800, {COAT: 1})
    await well(world)
    assert (await world.left(COAT), await world.sold(COAT)) == (3, 2), "one was damaged"
    now = await world.orders.by_id(order)
    assert now.refunded is not None
    assert (now.status, now.refunded.minor, now.lines[0].returned) == ("part_refunded", 25800, 2)
    assert [one["restocked"] for one in await told(world, "order.returned")] == [{COAT: 1}]
    assert [(one["sku"], one["sold"]) for one in await told(world, "stock.changed")] == [(COAT, 2)]
    assert len(await told(world, "mail.order_returned")) == 1
    assert await told(world, "mail.order_repaid") == [], "one letter says both"
    with pytest.raises(Conflict):
        await world.after_sale.take_back(order, by(), {COAT: 2}, {}, None)
    with pytest.raises(Invalid):
        await world.after_sale.take_back(order, by(), {COAT: 1}, {COAT: 2}, None)


async def test_a_buyer_who_gave_it_back_may_buy_again(world: World) -> None:
    order = await sold(world, 4)
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 4}))
    await world.after_sale.take_back(order, by(), {COAT: 2}, {COAT: 2}, None)
    await world.gate.reconcile(world.show, owners=True)
    await world.add("per_ada", COAT, 2)
    with pytest.raises(Exception, match="over_limit"):
        await world.add("per_ada", COAT, 1)
    before = await world.redis.hgetall(f"s:{{{world.show}}}:owned")  # type: ignore[misc]
    await world.gate.rebuild(world.show)
    assert await world.redis.hgetall(f"s:{{{world.show}}}:owned") == before, "I10"  # type: ignore[misc]


async def test_units_that_were_repaid_already_are_not_repaid_when_they_come_back(world: World) -> None:
    order = await sold(world)
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 3}))
    await world.after_sale.refund(order, by(), None, {COAT: 3})
    moved = await world.after_sale.take_back(order, by(), {COAT: 3}, {}, None)
    assert moved.refund_minor == 0
    assert (await world.orders.by_id(order)).status == "refunded"
    await well(world)


# ---- cancelling --------------------------------------------------------------------------------


async def test_cancelling_before_shipping_gives_back_all_money_and_all_units(world: World) -> None:
    order = await sold(world)
    moved = await world.after_sale.cancel(order, by(), None, "out of cloth")
    assert (moved.refund_minor, moved.restocked) == (38700, {COAT: 3})
    await well(world)
    assert (await world.left(COAT), await world.sold(COAT)) == (5, 0)
    now = await world.orders.by_id(order)
    assert (now.status, now.payment) == ("cancelled", "refunded")
    assert await kinds(world, order) == ["order.placed", "order.paid", "order.cancelled", "order.refunded"]
    assert "note" not in (await told(world, "order.cancelled"))[0], "what staff write is nobody else's"
    charge = await world.provider.fetch(now.payment_ref)
    assert (charge.status, charge.refunded_minor) == ("refunded", 38700)
    # The provider repeats itself, late: nothing moves.
    again = await world.checkout.settle(now.payment_ref)
    assert again is not None
    assert (again.status, again.changed) == ("cancelled", False)
    assert await world.checkout.settle_due(world.clock.now_ms() + 10**9) == []
    assert (await world.orders.tally(world.show)).revenue.minor == 0
    await well(world)


async def test_what_was_not_shipped_can_be_cancelled_alone(world: World) -> None:
    order = await sold(world)
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 1}))
    moved = await world.after_sale.cancel(order, by(), {COAT: 1})
    assert moved.refund_minor == 12900
    assert (await world.orders.by_id(order)).status == "part_refunded"
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 1}))
    with pytest.raises(WrongState):
        await world.after_sale.cancel(order, by(), None)
    await well(world)


async def test_a_free_order_is_cancelled_with_nothing_to_give_back(world: World) -> None:
    await world.stock_a_show({"GIFT": 1}, price_minor=0)
    order = (await world.buy("per_ada", "GIFT")).order_id
    moved = await world.after_sale.cancel(order, by(), None)
    assert (moved.refund, (await world.orders.by_id(order)).status) == ("", "cancelled")
    await well(world)


# ---- money -------------------------------------------------------------------------------------


async def test_refunds_in_parts_never_come_to_more_than_was_captured(world: World) -> None:
    order = await sold(world)
    await world.after_sale.refund(order, by(), 10000, None, "late")
    await world.after_sale.refund(order, by(), None, {COAT: 2})
    now = await seen_by_staff(world, order)
    assert (now.order.status, now.left.minor) == ("part_refunded", 2900)
    with pytest.raises(Conflict) as told_left:
        await world.after_sale.refund(order, by(), 2901, None)
    assert told_left.value.facts == {"why": "more_than_is_left", "left_minor": 2900}
    # By the piece, the last one is worth more than is left: what is left goes back, no more.
    last = await world.after_sale.refund(order, by(), None, {COAT: 1})
    assert last.refund_minor == 2900
    now = await seen_by_staff(world, order)
    assert (now.order.status, now.order.payment, now.left.minor) == ("refunded", "refunded", 0)
    charge = await world.provider.fetch(now.order.payment_ref)
    assert (charge.captured_minor, charge.refunded_minor, charge.status) == (38700, 38700, "refunded")
    assert [one["refunded"]["minor"] for one in await told(world, "order.refunded")] == [10000, 35800, 38700]
    assert [one["refund_minor"] for one in await told(world, "mail.order_repaid")] == [10000, 25800, 2900]
    for amount in (0, -5, 1):
        with pytest.raises((WrongState, Invalid)):
            await world.after_sale.refund(order, by(), amount, None)
    await well(world)


async def test_ten_clicks_are_one_refund(world: World) -> None:
    order = await sold(world)
    answers = await asyncio.gather(
        *(world.after_sale.refund(order, by(op="op_1"), 500, None) for _ in range(10)), return_exceptions=True
    )
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert sum(isinstance(answer, Moved) and answer.changed for answer in answers) == 1
    assert (await seen_by_staff(world, order)).left.minor == 38200
    await well(world)


class Breaks(SandboxProvider):
    """Fails as told: before the provider did it, or after."""

    before: Callable[[], Awaitable[None]] | None = None
    after: Callable[[], Awaitable[None]] | None = None
    calls = 0

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        self.calls += 1
        if self.before is not None:
            await self.before()
        charge = await super().refund(ref, amount_minor, idempotency_key=idempotency_key)
        if self.after is not None:
            await self.after()
        return charge


def breaking(world: World) -> Breaks:
    provider = Breaks(world.db, world.settings, world.clock)
    world.after_sale.refunds._provider = provider
    return provider


async def _down() -> None:
    raise StoreDown("payments")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_refund_whose_answer_got_lost_is_finished_by_the_worker_once(world: World, moment: str) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    order = await sold(world)
    provider = breaking(world)
    setattr(provider, moment, _down)
    await world.after_sale.refund(order, by(), 500, None)
    assert [one.status for one in (await seen_by_staff(world, order)).refunds] == ["asked"]
    with pytest.raises(Conflict) as other:
        await world.after_sale.refund(order, by("stf_bea"), 500, None)
    assert other.value.facts == {"why": "refund_under_way"}
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 1}))  # what is no money goes on
    assert await world.after_sale.refunds.ask_due() == 0, "not yet: the one who decided it may still be asking"
    clock.advance(31_000)
    assert await world.after_sale.refunds.ask_due() == 0
    setattr(provider, moment, None)
    clock.advance(31_000)
    ended = await asyncio.gather(*(world.after_sale.refunds.ask_due() for _ in range(3)))
    assert sum(ended) == 1
    now = await seen_by_staff(world, order)
    assert ([one.status for one in now.refunds], now.left.minor) == (["done"], 38200)
    assert (await world.provider.fetch(now.order.payment_ref)).refunded_minor == 500
    assert (await kinds(world, order)).count("order.refunded") == 1
    await well(world)


async def test_a_process_that_dies_between_deciding_and_asking_leaves_a_refund_that_is_made(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    order = await sold(world)

    async def dies() -> None:
        raise asyncio.CancelledError

    breaking(world).before = dies
    with pytest.raises(asyncio.CancelledError):
        await world.after_sale.cancel(order, by(), None)
    breaking(world)
    clock.advance(31_000)
    assert await world.after_sale.refunds.ask_due() == 1
    now = await world.orders.by_id(order)
    assert (now.status, now.payment) == ("cancelled", "refunded")
    await well(world)


async def test_a_day_later_the_providers_books_are_read_before_it_is_asked_again(world: World) -> None:
    """It has forgotten the key by then: asking blindly would pay twice."""
    clock = world.clock
    assert isinstance(clock, SetClock)
    order = await sold(world)
    provider = breaking(world)
    provider.after = _down
    await world.after_sale.refund(order, by(), 500, None)
    provider.after = None
    clock.advance(KEY_LIVES_MS)
    assert await world.after_sale.refunds.ask_due() == 1
    assert provider.calls == 1
    assert (await seen_by_staff(world, order)).left.minor == 38200
    await well(world)


async def test_a_refund_that_the_provider_refuses_is_shown_and_the_money_is_free_again(world: World) -> None:
    """The brand paid some of it back on the provider's own site, so that less is left there than we know of."""
    order = await sold(world)
    ref = (await world.orders.by_id(order)).payment_ref
    await world.provider.refund(ref, 30000, idempotency_key="by hand")
    await world.after_sale.refund(order, by(), 10000, None)
    now = await seen_by_staff(world, order)
    assert [(one.status, one.answer) for one in now.refunds] == [("refused", "the amount is more than was captured")]
    assert (now.order.refunds, now.left.minor, now.order.status) == ([], 38700, "paid"), "its buyer is not told"
    assert await told(world, "order.refunded") == []
    brand = await world.db.read(lambda c: c.execute(select(shows.c.brand_id)).scalar_one())
    rows, _ = await world.order_list.page(Reach(frozenset({brand})), Wanted(status="refund_refused"))
    assert [(row.id, row.trouble) for row in rows] == [(order, True)]
    await world.after_sale.refund(order, by(), 8700, None)
    rows, _ = await world.order_list.page(Reach(frozenset({brand})), Wanted())
    assert [row.trouble for row in rows] == [False], "the one after it went through: nothing waits for a person"
    await well(world)


async def test_money_that_came_in_part_goes_back_in_that_part(world: World) -> None:
    """Refund after partial capture: the piece isn't sold for less than it costs, and what was taken goes back."""

    class Short(SandboxProvider):
        async def fetch(self, ref: str) -> Charge:
            return msgspec.structs.replace(await super().fetch(ref), captured_minor=10001)

        async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
            back.append(amount_minor)
            charge = await super().refund(ref, amount_minor, idempotency_key=idempotency_key)
            return msgspec.structs.replace(charge, status="refunded", captured_minor=10001)

    back: list[int] = []
    await world.stock_a_show({COAT: 1})
    await world.add("per_ada", COAT)
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    world.checkout._provider = Short(world.db, world.settings, world.clock)
    answers = await asyncio.gather(*(world.checkout.settle(placed.payment_ref) for _ in range(4)))
    assert {answer.status for answer in answers if answer} == {"refunded"}
    assert set(back) == {10001}
    assert (await world.provider.fetch(placed.payment_ref)).refunded_minor == 10001, "one key, once"
    assert await world.sold(COAT) == 0
    assert await world.wrong() == []


async def test_late_and_double_messages_of_a_refunded_order_move_nothing(world: World) -> None:
    order = await sold(world)
    ref = (await world.orders.by_id(order)).payment_ref
    await world.after_sale.refund(order, by(), 38700, None)
    before = await kinds(world, order)
    for answer in await asyncio.gather(*(world.checkout.settle(ref) for _ in range(5)), world.checkout.cancel(ref)):
        assert answer is not None
        assert (answer.status, answer.changed) == ("refunded", False)
    assert await kinds(world, order) == before
    assert await world.sold(COAT) == 3, "the buyer has them: money alone went back"
    await well(world)


# ---- what is told ------------------------------------------------------------------------------


async def test_the_ledger_tells_the_whole_story_by_name(world: World) -> None:
    from live.accounts.staff import StaffBook

    order = await sold(world)
    ada = await StaffBook(world.db, world.clock).add("ada@example.org", "Ada")
    await world.after_sale.fulfil(order, by(ada.id), Parcel({COAT: 3}))
    await world.after_sale.take_back(order, by(ada.id), {COAT: 1}, {COAT: 1}, 100)
    story = (await seen_by_staff(world, order)).ledger
    assert [(one.kind, one.actor) for one in story] == [
        ("order.placed", ""),
        ("order.paid", ""),
        ("order.fulfilled", "Ada"),
        ("order.returned", "Ada"),
        ("order.refunded", "Ada"),
    ]
    assert (story[3].facts["from"], story[3].facts["to"]) == ("fulfilled", "part_returned")


async def test_an_orders_letters_wait_long_enough_to_be_taken_back(world: World) -> None:
    order = await sold(world)
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 1}))
    query = select(outbox.c.due_ms).where(outbox.c.kind == "mail.order_shipped")
    assert await world.db.read(lambda c: c.execute(query).scalar_one()) == world.clock.now_ms() + UNDO_MS


async def test_the_store_itself_lets_one_refund_of_an_order_be_under_way(world: World) -> None:
    order = await sold(world)
    breaking(world).before = _down
    await world.after_sale.refund(order, by(), 1, None)
    row = await world.db.read(lambda c: c.execute(select(refunds)).mappings().one())
    with pytest.raises(Exception, match=r"ix_refunds_one_asked|UNIQUE"):
        await world.db.write(lambda c: c.execute(refunds.insert().values({**row, "id": "rfd_2"})))


async def test_a_payment_that_another_provider_took_is_not_asked_of_this_one(world: World) -> None:
    order = await sold(world)
    await world.db.write(lambda c: c.execute(payments.update().values(provider="stripe")))
    await world.after_sale.refund(order, by(), 100, None)
    now = await seen_by_staff(world, order)
    assert [(one.status, one.answer) for one in now.refunds] == [
        ("refused", "provider stripe took this payment: refund it there")
    ]


@pytest.mark.parametrize("included", [True, False])
async def test_a_discounted_and_taxed_order_taken_apart_piece_by_piece_comes_to_what_was_paid(
    world: World, included: bool
) -> None:
    """Three coats and two capes with a discount, tax and shipping that nothing divides: to the cent, all the same."""
    order = await sold(world, **{CAPE: 5})
    await world.add("per_bea", COAT, 2)
    await world.add("per_bea", CAPE, 2)
    placed = await world.place("per_bea")
    await world.provider.choose(placed.payment_ref, "success")
    # What totals.py splits over the lines is its own test; here it is any split that comes to the whole.
    parts = {COAT: (1003, 4901), CAPE: (334, 4899)}
    tax, discount, shipping = 4901 + 4899 + 95, 1337, 595
    due = 51600 - discount + shipping + (0 if included else tax)

    def retold(c: Any) -> None:
        of = {"discount_minor": discount, "shipping_minor": shipping, "tax_minor": tax, "tax_included": int(included)}
        c.execute(orders.update().where(orders.c.id == placed.order_id).values(total_minor=due, **of))
        c.execute(payments.update().where(payments.c.order_id == placed.order_id).values(amount_minor=due))
        c.execute(
            sandbox_charges.update().where(sandbox_charges.c.ref == placed.payment_ref).values(captured_minor=due)
        )
        for sku, (off, of_tax) in parts.items():
            mine = (order_lines.c.order_id == placed.order_id, order_lines.c.sku == sku)
            c.execute(order_lines.update().where(*mine).values(discount_minor=off, tax_minor=of_tax))

    await world.db.write(retold)
    await world.checkout.settle(placed.payment_ref)
    order = placed.order_id
    back = []
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 2, CAPE: 1}))
    back.append((await world.after_sale.take_back(order, by(), {COAT: 1}, {COAT: 1}, None)).refund_minor)
    back.append((await world.after_sale.refund(order, by(), None, {COAT: 1})).refund_minor)
    back.append((await world.after_sale.cancel(order, by(), {CAPE: 1})).refund_minor)
    back.append((await world.after_sale.take_back(order, by(), {CAPE: 1}, {}, None)).refund_minor)
    pieces = 51600 - discount + (0 if included else 4901 + 4899)
    assert sum(back) == pieces
    assert (await seen_by_staff(world, order)).left.minor == due - pieces, "shipping, and its tax"
    await world.after_sale.refund(order, by(), due - pieces, None)
    assert (await world.orders.by_id(order)).status == "refunded"
    await well(world)


async def test_what_the_brand_refunds_on_the_providers_own_site_is_noted_here_once(world: World) -> None:
    order = await sold(world)
    ref = (await world.orders.by_id(order)).payment_ref
    ours = await world.db.read(lambda c: c.execute(select(payments.c.id)).scalar_one())
    heard = world.after_sale.refunds.heard
    assert not await heard(ref), "nothing went back yet"
    await world.after_sale.refund(order, by(), 700, None)
    assert not await heard(ref), "our own refund, told back to us"
    await world.provider.refund(ref, 10000, idempotency_key="by hand")
    assert sum(await asyncio.gather(*(heard(name) for name in (ref, ours) * 3))) == 1
    now = await seen_by_staff(world, order)
    assert (now.left.minor, now.order.status) == (28000, "part_refunded")
    assert [(one.why, one.amount.minor, one.status) for one in now.refunds] == [
        ("asked", 700, "done"),
        ("outside", 10000, "done"),
    ]
    assert [one["refunded"]["minor"] for one in await told(world, "order.refunded")] == [700, 10700]
    await well(world)
    # While one of ours is under way nobody can tell whose the money was: it is ours, and then the rest.
    provider = breaking(world)
    provider.after = _down
    await world.after_sale.refund(order, by(), 300, None)
    assert not await heard(ref)
    provider.after = None
    world.clock.advance(31_000)  # type: ignore[attr-defined]
    assert await world.after_sale.refunds.ask_due() == 1
    assert not await heard(ref)
    assert (await seen_by_staff(world, order)).left.minor == 27700
    await well(world)
