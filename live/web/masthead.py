"""The head of the studio's pages: the name, and the links: the same on each, in one order, as far as who asks may open
them."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

from starlette.requests import Request

from live.accounts.roles import roles_anywhere
from live.desk.wiring import Services
from live.stage.show import Show
from live.web.house import house_of
from live.web.security import grants_of


def show_links(found: Show, roles: Collection[str]) -> list[tuple[str, str]]:
    """(address, words) of each page of a show that these roles open: on each of them, and in the list of shows."""
    own = f"/studio/shows/{found.slug}"
    host = "host" in roles
    desk, picture = ([(own, "Desk")], [(f"{own}/picture", "Picture")]) if host else ([], [])
    return [*desk, (f"{own}/room", "Room"), *picture, (f"/shows/{found.slug}", "As viewers see it")]


async def studio_house(request: Request) -> str:
    """Over a page of the studio that is of no one brand."""
    services: Services = request.app.state.services
    shows, grants = await services.shows.list(), await grants_of(request, request.state.session)
    of_shows = {grant.show_id for grant in grants}
    hers = {grant.brand_id for grant in grants if grant.brand_id} | {
        one.brand_id for one in shows if one.id in of_shows
    }
    brands = await services.merchant.brands(hers)
    return brands[0][1] if len(brands) == 1 else house_of(shows)


async def studio_links(request: Request, *, brand: str = "") -> list[tuple[str, str]]:
    """(address, words) each. Staff of a single show have no catalogue: that is the brand's. `brand` is the slug of the
    one whose catalogue is looked at."""
    grants = await grants_of(request, request.state.session)
    links = [("/studio", "Shows")]
    if "staff" not in roles_anywhere(grants):
        return links
    links.append(("/studio/orders", "Orders"))
    if any(grant.brand_id and grant.role == "staff" for grant in grants):
        of_brand = f"?brand={quote(brand)}" if brand else ""
        links += [(f"/studio/catalogue{of_brand}", "Catalogue"), (f"/studio/terms{of_brand}", "Terms")]
    return [*links, ("/studio/api", "API"), ("/studio/webhooks", "Webhooks")]
