"""Feeds into the catalogue and out of it, on both stores."""

from __future__ import annotations

import csv
import datetime as dt
import io

import pytest
from shop_world import World
from sqlalchemy import func, select

from live.clock import SetClock
from live.errors import PriceChanged
from live.shop.feed_export import google, shopify
from live.shop.feed_import import BATCH, Change, FeedImport, Report
from live.shop.feeds import Format, RowError, format_of, read
from live.shop.pricing import Sale
from live.store.tables import prices, products, variants

DAY_MS = 86_400_000
FEED = """id\ttitle\tprice\tsale_price\titem_group_id\tsize\tcolor\tquantity\tavailability
BOOT-38\tAnkle boot\t200.00 EUR\t149.50 EUR\tboot\t38\tBlack\t5\tin_stock
BOOT-39\tAnkle boot 39\t200.00 EUR\t\tboot\t39\tBlack\t0\tin_stock
SCARF\t=cmd|x\t39 EUR\t\t\t\t\t7\tout of stock
"""


async def a_brand(world: World, slug: str = "n") -> str:
    return await world.catalogue.add_brand(slug=slug, name="N", currency="EUR", country="DE")


async def bring(
    world: World, brand: str, text: str, *, dry_run: bool = False, kind: Format = "google-tsv"
) -> tuple[Report, list[Change | RowError]]:
    told: list[Change | RowError] = []
    rows = read(io.StringIO(text, newline=""), kind, currency="EUR")
    report = await FeedImport(world.db, world.clock).run(brand, rows, dry_run=dry_run, tell=told.append)
    return report, told


async def count(world: World, table: object) -> int:
    return int(await world.db.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))  # type: ignore[arg-type]


async def test_a_dry_run_writes_nothing_and_an_import_twice_is_an_import_once(world: World) -> None:
    brand = await a_brand(world)
    report, told = await bring(world, brand, FEED, dry_run=True)
    assert report == Report(new=3)
    assert [change.sku for change in told if isinstance(change, Change)] == ["BOOT-38", "BOOT-39", "SCARF"]
    assert await count(world, variants) == 0
    assert (await bring(world, brand, FEED))[0] == Report(new=3)
    assert await bring(world, brand, FEED) == (Report(same=3), [])
    assert (await count(world, products), await count(world, prices)) == (2, 3)
    offer = await world.catalogue.variant("BOOT-38")
    assert (offer.price.minor, offer.size, offer.title) == (14950, "38", "Ankle boot")


async def test_a_changed_feed_changes_what_it_says_and_no_more(world: World) -> None:
    brand = await a_brand(world)
    await bring(world, brand, FEED)
    world.clock.advance(DAY_MS)  # type: ignore[attr-defined]
    text = FEED.replace("149.50", "120.00").replace("39 EUR", "39 USD").replace("Ankle boot\t", "Boot\t")
    report, told = await bring(world, brand, text)
    assert report == Report(changed=1, same=1, rejected=1)
    change, error = sorted(told, key=lambda outcome: outcome.line)
    assert isinstance(change, Change)
    assert isinstance(error, RowError)
    assert change.fields == {
        "price_minor": (14950, 12000),
        "was_minor": (None, 14950),
        "title": ("Ankle boot", "Boot"),
    }
    assert (error.line, error.column) == (4, "price")
    history = select(prices.c.price_minor).where(prices.c.sku == "BOOT-38").order_by(prices.c.id)
    assert await world.db.read(lambda c: list(c.execute(history).scalars())) == [14950, 12000]


async def test_a_struck_through_price_is_the_lowest_of_thirty_days_not_the_feeds_claim(world: World) -> None:
    assert isinstance(world.clock, SetClock)
    brand = await a_brand(world)

    async def at(price: str, sale: str = "") -> tuple[int, int | None]:
        await bring(world, brand, f"id\ttitle\tprice\tsale_price\nA\tA\t{price} EUR\t{sale + ' EUR' if sale else ''}\n")
        query = select(variants.c.price_minor, variants.c.was_minor)
        row = await world.db.read(lambda c: c.execute(query).one())
        return row.price_minor, row.was_minor

    assert await at("500", "90") == (9000, None), "nothing was ever charged before"
    world.clock.advance(10 * DAY_MS)
    assert await at("100") == (10000, None)
    world.clock.advance(10 * DAY_MS)
    assert await at("500", "95") == (9500, None), "it was 90 within the last 30 days"
    assert await at("500", "80") == (8000, 9000)
    world.clock.advance(10 * DAY_MS)
    assert await at("500", "80") == (8000, 9000), "again: the reduction is the same"
    assert await at("80") == (8000, None), "no longer announced"


async def test_a_feed_never_takes_units_that_were_sold_nor_another_brands_pieces(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.buy("per_ada", "COAT-38", 2)
    own = await world.db.read(lambda c: c.execute(select(products.c.brand_id)).scalar_one())
    other = await a_brand(world, "o")
    text = "id\ttitle\tprice\tquantity\nCOAT-38\tLong coat\t129.00 EUR\t1\n"
    for brand, column in ((own, "quantity"), (other, "id")):
        _, (error,) = await bring(world, brand, text)
        assert isinstance(error, RowError)
        assert error.column == column
    assert await world.wrong() == []


async def test_a_piece_that_a_feed_calls_out_of_stock_has_nothing_left_and_keeps_what_it_sold(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.buy("per_ada", "COAT-38", 2)
    own = await world.db.read(lambda c: c.execute(select(products.c.brand_id)).scalar_one())
    text = "id\ttitle\tprice\tquantity\tavailability\nCOAT-38\tLong coat\t119.00 EUR\t{}\tout_of_stock\n"
    report, (change,) = await bring(world, own, text.format(3))
    assert report == Report(changed=1)
    assert isinstance(change, Change)
    assert change.fields["on_hand"] == (3, 2)
    for counted in ("", "0", "3"):
        assert await bring(world, own, text.format(counted)) == (Report(same=1), []), "sold out already"
    out = io.StringIO()
    async for cells in google(world.db, own):
        csv.writer(out, delimiter="\t", lineterminator="\n").writerow(cells)
    assert "out_of_stock" in out.getvalue(), "the premise: our own export says it too"
    assert await bring(world, own, out.getvalue()) == (Report(same=1), [])
    await world.gate.reconcile(world.show)
    assert (await world.left("COAT-38"), await world.wrong()) == (0, [])


async def test_a_feed_of_many_batches_keeps_its_groups_together(world: World) -> None:
    brand = await a_brand(world)
    rows = [f"S{n}\tPiece {n // 2}\t{10 + n % 90}.00 EUR\tgroup {n // 2}\t{n}" for n in range(2 * BATCH + 7)]
    text = "id\ttitle\tprice\titem_group_id\tquantity\n" + "\n".join(rows) + "\n"
    assert (await bring(world, brand, text))[0] == Report(new=2 * BATCH + 7)
    assert await count(world, products) == BATCH + 4
    assert (await bring(world, brand, text))[0] == Report(same=2 * BATCH + 7)


async def test_an_export_comes_back_as_nothing_new_and_no_cell_of_it_is_a_formula(world: World) -> None:
    brand = await a_brand(world)
    await bring(world, brand, FEED)
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    async for cells in google(world.db, brand):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
        writer.writerow(cells)
    assert "'=cmd|x" in out.getvalue(), "the premise: one was there"
    assert await bring(world, brand, out.getvalue()) == (Report(same=3), [])


DATED = """id\ttitle\tprice\tsale_price\tsale_price_effective_date
BAG\tBag\t200.00 EUR\t150.00 EUR\t{begins}/{ends}
"""


def dated(clock: SetClock, *, begins_in_ms: int, ends_in_ms: int) -> str:
    now = dt.datetime.fromtimestamp(clock.now_ms() / 1000, dt.UTC)
    begins, ends = (now + dt.timedelta(milliseconds=ms) for ms in (begins_in_ms, ends_in_ms))
    return DATED.format(begins=begins.isoformat(), ends=ends.isoformat())


async def test_a_sale_with_dates_begins_and_ends_by_itself_on_the_servers_clock(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    brand = await a_brand(world)
    feed = dated(clock, begins_in_ms=10 * DAY_MS, ends_in_ms=12 * DAY_MS)
    assert (await bring(world, brand, feed))[0] == Report(new=1)

    async def now() -> tuple[int, int | None]:
        product = await world.db.read(lambda c: c.execute(select(products.c.id)).scalar_one())
        (variant,) = (await world.catalogue.product(product)).variants
        return variant.price.minor, variant.was.minor if variant.was else None

    assert await now() == (20000, None)
    clock.advance(10 * DAY_MS - 1)
    assert await now() == (20000, None)
    assert await bring(world, brand, feed) == (Report(same=1), []), "planned already"
    clock.advance(1)
    assert await now() == (15000, 20000), "what it cost in the 30 days before is struck through"
    assert await bring(world, brand, feed) == (Report(same=1), []), "under way already"
    clock.advance(2 * DAY_MS)
    assert await now() == (20000, None)
    history = select(prices.c.price_minor).order_by(prices.c.from_ms)
    assert await world.db.read(lambda c: list(c.execute(history).scalars())) == [20000, 15000, 20000]
    again = dated(clock, begins_in_ms=DAY_MS, ends_in_ms=2 * DAY_MS)
    await bring(world, brand, again)
    clock.advance(DAY_MS)
    assert await now() == (15000, None), "it cost as little within the last 30 days: nothing may be struck through"


async def test_a_sale_that_is_called_off_leaves_no_trace_of_what_was_never_charged(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    brand = await a_brand(world)
    await bring(world, brand, dated(clock, begins_in_ms=DAY_MS, ends_in_ms=2 * DAY_MS))
    await bring(world, brand, "id\ttitle\tprice\nBAG\tBag\t200.00 EUR\n")
    history = select(prices.c.price_minor).order_by(prices.c.from_ms)
    assert await world.db.read(lambda c: list(c.execute(history).scalars())) == [20000]


async def test_an_order_placed_in_a_sale_costs_what_the_sale_says_to_the_millisecond(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.stock_a_show({"COAT-38": 3})
    now = clock.now_ms()
    await world.catalogue.set_price("COAT-38", 12900, sale=Sale(9900, now + 1000, now + 2000))
    await world.add("per_ada", "COAT-38")
    clock.advance(999)
    assert (await world.place("per_ada", "k1")).total.minor == 12900
    clock.advance(1)
    await world.add("per_eve", "COAT-38")
    world.catalogue.forget("COAT-38")  # an offer is kept for two seconds of a real clock
    with pytest.raises(PriceChanged):
        await world.place("per_eve", "k2")
    assert (await world.place("per_eve", "k2")).total.minor == 9900, "she was told, and agreed"
    clock.advance(1000)
    await world.add("per_joe", "COAT-38")
    assert (await world.place("per_joe", "k3")).total.minor == 12900


async def test_options_that_are_neither_size_nor_colour_come_in_and_go_out(world: World) -> None:
    brand = await a_brand(world)
    text = 'id\ttitle\tprice\tsize\tmaterial\toptions\nRING\tRing\t9.00 EUR\t52\tGold\t{"Stone": "Opal"}\n'
    await bring(world, brand, text)
    assert (await world.catalogue.variant("RING")).size == "52 · Gold · Opal"
    out = [cells async for cells in google(world.db, brand)]
    row = dict(zip(*out, strict=True))
    assert (row["material"], row["options"]) == ("Gold", '{"Material":"Gold","Stone":"Opal"}')
    again = "\n".join("\t".join(cells) for cells in out)
    assert await bring(world, brand, again) == (Report(same=1), [])


async def test_an_export_for_shopify_brings_back_nothing_changed(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    brand = await a_brand(world)
    await bring(world, brand, FEED)
    await bring(world, brand, dated(clock, begins_in_ms=DAY_MS, ends_in_ms=2 * DAY_MS))
    # A later price below the earlier one is struck through; five options; a barcode; what looks like HTML.
    clock.advance(DAY_MS // 2)
    await bring(
        world,
        brand,
        "id\ttitle\tdescription\tprice\titem_group_id\tsize\tcolor\tmaterial\toptions\tgtin\tquantity\n"
        'RING-52\tRing & <b>stone</b>\tA < B & C\t9.00 EUR\tring\t52\tRed\tGold\t{"Stone": "Opal", "Cut": "Oval"}'
        "\t4006381333931\t3\n"
        "RING-54\tRing & <b>stone</b>\tA < B & C\t9.50 EUR\tring\t54\t\t\t\t\t0\n",
    )
    for product in ("AA", *(f"P{n:03}" for n in range(210))):  # more than one batch of products
        await bring(world, brand, f"id\ttitle\tprice\n{product}\t{product}\t1.00 EUR\n")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    rows = [cells async for cells in shopify(world.db, brand)]
    for cells in rows:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
        writer.writerow(cells)
    assert "'=cmd|x" in out.getvalue(), "the premise: one was there"
    assert format_of(out.getvalue()) == "shopify-csv"
    ring = next(dict(zip(rows[0], row, strict=True)) for row in rows if "RING-52" in row)
    assert [ring[f"Option{n} Name"] for n in (1, 2, 3)] == ["Size", "Color", "Cut"]
    assert (ring["Body (HTML)"], ring["options"]) == ("A &lt; B &amp; C", '{"Material":"Gold","Stone":"Opal"}')
    boot = next(dict(zip(rows[0], row, strict=True)) for row in rows if "SCARF" in row)
    assert (boot["Option1 Name"], boot["Option1 Value"]) == ("Title", "Default Title")
    assert len(rows) == 1 + 3 + 1 + 2 + 211
    assert await bring(world, brand, out.getvalue(), kind="shopify-csv") == (Report(same=len(rows) - 1), [])


async def test_groups_that_ascii_cannot_tell_apart_are_still_products_of_their_own(world: World) -> None:
    brand = await a_brand(world)
    text = "id\ttitle\tprice\titem_group_id\nA\tコート\t9.00 EUR\tコート\nB\t帽子\t9.00 EUR\t帽子\n"
    await bring(world, brand, text)
    assert await count(world, products) == 2
