"""A hot drop as its host and three buyers' pages see it: armed, drawn, let in, sold out; and work done by a browser."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from house import House
from pages_of_people import new_page
from playwright.async_api import Browser, Page, expect
from processes import ShowServer

from live.stage.runsheet import Times

COUNTDOWNS_S = (10, 30, 60, 300)  # as the desk offers them


def button(page: Page):  # type: ignore[no-untyped-def]
    return page.get_by_test_id("pinned-card").get_by_test_id("hold-button")


async def test_a_line_is_drawn_for_those_who_were_there_and_the_last_one_hears_that_it_is_sold_out(
    browser: Browser, tmp_path: Path
) -> None:
    server = ShowServer(tmp_path / "data", worker=True, relay=False)
    try:
        await asyncio.to_thread(server.__enter__)
        async with server.services() as parts:
            house = await House(parts).seed(units=1)  # one S, one M
            await parts.desk.open_show(house.show.id, "host")
            token = await parts.signin.issue_link(staff_id=house.host.id, ttl_s=600)
            host = await new_page(browser)
            await host.goto(f"{server.url}/sign-in/{token}?next=/studio/shows/{house.show.slug}")
            people = [await new_page(browser, phone=True), await new_page(browser), await new_page(browser)]
            began = time.monotonic()
            for one in people:
                await one.goto(f"{server.url}/shows/{house.show.slug}")
            # Time for all of them to join, by what their pages took to open here.
            in_s = next(s for s in COUNTDOWNS_S if s >= 4 * (time.monotonic() - began))

            row = host.get_by_test_id("look-1")
            await row.locator("summary").click()
            await row.get_by_label("Hot: buyers are drawn into a line").check()
            await expect(row.locator("summary")).to_contain_text("hot")
            await row.get_by_label("Count down").select_option(str(in_s))
            await row.get_by_test_id("drop-1").click()
            await expect(row).to_contain_text("Opens in")

            first, *others = people
            await expect(button(first)).to_contain_text("Join the draw")
            await button(first).focus()
            await first.keyboard.press("Enter")
            for one in others:
                await button(one).click()
            for one in people:
                await expect(button(one)).to_contain_text("You are in the draw")
            await first.reload()  # her place is the server's to keep
            await expect(button(first)).to_contain_text("You are in the draw")
            server.kill("worker")  # and the draw is whoever's comes next
            server.start("worker")

            async def turns() -> list[Page]:
                texts = [await button(one).text_content() or "" for one in people]
                return [one for one, text in zip(people, texts, strict=True) if "Your turn" in text]

            async with asyncio.timeout(120):
                while len(inside := await turns()) < 2:  # noqa: ASYNC110 - the page has no event for it
                    await asyncio.sleep(0.1)
            [outside] = [one for one in people if one not in inside]
            await expect(button(outside)).to_contain_text("You are next")
            await expect(host.get_by_test_id("look-1")).to_contain_text("1 in line")
            for one, sku in zip(inside, ("L1-S", "L1-M"), strict=True):
                await one.get_by_test_id("pinned-card").get_by_test_id(f"size-{sku}").check()
                await button(one).focus()
                await one.keyboard.press("Enter")
                await expect(one.get_by_test_id("pinned-card").get_by_test_id("hold-timer")).to_be_visible()
            await expect(outside.locator(".toast")).to_contain_text("sold out before your turn")
            await expect(button(outside)).to_contain_text("You are next")

            # One is given back: it is hers, and nobody else's.
            await inside[0].get_by_test_id("bag-button").click()
            await inside[0].locator('#bag-lines [data-act="remove"]').click()
            await expect(button(outside)).to_contain_text("Your turn")

            await row.get_by_test_id("close-1").click()
            await expect(row).to_contain_text("Closed")
            await expect(button(outside)).to_contain_text("This drop is over")
            proof = await outside.request.get(f"{server.url}/api/shows/{house.show.slug}/looks/{house.looks[0]}/drawn")
            assert (await proof.json())["people"] == 3
    finally:
        await asyncio.to_thread(server.stop_all)


async def test_a_browser_does_its_work_before_the_countdown_ends_and_holds_by_one_press_of_a_key(
    browser: Browser, tmp_path: Path
) -> None:
    server = ShowServer(tmp_path / "data", worker=True, relay=False)
    try:
        await asyncio.to_thread(server.__enter__)
        async with server.services() as parts:
            house = await House(parts).seed()
            show, look = house.show.id, house.looks[0]
            await parts.desk.open_show(show, "host")
            await parts.desk.rule_look(show, look, limit=1, hot=False, work_bits=12)
            page = await new_page(browser)
            began = time.monotonic()
            await page.goto(f"{server.url}/shows/{house.show.slug}")
            # Time for her to press a key, by what the page took to open here.
            in_s = max(4, min(60, round(8 * (time.monotonic() - began))))
            await parts.desk.drop(show, look, "host", times=Times(in_s))
            await expect(button(page)).to_contain_text("Opens in")
            await expect(page.get_by_test_id("pinned-card").get_by_test_id("drop-terms")).to_have_text("One a person")
            await button(page).focus()
            await page.keyboard.press("Enter")
            await expect(page.get_by_test_id("pinned-card").locator(".card__note")).to_contain_text("countdown")
            await expect(button(page)).to_have_text("Hold")
            await expect(button(page)).to_be_focused()
            await page.keyboard.press("Enter")
            await expect(page.get_by_test_id("pinned-card").get_by_test_id("hold-timer")).to_be_visible()
            await expect(page.locator("#announce")).to_contain_text("Look 1")

            # Another size: the cap of the drop says no, in words.
            await page.get_by_test_id("pinned-card").get_by_test_id("size-L1-M").check()
            await button(page).click()
            await expect(page.get_by_test_id("pinned-card").locator(".card__note")).to_contain_text("one piece")
    finally:
        await asyncio.to_thread(server.stop_all)
