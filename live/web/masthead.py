"""The links at the head of the studio's pages: the same on each, in one order, as far as who asks may open them."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request

from live.accounts.roles import roles_anywhere
from live.web.security import grants_of


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
