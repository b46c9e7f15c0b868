"""The catalogue's pages for the brand's staff: the list, a product, bringing a feed in. Templates in studio/."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
from babel.numbers import get_currency_precision
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from live.desk.wiring import Services
from live.errors import Forbidden, NotFound
from live.money import Money
from live.shop.assortment import A_PAGE, House, Row, Sheet
from live.shop.feed_export import EXPORTS, Format
from live.shop.imports import Import, State
from live.shop.pictures import Picture
from live.shop.pricing import FOR_EVER_MS
from live.web.masthead import studio_links
from live.web.security import grants_of
from live.web.templating import page

WORDS_MAX = 100  # of a search
LOOK_STATES = {"waiting": "waits for its drop", "dropped": "is out", "withdrawn": "was taken back"}


async def catalogue(request: Request) -> Response:
    """GET /studio/catalogue: what the brand sells, found by words, a page at a time."""
    house, houses = await house_of(request)
    words = " ".join(request.query_params.get("q", "").split())[:WORDS_MAX]
    number = _page_number(request.query_params.get("page", ""))
    found = await _services(request).assortment.find(house, words, number)
    last = max(1, -(-found.total // A_PAGE))
    return page(
        request,
        "studio/catalogue.html",
        nav=await studio_links(request, brand=house.slug),
        house=house,
        houses=houses,
        words=words,
        rows=[_row(row) for row in found.rows],
        total=found.total,
        number=number,
        last=last,
    )


async def product(request: Request) -> Response:
    """GET /studio/catalogue/{product}: a product, to be changed. Raises: NotFound."""
    s = _services(request)
    sheet = await s.assortment.sheet(request.path_params["product"])
    house = await house_by_id(request, sheet.brand_id, "product", sheet.id)
    pictures = await s.pictures.of(sheet.id)
    return page(
        request,
        "studio/product.html",
        nav=await studio_links(request, brand=house.slug),
        house=house,
        sheet=sheet_view(sheet, house),
        pictures=pictures,
    )


async def bring_in(request: Request) -> Response:
    """GET /studio/catalogue/import: choose a feed, see what it would change, bring it in."""
    house, houses = await house_of(request)
    kept = await _services(request).imports.list(house.id)
    return page(
        request,
        "studio/import.html",
        nav=await studio_links(request, brand=house.slug),
        house=house,
        houses=houses,
        state={"imports": [brief(one) for one in kept]},
    )


async def export_google(request: Request) -> Response:
    """GET /studio/catalogue/export.tsv: Google's feed of the brand, which the import takes back."""
    return await _export(request, "google", "tsv", "text/tab-separated-values")


async def export_shopify(request: Request) -> Response:
    """GET /studio/catalogue/export.csv: Shopify's product CSV of the brand, which the import takes back."""
    return await _export(request, "shopify", "csv", "text/csv")


async def _export(request: Request, kind: Format, ending: str, media_type: str) -> Response:
    house, _ = await house_of(request)
    headers = {"Content-Disposition": f'attachment; filename="{house.slug}.{ending}"'}
    rows = _lines(EXPORTS[kind](_services(request).db, house.id), "\t" if ending == "tsv" else ",")
    return StreamingResponse(rows, media_type=f"{media_type}; charset=utf-8", headers=headers)


# ---- whose catalogue it is ---------------------------------------------------------------------


async def house_of(request: Request) -> tuple[House, list[House]]:
    """The brand of `?brand=`, or the first by name, and all that are the person's. Raises: NotFound, Forbidden."""
    houses = await _services(request).assortment.brands(await _brand_ids(request))
    if not houses:
        raise Forbidden("staff")  # of one show alone: a catalogue is its brand's
    slug = request.query_params.get("brand", "")
    for house in houses:
        if slug in ("", house.slug):
            return house, houses
    raise NotFound("brand", slug)


async def house_by_id(request: Request, brand_id: str, what: str, which: str) -> House:
    """The brand of something, when it is the person's. Raises: NotFound: another brand's is none to her."""
    if brand_id not in await _brand_ids(request):
        raise NotFound(what, which)
    return (await _services(request).assortment.brands([brand_id]))[0]


async def _brand_ids(request: Request) -> list[str]:
    grants = await grants_of(request, request.state.session)
    return [grant.brand_id for grant in grants if grant.role == "staff" and grant.brand_id and not grant.show_id]


# ---- what templates and scripts print ----------------------------------------------------------


def sheet_view(sheet: Sheet, house: House) -> dict[str, Any]:
    places = get_currency_precision(house.currency)
    units = [
        {
            "sku": unit.sku,
            "colour": unit.colour,
            "what": " · ".join(part for part in (unit.size, unit.colour, *unit.options.values()) if part) or "One size",
            "gtin": unit.gtin,
            "price": unit.price.plain(),
            "sale": Money(unit.sale.minor, house.currency).plain() if unit.sale else "",
            "from_ms": unit.sale.from_ms if unit.sale else "",
            "until_ms": unit.sale.until_ms if unit.sale and unit.sale.until_ms < FOR_EVER_MS else "",
            "charged": unit.charged.words(),
            "was": unit.was.words() if unit.was else "",
            "on_hand": unit.on_hand,
            "sold": unit.sold,
            "edition": unit.edition,
            "left": unit.on_hand - unit.sold,
        }
        for unit in sheet.units
    ]
    looks = [
        {"slug": slug, "show": title, "words": f"Look {number} {LOOK_STATES.get(state, state)}"}
        for slug, title, number, state in sheet.looks
    ]
    return {
        "id": sheet.id,
        "title": sheet.title,
        "blurb": sheet.blurb,
        "cap": sheet.cap or "",
        "edition": sheet.edition,
        "cap_edition": sheet.cap_edition,
        "groups": by_colour(units),
        "looks": looks,
        "places": places,
        "symbol": house.currency,
    }


def by_colour(units: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The units of each colour, in the order in which the colours come."""
    colours: dict[str, list[dict[str, Any]]] = {}
    for unit in units:
        colours.setdefault(unit["colour"], []).append(unit)
    return [
        {
            "colour": colour or "No colour",
            "units": some,
            "skus": "1 SKU" if len(some) == 1 else f"{len(some)} SKUs",
            "left": sum(unit["left"] for unit in some),
        }
        for colour, some in colours.items()
    ]


class Shot(msgspec.Struct, frozen=True):
    """A picture of a product. `srcset` is the same in every width, as HTML's attribute has it."""

    id: str
    url: str
    srcset: str
    alt: str


class ChangedRow(msgspec.Struct, frozen=True):
    line: int
    sku: str
    kind: Literal["new", "changed"]
    words: str


class RejectedRow(msgspec.Struct, frozen=True):
    line: int
    column: str
    why: str


class ImportNow(msgspec.Struct, frozen=True):
    """An import as it stands. In a list, nothing is said of single rows."""

    id: str
    name: str
    state: State
    actor: str
    why: str
    percent: int
    new: int
    changed: int
    same: int
    rejected: int
    created_ms: int
    ended_ms: int | None
    changes: list[ChangedRow] = []
    rejects: list[RejectedRow] = []


def picture_view(picture: Picture) -> Shot:
    return Shot(picture.id, picture.url, picture.srcset, picture.alt)


def brief(one: Import) -> ImportNow:
    """Figures, and how far it is."""
    percent = min(99, 100 * one.bytes_read // one.bytes) if one.bytes else 0
    return ImportNow(
        one.id,
        one.name,
        one.state,
        one.actor,
        one.why,
        100 if one.state in ("checked", "done") else percent,
        one.said.new,
        one.said.changed,
        one.said.same,
        one.said.rejected,
        one.created_ms,
        one.ended_ms,
    )


def whole(one: Import, currency: str) -> ImportNow:
    """With what is to be said of single rows."""
    changes = [
        ChangedRow(change.line, change.sku, change.kind, _changes(change.fields, currency))
        for change in one.said.changes
    ]
    rejects = [RejectedRow(row.line, row.column, row.why) for row in one.said.rejects]
    return msgspec.structs.replace(brief(one), changes=changes, rejects=rejects)


_NAMES = {
    "size": "Size",
    "colour": "Colour",
    "gtin": "GTIN",
    "options": "Options",
    "price_minor": "Price",
    "was_minor": "Struck through",
    "sale_minor": "Sale price",
    "sale_was_minor": "Struck through in the sale",
    "on_hand": "On hand",
    "title": "Title",
    "blurb": "Text",
}


def _changes(fields: dict[str, tuple[Any, Any]], currency: str) -> str:
    said = []
    for name, (was, becomes) in fields.items():
        if name in ("sale_from_ms", "sale_until_ms"):
            continue
        as_words = [
            ("none" if value in (None, "", "{}") else Money(value, currency).words())
            if name.endswith("_minor")
            else _short(value)
            for value in (was, becomes)
        ]
        said.append(f"{_NAMES.get(name, name)} {as_words[0]} → {as_words[1]}")
    if not said and fields:
        said.append("Sale dates")
    return "; ".join(said)


def _short(value: object) -> str:
    text = str(value) if value not in (None, "", "{}") else "none"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _row(row: Row) -> dict[str, Any]:
    price = row.lowest.words() if row.lowest == row.highest else f"{row.lowest.words()} to {row.highest.words()}"
    return {
        "id": row.id,
        "title": row.title,
        "picture": row.picture,
        "price": price if row.skus else "",
        "skus": f"{row.skus} SKU" if row.skus == 1 else f"{row.skus} SKUs",
        "left": f"{row.left:,} left" if row.left > 0 else "Sold out",
        "gone": row.left < 1,
    }


def _page_number(text: str) -> int:
    return min(int(text), 100_000) if text.isascii() and text.isdigit() and int(text[:7]) > 0 else 1


async def _lines(rows: AsyncIterator[list[str]], delimiter: str) -> AsyncIterator[str]:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    async for cells in rows:
        writer.writerow(cells)
        if out.tell() > 64 * 1024:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
