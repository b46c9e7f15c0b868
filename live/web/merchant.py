"""The reading API of a merchant's own system: orders, products, stock, shows. For staff and for tokens.

Lists come in pages: `next` of one is `after` of the following, and empty on the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from live.desk.wiring import Services
from live.errors import Invalid, NotFound
from live.events import LookRow, OrderStatus, ShowFacts
from live.shop.merchant import Sold, SoldProduct
from live.shop.orders import Order
from live.stage.show import Show
from live.web.reading import Json, asked
from live.web.security import reach_of
from live.web.speech import speaks

Limit = Annotated[int, msgspec.Meta(ge=1, le=200, description="How many a page.")]
After = Annotated[str, msgspec.Meta(max_length=80, description="`next` of the page before.")]
SKUS_MOST = 100
T = TypeVar("T")


class OrdersAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`since_ms`: placed then or later."""

    since_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    status: OrderStatus | Literal[""] = ""
    after: After = ""
    limit: Limit = 50


class OrdersPage(msgspec.Struct, frozen=True):
    """Orders, the first placed first."""

    orders: list[Order]
    next: str


@speaks(asks=OrdersAsked, gives=OrdersPage)
async def orders(request: Request) -> Response:
    """The orders of the brand or show, the first placed first: `OrdersPage`."""
    wanted, reach = asked(request, OrdersAsked), await reach_of(request)
    found = await _services(request).orders.since(
        brands_of=reach.brands,
        shows_of=reach.shows,
        since_ms=wanted.since_ms,
        after=_placed(wanted.after),
        status=wanted.status or None,
        limit=wanted.limit,
    )
    return Json(OrdersPage(found, _next(found, wanted.limit, lambda last: f"{last.created_ms}.{last.id}")))


@speaks(gives=Order)
async def order(request: Request) -> Response:
    """One order by its id: `Order`. Another brand's is not found."""
    s, reach = _services(request), await reach_of(request)
    found = await s.orders.by_id(request.path_params["order"])
    show = await s.shows.by_id(found.show)
    if show.id not in reach.shows and show.brand_id not in reach.brands:
        raise NotFound("order", found.id)
    return Json(found)


class ProductsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: After = ""
    limit: Limit = 50


class ProductsPage(msgspec.Struct, frozen=True):
    products: list[SoldProduct]
    next: str


@speaks(asks=ProductsAsked, gives=ProductsPage)
async def products(request: Request) -> Response:
    """The brand's products, also those that no card has shown yet: `ProductsPage`."""
    wanted, reach = asked(request, ProductsAsked), await reach_of(request)
    found = await _services(request).merchant.products(reach.brands, after=wanted.after, limit=wanted.limit)
    return Json(ProductsPage(found, _next(found, wanted.limit, lambda last: last.id)))


class StockAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`skus`, by comma: only of these."""

    skus: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    after: After = ""
    limit: Limit = 200


class StockPage(msgspec.Struct, frozen=True):
    stock: list[Sold]
    next: str


@speaks(asks=StockAsked, gives=StockPage)
async def stock(request: Request) -> Response:
    """What is on hand and sold, by SKU: `StockPage`."""
    wanted, reach = asked(request, StockAsked), await reach_of(request)
    skus = [sku for sku in wanted.skus.split(",") if sku]
    if len(skus) > SKUS_MOST:
        raise Invalid("skus", f"takes {SKUS_MOST}")
    reads = _services(request).merchant
    found = await reads.stock(reach.brands, skus=skus, after=wanted.after, limit=wanted.limit)
    return Json(StockPage(found, _next(found, wanted.limit, lambda last: last.sku)))


class ShowsNow(msgspec.Struct, frozen=True):
    shows: list[ShowFacts]


@speaks(gives=ShowsNow)
async def shows(request: Request) -> Response:
    """The brand's shows, those on air first: `ShowsNow`."""
    reach = await reach_of(request)
    found = await _services(request).shows.list()
    return Json(ShowsNow([one.facts for one in found if one.id in reach.shows or one.brand_id in reach.brands]))


class RunNow(msgspec.Struct, frozen=True):
    """Every look of the show in its order, also those that wait."""

    looks: list[LookRow]


@speaks(gives=RunNow)
async def run(request: Request) -> Response:
    """The show's run: `RunNow`."""
    show: Show = request.state.show
    return Json(RunNow((await _services(request).programmes.of(show.id)).rows))


class MomentTold(msgspec.Struct, frozen=True):
    """`id` is what an order's line names as its `drop`; `at_ms` is media time, `wall_ms` server time; `actor` who did
    it, a person's, staff's or token's id."""

    id: int
    kind: str
    at_ms: int
    wall_ms: int
    actor: str
    body: dict[str, Any]


class TimelineNow(msgspec.Struct, frozen=True):
    moments: list[MomentTold]


@speaks(gives=TimelineNow)
async def timeline(request: Request) -> Response:
    """What happened in the show, in its order: `TimelineNow`."""
    show: Show = request.state.show
    moments = await _services(request).timeline.of(show.id)
    return Json(
        TimelineNow(
            [
                MomentTold(one.id, one.kind, one.at_ms, one.wall_ms, one.actor, msgspec.json.decode(one.body))
                for one in moments
            ]
        )
    )


def _next(found: list[T], limit: int, place: Callable[[T], str]) -> str:
    """Where the following page begins; "" where this one is not full."""
    return place(found[-1]) if len(found) == limit else ""


def _placed(after: str) -> tuple[int, str]:
    """`1767225600000.ord_…` as (created_ms, id). Raises: Invalid."""
    placed, _, order_id = after.partition(".")
    if not after:
        return (0, "")
    if not (placed.isascii() and placed.isdigit() and len(placed) <= 15 and order_id):
        raise Invalid("after", "is `next` of the page before")
    return int(placed), order_id


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
