"""The web process's application, put together: `create_app(settings)`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from chat.hub import Hub
from chat.limits import Limits
from chat.socket import room_endpoint
from live.clock import Clock
from live.desk.coalesce import coalesce
from live.desk.intents import attend
from live.desk.wiring import services
from live.media.tails import Tails
from live.media.watch import RelayWatch
from live.settings import Settings
from live.web import errors
from live.web.access import AccessLog, Figures
from live.web.gate import Gate
from live.web.headers import SecurityHeaders
from live.web.routes import DOORS
from live.web.security import guarded
from live.web.templating import STATIC, Pages
from live.web.turnstile import Turnstile

log = structlog.get_logger()


def create_app(settings: Settings, *, clock: Clock | None = None) -> Starlette:
    """The application: pages, API, WHIP/WHEP, the room's sockets. Its lifespan owns the stores and the hub.

    `app.state.on_crash` is called when a task that must run for ever ends: a process without a hub is better started
    again.
    """
    figures = Figures()
    app = Starlette(
        routes=[],
        middleware=[Middleware(AccessLog, figures=figures), Middleware(SecurityHeaders, settings=settings)],
        exception_handlers=dict.fromkeys(errors.EXCEPTIONS, errors.respond),
        lifespan=lambda app: _life(app, settings, clock),
    )
    app.state.figures = figures
    app.state.pages = Pages(settings)
    app.state.turnstile = Turnstile()
    app.state.draining = False
    app.state.hls_shows = {}
    app.state.on_crash = lambda: None
    app.router.routes.extend(_routes(settings))
    return app


def _routes(settings: Settings) -> list[BaseRoute]:
    doors = [Route(door.path, guarded(door), methods=sorted(door.methods), name=door.name) for door in DOORS]
    pictures = settings.data_dir / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)  # a folder that is missing would be an error of ours, not a 404
    return [
        *doors,
        Mount("/static", Versioned(STATIC), name="static"),
        Mount("/media", Kept(directory=pictures), name="media"),
    ]


@asynccontextmanager
async def _life(app: Starlette, settings: Settings, clock: Clock | None) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        s = await stack.enter_async_context(services(settings, clock=clock))
        hub = Hub(
            s.bus,
            archive=s.archive,
            scene=s.desk,
            now_ms=s.clock.now_ms,
            media_ms=s.desk.media_ms,
            coalesce=coalesce,
            limits=Limits(busy_share=settings.room_busy_percent / 100),
        )
        app.state.tails = Tails(s.redis, settings.key)
        stack.push_async_callback(app.state.tails.close)
        attend(hub, s.desk, s.drops, s.play, s.throttle)
        app.state.services, app.state.hub = s, hub
        # The socket's endpoint needs the hub, and the hub its services: so its route is made here, once.
        # First in the table: a hall that comes back is not compared with every page's address.
        app.router.routes.insert(0, WebSocketRoute("/ws/{show}", room_endpoint(hub, Gate(s)), name="ws"))
        async with asyncio.TaskGroup() as tasks:
            runs = (hub.run, s.desk.run, s.audience.run, RelayWatch(s.relays).run)
            owned = [tasks.create_task(_for_ever(run, app)) for run in runs]
            try:
                yield
            finally:
                for task in owned:
                    task.cancel()
                app.router.routes.pop(0)


async def _for_ever(run: Callable[[], Awaitable[None]], app: Starlette) -> None:
    try:
        await run()
    except Exception:
        log.error("owned_task.ended", task=getattr(run, "__qualname__", "?"), exc_info=True)
        app.state.on_crash()


class Versioned(StaticFiles):
    """`/static/v-<hash>/…` is kept for ever, `/static/…` is asked again each time."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)

    async def get_response(self, path: str, scope: Scope) -> Response:
        first, slash, rest = path.partition("/")
        versioned = first.startswith("v-") and bool(slash)
        response = await super().get_response(rest if versioned else path, scope)
        kept = "public, max-age=31536000, immutable" if versioned else "no-cache"
        response.headers["Cache-Control"] = kept
        return response


class Kept(StaticFiles):
    """Pictures: their names change with their content. Those of products can't be guessed (shop/pictures.py), which is
    what keeps a look that waits unseen; a folder is never listed, and what is still being written is nobody's."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path.rpartition("/")[2].startswith("."):
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        is_for_ever = path.startswith("p-") and response.status_code < 400
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if is_for_ever else "public, max-age=86400"
        )
        if path.endswith(".webp"):
            response.headers["Content-Type"] = "image/webp"  # Python's own table knows it since 3.13
        return response
