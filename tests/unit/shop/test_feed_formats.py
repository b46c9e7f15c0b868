"""Reading feeds: what is taken, and why the rest is not."""

from __future__ import annotations

import io

import pytest

from live.errors import Invalid
from live.shop import feeds, pricing
from live.shop.feeds import FeedRow, Format, Parsed, RowError

RSS = """<?xml version="1.0"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><g:id>COAT-38</g:id><g:title>Coat &amp; belt</g:title><g:price>129.00 EUR</g:price>
  <g:item_group_id>coat</g:item_group_id><g:size>38</g:size></item>
<item>
  <g:id>COAT-40</g:id><title>Coat</title></item>
</channel></rss>
"""
SHOPIFY = """Handle,Title,Body (HTML),Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,\
Variant Inventory Qty,Variant Price,Variant Compare At Price,Variant Barcode,Image Src
coat,Long coat,"<p>Wool,
two rows</p>",Size,38,Color,Ink,COAT-38,4,99.00,129.00,'4006381333931,https://cdn.example/1.jpg
coat,,,,40,,Ink,COAT-40,-2,129.00,,,
coat,,,,,,,,,,,,https://cdn.example/2.jpg
scarf,Scarf,,Title,Default Title,,,SCARF,7,39,,,
hat,Hat,,,,,,,1,20,,,
""".replace("\\\n", "")


def read(text: str, kind: Format = "google-tsv") -> list[Parsed]:
    return list(feeds.read(io.StringIO(text, newline=""), kind, currency="EUR"))


def taken(rows: list[Parsed]) -> list[FeedRow]:
    return [row for row in rows if isinstance(row, FeedRow)]


def errors(rows: list[Parsed]) -> list[tuple[int, str]]:
    return [(row.line, row.column) for row in rows if isinstance(row, RowError)]


def test_each_rejected_row_names_its_line_column_and_reason() -> None:
    rows = read(
        "id\ttitle\tprice\tquantity\nA\tA coat\t1.999 EUR\t1\nB\t\t1 EUR\t1\nC\tC\t1 EUR\tmany\n"
        "D\tD\t100 JPY\t1\nD\tD\t1 EUR\t1\nE|F\tE\t1 EUR\t1\n\nG\tG\tEUR 1\t1\nH\tH\t-1 EUR\t1\n"
    )
    assert [(row.sku, row.price_minor, row.currency) for row in taken(rows)] == [("D", 100, "JPY")]
    assert errors(rows) == [
        (2, "price"),
        (3, "title"),
        (4, "quantity"),
        (6, "id"),
        (7, "id"),
        (9, "price"),
        (10, "price"),
    ]


def test_googles_rss_is_read_with_the_line_each_item_begins_at() -> None:
    rows = read(RSS, "google-rss")
    (coat,) = taken(rows)
    assert (coat.sku, coat.title, coat.group, coat.size, coat.price_minor) == (
        "COAT-38",
        "Coat & belt",
        "coat",
        "38",
        12900,
    )
    assert errors(rows) == [(5, "price")]


def test_shopifys_rows_are_joined_by_their_handle() -> None:
    rows = read(SHOPIFY, "shopify-csv")
    first, second, scarf = taken(rows)
    assert (first.title, first.blurb, first.size, first.colour) == ("Long coat", "Wool, two rows", "38", "Ink")
    assert (first.price_minor, first.was_minor, first.on_hand, first.gtin) == (9900, 12900, 4, "4006381333931")
    assert (second.group, second.title, second.size, second.on_hand) == ("coat", "Long coat", "40", 0)
    assert (scarf.size, scarf.colour, scarf.currency) == ("", "", "EUR")
    assert errors(rows) == [(7, "id")], "a variant without a SKU can't be sold; a row with only a picture is none"


def test_shopifys_options_beyond_size_and_colour_are_kept_by_their_names() -> None:
    head = "Handle,Title,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Price"
    rows = taken(read(f"{head}\nring,Ring,Material,Gold,Size,52,R1,9\nring,,,Silver,,52,R2,7\n", "shopify-csv"))
    assert [(row.size, row.options) for row in rows] == [("52", {"Material": "Gold"}), ("52", {"Material": "Silver"})]


def test_a_sales_dates_are_googles_two_moments() -> None:
    head = "id\ttitle\tprice\tsale_price\tsale_price_effective_date\n"
    rows = read(
        head
        + "A\tA\t2 EUR\t1 EUR\t2026-11-01T13:00+0100/2026-11-05T23:59Z\n"
        + "B\tB\t2 EUR\t1 EUR\t2026-11-05/2026-11-01\nC\tC\t2 EUR\t1 EUR\tsoon\nD\tD\t2 EUR\t1 EUR\t\n"
    )
    first, undated = taken(rows)
    assert first.sale == pricing.Sale(100, 1_793_534_400_000, 1_793_923_140_000)
    assert (first.price_minor, first.was_minor) == (200, None)
    assert (undated.sale, undated.price_minor, undated.was_minor) == (None, 100, 200)
    assert errors(rows) == [(3, "sale_price_effective_date"), (4, "sale_price_effective_date")]


def test_a_gtin_has_its_check_digit_and_a_shops_own_barcode_is_no_gtin() -> None:
    rows = read("id\ttitle\tprice\tgtin\nA\tA\t1 EUR\t4006381333931\nB\tB\t1 EUR\t4006381333932\n")
    assert [row.gtin for row in taken(rows)] == ["4006381333931"]
    assert errors(rows) == [(3, "gtin")]
    first = taken(read(SHOPIFY.replace("'4006381333931", "SHELF 12"), "shopify-csv"))[0]
    assert first.gtin == ""


def test_formats_are_known_by_their_beginning() -> None:
    assert feeds.format_of(RSS) == "google-rss"
    assert feeds.format_of("\ufeffid\ttitle\tprice\n") == "google-tsv"
    assert feeds.format_of(SHOPIFY) == "shopify-csv"
    with pytest.raises(Invalid):
        feeds.format_of("{}")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "google-tsv"),
        ("id\ttitle\n", "google-tsv"),
        ("Handle,Title\n", "shopify-csv"),
        ("<rss><item>", "google-rss"),
        ("<rss></rss>", "google-rss"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><rss><item><id>&a;</id></item></rss>", "google-rss"),
        (f"<rss><item><id>{'x' * 70_000}</id></item></rss>", "google-rss"),
        ("id\ttitle\tprice\n" + "x" * 200_000 + "\tA\t1 EUR\n", "google-tsv"),
    ],
)
def test_a_file_that_is_no_feed_is_refused_as_a_whole(text: str, kind: Format) -> None:
    with pytest.raises(Invalid):
        read(text, kind)


def test_cells_that_a_spreadsheet_would_run_are_guarded() -> None:
    for cell in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1"):
        assert feeds.guarded(cell) == f"'{cell}"
    assert feeds.guarded("Coat - long") == "Coat - long"


def test_an_amount_has_its_currencys_decimals() -> None:
    assert feeds.amount(12950, "EUR") == "129.50 EUR"
    assert feeds.amount(100, "JPY") == "100 JPY"
    assert feeds.amount(1, "KWD") == "0.001 KWD"


def test_what_is_struck_through_is_the_lowest_of_the_thirty_days_before() -> None:
    day = 86_400_000
    assert pricing.struck_through([], 100, 0) is None
    assert pricing.struck_through([(0, 200)], 100, 90 * day) == 200
    assert pricing.struck_through([(0, 50), (day, 200)], 100, 90 * day) == 200, "50 was long ago"
    assert pricing.struck_through([(0, 50), (80 * day, 200)], 100, 90 * day) is None, "50 was within 30 days"
    assert pricing.struck_through([(0, 150), (80 * day, 200)], 100, 90 * day) == 150
    assert pricing.struck_through([(0, 200), (80 * day, 100)], 100, 90 * day) == 200, "the reduction began earlier"
    assert pricing.struck_through([(0, 100)], 100, 90 * day) is None
