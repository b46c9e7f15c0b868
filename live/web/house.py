"""The name over the door.

A page of one brand (a show, an order, a piece, its terms) carries that brand's. A page of the studio that is of none
carries the brand's that who is signed in works for (`masthead.py`). Any other, also where she works for several,
carries the house's: its only brand's, or the server's own where several share it. Never what the page is for.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError
from starlette.requests import Request

from live.desk.wiring import Services
from live.errors import Error
from live.stage.show import Show

OURS = "Frontrow"


def house_of(shows: list[Show]) -> str:
    """The only brand's name, or the server's own when several brands share it."""
    brands = {one.brand for one in shows}
    return brands.pop() if len(brands) == 1 else OURS


async def house_name(request: Request) -> str:
    """The same, for a page that has no shows at hand. Fails open: a name is no reason for a second error."""
    services: Services = request.app.state.services
    try:
        return house_of(await services.shows.list())
    except (Error, DBAPIError, OSError):
        return OURS
