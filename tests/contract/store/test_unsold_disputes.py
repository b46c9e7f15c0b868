"""A payment that came too late, and that its buyer's bank wants before it went back: on both SQL stores."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from shop_world import World
from sqlalchemy import select

from live.clock import SetClock
from live.errors import Conflict, StoreDown, WrongState
from live.shop import dispute_books
from live.shop.after_sale import AfterSale, By
from live.shop.order_list import Reach
from live.shop.order_sheet import ASK_AFTER_MS
from live.shop.order_story import StaffOrder
from live.shop.payments.port import Charge, Dispute, Repaid
from live.shop.payments.sandbox import BANK_MS, CASE_MS, SandboxProvider
from live.store.tables import ledger, outbox, payments
from live.web.order_words import buyer_view

COAT = "COAT-38"
PRICE = 12_900
HOUR_MS = 3_600_000


class Bank(SandboxProvider):
    """Its refunds are counted; while `away` none is answered."""

    refunds = 0
    away = False

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        self.refunds += 1
        if self.away:
            raise StoreDown("payments")
        return await super().refund(ref, amount_minor, idempotency_key=idempotency_key)


def wait(world: World, ms: int) -> None:
    assert isinstance(world.clock, SetClock)
    world.clock.advance(ms)


async def too_late(world: World, *, won: bool = False) -> tuple[Bank, str, str]:
    """Ada paid for a coat that Bea had bought by then, and her bank wants the money; the shop knows of neither. Also
    her order's id, and the provider's of her charge."""
    trouble = "disputed,dispute_won,lost" if won else "disputed,lost"
    bank = Bank(world.db, world.settings.model_copy(update={"sandbox_trouble": trouble}), world.clock)
    world.provider, world.checkout, world.after_sale = bank, world.till(bank), AfterSale(world.db, bank, world.clock)
    await world.stock_a_show({COAT: 1, "COAT-40": 5})
    await world.add("per_ada", COAT)
    placed = await world.place("per_ada")
    wait(world, 1_000_000)
    await world.gate.lapse(world.show)
    await world.buy("per_bea", COAT)
    await bank.choose(placed.payment_ref, "success")
    wait(world, BANK_MS)
    return bank, placed.order_id, placed.payment_ref


async def settled(world: World, ref: str) -> str:
    now = await world.checkout.settle(ref)
    assert now is not None
    return now.status


async def look(world: World, *, hours: int) -> None:
    """The worker, once a minute."""
    for _ in range(hours * 60):
        wait(world, 60_000)
        await world.checkout.settle_due()


async def by_staff(world: World, order: str) -> StaffOrder:
    return await world.order_list.one(Reach(frozenset({world.brand})), (await world.orders.by_id(order)).number)


async def kinds(world: World, order: str) -> list[str]:
    query = select(ledger.c.kind).where(ledger.c.order_id == order).order_by(ledger.c.id)
    return await world.db.read(lambda c: list(c.execute(query).scalars()))


async def told(world: World, kind: str, order: str) -> list[dict[str, Any]]:
    query = select(outbox.c.body).where(outbox.c.kind == kind).order_by(outbox.c.id)
    bodies = [msgspec.json.decode(body) for body in await world.db.read(lambda c: list(c.execute(query).scalars()))]
    return [body for body in bodies if body["order"] == order]


async def test_its_refund_waits_for_the_bank_and_is_tried_no_more(world: World) -> None:
    bank, order, ref = await too_late(world)
    assert await settled(world, ref) == "cancelled"
    assert bank.refunds == 1, "the premise: only by its refusal the shop hears of the dispute"
    await look(world, hours=2)
    assert await settled(world, ref) == "cancelled"
    assert bank.refunds == 1
    assert (await world.checkout.cancel(ref)).status == "cancelled"  # type: ignore[union-attr]
    assert bank.refunds == 1
    now = await by_staff(world, order)
    assert (now.order.payment, now.acts, now.left.minor) == ("disputed", [], 0)
    with pytest.raises((Conflict, WrongState)):
        await world.after_sale.refund(order, By("stf_ada", "refund-1"), 100, None)
    assert "what it leaves with us is sent to you" in buyer_view(now.order)["lede"], "not that nothing was taken"
    assert await world.wrong() == []


async def test_one_that_is_known_of_is_not_even_asked_for(world: World) -> None:
    bank, _, ref = await too_late(world)
    bank.away = True
    with pytest.raises(StoreDown):
        await world.checkout.settle(ref)
    assert bank.refunds == 1, "the premise: it is decided, and was not answered"
    bank.away = False
    assert await world.after_sale.disputes.heard(ref)
    await look(world, hours=1)
    assert await settled(world, ref) == "cancelled"
    assert bank.refunds == 1


async def test_a_dispute_that_is_lost_leaves_nothing_owed(world: World) -> None:
    bank, order, ref = await too_late(world)
    await world.checkout.settle(ref)
    wait(world, CASE_MS)
    assert await world.after_sale.disputes.heard(ref)
    await look(world, hours=1)
    assert await world.after_sale.refunds.ask_due() == 0
    now = await by_staff(world, order)
    assert (now.order.status, now.order.payment, now.acts, now.left.minor) == ("cancelled", "lost", [], 0)
    assert (bank.refunds, await told(world, "order.refunded", order)) == (1, [])
    assert "you have it back from your bank" in buyer_view(now.order)["lede"]
    assert (await world.orders.tally(world.show)).revenue.minor == PRICE, "Bea's alone: this was never any"
    assert await world.wrong() == []


@pytest.mark.parametrize("known", [True, False])
async def test_a_dispute_that_is_won_sends_the_money_back_once(world: World, known: bool) -> None:
    """`known`: the shop knew of it before it was over."""
    bank, order, ref = await too_late(world, won=True)
    if known:
        await world.checkout.settle(ref)
        assert bank.refunds == 1
    wait(world, CASE_MS)
    if known:
        assert await world.after_sale.disputes.heard(ref)
        assert not await world.after_sale.disputes.heard(ref)
        wait(world, ASK_AFTER_MS)
        assert [await world.after_sale.refunds.ask_due() for _ in range(2)] == [1, 0]
    else:
        await world.checkout.settle(ref)
    await look(world, hours=1)
    now = await by_staff(world, order)
    assert (now.order.status, now.order.payment, now.acts) == ("refunded", "refunded", [])
    assert [(one.status, one.amount.minor, one.why) for one in now.refunds] == [("done", PRICE, "unsold")]
    assert (await bank.fetch(ref)).refunded_minor == PRICE
    assert len(await told(world, "order.refunded", order)) == 1
    letters = [*await told(world, "mail.order_repaid", order), *await told(world, "mail.order_refunded", order)]
    assert len(letters) == 1, "she hears of it once"
    if known:
        assert await kinds(world, order) == [
            "order.placed",
            "refund.decided",
            "dispute.opened",
            "dispute.withdrawn",
            "order.cancelled",
            "dispute.closed",
            "dispute.returned",
            "refund.decided",
            "order.refunded",
        ]
    assert await world.wrong() == []


async def test_of_a_dispute_of_a_part_that_is_lost_the_rest_goes_back(world: World) -> None:
    bank, order, ref = await too_late(world)
    bank.away = True
    with pytest.raises(StoreDown):
        await world.checkout.settle(ref)
    payment = await world.db.read(
        lambda c: c.execute(select(payments.c.id).where(payments.c.order_id == order)).scalar_one()
    )

    async def say(status: Any) -> bool:
        said = [Dispute("du_1", status, 4_000, "EUR", "general", withdrawn=True)]
        return await world.db.write(lambda c: dispute_books.follow(c, payment, said, world.clock.now_ms()))

    assert await say("open")
    assert await settled(world, ref) == "cancelled"
    assert await say("lost")
    waiting = await by_staff(world, order)
    assert [(one.status, one.amount.minor) for one in waiting.refunds] == [("asked", PRICE - 4_000)]
    back = msgspec.structs.replace(await bank.fetch(ref), refunded_minor=8_900)

    async def refund(ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        assert amount_minor == 8_900
        return back

    bank.refund = refund  # type: ignore[method-assign]
    wait(world, ASK_AFTER_MS)
    assert await world.after_sale.refunds.ask_due() == 1
    now = await by_staff(world, order)
    assert (now.order.status, now.order.payment, now.left.minor, now.acts) == ("cancelled", "lost", 0, [])
    assert now.order.refunded is not None
    assert now.order.refunded.minor == 8_900
    assert await world.wrong() == []


@pytest.mark.parametrize("parts", [(PRICE,), (4_000, PRICE - 4_000)])
async def test_what_the_brand_refunds_on_the_providers_site_meanwhile_is_noted_and_not_owed_again(
    world: World, parts: tuple[int, ...]
) -> None:
    """As Stripe lets it, to end an inquiry."""
    bank, order, ref = await too_late(world, won=True)
    assert await settled(world, ref) == "cancelled"
    first, there = await bank.fetch(ref), [Repaid("", f"re_{n}", part, "done") for n, part in enumerate(parts)]
    told_of = 0

    async def fetch(ref: str) -> Charge:
        some = tuple(there[:told_of])
        gone = sum(one.amount_minor for one in some)
        status = "refunded" if gone == PRICE else first.status
        return msgspec.structs.replace(first, status=status, refunded_minor=gone, refunds=some)

    bank.fetch = fetch  # type: ignore[method-assign]
    for _ in parts:
        told_of += 1
        await settled(world, ref)
        assert await world.after_sale.refunds.heard(ref)
        assert not await world.after_sale.refunds.heard(ref)
    wait(world, CASE_MS)
    assert await world.after_sale.disputes.heard(ref), "the premise: the bank leaves it all to us"
    wait(world, ASK_AFTER_MS)
    await world.after_sale.refunds.ask_due()
    await look(world, hours=1)
    now = await by_staff(world, order)
    assert (now.order.status, now.order.payment, now.left.minor) == ("refunded", "refunded", 0)
    assert [(one.status, one.amount.minor, one.why) for one in now.refunds] == [("done", n, "outside") for n in parts]
    assert bank.refunds == 1, "only the one that was refused before"
    assert await world.wrong() == []


async def test_its_buyer_may_buy_something_else_meanwhile(world: World) -> None:
    _, order, ref = await too_late(world)
    assert (await world.orders.by_id(order)).status == "pending", "the premise: nobody has looked"
    await world.carts.remove(world.show, "per_ada", COAT, op="op-1")  # it lapsed
    await world.add("per_ada", "COAT-40")
    placed = await world.place("per_ada", "key-2")
    assert (await world.orders.by_id(order)).status == "cancelled"
    await world.provider.choose(placed.payment_ref, "success")
    assert await settled(world, placed.payment_ref) == "paid"
    assert await settled(world, ref) == "cancelled"
    assert await world.wrong() == []
