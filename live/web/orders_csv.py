"""Orders as CSV: a row a line of an order, for a spreadsheet. Streamed, so its length costs no memory."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import AsyncIterator
from decimal import Decimal

from babel.numbers import get_currency_precision

from live.money import Money
from live.shop.feeds import guarded
from live.shop.order_list import OrderList, Reach, Sold, Wanted
from live.web import order_words

CSV_AT_ONCE, CSV_ORDERS = 200, 50_000
_PLACE = ("line1", "line2", "district", "postcode", "city", "area", "country")
_COLUMNS = (
    *("number", "placed", "paid", "status", "name", "email"),
    *_PLACE,
    *("show", "look", "drop", "media_second", "sku", "title", "size", "colour"),
    *("qty", "shipped", "returned", "cancelled", "currency", "unit_price"),
    *(
        "order_discount",
        "order_shipping",
        "order_tax",
        "order_total",
        "order_refunded",
        "order_refund_failed",
        "order_lost",
        "dispute",
    ),
)


async def rows_of(orders: OrderList, reach: Reach, wanted: Wanted) -> AsyncIterator[bytes]:
    """Some orders at a time: whatever its length, it takes no more memory than a page."""
    yield b"\xef\xbb\xbf" + _as_csv([_COLUMNS])  # the mark tells spreadsheets that it is UTF-8
    for _ in range(CSV_ORDERS // CSV_AT_ONCE):
        sold, after = await orders.whole(reach, wanted, limit=CSV_AT_ONCE)
        yield _as_csv([row for one in sold for row in _csv_rows(one)])
        if not after:
            return
        wanted = Wanted(wanted.text, wanted.status, wanted.show, wanted.since_ms, wanted.until_ms, after)
    yield _as_csv([(f"There are more than {CSV_ORDERS} orders: take them in parts, by their dates.",)])


def _csv_rows(sold: Sold) -> list[tuple[str, ...]]:
    order = sold.order
    head = (order.number, _iso(order.created_ms), _iso(order.paid_ms), order.status, order.name, order.email)
    place = tuple(order.address.get(field, "") for field in _PLACE)
    sums = (order.sums.discount, order.sums.shipping, order.sums.tax)
    rows = []
    for line in order.lines:
        origin = sold.origins[line.sku]
        from_ = (origin.look, order_words.drop_words(origin), None if origin.at_ms is None else origin.at_ms // 1000)
        counts = (line.qty, line.shipped, line.returned, line.struck)
        back = order.refunded or Money(0, order.total.currency)
        money = (line.unit, *sums, order.total, back, sold.came_back, sold.lost)
        rows.append(
            (
                *head,
                *place,
                order.show_title,
                *("" if part is None else str(part) for part in from_),
                *(line.sku, line.title, line.size, line.colour),
                *map(str, counts),
                order.total.currency,
                *(_decimal(amount) for amount in money),
                sold.dispute,
            )
        )
    return rows


def _as_csv(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([guarded(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _iso(ms: int | None) -> str:
    return "" if ms is None else dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decimal(amount: Money) -> str:
    return str(Decimal(amount.minor).scaleb(-get_currency_precision(amount.currency)))
