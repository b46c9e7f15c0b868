"""UDP that is blocked: the page's picture comes by HLS within 4 s and goes back to WebRTC by itself; cards stay with
the frame that is on screen, on either way (the times are read from the timecode that is burnt into the picture)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pages_of_people import PLACES, READ_STRIP, new_page, picture_moves, read_timecode, until
from playwright.async_api import Browser, Page, expect
from theatre import Theatre, theatre
from udp_path import UdpPath, udp_path

from live.demo import timecode

FALL_MS = 4_000
NEAR_MS = 250
SETTLED_S = 20  # a publisher that began late misdates the tail's first frames; at 60 ms a second that is made up for
MUTED = "[...document.querySelectorAll('video')].map((one) => one.muted)"
# ms from when the page asked for the picture to its first frames.
FIRST_FRAMES = """
() => {
  const asked = performance.getEntriesByType("resource").find((one) => one.name.endsWith("/picture"));
  return window.firstFrames && window.firstFrames - asked.startTime;
}
"""
WATCH_FIRST = """
const looks = setInterval(() => {
  const video = document.querySelector('video[data-front="yes"]');
  if (!video || video.getVideoPlaybackQuality().totalVideoFrames < 3) return;
  window.firstFrames = performance.now();
  clearInterval(looks);
}, 20);
"""
# Reads the strip at the moment a card appears; what was read is kept by its look.
WATCH_CARDS = f"""
(places) => {{
  const read = {READ_STRIP};
  window.cardsSeen = [];
  const look = () => document.querySelector('#pinned [data-part="card"]')?.dataset.look;
  let up = look();
  new MutationObserver(() => {{
    if (look() === up) return;
    up = look();
    window.cardsSeen.push({{ look: up, seen: read(places), says: document.getElementById("announce").textContent }});
  }}).observe(document.getElementById("pinned"), {{ childList: true, subtree: true, attributes: true }});
}}
"""


@pytest.fixture
async def path() -> AsyncIterator[UdpPath]:
    async with udp_path() as path:
        yield path


@asynccontextmanager
async def viewer(browser: Browser, house: Theatre, path: UdpPath) -> AsyncIterator[Page]:
    page = await new_page(browser)
    await page.add_init_script(WATCH_FIRST)
    await path.lead(page)
    await page.goto(house.page)
    await page.evaluate(WATCH_CARDS, PLACES)
    try:
        yield page
    finally:
        await page.context.close()  # before the house is shut: what it asks is answered to the end


async def way(page: Page, name: str) -> None:
    front = {"HLS": "#video-tail", "WebRTC": "#video"}[name]
    await expect(page.locator(front)).to_have_attribute("data-front", "yes", timeout=25_000)


async def moving_within(page: Page, *, since: float, name: str) -> float:
    """ms from `since` until the front picture is on its way and shows another frame than before."""
    await way(page, name)
    first = await until(lambda: read_timecode(page), what="a timecode")

    async def moved() -> bool:
        seen = await read_timecode(page)
        return seen is not None and seen[0] != first[0]

    await until(moved, what="it moves")
    took_ms = (time.monotonic() - since) * 1000
    print(f"{name} moved after {took_ms:.0f} ms")
    return took_ms


async def dropped(page: Page, house: Theatre, number: int) -> int:
    """Drop a look; ms between its `at` and the moment that was on screen when its card appeared."""
    await house.services.desk.drop(house.show.id, house.looks[number - 1], "test")
    await expect(page.get_by_test_id("pinned-card")).to_contain_text(f"Coat {number}", timeout=6_000)
    seen = (await page.evaluate("window.cardsSeen"))[-1]
    assert seen["look"] == house.looks[number - 1]
    value = timecode.decode(seen["seen"]["row"])
    assert value is not None
    told = await (await page.request.get(f"{house.url}/api/shows/{house.slug}")).json()
    at = next(card["at"] for card in told["cards"] if card["look"] == seen["look"])
    begin_wall_ms = told["picture"]["wall_ms"] - told["picture"]["media_ms"]
    apart = timecode.age_ms((begin_wall_ms + at) % timecode.MODULO, value)
    print(f"look {number} came {apart} ms after its frame")
    return apart


async def test_a_page_without_udp_has_its_picture_within_four_seconds_and_cards_stay_with_their_frames(
    browser: Browser, tmp_path: Path, path: UdpPath
) -> None:
    async with theatre(tmp_path, tail=True) as house:
        await house.services.desk.open_show(house.show.id, "test")
        await house.publish_runway()
        settled = asyncio.create_task(asyncio.sleep(SETTLED_S))
        async with viewer(browser, house, path) as page:
            await a_line_that_dies_and_comes_back(page, house, path, settled)
        await until(lambda: _packaged(house), what="the tail has something to play")
        path.open = False
        async with viewer(browser, house, path) as page:
            await a_line_that_never_was(page, path)


async def a_line_that_dies_and_comes_back(
    page: Page, house: Theatre, path: UdpPath, settled: asyncio.Task[None]
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/hls/" in request.url else None)
    await picture_moves(page)
    await until(lambda: _caught_up(page), what="WebRTC has run up from the key frame it began with")
    assert abs(await dropped(page, house, 1)) <= NEAR_MS
    assert not asked, "nobody asks for a tail while WebRTC is well"

    path.open = False
    assert await moving_within(page, since=time.monotonic(), name="HLS") <= FALL_MS
    await settled
    assert abs(await dropped(page, house, 2)) <= NEAR_MS

    path.open = True
    await way(page, "WebRTC")
    await until(lambda: _caught_up(page), what="WebRTC has run up from the key frame it began with")
    assert abs(await dropped(page, house, 3)) <= NEAR_MS
    told = [one["look"] for one in await page.evaluate("window.cardsSeen")]
    assert told == house.looks, "each card once, none lost"


async def a_line_that_never_was(page: Page, path: UdpPath) -> None:
    await way(page, "HLS")
    took_ms = await until(lambda: page.evaluate(FIRST_FRAMES), what="frames of the tail")
    print(f"the first frames came after {took_ms:.0f} ms")
    assert took_ms <= FALL_MS
    await page.get_by_test_id("sound-button").click()
    assert await page.evaluate(MUTED) == [True, False]
    await page.get_by_test_id("stats-button").click()
    await expect(page.get_by_test_id("stats-way")).to_have_text("HLS")
    await expect(page.get_by_test_id("figure-delay")).to_contain_text("s")

    path.open = True
    await page.evaluate("dispatchEvent(new Event('online'))")  # as the browser does on another network
    await way(page, "WebRTC")
    assert await page.evaluate(MUTED) == [False, True], "the sound goes with the picture"


async def _packaged(house: Theatre) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        answer = await http.get(f"{house.url}/hls/{house.slug}/media.m3u8")
    return answer.status_code == 200 and answer.text.count("#EXTINF") >= 2


async def _caught_up(page: Page) -> bool:
    seen = await read_timecode(page)
    return seen is not None and seen[1] < NEAR_MS
