"""What the catalogue's pages ask for: other words and prices, pictures, imports. For staff of the brand it is about."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from live.desk.wiring import Services
from live.edition import edition_of
from live.money import Money
from live.shop.assortment import House
from live.shop.imports import FILE_MAX
from live.shop.pricing import FOR_EVER_MS, Sale
from live.shop.web_sizes import BYTES_MAX
from live.web.catalogue_desk import ImportNow, Shot, brief, house_by_id, house_of, picture_view, whole
from live.web.reading import Json, asked, body
from live.web.speech import speaks

PICTURE_MAX = BYTES_MAX + 1024  # so that it is our own words that refuse one byte too many
FEED_MAX = FILE_MAX + 1024
UPLOAD_S = 15 * 60
Edition = Annotated[str, msgspec.Meta(max_length=16)]
Minor = Annotated[int, msgspec.Meta(ge=0, le=100_000_000_00)]
Moment = Annotated[int, msgspec.Meta(ge=0, le=FOR_EVER_MS)]


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`edition` is the one that a change was made from, as the page or the last answer has it: where another was saved
    meanwhile it is refused (`edited`). Empty: it overwrites."""

    title: Annotated[str, msgspec.Meta(max_length=400)]
    blurb: Annotated[str, msgspec.Meta(max_length=5_000)] = ""
    edition: Edition = ""


@speaks(takes=Words, gives=Words, example={"title": "Long coat", "blurb": "Wool, belted."})
async def describe(request: Request) -> Response:
    """Another title and text: {"title", "blurb", "edition"}. Cards that are out say it at once."""
    s, product, _ = await _product(request)
    words = await body(request, Words)
    await s.assortment.describe(product, title=words.title, blurb=words.blurb, edition=words.edition)
    await s.rail.changed(await s.assortment.skus(product))
    sheet = await s.assortment.sheet(product)
    return Json(Words(sheet.title, sheet.blurb, sheet.edition))


class ProductCap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`edition`: as of `Words`."""

    limit: int | None
    edition: Edition = ""


class ProductNow(msgspec.Struct, frozen=True):
    product: str
    limit: int | None
    edition: str


@speaks(takes=ProductCap, gives=ProductNow, example={"limit": 1})
async def cap(request: Request) -> Response:
    """At most so many units of a product a buyer, all its variants together, in every show: {"product", "limit",
    "edition"}."""
    s, product, _ = await _product(request)
    wanted = await body(request, ProductCap)
    await s.desk.cap_product(product, wanted.limit, edition=wanted.edition)
    return Json(ProductNow(product, wanted.limit, edition_of(wanted.limit)))


class SaleOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Without `from_ms` it begins now, without `until_ms` it has no end."""

    minor: Minor
    from_ms: Moment | None = None
    until_ms: Moment | None = None


class Pricing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`price_minor` is charged while no sale is on. `sale` null: there is none, and one that was planned is not.
    `edition`: as of `Words`."""

    price_minor: Minor
    sale: SaleOf | None = None
    edition: Edition = ""


class PriceNow(msgspec.Struct, frozen=True):
    charged: Money
    was: Money | None
    edition: str


@speaks(takes=Pricing, gives=PriceNow, example={"price_minor": 12_900, "sale": {"minor": 9_900}})
async def price(request: Request) -> Response:
    """Another price: {"charged": Money, "was": Money | null, "edition"}, as they are now."""
    s = _services(request)
    sku = request.path_params["sku"]
    brand = await s.adjustments.brand_of(sku)
    await house_by_id(request, brand, "sku", sku)
    wanted = await body(request, Pricing)
    sale = None
    if wanted.sale is not None:
        begins = wanted.sale.from_ms if wanted.sale.from_ms is not None else s.clock.now_ms()
        sale = Sale(wanted.sale.minor, begins, wanted.sale.until_ms or FOR_EVER_MS)
    before = await s.assortment.unit(sku)
    # A reduction that was announced by a feed goes on while its price does.
    goes_on = before.was is not None and before.sale is None and before.price.minor == wanted.price_minor
    await s.catalogue.set_price(sku, wanted.price_minor, announced=goes_on, sale=sale, edition=wanted.edition)
    await s.rail.changed([sku])
    unit = await s.assortment.unit(sku)
    return Json(PriceNow(unit.charged, unit.was, unit.edition))


# ---- pictures ----------------------------------------------------------------------------------


class OnePicture(msgspec.Struct, frozen=True):
    picture: Shot


class Seen(msgspec.Struct, frozen=True):
    """`alt` says what the picture shows, for those who don't see it."""

    alt: str = ""


@speaks(asks=Seen, gives=OnePicture, status=201, takes_as="application/octet-stream")
async def picture_add(request: Request) -> Response:
    """Take the body in as a picture; query `alt` says what it shows: 201 {"picture"}."""
    s, product, _ = await _product(request)
    picture = await s.pictures.add(product, asked(request, Seen).alt, request.stream())
    await s.rail.changed(await s.assortment.skus(product))
    return Json(OnePicture(picture_view(picture)), 201)


class Described(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`first`: it becomes the card's."""

    alt: Annotated[str, msgspec.Meta(max_length=250)] | None = None
    first: bool = False


@speaks(takes=Described, gives=OnePicture, example={"alt": "A coat, from behind", "first": True})
async def picture_change(request: Request) -> Response:
    """Other words, or the first place: {"picture"}."""
    s, product = await _picture(request)
    wanted = await body(request, Described)
    picture = await s.pictures.describe(request.path_params["picture"], alt=wanted.alt, first=wanted.first)
    await s.rail.changed(await s.assortment.skus(product))
    return Json(OnePicture(picture_view(picture)))


@speaks()
async def picture_remove(request: Request) -> Response:
    """Take a picture off its product: 204."""
    s, product = await _picture(request)
    await s.pictures.remove(request.path_params["picture"])
    await s.rail.changed(await s.assortment.skus(product))
    return Response(status_code=204)


# ---- imports -----------------------------------------------------------------------------------


class OneImport(msgspec.Struct, frozen=True):
    import_: ImportNow = msgspec.field(name="import")


class Imports(msgspec.Struct, frozen=True):
    imports: list[ImportNow]


class OfBrand(msgspec.Struct, frozen=True):
    """`brand` is its slug; left out, the first by name of those whose staff one is."""

    brand: str = ""


class OfFile(msgspec.Struct, frozen=True):
    """`name` is the file's."""

    name: str = ""
    brand: str = ""


@speaks(asks=OfFile, gives=OneImport, status=201, takes_as="application/octet-stream")
async def import_add(request: Request) -> Response:
    """Take the body in as a feed, to be checked; queries `name` and `brand`: 201 {"import"}."""
    house, _ = await house_of(request)
    name = " ".join(asked(request, OfFile).name.split())[:120] or "feed"
    kept = await _services(request).imports.receive(house.id, name, request.state.session.name, request.stream())
    return Json(OneImport(brief(kept)), 201)


@speaks(asks=OfBrand, gives=Imports)
async def import_list(request: Request) -> Response:
    """The brand's last imports, the newest first: {"imports"}. Query `brand`."""
    house, _ = await house_of(request)
    return Json(Imports([brief(one) for one in await _services(request).imports.list(house.id)]))


@speaks(gives=OneImport)
async def import_one(request: Request) -> Response:
    """One, with what it changes and what it rejects: {"import"}."""
    s, found, house = await _import(request)
    return Json(OneImport(whole(await s.imports.by_id(found), house.currency)))


@speaks(gives=OneImport, status=202)
async def import_apply(request: Request) -> Response:
    """Bring in what was checked: 202 {"import"}."""
    s, found, _ = await _import(request)
    return Json(OneImport(brief(await s.imports.bring_in(found, request.state.session.name))), 202)


@speaks(gives=OneImport)
async def import_stop(request: Request) -> Response:
    """Stop it, or forget a file that was only checked: {"import"}. What was brought in stays."""
    s, found, _ = await _import(request)
    return Json(OneImport(brief(await s.imports.stop(found))))


# ---- whose it is -------------------------------------------------------------------------------


async def _product(request: Request) -> tuple[Services, str, House]:
    s, product = _services(request), request.path_params["product"]
    return s, product, await house_by_id(request, await s.assortment.brand_of(product), "product", product)


async def _picture(request: Request) -> tuple[Services, str]:
    s = _services(request)
    picture = await s.pictures.by_id(request.path_params["picture"])
    await house_by_id(request, await s.assortment.brand_of(picture.product), "picture", picture.id)
    return s, picture.product


async def _import(request: Request) -> tuple[Services, str, House]:
    s = _services(request)
    found = await s.imports.by_id(request.path_params["id"])
    return s, found.id, await house_by_id(request, found.brand, "import", found.id)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
