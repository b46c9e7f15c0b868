"""The name over the door.

A page of one brand (a show, an order, a piece, its terms) carries that brand's. A page of the studio that is of none
carries the brand's that who is signed in works for (`masthead.py`). Any other, also where she works for several,
carries the house's: its only brand's, or the server's own where several share it. Never what the page is for.
"""

from __future__ import annotations

import asyncio
import math
import time

from sqlalchemy.exc import DBAPIError
from starlette.requests import Request

from live.desk.wiring import Services
from live.errors import Error
from live.stage.show import Show

OURS = "Frontrow"
KEPT_S = 5.0
WITHIN_S = 1.0


def house_of(shows: list[Show]) -> str:
    """The only brand's name, or the server's own when several brands share it."""
    brands = {one.brand for one in shows}
    return brands.pop() if len(brands) == 1 else OURS


async def house_name(request: Request) -> str:
    """The same, for a page of what went wrong. Read once in a few seconds, since nobody counts requests for what is not
    there. Fails open, also when the store hangs: a name is no reason for a second error."""
    state, now = request.app.state, time.monotonic()
    name, read_at = getattr(state, "house_name", (OURS, -math.inf))
    if now - read_at < KEPT_S:
        return name
    state.house_name = name, now  # who comes while it is read has the one of before
    services: Services = state.services
    try:
        async with asyncio.timeout(WITHIN_S):
            name = house_of(await services.shows.list())
    except (Error, DBAPIError, OSError):
        name = OURS
    state.house_name = name, now
    return name
