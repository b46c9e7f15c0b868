"""How the process is: for load balancers, supervisors and Prometheus."""

from __future__ import annotations

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from live.accounts.roles import roles_anywhere
from live.desk.wiring import Services
from live.errors import Error, Forbidden
from live.web.access import Figures
from live.web.security import cookie_name, grants_of, is_local

WITHIN_S = 2


async def healthz(_request: Request) -> Response:
    """The process answers. Says nothing of the stores: restarting us would not bring them back."""
    return JSONResponse({"ok": True})


async def readyz(request: Request) -> Response:
    """Whether this process can sell: Redis and SQL answer. Relays are counted; pages and shop work without one."""
    services: Services = request.app.state.services
    redis, sql, relays = await asyncio.gather(_redis(services), _sql(services), _relays(services))
    ready = redis and sql and not request.app.state.draining
    facts = {"ready": ready, "redis": redis, "sql": sql, "relays": relays, "draining": request.app.state.draining}
    return JSONResponse(facts, 200 if ready else 503, headers={} if ready else {"Retry-After": "5"})


async def metrics(request: Request) -> Response:
    """Prometheus' text format, for this machine and for staff. Raises: Forbidden."""
    if not is_local(request) and not await _is_staff(request):
        raise Forbidden("staff")
    services: Services = request.app.state.services
    figures: Figures = request.app.state.figures
    live = await services.shows.live_ids()
    figures.shows.set(len(live))
    figures.viewers.set(sum([await services.desk.viewers(show_id) for show_id in live]))
    figures.relays.set(await _relays(services))
    for name, value in request.app.state.hub.stats().items():
        figures.room.labels(name).set(value)
    return Response(generate_latest(figures.registry), media_type=CONTENT_TYPE_LATEST)


async def _redis(services: Services) -> bool:
    try:
        async with asyncio.timeout(WITHIN_S):
            await services.redis.ping()
    except (RedisError, OSError):
        return False
    return True


async def _sql(services: Services) -> bool:
    try:
        async with asyncio.timeout(WITHIN_S):
            return await services.db.read(lambda sql: sql.execute(text("select 1")).scalar() == 1)
    except (Error, OSError):
        return False


async def _relays(services: Services) -> int:
    try:
        async with asyncio.timeout(WITHIN_S):
            return len(await services.relays.addresses())
    except (RedisError, OSError):
        return 0


async def _is_staff(request: Request) -> bool:
    services: Services = request.app.state.services
    token = request.cookies.get(cookie_name(services.settings), "")
    session = await services.sessions.get(token) if token else None
    return session is not None and "staff" in roles_anywhere(await grants_of(request, session))
