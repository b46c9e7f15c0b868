"""Orders by the API: what the studio's pages do, for programs. See docs/api.md.

Every answer to an act is the order as it is now, whole. An act is named by its `op`: sent again, it is the same act.
With `seen` (the order's `version`) it is refused when somebody acted since.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from live.errors import Invalid
from live.events import OrderStatus
from live.shop.after_sale import By
from live.shop.order_acts import Parcel
from live.shop.order_list import PAGE, TEXT_LIMIT, Reach, Row, Wanted
from live.shop.order_story import StaffOrder
from live.web.reading import Json, asked, body, services_of
from live.web.security import actor_of, reach_of
from live.web.speech import speaks

Op = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Lines = Annotated[dict[str, Annotated[int, msgspec.Meta(ge=0, le=1000)]], msgspec.Meta(max_length=100)]
Note = Annotated[str, msgspec.Meta(max_length=500)]
Ms = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Minor = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


View = Literal["", "all", "to_ship", "refund_open", "refund_refused", "refund_failed", "disputed"]


class OrdersAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`q` in number, e-mail or name, or the beginning of a SKU; `status` one of an order, or a view of the list."""

    q: Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)] = ""
    status: OrderStatus | View = ""
    show: Annotated[str, msgspec.Meta(max_length=80)] = ""
    since_ms: Ms | None = None
    until_ms: Ms | None = None
    after: Annotated[str, msgspec.Meta(max_length=80)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = PAGE


class OrdersFound(msgspec.Struct, frozen=True):
    """Newest first; `next` is `after` of the page that follows, or empty."""

    orders: list[Row]
    next: str


class Shipping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`lines`: SKU -> units that leave. `tracking_url` is https."""

    op: Op
    lines: Lines
    carrier: Annotated[str, msgspec.Meta(max_length=60)] = ""
    tracking: Annotated[str, msgspec.Meta(max_length=80)] = ""
    tracking_url: Annotated[str, msgspec.Meta(max_length=500)] = ""
    seen: int | None = None


class Undoing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    op: Op
    seen: int | None = None


class Returning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`restock`: those of `lines` that can be sold again. `refund_minor`: null gives their worth back, 0 nothing."""

    op: Op
    lines: Lines
    restock: Lines = {}
    refund_minor: Minor | None = None
    seen: int | None = None


class Refunding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the three: an amount, units whose worth it is, or `again`: a refund that was refused or came back."""

    op: Op
    amount_minor: Minor | None = None
    lines: Lines | None = None
    again: Annotated[str, msgspec.Meta(max_length=64)] = ""
    note: Note = ""
    seen: int | None = None


class Cancelling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Without `lines`: everything that was not shipped."""

    op: Op
    lines: Lines | None = None
    note: Note = ""
    seen: int | None = None


class Noting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    op: Op
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


@speaks(asks=OrdersAsked, gives=OrdersFound)
async def index(request: Request) -> Response:
    """Orders, newest first: `OrdersFound`."""
    wish = asked(request, OrdersAsked)
    wanted = Wanted(wish.q.strip(), wish.status, wish.show, wish.since_ms, wish.until_ms, wish.after)
    found = await services_of(request).order_list.page(await scope_of(request), wanted, limit=wish.limit)
    return Json(OrdersFound(*found))


@speaks(gives=StaffOrder)
async def one(request: Request) -> Response:
    """An order with its units, refunds, origins and ledger: `StaffOrder`."""
    return await _now(request)


@speaks(
    takes=Shipping,
    gives=StaffOrder,
    example={"op": "parcel-1", "lines": {"COAT-38": 1}, "carrier": "DHL", "tracking_url": "https://example.com/JJD1"},
)
async def fulfil(request: Request) -> Response:
    """Units left: `StaffOrder`."""
    wish = await body(request, Shipping)
    parcel = Parcel(dict(wish.lines), wish.carrier, wish.tracking, wish.tracking_url)
    await services_of(request).order_desk.fulfil(await _order(request), _by(request, wish.op, wish.seen), parcel)
    return await _now(request)


@speaks(takes=Undoing, gives=StaffOrder, example={"op": "undo-1"})
async def unfulfil(request: Request) -> Response:
    """They did not: `StaffOrder`."""
    wish, shipment = await body(request, Undoing), request.path_params["shipment"]
    await services_of(request).order_desk.unfulfil(await _order(request), _by(request, wish.op, wish.seen), shipment)
    return await _now(request)


@speaks(
    takes=Returning, gives=StaffOrder, example={"op": "return-1", "lines": {"COAT-38": 1}, "restock": {"COAT-38": 1}}
)
async def take_back(request: Request) -> Response:
    """Units came back: `StaffOrder`."""
    wish = await body(request, Returning)
    by, lines, again = _by(request, wish.op, wish.seen), dict(wish.lines), dict(wish.restock)
    await services_of(request).order_desk.take_back(await _order(request), by, lines, again, wish.refund_minor)
    return await _now(request)


@speaks(takes=Refunding, gives=StaffOrder, example={"op": "refund-1", "amount_minor": 500, "note": "late"})
async def refund(request: Request) -> Response:
    """Money goes back: `StaffOrder`, in which the refund is `done` (`accepted` while banks are at it), or `asked` while
    the provider does not answer."""
    wish, desk = await body(request, Refunding), services_of(request).order_desk
    by, lines = _by(request, wish.op, wish.seen), None if wish.lines is None else dict(wish.lines)
    if not wish.again:
        await desk.refund(await _order(request), by, wish.amount_minor, lines, wish.note)
    elif (wish.amount_minor, lines, wish.note) == (None, None, ""):
        await desk.send_again(await _order(request), by, wish.again)
    else:
        raise Invalid("again", "goes with no amount, lines or note of its own")
    return await _now(request)


@speaks(takes=Cancelling, gives=StaffOrder, example={"op": "cancel-1"})
async def cancel(request: Request) -> Response:
    """Units will not be shipped: `StaffOrder`."""
    wish = await body(request, Cancelling)
    by, lines = _by(request, wish.op, wish.seen), None if wish.lines is None else dict(wish.lines)
    await services_of(request).order_desk.cancel(await _order(request), by, lines, wish.note)
    return await _now(request)


@speaks(takes=Noting, gives=StaffOrder, example={"op": "note-1", "note": "called, comes on Friday"})
async def note(request: Request) -> Response:
    """Something that only staff read: `StaffOrder`."""
    wish = await body(request, Noting)
    await services_of(request).order_desk.note(await _order(request), _by(request, wish.op, None), wish.note)
    return await _now(request)


# ---- what the pages use too --------------------------------------------------------------------


async def scope_of(request: Request) -> Reach:
    """Whose orders the asker may see: the brands and shows whose staff she is."""
    reach = await reach_of(request)
    return Reach(frozenset(reach.brands), frozenset(reach.shows))


def _by(request: Request, op: str, seen: int | None) -> By:
    return By(actor_of(request), op, seen)


async def _order(request: Request) -> str:
    return await services_of(request).order_list.id_of(await scope_of(request), request.path_params["number"])


async def _now(request: Request) -> Response:
    return Json(await services_of(request).order_list.one(await scope_of(request), request.path_params["number"]))
