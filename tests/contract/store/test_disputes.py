"""A buyer's bank wants its money back, on both SQL stores: it is noted once, and nothing is refunded beside it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from shop_world import World
from sqlalchemy import select

from live.clock import SetClock
from live.errors import Conflict, WrongState
from live.ids import new_id
from live.shop import dispute_books
from live.shop.after_sale import AfterSale, By
from live.shop.order_acts import Parcel
from live.shop.order_list import Reach, Wanted
from live.shop.order_story import StaffOrder
from live.shop.payments.port import Dispute
from live.shop.payments.sandbox import BANK_MS, CASE_MS, SandboxProvider
from live.store.tables import ledger, outbox, payments

COAT = "COAT-38"
WHOLE = 38_700


class Bank(SandboxProvider):
    """The sandbox, with its requests counted."""

    asked = 0

    async def disputes(self, ref: str) -> list[Dispute]:
        self.asked += 1
        return await super().disputes(ref)


def by() -> By:
    return By("stf_ada", new_id("op"))


def wait(world: World, ms: int) -> None:
    assert isinstance(world.clock, SetClock)
    world.clock.advance(ms)


async def disputed(world: World, *, won: bool = False, heard: bool = True) -> tuple[str, str]:
    """A paid order of three coats whose buyer's bank wants its money: its id, and the provider's of its charge."""
    trouble = "disputed,dispute_won" if won else "disputed"
    bank = Bank(world.db, world.settings.model_copy(update={"sandbox_trouble": trouble}), world.clock)
    world.provider, world.checkout, world.after_sale = bank, world.till(bank), AfterSale(world.db, bank, world.clock)
    await world.stock_a_show({COAT: 5})
    order = (await world.buy("per_ada", COAT, 3)).order_id
    ref = (await world.orders.by_id(order)).payment_ref
    assert not await world.after_sale.disputes.heard(ref), "the premise: not yet"
    wait(world, BANK_MS)
    if heard:
        assert await world.after_sale.disputes.heard(ref)
    return order, ref


async def by_staff(world: World, order: str) -> StaffOrder:
    return await world.order_list.one(Reach(frozenset({world.brand})), (await world.orders.by_id(order)).number)


async def listed(world: World, status: str = "") -> list[str]:
    rows, _ = await world.order_list.page(Reach(frozenset({world.brand})), Wanted(status=status))
    return [row.dispute for row in rows]


async def kinds(world: World, order: str) -> list[str]:
    query = select(ledger.c.kind).where(ledger.c.order_id == order).order_by(ledger.c.id)
    return await world.db.read(lambda c: list(c.execute(query).scalars()))


async def told(world: World) -> list[dict[str, Any]]:
    query = select(outbox.c.body).where(outbox.c.kind == "order.disputed").order_by(outbox.c.id)
    return [msgspec.json.decode(body) for body in await world.db.read(lambda c: list(c.execute(query).scalars()))]


async def well(world: World) -> None:
    await world.gate.reconcile(world.show)
    assert await world.wrong() == []


async def test_a_dispute_is_noted_once_however_often_it_is_told_and_so_is_its_end(world: World) -> None:
    order, ref = await disputed(world, heard=False)
    heard = world.after_sale.disputes.heard
    assert sum(await asyncio.gather(*(heard(ref) for _ in range(5)))) == 1
    assert (await kinds(world, order))[-2:] == ["dispute.opened", "dispute.withdrawn"]
    now = await by_staff(world, order)
    assert [(one.status, one.amount.minor, one.reason, one.withdrawn) for one in now.disputes] == [
        ("open", WHOLE, "fraudulent", True)
    ]
    assert now.order.status == "paid", "entries of the ledger alone"
    assert (await listed(world, "disputed"), await listed(world)) == (["open"], ["open"])
    wait(world, CASE_MS)
    assert sum(await asyncio.gather(*(heard(ref) for _ in range(5)))) == 1
    assert (await kinds(world, order))[-3:] == ["dispute.opened", "dispute.withdrawn", "dispute.closed"]
    assert [(one["dispute_status"], one["amount_minor"], one["reason"]) for one in await told(world)] == [
        ("open", WHOLE, "fraudulent"),
        ("lost", WHOLE, "fraudulent"),
    ]
    assert await listed(world, "disputed") == ["lost"]
    await well(world)


async def test_nothing_is_refunded_while_a_payment_is_disputed_nor_what_was_lost(world: World) -> None:
    order, ref = await disputed(world)
    await world.after_sale.fulfil(order, by(), Parcel({COAT: 2}))
    for act in (
        world.after_sale.refund(order, by(), 100, None),
        world.after_sale.refund(order, by(), None, {COAT: 1}),
        world.after_sale.take_back(order, by(), {COAT: 1}, {}, 100),
    ):
        with pytest.raises(Conflict, match="disputed"):
            await act
    back = await world.after_sale.take_back(order, by(), {COAT: 1}, {COAT: 1}, None)
    struck = await world.after_sale.cancel(order, by(), {COAT: 1})
    assert [(one.refund, one.refund_minor) for one in (back, struck)] == [("", 0), ("", 0)], "goods move, no money does"
    now = await by_staff(world, order)
    assert (now.left.minor, now.acts, now.units[COAT].repaid) == (0, ["return", "unfulfil"], 0)
    wait(world, CASE_MS)
    assert await world.after_sale.disputes.heard(ref)
    with pytest.raises(WrongState):
        await world.after_sale.refund(order, by(), 100, None)
    assert (await by_staff(world, order)).left.minor == 0, "it was lost"
    assert (await world.provider.fetch(ref)).refunded_minor == 0
    await well(world)


async def test_a_dispute_that_was_won_gives_the_money_back_and_it_can_be_refunded(world: World) -> None:
    order, ref = await disputed(world, won=True)
    wait(world, CASE_MS)
    assert await world.after_sale.disputes.heard(ref)
    assert (await kinds(world, order))[-4:] == [
        "dispute.opened",
        "dispute.withdrawn",
        "dispute.closed",
        "dispute.returned",
    ]
    await world.after_sale.cancel(order, by(), None)
    now = await by_staff(world, order)
    assert (now.order.status, now.left.minor, [one.status for one in now.refunds]) == ("cancelled", 0, ["done"])
    assert [(one.status, one.withdrawn) for one in now.disputes] == [("won", False)]
    await well(world)


@pytest.mark.parametrize("won", [False, True])
async def test_a_shows_revenue_is_less_what_a_lost_dispute_took(world: World, won: bool) -> None:
    _, ref = await disputed(world, won=won)
    await world.buy("per_bea", COAT, 1)

    async def figures() -> tuple[int, int, int]:
        tally, reach = await world.orders.tally(world.show), Reach(frozenset({world.brand}))
        rows, _ = await world.order_list.page(reach, Wanted())
        whole, _ = await world.order_list.whole(reach, Wanted(), limit=9)
        assert tally.orders == len(rows) == 2
        return (
            tally.revenue.minor,
            sum(row.total.minor - row.refunded.minor - row.lost.minor for row in rows),
            sum(one.order.total.minor - one.lost.minor for one in whole),
        )

    assert await figures() == (WHOLE + 12_900,) * 3, "open: nobody has decided"
    wait(world, CASE_MS)
    assert await world.after_sale.disputes.heard(ref)
    assert await figures() == ((WHOLE if won else 0) + 12_900,) * 3


async def test_a_refund_that_was_decided_before_is_refused_by_the_provider_and_says_why(world: World) -> None:
    order, ref = await disputed(world, heard=False)
    await world.after_sale.refund(order, by(), 100, None)
    (refused,) = (await by_staff(world, order)).refunds
    assert (refused.status, refused.answer) == ("refused", "the amount is of a payment that is disputed")
    assert await world.after_sale.disputes.heard(ref)
    with pytest.raises(Conflict, match="disputed"):
        await world.after_sale.send_again(order, by(), refused.id)
    await well(world)


async def test_the_end_of_a_dispute_that_was_missed_is_found_by_the_worker_who_then_looks_no_more(world: World) -> None:
    order, _ = await disputed(world)
    assert await world.after_sale.disputes.look_due() == 0, "just heard of"
    wait(world, dispute_books.FIRST_LOOK_MS)
    assert sum(await asyncio.gather(*(world.after_sale.disputes.look_due() for _ in range(3)))) == 1
    assert [one.status for one in (await by_staff(world, order)).disputes] == ["lost"]
    assert isinstance(world.provider, Bank)
    world.provider.asked = 0
    for _ in range(5):
        wait(world, dispute_books.LONGEST_LOOK_MS)
        await world.after_sale.disputes.look_due()
    assert world.provider.asked == 0


async def test_books_that_were_read_too_early_open_nothing_again(world: World) -> None:
    order, ref = await disputed(world, won=True)
    (before,) = await world.provider.disputes(ref)
    payment = await world.db.read(lambda c: c.execute(select(payments.c.id)).scalar_one())

    async def told_late() -> None:
        story = await kinds(world, order)
        for said in (before, msgspec.structs.replace(before, withdrawn=False)):
            assert not await world.db.write(
                lambda c, said=said: dispute_books.follow(c, payment, [said], world.clock.now_ms())  # type: ignore[misc]
            )
        assert await kinds(world, order) == story

    await told_late()
    wait(world, CASE_MS)
    await world.after_sale.disputes.heard(ref)
    await told_late()
    assert [one.status for one in (await by_staff(world, order)).disputes] == ["won"]


async def test_an_inquiry_that_came_to_nothing_takes_no_money(world: World) -> None:
    order, _ = await disputed(world, heard=False)
    payment = await world.db.read(lambda c: c.execute(select(payments.c.id)).scalar_one())
    for status in ("open", "closed"):
        said = [Dispute("du_1", status, WHOLE, "EUR", "general")]  # type: ignore[arg-type]
        assert await world.db.write(
            lambda c, said=said: dispute_books.follow(c, payment, said, world.clock.now_ms())  # type: ignore[misc]
        )
    assert (await kinds(world, order))[-2:] == ["dispute.opened", "dispute.closed"]
    assert (await by_staff(world, order)).left.minor == WHOLE
