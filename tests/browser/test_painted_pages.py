"""The painted pages of `pages/shots.py`: how the show's parts share a phone, and that no request of theirs misses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pages.fixture_app import create
from pages.shots import PAGES, SIZES, served
from playwright.async_api import Browser, Locator, Page, expect


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    async with served(create()) as origin:
        yield origin


async def opened(browser: Browser, origin: str, name: str, size: str) -> Page:
    width, height = SIZES[size]
    page = await browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    await page.goto(origin + PAGES[name][0])
    return page


async def box(one: Locator) -> tuple[float, float]:
    """Where it begins and ends, from the top."""
    at = await one.bounding_box()
    assert at
    return at["y"], at["y"] + at["height"]


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("name", ["show-quiz", "show-rain"])
async def test_the_newest_line_stays_in_sight_when_a_game_takes_room_from_the_talk(
    browser: Browser, origin: str, name: str, size: str
) -> None:
    page = await opened(browser, origin, name, size)
    await expect(page.get_by_test_id("game")).to_be_visible()
    last = page.get_by_test_id("chat-line").last
    await expect(last).to_be_in_viewport(ratio=1)  # of what the list shows, too
    list_top, list_end = await box(page.locator("#lines"))
    top, end = await box(last)
    assert list_top <= top
    assert end <= list_end + 1
    # Who reads what was said before is left there.
    await page.locator("#lines").evaluate("list => { list.scrollTop = 0 }")
    await page.set_viewport_size({"width": SIZES[size][0], "height": SIZES[size][1] - 40})
    assert await page.locator("#lines").evaluate("list => list.scrollTop") == 0


async def test_a_talk_that_grows_and_shrinks_in_one_moment_is_still_at_its_end(browser: Browser, origin: str) -> None:
    page = await opened(browser, origin, "show-poll", "phone")
    await expect(page.get_by_test_id("game")).to_be_visible()
    left = await page.locator("#lines").evaluate(
        """async (list) => {
          const frame = () => new Promise((then) => requestAnimationFrame(() => setTimeout(then)));
          for (const height of ["40rem", "9rem"]) {
            list.style.flex = "none";
            list.style.blockSize = height;
            list.scrollTop; // laid out: in the tall list there is nothing to scroll
          }
          list.dispatchEvent(new Event("scroll")); // of the tall list, heard in the short one
          await frame();
          await frame();
          return list.scrollHeight - list.scrollTop - list.clientHeight;
        }"""
    )
    assert left <= 1


@pytest.mark.parametrize("name", ["show-slate", "show-sound"])
async def test_what_is_said_instead_of_the_picture_does_not_lie_over_the_talk(
    browser: Browser, origin: str, name: str
) -> None:
    page = await opened(browser, origin, name, "phone")
    words = page.locator(".slate p")
    await expect(words).to_be_visible()
    await expect(page.get_by_test_id("chat-line")).to_have_count(7)
    _, end = await box(words)
    top, _ = await box(page.get_by_test_id("chat-line").first)
    assert end < top


@pytest.mark.parametrize("name", ["sheet-coupon", "host", "moderator"])
async def test_no_request_of_a_painted_page_misses(browser: Browser, origin: str, name: str) -> None:
    page = await browser.new_page()
    missed: list[str] = []
    page.on("response", lambda answer: missed.append(answer.url) if answer.status >= 400 else None)
    await page.goto(origin + PAGES[name][0])
    await page.wait_for_load_state("networkidle")
    await PAGES[name][1](page)
    if name == "sheet-coupon":
        await expect(page.locator("#coupons")).to_contain_text("€12.50")
    assert missed == []
