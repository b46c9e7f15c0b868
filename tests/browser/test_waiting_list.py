"""Waiting for what is sold out, as two people's pages show it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from house import House
from pages_of_people import new_page
from playwright.async_api import Browser, expect
from processes import ShowServer

UNITS = 5


async def test_what_comes_free_is_the_first_ones_and_her_page_says_so(browser: Browser, tmp_path: Path) -> None:
    server = ShowServer(tmp_path / "data", worker=True, relay=False)
    try:
        await asyncio.to_thread(server.__enter__)
        async with server.services() as parts:
            house = await House(parts).seed(units=UNITS)
            await house.go_live(1)
            show, page = house.show.id, f"{server.url}/shows/{house.show.slug}"
            first, second = await new_page(browser, phone=True), await new_page(browser)
            for one in (first, second):
                await one.goto(page)
                await one.get_by_test_id("pinned-card").get_by_test_id("size-L1-S").check()
            for n in range(UNITS):
                await parts.desk.add_to_cart(show, f"per_{n}", "L1-S", 1, op=str(n))

            for one, words in ((first, "You are next"), (second, "1 before you")):
                button = one.get_by_test_id("pinned-card").get_by_test_id("hold-button")
                await expect(button).to_have_text("Wait for one")
                await button.click()
                await expect(button).to_contain_text(words)
            await first.reload()  # her place is the server's to keep
            await first.get_by_test_id("pinned-card").get_by_test_id("size-L1-S").check()
            await expect(first.get_by_test_id("pinned-card").get_by_test_id("hold-button")).to_contain_text("next")

            await parts.desk.remove_from_cart(show, "per_0", "L1-S", op="back")
            await expect(first.locator(".toast")).to_contain_text("came free")
            await expect(first.get_by_test_id("pinned-card").get_by_test_id("hold-button")).to_contain_text(
                "In your bag"
            )
            await first.locator(".toast button").click()
            await expect(first.locator('[data-sku="L1-S"]').first).to_contain_text("Yours for")
            await expect(second.get_by_test_id("pinned-card").get_by_test_id("stock")).to_contain_text("Sold out")

            # The second leaves the list again.
            button = second.get_by_test_id("pinned-card").get_by_test_id("hold-button")
            await button.click()
            await expect(button).to_have_text("Wait for one")
    finally:
        await asyncio.to_thread(server.stop_all)
