"""The show's page with LiveKit's own client, put where docs/operations.md says: it is loaded under our content policy
and enters the show's room with the viewer's token. What comes after is between the client and LiveKit."""

from __future__ import annotations

import asyncio
from pathlib import Path

from house import served, settings_for
from js_peers import node_modules
from livekit_server import KEY, SECRET, livekit_server
from playwright.async_api import async_playwright

CHROMIUM = "/usr/bin/chromium"


async def test_the_page_loads_livekits_client_and_enters_the_room_as_its_viewer(tmp_path: Path, redis_url: str) -> None:
    client = node_modules() / "livekit-client" / "dist" / "livekit-client.esm.mjs"
    async with livekit_server() as livekit:
        there = {"livekit_url": livekit.url.replace("http", "ws"), "livekit_key": KEY, "livekit_secret": SECRET}
        settings = settings_for(tmp_path, redis_url, media_engine="livekit", **there)
        async with served(settings) as site, async_playwright() as playwright:
            await site.house.go_live()
            await site.services.desk.picture_is(site.house.show.id, "live")  # as LiveKit's event would say
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            try:
                page = await browser.new_page()
                refused: list[str] = []
                page.on("console", lambda said: refused.append(said.text) if "Content Security" in said.text else None)
                await page.route(
                    "**/static/**/vendor/livekit-client.esm.mjs",
                    lambda route: route.fulfill(path=client, content_type="text/javascript"),
                )
                await page.goto(f"{site.origin}/shows/aw26")
                async with asyncio.timeout(120):
                    while not livekit.entered:
                        await page.wait_for_timeout(50)
            finally:
                await browser.close()
    assert livekit.entered[0].startswith("per_")
    assert refused == []
