"""The picture desk: what those who run a show see of its picture, as a page and as JSON. No addresses, no sessions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from live.desk.wiring import Services
from live.media.seen import MOST_LINES, LinesSeen, PictureSeen, page_of, together
from live.stage.show import Show
from live.web.masthead import show_links
from live.web.reading import Json, asked
from live.web.speech import speaks
from live.web.templating import page

WORST = 8
_DEEPEST = 2_000  # viewers of one relay that a list goes through


async def desk(request: Request) -> Response:
    """GET /studio/shows/{slug}/picture: the page, drawn with what is so now."""
    show: Show = request.state.show
    nav = [("/studio", "Shows"), *show_links(show, {"host"})]
    return page(request, "studio/picture.html", show=show.facts, nav=nav, state=await _seen(request))


@speaks(gives=PictureSeen)
async def seen(request: Request) -> Response:
    """The publisher's streams, the relays, the worst lines: `PictureSeen`."""
    return Json(await _seen(request), headers={"Cache-Control": "no-store"})


class Page(msgspec.Struct, frozen=True):
    offset: Annotated[int, msgspec.Meta(ge=0, le=_DEEPEST)] = 0
    limit: Annotated[int, msgspec.Meta(ge=0, le=MOST_LINES)] = 50


@speaks(asks=Page, gives=LinesSeen)
async def viewers(request: Request) -> Response:
    """A page of the viewers, worst lines first: {"total", "lines": [LineSeen…]}."""
    wanted = asked(request, Page)
    offset, limit = wanted.offset, wanted.limit
    parts = await _services(request).relays.lines(request.state.show.id, most=offset + limit)
    return Json(page_of(parts, offset, limit), headers={"Cache-Control": "no-store"})


async def _seen(request: Request) -> PictureSeen:
    return together(await _services(request).relays.seen(request.state.show.id, worst=WORST), worst=WORST)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
