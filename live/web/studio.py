"""The pages of those who make the show: their shows, the host's desk, the moderator's room. Templates in studio/."""

from __future__ import annotations

from typing import Any

from babel.numbers import get_currency_precision
from starlette.requests import Request
from starlette.responses import Response

from live.accounts.roles import roles_in
from live.desk.wiring import Services
from live.stage.show import Show
from live.web import words
from live.web.masthead import show_links, studio_house, studio_links
from live.web.security import grants_of, member_of
from live.web.templating import page


async def index(request: Request) -> Response:
    """GET /studio: every show in which the person holds a role."""
    s = _services(request)
    grants = await grants_of(request, request.state.session)
    rows: list[dict[str, Any]] = []
    shows = await s.shows.list()
    for found in shows:
        roles = roles_in(grants, show_id=found.id, brand_id=found.brand_id)
        if "moderator" in roles:
            rows.append({**words.row_view(found, s.clock.now_ms()), "links": show_links(found, roles)})
    nav = await studio_links(request)
    return page(request, "studio/shows.html", house=await studio_house(request), nav=nav, shows=rows)


async def show(request: Request) -> Response:
    """GET /studio/shows/{slug}: the host's desk."""
    s = _services(request)
    found: Show = request.state.show
    state = await _state(request, found)
    return page(
        request,
        "studio/host.html",
        show=found.facts,
        places=get_currency_precision(found.facts.currency),
        nav=[("/studio", "Shows"), *show_links(found, {"host"})],
        whip_url=f"{s.settings.base_url}/whip/{found.slug}",
        second_publisher=found.second_publisher,
        has_key=await s.shows.has_publish_key(found.id),
        state=state,
    )


async def room(request: Request) -> Response:
    """GET /studio/shows/{slug}/room: the moderator's page."""
    found: Show = request.state.show
    member = await member_of(request, found)
    nav = [("/studio", "Shows"), *show_links(found, member.roles)]
    return page(request, "studio/moderator.html", show=found.facts, nav=nav, state=await _state(request, found))


async def _state(request: Request, found: Show) -> dict[str, Any]:
    """What `welcome` would say, for first paint. Raises: StoreDown: a desk without its store can do nothing."""
    s = _services(request)
    member = await member_of(request, found)
    return {
        "epoch": "",
        "seq": 0,
        "now_ms": s.clock.now_ms(),
        "you": {"person": member.person, "name": member.name, "roles": sorted(member.roles), "silenced": None},
        "room": {
            "viewers": await s.desk.viewers(found.id),
            "lines": [],
            "mode": {"slow_s": 0, "links": "off"},
            "pinned": None,
        },
        "live": await s.desk.snapshot(found.id, member),
    }


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
