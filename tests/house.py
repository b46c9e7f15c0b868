"""A house for tests: a brand with two shows, looks with pieces, and people; on real stores. Also a browser of sorts."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fresh_store import lay
from starlette.applications import Starlette

from chat.client import RoomClient
from live.accounts.staff import Staff
from live.clock import Clock
from live.desk.wiring import Services
from live.settings import Settings
from live.shop.catalogue import NewVariant
from live.stage.show import Show
from live.web.app import create_app
from live.web.process import Server, new_server

ORIGIN = "http://shop.test"
PASSWORD = "a long enough password"
CONTACT = {
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "address": {"line1": "1 Rue de la Paix", "city": "Paris", "postcode": "75002", "country": "FR"},
}


def settings_for(folder: Path, redis_url: str, **more: Any) -> Settings:
    given: dict[str, Any] = {
        "public_url": ORIGIN,
        "secret_key": "test key",
        "log_level": "error",
        "room_busy_percent": 0,
        **more,
    }
    if not given.get("database_url"):
        lay(folder)
    return Settings(_env_file=None, data_dir=folder, redis_url=redis_url, **given)  # type: ignore[call-arg]


class House:
    """What was seeded: `show` with looks 1 to 3 (`looks[0]` …), each with one piece in sizes S and M, and `other`, a
    show of another brand with one look."""

    show: Show
    other: Show
    looks: list[str]
    host: Staff
    moderator: Staff
    staff: Staff
    other_host: Staff

    def __init__(self, services: Services) -> None:
        self.services = services

    def sku(self, look: int, size: str = "S") -> str:
        return f"L{look}-{size}"

    async def seed(self, *, units: int = 5) -> House:
        s = self.services
        brand = await s.catalogue.add_brand(slug="atelier", name="Atelier", currency="EUR", country="FR")
        elsewhere = await s.catalogue.add_brand(slug="elsewhere", name="Elsewhere", currency="GBP", country="GB")
        self.show = await s.shows.create(brand, "aw26", "AW26", starts_ms=s.clock.now_ms(), hold_ttl_s=300)
        self.other = await s.shows.create(elsewhere, "ss27", "SS27")
        self.looks = []
        for number in (1, 2, 3):
            sizes = [NewVariant(self.sku(number, size), size, "Ink", "#112", 12_900, units) for size in ("S", "M")]
            product = await s.catalogue.add_product(
                brand, slug=f"coat-{number}", title=f"Coat {number}", variants=sizes
            )
            self.looks.append(await s.runsheets.add_look(self.show.id, number, f"Look {number}", [product]))
        hat = await s.catalogue.add_product(
            elsewhere, slug="hat", title="Hat", variants=[NewVariant("HAT", "One", "Ink", "#112", 5_000, units)]
        )
        await s.runsheets.add_look(self.other.id, 1, "Hat", [hat])
        self.host = await self._person("host@example.org", "Hanna")
        self.moderator = await self._person("moderator@example.org", "Mo")
        self.staff = await self._person("staff@example.org", "Stef")
        self.other_host = await self._person("other@example.org", "Otto")
        await s.people.grant(self.host.id, "host", show_id=self.show.id)
        await s.people.grant(self.moderator.id, "moderator", show_id=self.show.id)
        await s.people.grant(self.staff.id, "staff", brand_id=brand)
        await s.people.grant(self.other_host.id, "host", show_id=self.other.id)
        return self

    async def _person(self, email: str, name: str) -> Staff:
        return await self.services.staff.add(email, name)

    async def go_live(self, *dropped: int) -> None:
        await self.services.desk.open_show(self.show.id, "test")
        for number in dropped:
            await self.services.desk.drop(self.show.id, self.looks[number - 1], "test")


class Browser:
    """An HTTP client that behaves as our pages in a browser do: keeps cookies, sends Origin and the CSRF token."""

    def __init__(self, client: httpx.AsyncClient, origin: str = ORIGIN) -> None:
        self.client = client
        self.origin = origin
        self.csrf = ""

    async def open(self, path: str = "/") -> httpx.Response:
        """Open a page; its CSRF token is kept."""
        answer = await self.client.get(path, headers={"Accept": "text/html"}, follow_redirects=True)
        found = re.search(r'<meta name="csrf" content="([^"]*)"', answer.text)
        if found:
            self.csrf = found[1]
        return answer

    async def send(self, method: str, path: str, json: object = None, **headers: str) -> httpx.Response:
        """An unsafe request, as http.js makes it."""
        given = {"Origin": self.origin, "X-CSRF": self.csrf, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return await self.client.request(method, path, json=json, headers=given)

    async def sign_in(self, services: Services, staff: Staff) -> Browser:
        token = await services.signin.issue_link(staff_id=staff.id, ttl_s=60)
        answer = await self.open(f"/sign-in/{token}")
        assert answer.status_code == 200, answer.text
        return self

    @property
    def cookie(self) -> str:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookies.jar)


class Web:
    """The application in this process, its stores real, its requests over ASGI."""

    def __init__(self, app: Starlette, house: House, stack: contextlib.AsyncExitStack) -> None:
        self.app = app
        self.house = house
        self.services = house.services
        self._stack = stack

    async def stranger(self, *, client_host: str = "127.0.0.1", origin: str = ORIGIN) -> Browser:
        """A browser that has opened nothing yet: no session."""
        transport = httpx.ASGITransport(self.app, client=(client_host, 1234), raise_app_exceptions=False)
        client = await self._stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=origin))
        return Browser(client, origin)

    async def viewer(self, **more: Any) -> Browser:
        browser = await self.stranger(**more)
        await browser.open("/")
        return browser

    async def signed_in(self, staff: Staff) -> Browser:
        return await (await self.stranger()).sign_in(self.services, staff)


@asynccontextmanager
async def running(settings: Settings, *, clock: Clock | None = None, units: int = 5) -> AsyncIterator[Web]:
    app = create_app(settings, clock=clock)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        house = await House(app.state.services).seed(units=units)
        async with contextlib.AsyncExitStack() as clients:
            yield Web(app, house, clients)


class Served:
    """The application behind a real uvicorn on a free port of this machine."""

    def __init__(self, server: Server, app: Starlette, house: House, origin: str) -> None:
        self.server = server
        self.app = app
        self.house = house
        self.services = house.services
        self.origin = origin
        self.ws = origin.replace("http", "ws")
        self._stack = contextlib.AsyncExitStack()

    async def viewer(self) -> Browser:
        client = await self._stack.enter_async_context(
            httpx.AsyncClient(base_url=self.origin, trust_env=False, timeout=60)
        )
        browser = Browser(client, self.origin)
        await browser.open("/")
        return browser

    async def signed_in(self, staff: Staff) -> Browser:
        return await (await self.viewer()).sign_in(self.services, staff)

    @asynccontextmanager
    async def room(self, browser: Browser, slug: str = "aw26") -> AsyncIterator[RoomClient]:
        async with RoomClient.open(f"{self.ws}/ws/{slug}", browser.cookie, self.origin) as room:
            yield room

    async def aclose(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def served(
    settings: Settings, *, clock: Clock | None = None, units: int = 5, seeded: House | None = None
) -> AsyncIterator[Served]:
    """`seeded`: the house of another server on the same stores, of which this is one more."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        origin = f"http://127.0.0.1:{port}"
        settings = settings.model_copy(update={"public_url": origin, "port": port})
        app = create_app(settings, clock=clock)
        server = new_server(settings, app)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await until(lambda: _started(server, serving))
            house = House(app.state.services)
            if seeded is None:
                await house.seed(units=units)
            else:
                vars(house).update(vars(seeded) | {"services": app.state.services})
            web = Served(server, app, house, origin)
            try:
                yield web
            finally:
                await web.aclose()
        finally:
            server.should_exit = True
            await serving


async def _started(server: Server, serving: asyncio.Task[None]) -> bool:
    if serving.done():
        serving.result()
    return server.started


async def until(true: Callable[[], Awaitable[object]], *, within_s: float = 60) -> None:
    """Wait until `true()` is; fails after `within_s`. For a bound that is promised see `soon`."""
    async with asyncio.timeout(within_s):
        while not await true():  # noqa: ASYNC110 - what is waited for is elsewhere and has no event
            await asyncio.sleep(0.01)
