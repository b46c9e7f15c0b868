"""player.js and publisher.js in a real Chromium, against a real relay."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright
from relay_stage import KEY, Stage, ffmpeg, stage, until

CHROMIUM = "/usr/bin/chromium"

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Debian's chromium is not installed")


@contextlib.asynccontextmanager
async def page_of(running: Stage) -> AsyncIterator[Page]:
    flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            page = await browser.new_page()
            await page.goto(f"{running.url}/page")
            yield page
        finally:
            await browser.close()


async def play(page: Page) -> None:
    await page.evaluate(
        """async () => {
            const { Player } = await import('/js/player.js');
            window.heard = [];
            window.player = new Player(document.querySelector('video'), { url: '/whep/one' });
            for (const kind of ['live', 'slate', 'failed'])
                player.addEventListener(kind, (event) => heard.push(kind + (event.detail?.status ?? '')));
            void player.start();
        }"""
    )


async def frames(page: Page, more_than: int) -> dict[str, Any]:
    return await stats(page, "player", lambda found: found["framesDecoded"] > more_than)


async def stats(page: Page, who: str, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """`player.stats()` or `publisher.stats()`, once it is enough."""
    deadline = time.monotonic() + 120
    while True:
        found: dict[str, Any] = await page.evaluate(f"{who}.stats()")
        if enough(found):
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


async def test_a_viewer_sees_ffmpegs_h264_and_stays_through_a_publishers_return(tmp_path: Path, redis_url: str) -> None:
    async with stage(tmp_path, redis_url=redis_url) as running, ffmpeg(f"{running.url}/whip/one"):
        await until(lambda: running.relay.shows and running.show.state == "live")
        async with page_of(running) as page:
            await play(page)
            first = await frames(page, 20)
            assert first["codec"] == "H264"
            assert first["lost"] == 0
            await page.wait_for_function("player.firstFrameMs !== null")
            session = next(iter(running.show.viewers))
            await _answers_where_it_is(running, session)

            before = running.show.publisher
            async with ffmpeg(f"{running.url}/whip/one"):
                await until(lambda: running.show.publisher is not before)
                await until(lambda: running.show.source and running.show.source.last_packet_ms)
                decoded = (await page.evaluate("player.stats()"))["framesDecoded"]
                again = await frames(page, decoded + 40)
                assert list(running.show.viewers) == [session], "the viewer had to join again"
                assert again["joins"] == 1
            await until(lambda: running.show.state == "slate")
            await page.wait_for_function("heard.includes('slate')")
            await page.evaluate("player.stop()")
            await until(lambda: not running.show.viewers)


async def _answers_where_it_is(running: Stage, name: str) -> None:
    """A browser answers the check that has to prove a new address of hers (docs/decisions/0089): asked at the present
    one, as she stands still."""
    port, session = running.relay.port, running.relay.sessions[name]
    asked = session.ice.address
    assert asked is not None
    port._probe(session, asked)
    await until(lambda: asked not in port._probed)
    assert session.ice.address == asked


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_a_browsers_camera_is_seen_in_a_browser(tmp_path: Path, redis_url: str, codec: str) -> None:
    async with stage(tmp_path, redis_url=redis_url) as running, page_of(running) as page:
        await play(page)  # before there is a picture: 409, and the player waits as it is told
        await page.wait_for_function("heard.includes('failed409')")
        await page.evaluate(
            """async ([key, codec]) => {
                const { Publisher } = await import('/js/publisher.js');
                window.publisher = new Publisher(null, { url: '/whip/one', key, codec });
                await publisher.start();
            }""",
            [KEY, codec],
        )
        assert (await frames(page, 30))["codec"] == codec
        # REMB reached it: without one Chromium stays near its 300 kbit/s (facts of the field).
        await stats(page, "publisher", lambda found: found["availableKbps"] > 1000)
        await page.evaluate("publisher.stop()")
        await until(lambda: running.show.publisher is None)
        assert running.show.state == "slate"
