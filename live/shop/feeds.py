"""A catalogue as other systems write it: Google's product feed (tab-separated or RSS), Shopify's product CSV. Pure.

    for row in read(lines, "google-tsv", currency="EUR"):   # lazily: a feed of any length in bounded memory
        ...                                                  # a FeedRow, or a RowError with line, column and reason

Google: id, title, price (`129.00 EUR`) are needed; item_group_id, description, sale_price with or without
sale_price_effective_date, size, color, material, pattern, gtin, availability and `quantity` (units on hand) are taken,
and `options`, which our own export adds. Rows of one item_group_id are one product.
Shopify: Handle, Title, Variant SKU, Variant Price are needed; rows are joined by Handle; of Option1 to Option3 those
named size and colour are these, others are kept by their names; Compare At Price, Barcode, Inventory Qty are taken,
and what our own export adds.
Pictures are other servers' addresses: they are not fetched.
Sources: support.google.com/merchants/answer/7052112, help.shopify.com/en/manual/products/import-export/using-csv
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from html import unescape
from typing import Any, Literal
from xml.parsers import expat

import msgspec
from babel.numbers import get_currency_precision
from stdnum import ean

from live.errors import Invalid
from live.money import Money
from live.shop.pricing import FOR_EVER_MS, Sale

Format = Literal["google-tsv", "google-rss", "shopify-csv"]

LIMITS = {"id": 64, "title": 150, "description": 5000}
TEXT_LIMITS = {"size": 60, "color": 60, "gtin": 60, "item_group_id": 120}
_LIMITS = (*LIMITS.items(), *TEXT_LIMITS.items())
ROWS_MAX = 500_000
ITEM_MAX = 64 * 1024  # characters of one RSS item
OPTIONS_MAX, OPTION_MAX = 8, 60  # beside size and colour; characters of a name and of a value
_NO_SLUG = re.compile(r"[^a-z0-9]+")
_PLAIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_AMOUNT = re.compile(r"(\d{1,9})(?:\.(\d{1,3}))? ?([A-Z]{3})?")
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
    `sale` is a reduction with dates: `price_minor` is then what is charged outside of them.
    `options` are those that are neither size nor colour. `on_hand` None: the feed does not count, what is known stays.
    `sold_out`: nothing is left to sell, whatever was sold so far.
    """

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
    sale: Sale | None = None
    options: dict[str, str] = {}
    sold_out: bool = False


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
    """A product's slug from what groups its variants. Groups that ASCII can't tell apart get slugs that can."""
    if _PLAIN.fullmatch(group):
        return group
    letters = unicodedata.normalize("NFKD", group)
    slug = _NO_SLUG.sub("-", letters.encode("ascii", "ignore").decode().lower()).strip("-")
    if slug and all(letter.isascii() or unicodedata.combining(letter) for letter in letters):
        return slug
    return f"{slug or 'item'}-{hashlib.sha256(group.encode()).hexdigest()[:8]}"


def amount(minor: int, currency: str) -> str:
    """`129.00 EUR`, as Google's feed writes it."""
    places = get_currency_precision(currency)
    return f"{Decimal(minor).scaleb(-places):.{places}f} {Money(minor, currency).currency}"


def json_of(options: dict[str, str]) -> str:
    """Options as they are kept, and written into a cell."""
    return msgspec.json.encode(options, order="sorted").decode()


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
            options = {n: row.get(f"option{n} name", "") for n in (1, 2, 3)}
        if not row.get("variant sku") and not row.get("variant price"):
            continue  # a further picture of the product
        values = {name: row.get(column, "") for column, name in _SHOPIFY.items()}
        values |= {"title": title, "description": text, "item_group_id": handle}
        others = {}
        for n, option in options.items():
            value = row.get(f"option{n} value", "")
            if option.lower() in ("size", "color", "colour"):
                values["size" if option.lower() == "size" else "color"] = value
            elif option and value and (option, value) != ("Title", "Default Title"):  # how Shopify says: none
                others[option] = value
        further = row.get("options", "")  # of our own export, beyond Shopify's three
        if others and further:
            with contextlib.suppress(msgspec.DecodeError):  # what is no JSON is refused with its row
                further = msgspec.json.encode(others | msgspec.json.decode(further, type=dict[str, str])).decode()
        if others or further:
            values["options"] = further or msgspec.json.encode(others).decode()
        compare_at = values.pop("compare_at")
        if compare_at:
            values |= {"price": compare_at, "sale_price": values["price"]}
        elif row.get("sale_price"):  # our own export's: Shopify has no sales with dates
            values |= {name: row.get(name, "") for name in ("sale_price", "sale_price_effective_date")}
        if values["quantity"].startswith("-"):
            values["quantity"] = "0"  # Shopify counts below zero what it oversold
        barcode = values["gtin"].removeprefix("'")
        values["gtin"] = barcode if ean.is_valid(barcode) else ""  # shops put their own codes there too
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
    for column, limit in _LIMITS:
        text = values.get(column, "")
        if len(text) > limit:
            return RowError(line, column, f"has more than {limit} characters")
        if "\0" in text:
            return RowError(line, column, "has a NUL character, which no store keeps")
    if "|" in values["id"] or "/" in values["id"] or not values["id"].isprintable():
        return RowError(line, "id", "has a character that a SKU can't have")
    if values.get("gtin") and not ean.is_valid(values["gtin"]):
        return RowError(line, "gtin", "is not a GTIN: its check digit or its length is wrong")
    price = _money(values["price"], currency)
    if price is None:
        return RowError(line, "price", "is not an amount" if currency else "is not like 129.00 EUR")
    sale = _money(values["sale_price"], currency) if values.get("sale_price") else price
    if sale is None or sale.currency != price.currency:
        return RowError(line, "sale_price", "is not an amount in the price's currency")
    window = _window(values.get("sale_price_effective_date", ""))
    if isinstance(window, str):
        return RowError(line, "sale_price_effective_date", window)
    counted = values.get("quantity", "")
    if counted and not (counted.isascii() and counted.isdigit() and int(counted) <= 10_000_000):
        return RowError(line, "quantity", "is not a number of units")
    sold_out = values.get("availability", "").replace(" ", "_") == "out_of_stock"
    on_hand = int(counted) if counted and not sold_out else None
    options = _options(values)
    if options is None:
        return RowError(line, "options", f"are not at most {OPTIONS_MAX} names with values of {OPTION_MAX} characters")
    reduced = sale.minor < price.minor
    dated = reduced and window is not None
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
        price_minor=price.minor if dated else sale.minor,
        was_minor=price.minor if reduced and not dated else None,
        on_hand=on_hand,
        sale=Sale(sale.minor, *window) if dated and window else None,
        options=options,
        sold_out=sold_out,
    )


def _money(text: str, currency: str) -> Money | None:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    whole, fraction, unit = match.groups()
    unit, fraction = unit or currency, (fraction or "").rstrip("0")
    if not unit or len(fraction) > (places := _places(unit)):
        return None
    return Money(int(whole + fraction.ljust(places, "0")), unit)


@lru_cache(maxsize=256)
def _places(currency: str) -> int:
    return get_currency_precision(currency)


def _window(text: str) -> tuple[int, int] | str | None:
    """Google's two moments, in ms; None without any; or what is wrong with them. Without a zone they are UTC."""
    if not text:
        return None
    try:
        moments = [dt.datetime.fromisoformat(part.strip()) for part in text.split("/")]
        zoned = [one if one.tzinfo else one.replace(tzinfo=dt.UTC) for one in moments]
        begins, ends = (int(one.timestamp() * 1000) for one in zoned)
    except (ValueError, OverflowError):
        return "is not like 2026-11-01T10:00Z/2026-11-05T23:59Z"
    if not 0 <= begins < ends:
        return "ends before it begins"
    return begins, min(ends, FOR_EVER_MS)


def window(sale: Sale) -> str:
    """A sale's two moments, as Google's feed writes them."""
    return "/".join(
        dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for ms in (sale.from_ms, sale.until_ms)
    )


def _options(values: dict[str, str]) -> dict[str, str] | None:
    """What is neither size nor colour, by name; None where it can't be read or is too much."""
    if not ("options" in values or "material" in values or "pattern" in values):
        return {}
    options = {name.capitalize(): values[name] for name in ("material", "pattern") if values.get(name)}
    if values.get("options"):
        try:
            options |= msgspec.json.decode(values["options"], type=dict[str, str])
        except msgspec.DecodeError:
            return None
    is_long = any(len(name) > OPTION_MAX or len(value) > OPTION_MAX for name, value in options.items())
    return None if is_long or len(options) > OPTIONS_MAX else options


def _unguarded(cell: str) -> str:
    cell = cell.strip()
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell


def _plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^<>]{0,2000}>", " ", html)).split())
