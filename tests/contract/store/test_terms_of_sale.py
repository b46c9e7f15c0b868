"""Shipping, tax and promotion codes in orders, on both SQL stores."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from shop_world import ADA, World
from sqlalchemy import select

from live.clock import SetClock
from live.errors import CodeRefused, Conflict, Invalid, NotFound, PriceChanged, TotalChanged
from live.shop import coupons
from live.shop.checkout import Placed
from live.shop.promotions import find, use
from live.shop.quote import Wishes
from live.shop.taxes import Taxes
from live.store.tables import order_lines, promotions

BEA = msgspec.structs.replace(ADA, name="Bea", email="bea@example.org")


async def place(world: World, cart: str, wishes: Wishes, key: str = "key-1", contact=ADA) -> Placed:  # type: ignore[no-untyped-def]
    return await world.checkout.place(world.show, cart, contact, idempotency_key=key, wishes=wishes)


async def used(world: World, code: str) -> int:
    query = select(promotions.c.used).where(promotions.c.code == code)
    return int(await world.db.read(lambda c: c.execute(query).scalar_one()))


async def test_a_rush_of_buyers_reads_the_terms_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    show = await world.stock_a_show({"COAT-38": 1})
    read, reads = world.db.read, []

    async def counted(fn):  # type: ignore[no-untyped-def]
        reads.append(fn)
        return await read(fn)

    monkeypatch.setattr(world.db, "read", counted)
    missing, *found = await asyncio.gather(
        world.terms.of_show("sho_none"), *(world.terms.of_show(show) for _ in range(50)), return_exceptions=True
    )
    assert isinstance(missing, NotFound), "one that is not there is her error alone"
    assert len(found) == 50
    assert found == [await world.terms.of_show(show)] * 50
    assert len(reads) == 1


async def test_an_order_says_how_its_total_came_about(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3, "COAT-40": 3}, price_minor=12_345)
    await world.terms.set_tax(world.brand, Taxes(True, {"GB": 2_000}))
    await world.terms.add_method(world.brand, name="Post", places="GB,IE", price_minor=795)
    express = await world.terms.add_method(world.brand, name="Express", places="*,GB", price_minor=1_995, days=(1, 1))
    await world.promotions.add(world.brand, "autumn", "percent", 1_500)
    await world.add("per_ada", "COAT-38", 2)
    await world.add("per_ada", "COAT-40", 1)
    wishes = Wishes(express, ("Autumn ",))
    quote = await world.quotes.of_bag(world.show, "per_ada", "GB", wishes=wishes)
    placed = await place(world, "per_ada", msgspec.structs.replace(wishes, agreed_minor=quote.total.minor))
    assert placed.total == quote.total
    await world.provider.choose(placed.payment_ref, "success")
    await world.checkout.settle(placed.payment_id)
    order = await world.orders.by_id(placed.order_id)
    sums = order.sums
    assert (sums.goods.minor, sums.discount.minor, sums.shipping.minor) == (37_035, 5_555, 1_995)
    assert order.total.minor == 37_035 - 5_555 + 1_995
    assert (sums.tax_included, sums.tax_place, sums.shipping_title, sums.codes) == (True, "GB", "Express", ["AUTUMN"])
    parts = await world.db.read(
        lambda c: c.execute(select(order_lines.c.discount_minor, order_lines.c.tax_minor)).all()
    )
    assert sum(part.discount_minor for part in parts) == 5_555
    assert sums.tax.minor - sum(part.tax_minor for part in parts) == 333, "the shipping's own: a sixth of 19.95"
    assert await world.wrong() == []


async def test_a_country_that_nothing_is_sent_to_is_refused_and_the_bag_stays(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.terms.add_method(world.brand, name="Post", places="EU", price_minor=490)
    await world.add("per_ada", "COAT-38")
    with pytest.raises(Invalid) as told:
        await place(world, "per_ada", Wishes())
    assert told.value.facts["field"] == "address.country"
    assert (await world.carts.view(world.show, "per_ada")).lines[0].state == "held", "and not for ever 'paying'"


async def test_a_retired_way_is_offered_no_more(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    gone = await world.terms.add_method(world.brand, name="Pigeon", places="GB", price_minor=1)
    await world.terms.add_method(world.brand, name="Post", places="GB", price_minor=490)
    await world.terms.retire_method(world.brand, gone)
    await world.add("per_ada", "COAT-38")
    quote = await world.quotes.of_bag(world.show, "per_ada", "GB")
    assert [way.name for way in quote.ways] == ["Post"]
    with pytest.raises(Invalid):
        await place(world, "per_ada", Wishes(shipping=gone))
    with pytest.raises(NotFound):
        await world.terms.retire_method(world.brand, gone)


async def test_the_last_use_of_a_code_is_raced_by_twenty_and_one_has_it(world: World) -> None:
    await world.stock_a_show({"COAT-38": 30})
    await world.promotions.add(world.brand, "LAST1", "amount", 1_000, cap=1)
    for n in range(20):
        await world.add(f"per_{n}", "COAT-38")
    contacts = [msgspec.structs.replace(ADA, email=f"p{n}@example.org") for n in range(20)]
    answers = await asyncio.gather(
        *(place(world, f"per_{n}", Wishes(codes=("LAST1",)), contact=contacts[n]) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Placed) for one in answers) == 1
    assert {one.facts["why"] for one in answers if isinstance(one, CodeRefused)} == {"used_up"}
    assert sum(isinstance(one, CodeRefused) for one in answers) == 19
    assert await used(world, "LAST1") == 1


async def test_a_code_for_once_a_person_knows_her_by_her_address_too(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    await world.promotions.add(world.brand, "WELCOME", "percent", 1_000, cap_each=1)
    await world.add("per_ada", "COAT-38")
    first = await place(world, "per_ada", Wishes(codes=("WELCOME",)))
    await world.provider.choose(first.payment_ref, "success")
    await world.checkout.settle(first.payment_id)
    shouting = msgspec.structs.replace(ADA, email="ADA@example.org")
    for cart, contact in (("per_ada", BEA), ("per_private_window", shouting)):
        await world.add(cart, "COAT-38")
        with pytest.raises(CodeRefused) as told:
            await place(world, cart, Wishes(codes=("WELCOME",)), key="key-2", contact=contact)
        assert told.value.facts["why"] == "used_by_you"
    await world.add("per_bea", "COAT-38")
    await place(world, "per_bea", Wishes(codes=("WELCOME",)), contact=BEA)


async def test_one_persons_two_windows_at_once_use_a_code_once(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    await world.promotions.add(world.brand, "WELCOME", "percent", 1_000, cap_each=1)
    for n in range(6):
        await world.add(f"per_{n}", "COAT-38")
    answers = await asyncio.gather(
        *(place(world, f"per_{n}", Wishes(codes=("WELCOME",))) for n in range(6)), return_exceptions=True
    )
    assert sum(isinstance(one, Placed) for one in answers) == 1


async def test_a_cancelled_orders_code_may_be_used_again_once(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.promotions.add(world.brand, "LAST1", "amount", 1_000, cap=1)
    await world.add("per_ada", "COAT-38")
    first = await place(world, "per_ada", Wishes(codes=("LAST1",)))
    assert await used(world, "LAST1") == 1
    await world.provider.choose(first.payment_ref, "decline")
    for _ in range(3):
        await world.checkout.settle(first.payment_id)
    assert await used(world, "LAST1") == 0
    second = await place(world, "per_ada", Wishes(codes=("LAST1",)), key="key-2")
    assert second.total.minor == 11_900
    assert await used(world, "LAST1") == 1


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"starts_ms": 10**14}, "not_yet"),
        ({"ends_ms": 1}, "over"),
        ({"min_minor": 99_999}, "too_little"),
        ({"buyer": "per_bea"}, "unknown"),
    ],
)
async def test_a_code_out_of_its_terms_is_refused_with_the_reason(
    world: World, facts: dict[str, object], why: str
) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.promotions.add(world.brand, "SPRING", "percent", 1_000, **facts)  # type: ignore[arg-type]
    await world.add("per_ada", "COAT-38")
    for ask in (
        world.quotes.of_bag(world.show, "per_ada", "GB", wishes=Wishes(codes=("SPRING",))),
        place(world, "per_ada", Wishes(codes=("SPRING",))),
    ):
        with pytest.raises(CodeRefused) as told:
            await ask
        assert told.value.facts["why"] == why
    assert (await place(world, "per_ada", Wishes())).total.minor == 12_900, "and she buys without it"


async def test_another_brands_code_is_unknown_and_a_code_is_taken_once_a_brand(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    other = await world.catalogue.add_brand(slug="other", name="Other", currency="EUR", country="DE")
    await world.promotions.add(other, "THEIRS", "percent", 1_000)
    await world.promotions.add(world.brand, "OURS", "percent", 1_000)
    with pytest.raises(Conflict):
        await world.promotions.add(world.brand, "ours", "percent", 500)
    await world.add("per_ada", "COAT-38")
    with pytest.raises(CodeRefused):
        await place(world, "per_ada", Wishes(codes=("THEIRS",)))
    await world.promotions.retire(world.brand, "OURS")
    with pytest.raises(CodeRefused):
        await place(world, "per_ada", Wishes(codes=("OURS",)))


async def test_a_price_that_changed_since_the_hold_is_told_before_paying_and_taken_when_agreed_to(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3, "COAT-40": 3})
    await world.add("per_ada", "COAT-38")
    await world.add("per_ada", "COAT-40")
    for sku, price in (("COAT-38", 14_900), ("COAT-40", 9_900)):
        await world.catalogue.set_price(sku, price)
    quote = await world.quotes.of_bag(world.show, "per_ada", "GB")
    assert {(one.sku, one.was.minor, one.now.minor) for one in quote.changed} == {
        ("COAT-38", 12_900, 14_900),
        ("COAT-40", 12_900, 9_900),
    }
    assert quote.total.minor == 24_800
    with pytest.raises(TotalChanged) as told:
        await place(world, "per_ada", Wishes(agreed_minor=25_800), key="key-1")
    assert told.value.facts == {"was": 25_800, "now": 24_800}
    placed = await place(world, "per_ada", Wishes(agreed_minor=24_800), key="key-2")
    assert placed.total.minor == 24_800
    await world.provider.choose(placed.payment_ref, "success")
    await world.checkout.settle(placed.payment_id)
    assert await world.wrong() == []


async def test_without_a_total_that_was_agreed_to_a_changed_price_is_refused_once_then_known(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    await world.catalogue.set_price("COAT-38", 14_900)
    with pytest.raises(PriceChanged):
        await place(world, "per_ada", Wishes())
    bag = await world.carts.view(world.show, "per_ada")
    assert (bag.lines[0].price.minor, bag.lines[0].state) == (14_900, "held")
    assert (await place(world, "per_ada", Wishes(), key="key-2")).total.minor == 14_900


async def test_terms_that_changed_are_in_force_within_seconds(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.stock_a_show({"COAT-38": 3})
    await world.add("per_ada", "COAT-38")
    assert (await world.quotes.of_bag(world.show, "per_ada", "GB")).shipping.minor == 0
    other = type(world)(world.settings, world.redis, world.db, clock)  # another process's
    await other.terms.add_method(world.brand, name="Post", places="GB", price_minor=490)
    clock.advance(3_000)
    assert (await world.quotes.of_bag(world.show, "per_ada", "GB")).shipping.minor == 490


# ---- coupons of a game -------------------------------------------------------------------------


async def test_what_fell_on_somebody_is_hers_once_however_often_it_is_given(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    amounts = {"per_ada": 500, "per_bea": 501, **{f"per_{n}": 1 for n in range(600)}}
    await asyncio.gather(*(world.coupons.give(world.show, "ply_1", amounts) for _ in range(2)))  # two workers
    await world.coupons.give(world.show, "ply_1", amounts)  # and one that died half-way, again
    (hers,) = await world.coupons.of_person(world.show, "per_ada")
    assert (hers.amount.minor, hers.amount.currency) == (500, "EUR")
    rows = await world.db.read(lambda c: c.execute(select(promotions.c.buyer, promotions.c.value)).all())
    assert {row.buyer: row.value for row in rows} == amounts
    assert len(rows) == len(amounts)
    assert await world.promotions.of_brand(world.brand) == [], "no code of the house's"
    await world.add("per_ada", "COAT-38")
    await world.add("per_bea", "COAT-38")
    quote = await world.quotes.of_bag(world.show, "per_ada", "DE", wishes=Wishes(codes=(hers.code,)))
    assert quote.discount.minor == 500
    with pytest.raises(CodeRefused) as refused:
        await place(world, "per_bea", Wishes(codes=(hers.code,)), contact=BEA)
    assert refused.value.facts["why"] == "unknown", "to anybody else there is no such code"


async def test_a_coupon_is_spent_by_one_order_and_comes_back_when_that_comes_to_nothing(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    await world.coupons.give(world.show, "ply_1", {"per_ada": 500})
    (hers,) = await world.coupons.of_person(world.show, "per_ada")
    wishes = Wishes(codes=(hers.code,))
    await world.add("per_ada", "COAT-38")
    first = await place(world, "per_ada", wishes)
    assert await world.coupons.of_person(world.show, "per_ada") == []
    await world.provider.choose(first.payment_ref, "decline")
    await world.checkout.settle(first.payment_id)
    assert await world.coupons.of_person(world.show, "per_ada") == [hers]
    second = await place(world, "per_ada", wishes, "key-2")
    await world.provider.choose(second.payment_ref, "success")
    await world.checkout.settle(second.payment_id)
    assert second.total.minor == 12_400
    await world.add("per_ada", "COAT-38")
    with pytest.raises(CodeRefused) as refused:
        await place(world, "per_ada", wishes, "key-3")
    assert refused.value.facts["why"] == "used_up"
    assert await world.wrong() == []


async def test_two_orders_race_for_one_coupon_and_one_has_it(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    for turn in range(4):
        person = f"per_{turn}"
        await world.coupons.give(world.show, "ply_1", {person: 500})
        (hers,) = await world.coupons.of_person(world.show, person)
        found = await world.db.read(
            lambda c, code=hers.code, who=person: find(  # type: ignore[misc]
                c, world.brand, [code], now=world.clock.now_ms(), buyer=who, email_tag=None, goods_minor=12_900
            )
        )
        orders = [await world.buy(f"per_x{turn}{n}", "COAT-38", key=f"{turn}{n}") for n in range(2)]

        def take(c, order: str, found=found, who: str = person) -> None:  # type: ignore[no-untyped-def]
            use(c, found, order, now=world.clock.now_ms(), buyer=who, email_tag="tag")

        outcomes = await asyncio.gather(
            *(world.db.write(lambda c, order=one.order_id: take(c, order)) for one in orders),  # type: ignore[misc]
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in outcomes) == ["CodeRefused", "NoneType"]
        assert await used(world, hers.code) == 1


async def test_a_coupon_ends_with_its_day_and_with_its_person(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    for person in ("per_ada", "per_bea"):
        await world.coupons.give(world.show, "ply_1", {person: 500})
    (hers,) = await world.coupons.of_person(world.show, "per_ada")
    await world.add("per_ada", "COAT-38")
    await place(world, "per_ada", Wishes(codes=(hers.code,)))
    for person in ("per_ada", "per_bea"):
        await world.db.write(lambda c, who=person: coupons.erase(c, who, [world.brand], world.clock.now_ms()))  # type: ignore[misc]
    # The worker that gave them died before it had noted so: another gives them again.
    await world.coupons.give(world.show, "ply_1", {"per_ada": 500, "per_bea": 500})
    rows = await world.db.read(lambda c: c.execute(select(promotions.c.buyer, promotions.c.used)).all())
    assert sorted(tuple(row) for row in rows) == [(coupons.NOBODY, 0), (coupons.NOBODY, 1)]
    assert [await world.coupons.of_person(world.show, person) for person in ("per_ada", "per_bea")] == [[], []]
    await world.add("per_bea", "COAT-38")
    for code in await world.db.read(lambda c: list(c.execute(select(promotions.c.code)).scalars())):
        with pytest.raises(CodeRefused):
            await place(world, "per_bea", Wishes(codes=(code,)), contact=BEA)
    await world.coupons.give(world.show, "ply_2", {"per_eve": 500})
    (eves,) = await world.coupons.of_person(world.show, "per_eve")
    assert isinstance(world.clock, SetClock)
    world.clock.advance(coupons.LIFE_MS)
    assert await world.coupons.of_person(world.show, "per_eve") == []
    await world.add("per_eve", "COAT-38")
    with pytest.raises(CodeRefused) as refused:
        await place(world, "per_eve", Wishes(codes=(eves.code,)), contact=BEA)
    assert refused.value.facts["why"] == "over"
