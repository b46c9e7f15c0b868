"""How staff find orders, on both SQL stores: only their own, by any of their names, page by page."""

from __future__ import annotations

import msgspec
import pytest
from shop_world import ADA, World
from sqlalchemy import insert, select

from live.errors import Invalid, NotFound
from live.ids import new_id
from live.shop.after_sale import By
from live.shop.drop_terms import DropTerms
from live.shop.order_acts import Parcel
from live.shop.order_list import Reach, Wanted
from live.shop.order_story import Origin
from live.store.tables import looks, shows, timeline

BEA = msgspec.structs.replace(ADA, name="Beatrice O'Neill 100%", email="bea_x@example.org")


async def reach_of(world: World) -> Reach:
    query = select(shows.c.brand_id).where(shows.c.id == world.show)
    return Reach(frozenset({await world.db.read(lambda c: c.execute(query).scalar_one())}))


async def buy(world: World, cart: str, sku: str, contact=ADA) -> str:  # type: ignore[no-untyped-def]
    await world.add(cart, sku)
    placed = await world.place(cart, contact=contact)
    await world.provider.choose(placed.payment_ref, "success")
    await world.checkout.settle(placed.payment_ref)
    return placed.number


async def found(world: World, reach: Reach, **wanted: object) -> list[str]:
    rows, _ = await world.order_list.page(reach, Wanted(**wanted))  # type: ignore[arg-type]
    return [row.number for row in rows]


async def test_an_order_is_found_by_number_email_name_and_sku(world: World) -> None:
    await world.stock_a_show({"COAT-38": 5, "CAPE_38": 5})
    ada, bea = await buy(world, "per_ada", "COAT-38"), await buy(world, "per_bea", "CAPE_38", BEA)
    reach = await reach_of(world)
    assert await found(world, reach) == [bea, ada], "newest first"
    for text, numbers in (
        (ada, [ada]),
        (ada.lower(), [ada]),
        (ada[3:7], [ada]),
        ("ada@EXAMPLE", [ada]),
        ("lovelace", [ada]),
        ("o'neill", [bea]),
        ("coat-38", [ada]),
        ("cape_3", [bea]),
        ("example.org", [bea, ada]),
        ("100%", [bea]),
        ("a_x@", [bea]),
        ("%", [bea]),
        ("aXx@", []),
        ("capeX38", []),
        ("' or 1=1 --", []),
    ):
        assert await found(world, reach, text=text) == numbers, text
    with pytest.raises(Invalid):
        await found(world, reach, text="x" * 101)


async def test_filters_by_status_show_and_date(world: World) -> None:
    await world.stock_a_show({"COAT-38": 5})
    reach, first = await reach_of(world), world.clock.now_ms()
    paid = await buy(world, "per_ada", "COAT-38")
    shipped = await buy(world, "per_bea", "COAT-38")
    world.clock.advance(86_400_000)  # type: ignore[attr-defined]
    await world.add("per_cleo", "COAT-38")
    pending = (await world.place("per_cleo")).number
    by = By("stf_ada", new_id("op"))
    await world.after_sale.fulfil(await world.order_list.id_of(reach, shipped), by, Parcel({"COAT-38": 1}))
    assert await found(world, reach) == [shipped, paid], "what was never paid is not what staff look for"
    assert await found(world, reach, status="all") == [pending, shipped, paid]
    assert await found(world, reach, status="to_ship") == [paid]
    assert await found(world, reach, status="fulfilled") == [shipped]
    assert await found(world, reach, status="pending") == [pending]
    assert await found(world, reach, status="all", until_ms=first + 1) == [shipped, paid]
    assert await found(world, reach, status="all", since_ms=first + 1) == [pending]
    assert await found(world, reach, show=world.show) == [shipped, paid]
    assert await found(world, reach, show="another") == []
    with pytest.raises(Invalid):
        await found(world, reach, status="lost")
    rows, _ = await world.order_list.page(reach, Wanted())
    assert [(row.units, row.to_ship, row.total.minor) for row in rows] == [(1, 0, 12900), (1, 1, 12900)]


async def test_pages_are_turned_by_key_and_miss_nothing(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    numbers = [await buy(world, f"per_{n}", "COAT-38") for n in range(5)]
    reach, seen, after = await reach_of(world), list[str](), ""
    for turn in range(4):
        rows, after = await world.order_list.page(reach, Wanted(after=after), limit=2)
        seen += [row.number for row in rows]
        if turn == 0:
            await buy(world, "per_late", "COAT-38")  # one more comes in while the pages are turned
        if not after:
            break
    assert seen == numbers[::-1]


async def test_another_brands_orders_are_not_there(world: World) -> None:
    await world.stock_a_show({"COAT-38": 5})
    mine = await buy(world, "per_ada", "COAT-38")
    my_reach = await reach_of(world)
    await world.stock_a_show({"HAT": 5})
    theirs = await buy(world, "per_bea", "HAT")
    assert await found(world, my_reach) == [mine]
    assert await found(world, my_reach, text=theirs) == []
    with pytest.raises(NotFound):
        await world.order_list.one(my_reach, theirs)
    with pytest.raises(NotFound):
        await world.order_list.id_of(my_reach, theirs)
    assert await world.order_list.numbered(my_reach, [mine, theirs]) == [await _order(world, mine)]
    assert await found(world, Reach()) == [], "of nothing: nothing"
    assert await found(world, Reach(shows=frozenset({world.show}))) == [theirs], "one show's staff see that show's"
    assert [slug for slug, _ in await world.order_list.shows(Reach(shows=frozenset({world.show})))] == [world.show]


async def _order(world: World, number: str):  # type: ignore[no-untyped-def]
    reach = Reach(shows=frozenset(await world.db.read(lambda c: c.execute(select(shows.c.id)).scalars().all())))
    return (await world.order_list.numbered(reach, [number]))[0]


async def test_each_line_carries_show_look_drop_and_media_second(world: World) -> None:
    await world.stock_a_show({"COAT-38": 5})
    look = await world.db.read(lambda c: c.execute(select(looks.c.id)).scalar_one())
    moment = insert(timeline).values(id=7, show_id=world.show, kind="card.dropped", at_ms=60_500, wall_ms=1)
    await world.db.write(lambda c: c.execute(moment) and None)
    # The drop is the one it was held in, whatever the second: who sees the show late taps at an earlier one.
    for cart, at_ms, drop in (
        ("per_ada", 65_000, 7),
        ("per_bea", 95_000, 9),
        ("per_cleo", 100, 9),
        ("per_dora", 1, None),
    ):
        terms = DropTerms(look, drop=drop)
        await world.carts.add(
            world.show, cart, "COAT-38", 1, op=new_id("op"), look=look, at_ms=at_ms, ttl_s=300, limit=4, terms=terms
        )
        placed = await world.place(cart)
        await world.provider.choose(placed.payment_ref, "success")
        await world.checkout.settle(placed.payment_ref)
    sold, after = await world.order_list.whole(await reach_of(world), Wanted(), limit=10)
    assert after == ""
    assert [one.origins["COAT-38"] for one in reversed(sold)] == [
        Origin(1, "Look 1", 7, 65_000, dropped_at_ms=60_500),
        Origin(1, "Look 1", 9, 95_000),
        Origin(1, "Look 1", 9, 100),
        Origin(1, "Look 1", None, 1),
    ]
    assert {one.order.show_title for one in sold} == {"Autumn"}
    one = await world.order_list.one(await reach_of(world), sold[0].order.number)
    assert one.origins == sold[0].origins
