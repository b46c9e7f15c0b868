"""The queue for what is sold out: in order, once each, reserved, and never a unit more than there is."""

from __future__ import annotations

import asyncio

import pytest
import shop_world

from live.clock import SetClock
from live.errors import Invalid, NotFound, OverLimit, SoldOut, StillLeft
from live.shop.waitlist import MOST_WAITS, OFFER_TTL_S


@pytest.fixture
async def shop(world: shop_world.World) -> shop_world.World:
    """One RED, and Ada holds it."""
    await world.stock_a_show({"RED": 1, "BLUE": 2})
    await world.add("per_ada", "RED")
    return world


async def offer(shop: shop_world.World, sku: str = "RED", limit: int = 4) -> str | None:
    while made := await shop.carts.offer(shop.show, sku, look="loo_1", at_ms=5, limit=limit):
        person, level = made
        if level is not None:
            return person
    return None


def passes(shop: shop_world.World, seconds: float) -> None:
    assert isinstance(shop.clock, SetClock)
    shop.clock.advance(int(seconds * 1000))


async def waits(shop: shop_world.World, cart: str) -> list[tuple[str, int]]:
    return [(wait.sku, wait.ahead) for wait in (await shop.carts.view(shop.show, cart)).waits]


async def test_what_comes_back_goes_to_the_first_in_the_queue_and_to_nobody_else(shop: shop_world.World) -> None:
    for person in ("per_bea", "per_cleo"):
        await shop.carts.wait(shop.show, person, "RED")
    assert await waits(shop, "per_cleo") == [("RED", 1)]
    await shop.carts.wait(shop.show, "per_bea", "RED")
    assert await waits(shop, "per_bea") == [("RED", 0)], "asked again, she keeps her place"

    await shop.carts.remove(shop.show, "per_ada", "RED", op="op-1")
    with pytest.raises(SoldOut):
        await shop.add("per_dora", "RED")
    with pytest.raises(SoldOut):
        await shop.add("per_cleo", "RED")
    assert await offer(shop) == "per_bea"
    bag = await shop.carts.view(shop.show, "per_bea")
    [line] = bag.lines
    assert (line.sku, line.state, line.qty) == ("RED", "held", 1)
    assert line.held_until_ms == shop.clock.now_ms() + OFFER_TTL_S * 1000
    assert bag.waits == []
    assert await waits(shop, "per_cleo") == [("RED", 0)]
    assert await offer(shop) is None, "once: there is one unit"
    assert await shop.wrong() == []


async def test_an_offer_that_is_not_taken_goes_to_the_next(shop: shop_world.World) -> None:
    for person in ("per_bea", "per_cleo"):
        await shop.carts.wait(shop.show, person, "RED")
    passes(shop, shop_world.TTL_S + 1)
    await shop.gate.lapse(shop.show)
    assert await offer(shop) == "per_bea"
    passes(shop, OFFER_TTL_S + 1)
    await shop.gate.lapse(shop.show)
    assert await offer(shop) == "per_cleo"
    assert [line.state for line in (await shop.carts.view(shop.show, "per_bea")).lines] == ["lapsed"]
    passes(shop, OFFER_TTL_S + 1)
    await shop.gate.lapse(shop.show)
    assert await offer(shop) is None
    await shop.add("per_dora", "RED")  # the queue is empty, so anybody may
    assert await shop.wrong() == []


async def test_an_offer_is_paid_like_any_hold(shop: shop_world.World) -> None:
    await shop.carts.wait(shop.show, "per_bea", "RED")
    await shop.carts.remove(shop.show, "per_ada", "RED", op="op-1")
    assert await offer(shop) == "per_bea"
    placed = await shop.place("per_bea", "key-b")
    await shop.provider.choose(placed.payment_ref, "success")
    settled = await shop.checkout.settle(placed.payment_id)
    assert settled is not None
    assert settled.status == "paid"
    assert await shop.sold("RED") == 1
    assert await shop.wrong() == []


async def test_the_first_may_take_it_herself_before_it_is_offered(shop: shop_world.World) -> None:
    await shop.carts.wait(shop.show, "per_bea", "RED")
    await shop.carts.remove(shop.show, "per_ada", "RED", op="op-1")
    await shop.add("per_bea", "RED")
    assert (await shop.carts.view(shop.show, "per_bea")).waits == []
    assert await offer(shop) is None
    await shop.carts.remove(shop.show, "per_bea", "RED", op="op-2")
    await shop.add("per_dora", "RED")


async def test_who_has_all_she_may_is_passed_over(shop: shop_world.World) -> None:
    await shop.buy("per_bea", "BLUE", key="b")
    for person in ("per_bea", "per_cleo"):
        await shop.add("per_zoe", "BLUE") if person == "per_bea" else None
        await shop.carts.wait(shop.show, person, "BLUE")
    await shop.carts.remove(shop.show, "per_zoe", "BLUE", op="op-1")
    assert await offer(shop, "BLUE", limit=1) == "per_cleo"
    assert await waits(shop, "per_bea") == []
    assert await shop.wrong() == []


async def test_nobody_waits_for_what_can_be_had_or_is_not_sold_here(shop: shop_world.World) -> None:
    with pytest.raises(StillLeft):
        await shop.carts.wait(shop.show, "per_bea", "BLUE")
    with pytest.raises(NotFound):
        await shop.carts.wait(shop.show, "per_bea", "GREEN")
    with pytest.raises(Invalid):
        await shop.carts.wait(shop.show, "per_bea", "x" * 65)


async def test_one_person_is_in_a_few_queues_at_most(world: shop_world.World) -> None:
    skus = {f"S{n}": 0 for n in range(MOST_WAITS + 1)}
    await world.stock_a_show(skus)
    for sku in list(skus)[:MOST_WAITS]:
        await world.carts.wait(world.show, "per_bea", sku)
    with pytest.raises(OverLimit):
        await world.carts.wait(world.show, "per_bea", f"S{MOST_WAITS}")
    await world.carts.unwait(world.show, "per_bea", "S0")
    await world.carts.wait(world.show, "per_bea", f"S{MOST_WAITS}")


async def test_leaving_the_queue_lets_the_next_step_up_and_the_last_one_frees_it(shop: shop_world.World) -> None:
    for person in ("per_bea", "per_cleo"):
        await shop.carts.wait(shop.show, person, "RED")
    await shop.carts.unwait(shop.show, "per_bea", "RED")
    assert await waits(shop, "per_cleo") == [("RED", 0)]
    await shop.carts.unwait(shop.show, "per_cleo", "RED")
    assert await shop.carts.waitlist.waited_for(shop.show) == []
    await shop.carts.remove(shop.show, "per_ada", "RED", op="op-1")
    await shop.add("per_dora", "RED")


async def test_a_gate_made_anew_keeps_the_order_of_the_queue(shop: shop_world.World) -> None:
    for person in ("per_bea", "per_cleo"):
        await shop.carts.wait(shop.show, person, "RED")
    await shop.gate.rebuild(shop.show)  # Ada's hold is gone with the old gate
    await shop.carts.wait(shop.show, "per_dora", "RED")
    assert await waits(shop, "per_dora") == [("RED", 2)]
    assert await offer(shop) == "per_bea"


async def test_a_crowd_of_offers_at_once_gives_each_unit_to_one(world: shop_world.World) -> None:
    """Several workers and web processes find the same units free."""
    await world.stock_a_show({"RED": 5})
    for n in range(5):
        await world.add(f"per_holder{n}", "RED")
    for n in range(20):
        await world.carts.wait(world.show, f"per_{n:02}", "RED")
    for n in range(5):
        await world.carts.remove(world.show, f"per_holder{n}", "RED", op=f"op-{n}")
    made = await asyncio.gather(*(offer(world) for _ in range(40)))
    assert sorted(person for person in made if person) == [f"per_{n:02}" for n in range(5)]
    assert await world.left("RED") == 0
    assert await world.wrong() == []
