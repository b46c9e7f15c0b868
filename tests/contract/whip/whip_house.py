"""The web's application behind a real uvicorn, a relay beside it, and a publishing key: what WHIP and WHEP clients
meet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from house import Served, served, settings_for, until
from test_end_to_end import Camera, Viewer

from live.relay.server import RelayProcess


class WhipHouse:
    """Camera and Viewer of the relay's tests take it for their Stage."""

    def __init__(self, site: Served, process: RelayProcess, key: str, http: httpx.AsyncClient) -> None:
        self.site = site
        self.process = process
        self.key = key
        self.http = http
        self.url = site.origin
        self.whip = f"{site.origin}/whip/aw26"
        self.whep = f"{site.origin}/whep/aw26"

    @property
    def relay(self) -> Any:
        return self.process.relay

    @property
    def show(self) -> Any:
        return self.relay.shows[self.site.house.show.id]

    async def publish(self, offer: str) -> httpx.Response:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {self.key}"}
        return await self.http.post(self.whip, content=offer, headers=headers)

    async def play(self, offer: str) -> httpx.Response:
        return await self.http.post(self.whep, content=offer, headers={"Content-Type": "application/sdp"})

    async def on_air(self) -> tuple[Camera, str]:
        """A camera whose key frame came, and her session's address."""
        camera = Camera()
        location = await camera.on(self)  # type: ignore[arg-type]
        camera.frame(key=True)
        await until(self._has_picture)
        return camera, f"{self.url}{location}"

    async def _has_picture(self) -> bool:
        return bool(self.show.state == "live")

    async def watched(self) -> tuple[Viewer, str]:
        viewer = Viewer()
        await viewer.on(self)  # type: ignore[arg-type]
        return viewer, f"{self.url}{viewer.session}"


@contextlib.asynccontextmanager
async def whip_house(folder: Path, redis_url: str, *, live: bool = True, **more: Any) -> AsyncIterator[WhipHouse]:
    given = {"relay_udp_port": 0, "relay_udp_host": "127.0.0.1", "relay_kernel": False, "relay_busy_percent": 0, **more}
    async with served(settings_for(folder, redis_url, **given)) as site:
        services = site.services
        process = RelayProcess(services.settings, services.redis)
        key = await services.shows.set_publish_key(site.house.show.id)
        if live:
            await site.house.go_live()
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http, asyncio.TaskGroup() as tasks:
            relaying = tasks.create_task(process.run())
            await until(lambda: services.redis.scard("relays"))
            try:
                yield WhipHouse(site, process, key, http)
            finally:
                process.stop()
            await relaying
