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


async def test_on_a_phone_the_run_of_show_comes_right_below_the_picture(browser: Browser, origin: str) -> None:
    page = await opened(browser, origin, "host", "phone")
    run, source = (page.get_by_role("heading", name=name) for name in ("Run of show", "Picture from"))
    await expect(page.get_by_test_id("look-5")).to_be_attached()
    assert (await box(page.get_by_test_id("tally-revenue")))[1] < (await box(run))[0] < (await box(source))[0]
    # And so for who goes by the keyboard or hears the page.
    before = "([one, other]) => Boolean(one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING)"
    assert await page.evaluate(before, [await run.element_handle(), await source.element_handle()])
    await page.get_by_role("link", name="Ask the room").click()
    await expect(page.get_by_role("heading", name="Ask the room")).to_be_in_viewport()


async def test_on_a_desk_the_picture_stays_whatever_the_host_is_at(browser: Browser, origin: str) -> None:
    page = await opened(browser, origin, "host", "desktop")
    video = page.get_by_test_id("video")
    for one in (page.get_by_test_id("look-5"), page.get_by_test_id("switches-fold"), page.get_by_test_id("look-1")):
        await one.scroll_into_view_if_needed()
        await expect(one).to_be_in_viewport()
        await expect(video).to_be_in_viewport(ratio=0.8)


async def test_the_chosen_colour_is_said_in_words_too(browser: Browser, origin: str) -> None:
    page = await opened(browser, origin, "show", "phone")
    card = page.get_by_test_id("pinned-card")
    await expect(card.get_by_test_id("stock")).to_have_text("12 left in S, Black")
    await card.get_by_role("radio", name="Bone").check()
    await expect(card.get_by_test_id("stock")).to_have_text("15 left in S, Bone")


@pytest.mark.parametrize("size", ["phone", "desktop"])
async def test_the_leading_picture_runs_to_the_windows_edge(browser: Browser, origin: str, size: str) -> None:
    page = await opened(browser, origin, "front", size)
    at = await page.locator(".lead__picture").bounding_box()
    assert at
    assert at["x"] == 0
    if size == "phone":
        assert at["width"] == SIZES[size][0]


@pytest.mark.parametrize("width", [320, 900, 1024, 1100])
async def test_the_leading_title_is_whole_beside_its_picture(browser: Browser, origin: str, width: int) -> None:
    page = await opened(browser, origin, "front", "phone")
    await page.set_viewport_size({"width": width, "height": 700})
    title = page.get_by_role("heading", level=1)
    await expect(title).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing hangs over"
    lines = "title => title.getBoundingClientRect().height / parseFloat(getComputedStyle(title).lineHeight)"
    assert round(await title.evaluate(lines)) == len((await title.inner_text()).split()), "and no word is broken"


async def test_the_pictures_figures_leave_no_slice_of_the_talk_beside_them_on_a_phone(
    browser: Browser, origin: str
) -> None:
    page = await opened(browser, origin, "show-figures", "phone")
    await page.get_by_test_id("stats-button").click()
    figures = await page.get_by_test_id("stats").bounding_box()
    lines = await page.locator("#lines").bounding_box()
    assert figures
    assert lines
    assert figures["x"] <= lines["x"]
    assert figures["x"] + figures["width"] >= lines["x"] + lines["width"] - 1  # as pixels are rounded


@pytest.mark.parametrize("name", ["picture-desk", "picture-trouble"])
async def test_a_worst_line_is_whole_on_a_phone(browser: Browser, origin: str, name: str) -> None:
    page = await opened(browser, origin, name, "phone")
    await expect(page.get_by_test_id("worst").get_by_role("row")).to_have_count(8)
    rows = page.locator(".signal__worst .rows")
    assert await rows.evaluate("rows => rows.scrollWidth - rows.clientWidth") == 0
    for cell in await page.get_by_test_id("worst").get_by_role("cell").all():
        assert await cell.evaluate("cell => cell.scrollWidth - cell.clientWidth") == 0, await cell.inner_text()


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
