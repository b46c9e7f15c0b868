"""The order desk's pages: the list with its search, one order with its acts, packing lists, the list as CSV.

All of it works without a script. An act that moves money or cannot be taken back asks first, on a page that says what
will happen and to whom; its form carries the act's own name and the version of the order that was looked at, so that a
double click is one act and two people's acts are not two refunds. Templates in studio/.
"""

from __future__ import annotations

import datetime as dt
from urllib.parse import quote, urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from live.desk.wiring import Services
from live.errors import Conflict, Error, IdempotencyMismatch, Invalid, WrongState
from live.ids import new_id
from live.shop.after_sale import By
from live.shop.order_list import Row, Wanted
from live.shop.order_story import StaffOrder
from live.web import order_words as words
from live.web.masthead import studio_house, studio_links
from live.web.order_forms import ACTS, Doing
from live.web.orders_api import scope_of
from live.web.orders_csv import rows_of
from live.web.reading import form_of
from live.web.security import actor_of
from live.web.templating import page
from live.web.words import when

PACKED_AT_ONCE = 50


# ---- the list ----------------------------------------------------------------------------------


async def index(request: Request) -> Response:
    """GET /studio/orders?q=&status=&show=&from=&to=&after="""
    s, reach = _services(request), await scope_of(request)
    trouble, after, rows = "", "", list[Row]()
    try:
        rows, after = await s.order_list.page(reach, _wanted(request))
    except Invalid as why:
        trouble = f"{why.facts['field']} {why.facts['why']}."
    asked = {name: request.query_params.get(name, "") for name in ("q", "status", "show", "from", "to")}
    query = {name: value for name, value in asked.items() if value}
    return page(
        request,
        "studio/orders.html",
        house=await studio_house(request),
        nav=await studio_links(request),
        rows=[words.row_view(row) for row in rows],
        asked=asked,
        trouble=trouble,
        filtered=bool(query),
        csv_url=f"/studio/orders.csv?{urlencode(query)}",
        next_url=f"/studio/orders?{urlencode({**query, 'after': after})}" if after else "",
        first_url=f"/studio/orders?{urlencode(query)}" if request.query_params.get("after") else "",
        statuses=words.statuses(),
        shows=[("", "All shows"), *await s.order_list.shows(reach)],
    )


async def export(request: Request) -> Response:
    """GET /studio/orders.csv: what the list shows, one row a line of an order, for a spreadsheet."""
    s, reach = _services(request), await scope_of(request)
    wanted = _wanted(request)
    await s.order_list.page(reach, wanted, limit=1)  # what is wrong with the filters is told before anything is sent
    today = dt.datetime.fromtimestamp(s.clock.now_ms() / 1000, dt.UTC).date().isoformat()
    headers = {"Content-Disposition": f'attachment; filename="orders-{today}.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(
        rows_of(s.order_list, reach, wanted), media_type="text/csv; charset=utf-8", headers=headers
    )


async def packing(request: Request) -> Response:
    """GET /studio/packing?n=FR-…&n=FR-…: a sheet an order, with what is still to be shipped of it."""
    s = _services(request)
    numbers = [number.upper()[:20] for number in request.query_params.getlist("n")][:PACKED_AT_ONCE]
    orders = await s.order_list.numbered(await scope_of(request), numbers) if numbers else []
    sheets = [
        {
            "number": order.number,
            "brand": order.brand,
            "show": order.show_title,
            "name": order.name,
            "address": words.address_of(order),
            "when_ms": order.created_ms,
            "when": when(order.created_ms),
            "lines": [
                {"sku": line.sku, "title": line.title, "what": words.what_of(line), "qty": open_}
                for line in order.lines
                if (open_ := line.qty - line.shipped - line.struck) > 0
            ],
        }
        for order in orders
        if order.paid_ms is not None
    ]
    sheets = [sheet for sheet in sheets if sheet["lines"]]
    return page(
        request,
        "studio/packing.html",
        house=await studio_house(request),
        nav=await studio_links(request),
        sheets=sheets,
    )


# ---- one order ---------------------------------------------------------------------------------


async def order(request: Request) -> Response:
    """GET /studio/orders/{number}. Raises NotFound, also for another brand's."""
    found = await _services(request).order_list.one(await scope_of(request), request.path_params["number"])
    return await _page_of(request, found, done=words.DONE_WORDS.get(request.query_params.get("done", ""), ""))


async def act(request: Request) -> Response:
    """POST /studio/orders/{number}: one of ACTS. Asks first where `confirm` is missing and the act wants it.

    What can't be done is said on the order's own page, as it is now. Raises NotFound.
    """
    s, reach, number = _services(request), await scope_of(request), request.path_params["number"]
    found = await s.order_list.one(reach, number)
    form = await form_of(request)
    name = str(form.get("act", ""))
    try:
        if name not in ACTS:
            raise Invalid("act", "is none that an order knows")
        doing = ACTS[name](s, found, form)
        if doing.question and form.get("confirm") != "yes":
            return await _confirm(request, found, form, doing)
        await doing.do(By(actor_of(request), str(form.get("op", ""))[:64] or new_id("op"), _seen(form)))
    except (Conflict, WrongState, Invalid, IdempotencyMismatch) as why:
        now = await s.order_list.one(reach, number)
        return await _page_of(request, now, tried=name, trouble=await _trouble(s, now, why), status=_status(why))
    return RedirectResponse(f"/studio/orders/{quote(found.order.number)}?done={name}", 303)


# ---- what an act's pages share -----------------------------------------------------------------


async def _page_of(
    request: Request, found: StaffOrder, *, done: str = "", tried: str = "", trouble: str = "", status: int = 200
) -> Response:
    """`tried` is the act that `trouble` is of: its form is open, to be filled again."""
    s = _services(request)
    return page(
        request,
        "studio/order.html",
        status=status,
        house=found.order.brand,
        nav=await studio_links(request),
        order=words.staff_view(found),
        buyers_url=f"{s.settings.base_url}/orders/{found.order.token}",
        ops={name: new_id("op") for name in ACTS},
        done=done,
        tried=tried,
        trouble=trouble,
    )


async def _confirm(request: Request, found: StaffOrder, form: FormData, doing: Doing) -> Response:
    kept = [(name, str(value)) for name, value in form.multi_items() if name not in ("csrf", "confirm")]
    return page(
        request,
        "studio/order_confirm.html",
        house=found.order.brand,
        nav=await studio_links(request),
        number=found.order.number,
        doing=doing,
        fields=kept,
    )


async def _trouble(s: Services, found: StaffOrder, why: Error) -> str:
    if isinstance(why, Conflict):
        actor = await s.staff.by_id(str(why.facts.get("actor", "")))
        return words.refused(
            why.facts["why"], {**why.facts, "name": actor.name if actor else "", "left": found.left.words()}
        )
    if isinstance(why, WrongState):
        return "That is done already, or there is nothing left to do it with. This is the order as it is now."
    if isinstance(why, IdempotencyMismatch):
        return "That form was used before. Fill it in again here."
    return f"{_FIELDS.get(why.facts['field'], why.facts['field'])} {why.facts['why']}."


_FIELDS = {
    "tracking_url": "The link to the parcel",
    "amount": "The amount",
    "amount_minor": "The amount",
    "qty": "The number of pieces",
    "lines": "Pieces:",
    "note": "The note",
    "refund": "The refund",
    "carrier": "The carrier",
    "tracking": "The parcel's number",
}


def _status(why: Error) -> int:
    return 409 if isinstance(why, Conflict | WrongState) else 422


def _seen(form: FormData) -> int | None:
    text = str(form.get("seen", ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None


# ---- reading the query -------------------------------------------------------------------------


def _wanted(request: Request) -> Wanted:
    """The filters; `from` and `to` are days in UTC, both included. Raises Invalid."""
    query = request.query_params
    return Wanted(
        text=query.get("q", "").strip(),
        status=query.get("status", ""),
        show=query.get("show", ""),
        since_ms=_day(query.get("from", ""), "From"),
        until_ms=_day(query.get("to", ""), "To", days=1),
        after=query.get("after", ""),
    )


def _day(text: str, field: str, *, days: int = 0) -> int | None:
    if not text:
        return None
    try:
        day = dt.date.fromisoformat(text) + dt.timedelta(days=days)
    except (ValueError, OverflowError):
        raise Invalid(field, "is not a day, as 2026-11-28 is") from None
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp() * 1000)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
