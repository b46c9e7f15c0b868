"""A refund that the provider took and a bank sent back, on both SQL stores: its money is owed again, once, and is sent
again or paid in another way."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from shop_world import World
from sqlalchemy import select

from live.clock import SetClock
from live.errors import Conflict, NotFound, StoreDown, WrongState
from live.ids import new_id
from live.shop import refund_books
from live.shop.after_sale import AfterSale, By
from live.shop.order_acts import Parcel
from live.shop.order_list import Reach, Row, Wanted
from live.shop.order_story import StaffOrder
from live.shop.payments.port import Charge
from live.shop.payments.sandbox import BANK_MS, SandboxProvider
from live.shop.refund_books import DAY_MS, LOOKS
from live.store.tables import ledger, orders, outbox, payments, refunds
from live.web.order_words import buyer_view

COAT = "COAT-38"
WHOLE = 38_700


class Bank(SandboxProvider):
    """The sandbox, with the mood of its banks in a test's hand, and its requests counted."""

    fetched = 0
    away = False

    def mood(self, *troubles: str) -> None:
        self._troubles = frozenset(troubles)

    async def fetch(self, ref: str) -> Charge:
        self.fetched += 1
        return await super().fetch(ref)

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        charge = await super().refund(ref, amount_minor, idempotency_key=idempotency_key)
        if self.away:
            raise StoreDown("payments")
        return charge


@pytest.fixture
def bank(world: World) -> Bank:
    made = Bank(world.db, world.settings, world.clock)
    world.provider, world.checkout, world.after_sale = made, world.till(made), AfterSale(world.db, made, world.clock)
    made.mood("refund_fails")
    return made


def by(seen: int | None = None, op: str = "") -> By:
    return By("stf_ada", op or new_id("op"), seen)


def wait(world: World, ms: int = BANK_MS) -> None:
    assert isinstance(world.clock, SetClock)
    world.clock.advance(ms)


async def sold(world: World) -> tuple[str, str]:
    """A paid order of three coats: its id, and the provider's of its charge."""
    await world.stock_a_show({COAT: 5})
    order = (await world.buy("per_ada", COAT, 3)).order_id
    return order, (await world.orders.by_id(order)).payment_ref


async def by_staff(world: World, order: str) -> StaffOrder:
    return await world.order_list.one(Reach(frozenset({world.brand})), (await world.orders.by_id(order)).number)


async def listed(world: World, status: str = "") -> list[Row]:
    rows, _ = await world.order_list.page(Reach(frozenset({world.brand})), Wanted(status=status))
    return rows


async def kinds(world: World, order: str) -> list[str]:
    query = select(ledger.c.kind).where(ledger.c.order_id == order).order_by(ledger.c.id)
    return await world.db.read(lambda c: list(c.execute(query).scalars()))


async def told(world: World, kind: str) -> list[dict[str, Any]]:
    query = select(outbox.c.body).where(outbox.c.kind == kind).order_by(outbox.c.id)
    return [msgspec.json.decode(body) for body in await world.db.read(lambda c: list(c.execute(query).scalars()))]


async def well(world: World) -> None:
    await world.gate.reconcile(world.show)
    assert await world.wrong() == []


async def test_a_refund_that_comes_back_is_owed_again_however_often_it_is_told(world: World, bank: Bank) -> None:
    order, ref = await sold(world)
    seen = (await by_staff(world, order)).version
    await world.after_sale.refund(order, by(), WHOLE, None)
    assert (await world.orders.by_id(order)).status == "refunded", "the premise: the provider took it"
    heard = world.after_sale.refunds.heard
    assert not await heard(ref), "told before the bank had spoken"
    wait(world)
    assert sum(await asyncio.gather(*(heard(ref) for _ in range(5)))) == 1
    assert not await heard(ref)
    now = await by_staff(world, order)
    assert (now.order.status, now.order.payment, now.left.minor) == ("paid", "captured", WHOLE)
    assert [(one.status, one.answer, one.owed) for one in now.refunds] == [("failed", "expired_card", True)]
    assert now.refunds[0].provider_ref.startswith("sbr_")
    assert now.order.refunds == [], "its buyer is not told that it is on its way"
    assert (await kinds(world, order))[-3:] == ["refund.asked", "order.refunded", "refund.failed"]
    (event,) = await told(world, "order.refund_failed")
    assert (event["amount_minor"], event["refunded"]["minor"], event["reason"], event["status"]) == (
        WHOLE,
        0,
        "expired_card",
        "paid",
    )
    assert [(row.id, row.came_back, row.refunded.minor) for row in await listed(world, "refund_failed")] == [
        (order, True, 0)
    ]
    assert (await world.orders.tally(world.show)).revenue.minor == WHOLE
    with pytest.raises(Conflict) as late:
        await world.after_sale.refund(order, by(seen), 100, None)
    assert late.value.facts == {"why": "order_moved", "kind": "refund.failed", "actor": ""}
    await well(world)


async def test_it_is_sent_again_as_a_refund_of_its_own_once(world: World, bank: Bank) -> None:
    order, ref = await sold(world)
    await world.after_sale.refund(order, by(), None, {COAT: 2})
    wait(world)
    await world.after_sale.refunds.heard(ref)
    failed = (await by_staff(world, order)).refunds[0].id
    bank.mood()
    answers = await asyncio.gather(
        *(world.after_sale.send_again(order, by(op="again"), failed) for _ in range(4)),
        *(world.after_sale.send_again(order, by(), failed) for _ in range(4)),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, Exception) and one.changed for one in answers) == 1
    with pytest.raises(Conflict, match="sent_again"):
        await world.after_sale.send_again(order, by(), failed)
    now = await by_staff(world, order)
    assert [(one.status, one.amount.minor, one.again_of, one.sent_again, one.owed) for one in now.refunds] == [
        ("failed", 25_800, "", True, False),
        ("done", 25_800, failed, False, False),
    ]
    assert (now.left.minor, now.units[COAT].repaid, now.order.status) == (12_900, 2, "part_refunded")
    assert [row.came_back for row in await listed(world)] == [False]
    charge = await bank.fetch(ref)
    assert [(one.status, one.amount_minor) for one in charge.refunds] == [("failed", 25_800), ("done", 25_800)]
    with pytest.raises(WrongState):
        await world.after_sale.send_again(order, by(), now.refunds[1].id)
    with pytest.raises(NotFound):
        await world.after_sale.send_again(order, by(), "rfd_none")
    await well(world)


async def test_one_that_was_sent_again_and_came_back_again_can_be_sent_once_more(world: World, bank: Bank) -> None:
    order, ref = await sold(world)
    await world.after_sale.refund(order, by(), 1000, None)
    wait(world)
    await world.after_sale.refunds.heard(ref)
    first = (await by_staff(world, order)).refunds[0].id
    await world.after_sale.send_again(order, by(), first)
    wait(world)
    await world.after_sale.refunds.heard(ref)
    assert [one.status for one in (await by_staff(world, order)).refunds] == ["failed", "failed"]
    bank.mood()
    await world.after_sale.send_again(order, by(), first)
    now = await by_staff(world, order)
    assert ([one.status for one in now.refunds], now.left.minor) == (["failed", "failed", "done"], WHOLE - 1000)
    await well(world)


async def test_pieces_whose_refund_came_back_are_unpaid_again(world: World, bank: Bank) -> None:
    order, ref = await sold(world)
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 3}))
    await world.after_sale.refund(order, by(), None, {COAT: 3})
    wait(world)
    await world.after_sale.refunds.heard(ref)
    assert (await world.orders.by_id(order)).status == "fulfilled"
    bank.mood()
    moved = await world.after_sale.take_back(order, by(), {COAT: 3}, {COAT: 3}, None)
    assert moved.refund_minor == WHOLE
    with pytest.raises(WrongState):  # all of it went back by another way: there is nothing left to send again
        await world.after_sale.send_again(order, by(), (await by_staff(world, order)).refunds[0].id)
    assert (await world.orders.by_id(order)).status == "refunded"
    await well(world)


async def test_what_was_paid_in_another_way_waits_for_nobody_once_it_is_noted(world: World, bank: Bank) -> None:
    order, ref = await sold(world)
    await world.after_sale.refund(order, by(), 1000, None)
    wait(world)
    await world.after_sale.refunds.heard(ref)
    assert [row.came_back for row in await listed(world)] == [True], "the premise"
    wait(world)
    await world.after_sale.note(order, by(), "paid by transfer")
    assert [row.came_back for row in await listed(world)] == [False]
    assert await listed(world, "refund_failed") == []
    assert [one.owed for one in (await by_staff(world, order)).refunds] == [False]


async def test_a_refund_that_banks_are_still_at_is_looked_at_until_it_is_done(world: World, bank: Bank) -> None:
    order, _ = await sold(world)
    bank.mood("refund_pending")
    await world.after_sale.refund(order, by(), 1000, None)
    now = await by_staff(world, order)
    assert ([one.status for one in now.refunds], now.left.minor) == (["accepted"], WHOLE - 1000)
    assert [(one.status, one.done_ms) for one in now.order.refunds] == [("accepted", None)]
    assert [row.id for row in await listed(world, "refund_open")] == [order]
    assert await world.after_sale.refunds.look_due() == 0
    wait(world, 60_000)
    assert sum(await asyncio.gather(*(world.after_sale.refunds.look_due() for _ in range(3)))) == 1
    assert [one.status for one in (await by_staff(world, order)).refunds] == ["done"]
    assert await listed(world, "refund_open") == []
    assert (await kinds(world, order)).count("order.refunded") == 1, "its cents were counted once"
    await well(world)


async def test_a_refund_that_came_back_unheard_is_found_by_the_worker(world: World, bank: Bank) -> None:
    order, _ = await sold(world)
    await world.after_sale.refund(order, by(), 1000, None)
    wait(world, DAY_MS)
    assert await world.after_sale.refunds.look_due() == 1
    assert (await by_staff(world, order)).left.minor == WHOLE
    await well(world)


async def test_a_refund_that_is_done_is_looked_at_five_times_in_a_month_and_then_no_more(
    world: World, bank: Bank
) -> None:
    bank.mood()
    order, _ = await sold(world)
    await world.after_sale.refund(order, by(), 1000, None)
    bank.fetched = 0
    for _ in range(90):
        wait(world, DAY_MS)
        await world.after_sale.refunds.look_due()
    assert bank.fetched == LOOKS


async def test_books_that_were_read_before_the_bank_spoke_bring_nothing_back(world: World, bank: Bank) -> None:
    order, ref = await sold(world)
    await world.after_sale.refund(order, by(), 1000, None)
    before = await bank.fetch(ref)
    wait(world)
    await world.after_sale.refunds.heard(ref)
    payment = await world.db.read(lambda c: c.execute(select(payments.c.id)).scalar_one())
    assert before.refunded_minor == 1000, "the premise"
    assert not await world.db.write(lambda c: refund_books.follow(c, payment, before, world.clock.now_ms()))
    now = await by_staff(world, order)
    assert ([one.status for one in now.refunds], now.left.minor) == (["failed"], WHOLE)
    await well(world)


async def test_what_the_brand_refunded_on_the_providers_own_site_may_come_back_too(world: World, bank: Bank) -> None:
    order, ref = await sold(world)
    await bank.refund(ref, 700, idempotency_key="by hand")
    bank.mood()
    await bank.refund(ref, 300, idempotency_key="by hand, again")
    heard = world.after_sale.refunds.heard
    assert await heard(ref)
    assert [(one.why, one.amount.minor) for one in (await by_staff(world, order)).refunds] == [
        ("outside", 700),
        ("outside", 300),
    ]
    wait(world)
    assert await heard(ref)
    now = await by_staff(world, order)
    assert ([one.status for one in now.refunds], now.left.minor) == (["failed", "done"], WHOLE - 300)
    await well(world)


async def test_one_whose_answer_was_lost_and_that_came_back_meanwhile_counts_as_refused(
    world: World, bank: Bank
) -> None:
    order, _ = await sold(world)
    bank.away = True
    await world.after_sale.refund(order, by(), 1000, None)
    bank.away = False
    wait(world, 31_000)
    assert await world.after_sale.refunds.ask_due() == 1
    now = await by_staff(world, order)
    assert ([(one.status, one.answer) for one in now.refunds], now.left.minor) == (
        [("refused", "expired_card")],
        WHOLE,
    )
    assert await told(world, "order.refunded") == []
    bank.mood()
    await world.after_sale.send_again(order, by(), now.refunds[0].id)
    assert (await by_staff(world, order)).left.minor == WHOLE - 1000
    await well(world)


async def test_money_of_an_order_that_was_never_sold_comes_back_and_staff_can_send_it(world: World, bank: Bank) -> None:
    """She paid too late, for a piece that was gone: it went back by itself, and her bank sent it back."""
    await world.stock_a_show({COAT: 1})
    await world.add("per_ada", COAT)
    placed = await world.place("per_ada")
    wait(world, 1_000_000)
    await world.gate.lapse(world.show)
    await world.buy("per_bea", COAT)
    await bank.choose(placed.payment_ref, "success")
    settled = await world.checkout.settle(placed.payment_id)
    assert settled is not None
    assert settled.status == "refunded", "the premise"
    wait(world)
    assert await world.after_sale.refunds.heard(placed.payment_ref)
    for _ in range(2):  # neither a late message nor the worker's look takes it for one that is to be refunded
        again = await world.checkout.settle(placed.payment_id)
        assert again is not None
        assert (again.status, again.changed) == ("cancelled", False)
        wait(world, 3_600_000)
        assert await world.checkout.settle_due() == []
    now = await by_staff(world, placed.order_id)
    assert (now.acts, now.left.minor, [one.why for one in now.refunds]) == (["refund"], 12_900, ["unsold"])
    assert [row.number for row in await listed(world, "refund_failed")] == [placed.number]
    assert "We owe it to you" in buyer_view(now.order)["lede"], "not that nothing was taken"
    with pytest.raises(WrongState):
        await world.after_sale.fulfil(placed.order_id, by(), Parcel({COAT: 1}))
    assert await world.wrong() == []
    bank.mood()
    await world.after_sale.send_again(placed.order_id, by(), now.refunds[0].id)
    now = await by_staff(world, placed.order_id)
    assert (now.order.status, now.order.payment, now.left.minor, now.acts) == ("refunded", "refunded", 0, [])
    assert await world.wrong() == []


async def test_the_store_itself_refuses_a_state_that_no_refund_has(world: World) -> None:
    order, _ = await sold(world)
    await world.after_sale.refund(order, by(), 1000, None)
    for status in ("asked", "accepted", "done", "refused", "failed"):
        await world.db.write(lambda c, status=status: c.execute(refunds.update().values(status=status)))  # type: ignore[misc]
    with pytest.raises(Exception, match="status_known"):
        await world.db.write(lambda c: c.execute(refunds.update().values(status="lost")))
    assert await world.db.read(lambda c: c.execute(select(orders.c.id)).scalar_one()) == order
