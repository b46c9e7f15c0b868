"""A catalogue as other systems write it: Google's product feed (tab-separated or RSS), Shopify's product CSV. Pure.

    for row in read(lines, "google-tsv", currency="EUR"):   # lazily: a feed of any length in bounded memory
        ...                                                  # a FeedRow, or a RowError with line, column and reason

Google: id, title, price (`129.00 EUR`) are needed; item_group_id, description, sale_price, size, color, gtin,
availability and `quantity` (units on hand) are taken. Rows of one item_group_id are one product.
Shopify: Handle, Title, Variant SKU, Variant Price are needed; rows are joined by Handle; options named size and colour
are found in Option1 to Option3; Compare At Price, Barcode, Inventory Qty are taken.
Pictures are other servers' addresses: they are not fetched.
Sources: support.google.com/merchants/answer/7052112, help.shopify.com/en/manual/products/import-export/using-csv
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from xml.parsers import expat

import msgspec
from babel.numbers import get_currency_precision

from live.errors import Invalid
from live.money import Money

Format = Literal["google-tsv", "google-rss", "shopify-csv"]

LIMITS = {"id": 64, "title": 150, "description": 5000}
TEXT_LIMITS = {"size": 60, "color": 60, "gtin": 60, "item_group_id": 120}
ROWS_MAX = 500_000
ITEM_MAX = 64 * 1024  # characters of one RSS item
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SHOPIFY = {
    "variant sku": "id",
    "title": "title",
    "variant price": "price",
    "body (html)": "description",
    "variant compare at price": "compare_at",
    "variant barcode": "gtin",
    "variant inventory qty": "quantity",
}


class FeedRow(msgspec.Struct, frozen=True):
    """A variant as the feed has it. `was_minor` is the feed's claim; what is shown is decided by the price history.
    `on_hand` None: the feed does not count, what is known stays."""

    line: int
    sku: str
    group: str
    title: str
    blurb: str
    size: str
    colour: str
    gtin: str
    currency: str
    price_minor: int
    was_minor: int | None
    on_hand: int | None


class RowError(msgspec.Struct, frozen=True):
    """Why a row was left out. `line` counts from 1, the header's."""

    line: int
    column: str
    why: str


Parsed = FeedRow | RowError


def format_of(head: str) -> Format:
    """Which format a file is, by its beginning. Raises Invalid."""
    first = head.removeprefix("\ufeff").lstrip().lower()
    if first.startswith("<"):
        return "google-rss"
    line = first.partition("\n")[0]
    if "\t" in line:
        return "google-tsv"
    if line.startswith(("handle,", '"handle",')):
        return "shopify-csv"
    raise Invalid("file", "is none of: Google's feed (tab-separated or RSS), Shopify's product CSV")


def read(lines: Iterable[str], kind: Format, *, currency: str) -> Iterator[Parsed]:
    """The rows, one after the other. `currency` is for formats that name none.

    Raises Invalid when the file as a whole can't be read: no such header, not XML, too many rows.
    """
    rows = {"google-tsv": _tabs, "google-rss": _rss, "shopify-csv": _shopify}[kind](lines)
    seen: set[str] = set()
    for count, (line, values) in enumerate(_sound(rows)):
        if count >= ROWS_MAX:
            raise Invalid("rows", f"are more than {ROWS_MAX}")
        row = _row(line, values, "" if kind.startswith("google") else currency)
        if isinstance(row, FeedRow):
            if row.sku in seen:
                row = RowError(line, "id", "came before")
            else:
                seen.add(row.sku)
        yield row


def guarded(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def slug_of(group: str) -> str:
    """A product's slug from what groups its variants."""
    plain = unicodedata.normalize("NFKD", group).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "item"


def amount(minor: int, currency: str) -> str:
    """`129.00 EUR`, as Google's feed writes it."""
    places = get_currency_precision(currency)
    return f"{Decimal(minor).scaleb(-places):.{places}f} {Money(minor, currency).currency}"


def _sound(rows: Iterator[tuple[int, dict[str, str]]]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        yield from rows
    except csv.Error as why:
        raise Invalid("file", f"is not a table: {why}") from None
    except expat.ExpatError as why:
        raise Invalid("file", f"is not XML: {why}") from None
    except UnicodeDecodeError as why:
        raise Invalid("file", f"is not UTF-8: {why.reason}") from None


# ---- the three formats: each a stream of (line, values by Google's names) -----------------------


def _tabs(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(lines, delimiter="\t")
    names = [name.removeprefix("g:").replace(" ", "_") for name in _header(reader, ("id", "title", "price"))]
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, dict(zip(names, (_unguarded(cell) for cell in cells), strict=False))


def _shopify(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(lines)
    names = _header(reader, ("handle", "title", "variant sku", "variant price"))
    handle, title, text, options = "", "", "", dict[int, str]()
    for cells in reader:
        row = dict(zip(names, (_unguarded(cell) for cell in cells), strict=False))
        if row.get("handle", "") != handle:
            handle, title, text = row.get("handle", ""), row.get("title", ""), _plain(row.get("body (html)", ""))
            options = {n: row.get(f"option{n} name", "").lower() for n in (1, 2, 3)}
        if not row.get("variant sku") and not row.get("variant price"):
            continue  # a further picture of the product
        values = {name: row.get(column, "") for column, name in _SHOPIFY.items()}
        values |= {"title": title, "description": text, "item_group_id": handle}
        for n, option in options.items():
            if option in ("size", "color", "colour"):
                values["size" if option == "size" else "color"] = row.get(f"option{n} value", "")
        compare_at = values.pop("compare_at")
        if compare_at:
            values |= {"price": compare_at, "sale_price": values["price"]}
        if values["quantity"].startswith("-"):
            values["quantity"] = "0"  # Shopify counts below zero what it oversold
        values["gtin"] = values["gtin"].removeprefix("'")
        yield reader.line_num, values


def _header(reader: Any, needed: tuple[str, ...]) -> list[str]:
    names = [name.strip().lower() for name in next(reader, [])]
    names[:1] = [name.removeprefix("\ufeff") for name in names[:1]]
    missing = [name for name in needed if name not in {n.removeprefix("g:") for n in names}]
    if missing:
        raise Invalid("header", f"lacks {', '.join(missing)}")
    return names


class _Items:
    """Collects <item>s from expat's events, with the line each begins at."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.done: list[tuple[int, dict[str, str]]] = []
        self._item: tuple[int, dict[str, str]] | None = None
        self._field = ""
        self._parts: list[str] = []
        self._length = 0

    def _start(self, name: str, _: object) -> None:
        name = name.rpartition(" ")[2].lower()
        if name in ("item", "entry"):
            self._item, self._length = (self.parser.CurrentLineNumber, {}), 0
        elif self._item is not None:
            self._field, self._parts = name, []

    def _text(self, text: str) -> None:
        if self._field:
            self._length += len(text)
            if self._length > ITEM_MAX:
                raise Invalid("file", f"has an item above {ITEM_MAX} characters")
            self._parts.append(text)

    def _end(self, name: str) -> None:
        name = name.rpartition(" ")[2].lower()
        if self._item is None:
            return
        if name in ("item", "entry"):
            self.done.append(self._item)
            self._item = None
        elif name == self._field:
            self._item[1].setdefault(name, "".join(self._parts).strip())
            self._field = ""

    def _refuse(self, *_: object) -> None:
        raise Invalid("file", "has a DOCTYPE: entities are not taken")  # entities that grow without end


def _rss(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    items, any_item = _Items(), False
    for line in lines:
        items.parser.Parse(line, False)
        any_item = any_item or bool(items.done)
        yield from items.done
        items.done = []
    items.parser.Parse("", True)
    if not any_item:
        raise Invalid("file", "has no items")


# ---- one row -----------------------------------------------------------------------------------


def _row(line: int, values: dict[str, str], currency: str) -> Parsed:
    for column in ("id", "title", "price"):
        if not values.get(column):
            return RowError(line, column, "is missing")
    for column, limit in (LIMITS | TEXT_LIMITS).items():
        if len(values.get(column, "")) > limit:
            return RowError(line, column, f"has more than {limit} characters")
    if "|" in values["id"] or "/" in values["id"] or not values["id"].isprintable():
        return RowError(line, "id", "has a character that a SKU can't have")
    price = _money(values["price"], currency)
    if price is None:
        return RowError(line, "price", "is not an amount" if currency else "is not like 129.00 EUR")
    sale = _money(values["sale_price"], currency) if values.get("sale_price") else price
    if sale is None or sale.currency != price.currency:
        return RowError(line, "sale_price", "is not an amount in the price's currency")
    counted = values.get("quantity", "")
    if counted and not (counted.isascii() and counted.isdigit() and int(counted) <= 10_000_000):
        return RowError(line, "quantity", "is not a number of units")
    on_hand = int(counted) if counted else None
    if values.get("availability", "").replace(" ", "_") == "out_of_stock":
        on_hand = 0
    return FeedRow(
        line=line,
        sku=values["id"],
        group=values.get("item_group_id") or values["id"],
        title=values["title"],
        blurb=values.get("description", ""),
        size=values.get("size", ""),
        colour=values.get("color", "") or values.get("colour", ""),
        gtin=values.get("gtin", ""),
        currency=price.currency,
        price_minor=sale.minor,
        was_minor=price.minor if sale.minor < price.minor else None,
        on_hand=on_hand,
    )


def _money(text: str, currency: str) -> Money | None:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) ?([A-Z]{3})?", text)
    unit = (match[2] or currency) if match else ""
    if match is None or not unit:
        return None
    try:
        minor = Decimal(match[1]).scaleb(get_currency_precision(unit))
    except InvalidOperation:
        return None
    return Money(int(minor), unit) if minor == minor.to_integral_value() else None


def _unguarded(cell: str) -> str:
    cell = cell.strip()
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell


def _plain(html: str) -> str:
    return " ".join(re.sub(r"<[^<>]{0,2000}>", " ", html).split())
