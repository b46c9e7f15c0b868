"""Disputes of which no message ever came: found by reading the provider's list, on both SQL stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from shop_world import World
from sqlalchemy import select, update

from live.clock import SetClock
from live.errors import StoreDown
from live.shop import dispute_books
from live.shop.after_sale import AfterSale
from live.shop.dispute_list import AGAIN_MS, FARTHEST_MS, PAGES_AT_ONCE, READ_EVERY_MS
from live.shop.payments.port import DisputePage
from live.shop.payments.sandbox import BANK_MS, SandboxProvider
from live.store.tables import dispute_reads, disputes, ledger, payments

COAT = "COAT-38"
KEPT = dispute_books.follow


class Bank(SandboxProvider):
    """Every payment is disputed, and no message is sent. `asked` is each page that was asked for; from `away_from` on
    it doesn't answer."""

    asked: list[tuple[int, str]]
    away_from = 10**9

    async def disputes_since(self, since_ms: int, after: str = "") -> DisputePage:
        if len(self.asked) >= self.away_from:
            raise StoreDown("payments")
        self.asked.append((since_ms, after))
        return await super().disputes_since(since_ms, after)


def wait(world: World, ms: int) -> None:
    assert isinstance(world.clock, SetClock)
    world.clock.advance(ms)


async def bank_of(world: World) -> Bank:
    """The world with such a bank, five coats, and its list read once, with nothing in it."""
    bank = Bank(world.db, world.settings.model_copy(update={"sandbox_trouble": "disputed,lost"}), world.clock)
    world.provider, world.checkout, world.after_sale = bank, world.till(bank), AfterSale(world.db, bank, world.clock)
    bank.asked = []
    await world.stock_a_show({COAT: 50})
    assert await find(world) == 0
    wait(world, READ_EVERY_MS)
    bank.asked.clear()
    return bank


async def find(world: World) -> int:
    return await world.after_sale.dispute_list.find_due(world.checkout.settle)


async def sold(world: World, *keys: str) -> list[str]:
    """Orders that are disputed, each some seconds after the one before."""
    ids = []
    for key in keys:
        ids.append((await world.buy(f"per_{key}", COAT, key=key)).order_id)
        wait(world, BANK_MS)
    return ids


async def disputed(world: World) -> set[str]:
    return await world.db.read(lambda c: set(c.execute(select(disputes.c.order_id)).scalars()))


async def opened(world: World) -> list[str]:
    query = select(ledger.c.order_id).where(ledger.c.kind == "dispute.opened").order_by(ledger.c.order_id)
    return await world.db.read(lambda c: list(c.execute(query).scalars()))


async def reading(world: World) -> tuple[int, int, str]:
    return await world.db.read(
        lambda c: tuple(  # type: ignore[arg-type]
            c.execute(select(dispute_reads.c.since_ms, dispute_reads.c.next_ms, dispute_reads.c.after)).one()
        )
    )


async def test_a_dispute_that_nobody_told_of_is_found_once_by_the_workers(world: World) -> None:
    bank = await bank_of(world)
    (order,) = await sold(world, "ada")
    assert await disputed(world) == set(), "the premise: nobody heard"
    assert sum(await asyncio.gather(*(find(world) for _ in range(3)))) == 1
    assert (await opened(world), len(bank.asked)) == ([order], 1)
    ref = (await world.orders.by_id(order)).payment_ref
    assert not await world.after_sale.disputes.heard(ref), "a message that comes late says nothing new"
    assert (await find(world), len(bank.asked)) == (0, 1), "not before its time"
    wait(world, READ_EVERY_MS)
    assert (await find(world), len(bank.asked)) == (0, 2), "it is read again, and known"
    assert await opened(world) == [order]
    await world.gate.reconcile(world.show)
    assert await world.wrong() == []


async def test_one_that_was_told_of_before_is_not_found_again(world: World) -> None:
    await bank_of(world)
    (order,) = await sold(world, "ada")
    assert await world.after_sale.disputes.heard((await world.orders.by_id(order)).payment_ref)
    assert await find(world) == 0
    assert await opened(world) == [order]


async def test_the_first_reading_goes_back_half_a_year_and_each_one_a_day(world: World) -> None:
    bank = await bank_of(world)
    began = world.clock.now_ms()
    assert (await reading(world))[0] == began - READ_EVERY_MS - AGAIN_MS
    await find(world)
    assert bank.asked == [(began - READ_EVERY_MS - AGAIN_MS, "")]
    wait(world, 2 * FARTHEST_MS)
    await find(world)
    assert bank.asked[1:] == [(world.clock.now_ms() - FARTHEST_MS, "")], "nor does one that was long put off"


async def test_the_list_is_read_on_from_where_the_provider_went_away_and_what_is_new_after_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.shop.payments.sandbox.PAGE", 2)
    bank = await bank_of(world)
    first = await sold(world, "ada", "bea", "cem", "dan")
    before = await reading(world)
    bank.away_from = 1
    with pytest.raises(StoreDown):
        await find(world)
    assert await disputed(world) == set(first[2:]), "the newest are kept"
    since, next_ms, after = await reading(world)
    assert (since, bool(next_ms), bool(after)) == (before[0], True, True), "and the mark is where it was"
    bank.away_from = 10**9
    (late,) = await sold(world, "eve")
    wait(world, READ_EVERY_MS)
    bank.asked.clear()
    assert await find(world) == 2
    assert bank.asked == [(since, after)], "the first page is not read again"
    assert await disputed(world) == set(first)
    assert await reading(world) == (next_ms, 0, "")
    wait(world, READ_EVERY_MS)
    assert await find(world) == 1
    assert await disputed(world) == {*first, late}
    assert len(await opened(world)) == 5


async def test_a_reading_ends_after_some_pages_and_the_next_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.shop.payments.sandbox.PAGE", 1)
    bank = await bank_of(world)
    ids = await sold(world, *(f"buyer-{n}" for n in range(PAGES_AT_ONCE + 1)))
    assert await find(world) == len(bank.asked) == PAGES_AT_ONCE
    wait(world, READ_EVERY_MS)
    assert await find(world) == 1
    assert await disputed(world) == set(ids)


async def test_one_that_can_not_be_kept_is_tried_again_and_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bank_of(world)
    ids = await sold(world, "ada", "bea", "cem")

    def follow(connection: Any, payment_id: str, said: Any, now: int) -> bool:
        if connection.execute(select(payments.c.order_id).where(payments.c.id == payment_id)).scalar() == ids[1]:
            raise RuntimeError("of this one")
        return KEPT(connection, payment_id, said, now)

    monkeypatch.setattr(dispute_books, "follow", follow)
    before = await reading(world)
    assert await find(world) == 2
    assert await disputed(world) == {ids[0], ids[2]}
    assert await reading(world) == before, "the mark moves only past what is kept"
    monkeypatch.undo()
    wait(world, 2 * AGAIN_MS)
    assert await find(world) == 1
    assert await disputed(world) == set(ids)


async def test_a_store_that_fails_leaves_the_mark_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await bank_of(world)
    await sold(world, "ada")

    def down(*_: Any) -> bool:
        raise StoreDown("sql")

    before = await reading(world)
    monkeypatch.setattr(dispute_books, "follow", down)
    with pytest.raises(StoreDown):
        await find(world)
    since, _, after = await reading(world)
    assert (since, after) == (before[0], "")
    monkeypatch.undo()
    wait(world, READ_EVERY_MS)
    assert await find(world) == 1


async def test_an_order_that_does_not_know_yet_that_it_was_paid_is_settled_first(world: World) -> None:
    await bank_of(world)
    await world.add("per_ada", COAT)
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    wait(world, BANK_MS)
    assert (await world.orders.by_id(placed.order_id)).status == "pending", "the premise: nobody asked"
    assert await find(world) == 1
    assert (await world.orders.by_id(placed.order_id)).status == "paid"
    assert await disputed(world) == {placed.order_id}


async def test_a_page_of_another_account_is_begun_anew(world: World) -> None:
    bank = await bank_of(world)
    (order,) = await sold(world, "ada")
    await world.db.write(
        lambda c: (
            c.execute(
                update(dispute_reads).values(next_ms=world.clock.now_ms(), after="du_of_another", due_ms=0)
            ).rowcount
        )
    )
    assert await find(world) == 1
    assert [after for _, after in bank.asked] == ["du_of_another", ""]
    assert await disputed(world) == {order}
