"""Google's feed, read and imported on both stores."""

from __future__ import annotations

import pytest
from shop_world import World
from sqlalchemy import func, select

from live.errors import Invalid
from live.shop.feeds import Feeds, parse
from live.store.tables import prices, products, variants

FEED = """id\ttitle\tprice\tsale_price\titem_group_id\tsize\tcolor\tquantity\tavailability
BOOT-38\tAnkle boot\t200.00 EUR\t149.50 EUR\tboot\t38\tBlack\t5\tin_stock
BOOT-39\tAnkle boot\t200.00 EUR\t\tboot\t39\tBlack\t0\tin_stock
SCARF\t=cmd|x\t39 EUR\t\t\t\t\t7\tout of stock
"""


def test_each_rejected_row_names_its_line_column_and_reason() -> None:
    text = (
        "id\ttitle\tprice\tquantity\nA\tA coat\t1.999 EUR\t1\nB\t\t1 EUR\t1\nC\tC\t1 EUR\tmany\n"
        "D\tD\t100 JPY\t1\nD\tD\t1 EUR\t1\nE|F\tE\t1 EUR\t1\n\nG\tG\tEUR 1\t1\nH\tH\t-1 EUR\t1\n"
    )
    rows, errors = parse(text)
    assert [(row.sku, row.price_minor, row.currency) for row in rows] == [("D", 100, "JPY")]
    assert [(error.line, error.column) for error in errors] == [
        (2, "price"),
        (3, "title"),
        (4, "quantity"),
        (6, "id"),
        (7, "id"),
        (9, "price"),
        (10, "price"),
    ]


def test_a_feed_without_its_columns_is_refused() -> None:
    for text in ("", "id\ttitle\n", "{}"):
        with pytest.raises(Invalid):
            parse(text)


async def test_a_dry_run_writes_nothing_and_an_import_twice_is_an_import_once(world: World) -> None:
    brand = await world.catalogue.add_brand(slug="n", name="N", currency="EUR", country="DE")
    feeds = Feeds(world.db, world.clock)
    rows, errors = parse(FEED)
    assert errors == []
    assert (await feeds.plan(brand, rows)).new == ["BOOT-38", "BOOT-39", "SCARF"]
    assert await world.db.read(lambda c: c.execute(select(func.count()).select_from(variants)).scalar()) == 0
    await feeds.apply(brand, rows)
    again = await feeds.apply(brand, rows)
    assert (again.new, again.changed, len(again.same)) == ([], {}, 3)
    assert await world.db.read(lambda c: c.execute(select(func.count()).select_from(products)).scalar()) == 2
    assert await world.db.read(lambda c: c.execute(select(func.count()).select_from(prices)).scalar()) == 3
    offer = await world.catalogue.variant("BOOT-38")
    assert (offer.price.minor, offer.size) == (14950, "38")


async def test_a_changed_feed_changes_what_it_says_and_no_more(world: World) -> None:
    brand = await world.catalogue.add_brand(slug="n", name="N", currency="EUR", country="DE")
    feeds = Feeds(world.db, world.clock)
    await feeds.apply(brand, parse(FEED)[0])
    diff = await feeds.apply(brand, parse(FEED.replace("149.50", "120.00").replace("39 EUR", "39 USD"))[0])
    assert diff.changed == {"BOOT-38": {"price_minor": (14950, 12000)}}
    assert [(error.line, error.column) for error in diff.errors] == [(4, "price")]
    history = select(prices.c.price_minor).where(prices.c.sku == "BOOT-38").order_by(prices.c.id)
    assert await world.db.read(lambda c: list(c.execute(history).scalars())) == [14950, 12000]


async def test_a_feed_never_takes_units_that_were_sold_nor_another_brands_pieces(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    await world.buy("per_ada", "COAT-38", 2)
    feeds = Feeds(world.db, world.clock)
    own = await world.db.read(lambda c: c.execute(select(products.c.brand_id)).scalar_one())
    other = await world.catalogue.add_brand(slug="o", name="O", currency="EUR", country="DE")
    rows, _ = parse("id\ttitle\tprice\tquantity\nCOAT-38\tLong coat\t129.00 EUR\t1\n")
    assert [error.column for error in (await feeds.apply(own, rows)).errors] == ["quantity"]
    assert [error.column for error in (await feeds.apply(other, rows)).errors] == ["id"]
    assert await world.wrong() == []
