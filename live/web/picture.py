"""Where a page finds the picture of its show: GET /api/shows/{slug}/picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from live.errors import NotLive
from live.media.port import Channel, PlayEndpoint, Viewer, ways
from live.web.reading import Json
from live.web.speech import speaks
from live.web.whip import may_watch

if TYPE_CHECKING:
    from live.desk.wiring import Services


class Ways(msgspec.Struct, frozen=True):
    ways: list[PlayEndpoint]


@speaks(gives=Ways)
async def picture(request: Request) -> Response:
    """The ways to watch, best first: {"ways": [{"kind", "url", "token"?, "ice_servers"?}]}. 409 while not on air."""
    services: Services = request.app.state.services
    show = await services.shows.by_slug(request.path_params["slug"])
    if not await may_watch(request, show):
        raise NotLive(show.status)
    session = request.state.session
    viewer = Viewer(session.person, session.name)
    found = await ways(services.engine, Channel(show.id, show.slug), viewer)
    return Json(Ways(found), headers={"Cache-Control": "no-store"})  # credentials may be in it
