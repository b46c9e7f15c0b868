"""The studio's pages where they do more than a form does: folds of a long page, an act that nothing undoes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from house import Served, served, settings_for
from pages_of_people import new_page, say
from playwright.async_api import Browser, Page, Route, expect

from live.accounts.staff import Staff
from live.shop.catalogue import NewVariant


@pytest.fixture
async def site(tmp_path: Path, redis_url: str) -> AsyncIterator[Served]:
    async with served(settings_for(tmp_path, redis_url)) as site:
        yield site


async def signed_in(browser: Browser, site: Served, person: Staff, path: str) -> Page:
    page = await new_page(browser)
    token = await site.services.signin.issue_link(staff_id=person.id, ttl_s=600)
    await page.goto(f"{site.origin}/sign-in/{token}?next={path}")
    return page


async def test_colours_of_a_piece_unfold_by_keyboard_and_what_was_refused_is_seen(browser: Browser, site: Served):
    made = [NewVariant(f"K-{colour}-S", "S", colour, "#112", 12_900, 5) for colour in ("Bone", "Ink")]
    product = await site.services.catalogue.add_product(
        site.house.show.brand_id, slug="knit", title="Knit", variants=made
    )
    page = await signed_in(browser, site, site.house.staff, f"/studio/catalogue/{product}")
    bone, ink = page.get_by_test_id("unit-K-Bone-S"), page.get_by_test_id("unit-K-Ink-S")
    await expect(bone).to_be_visible()
    await expect(ink).not_to_be_visible()
    fold = page.get_by_test_id("colour").filter(has=ink)
    await fold.locator("summary").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(ink.get_by_label("Price, EUR", exact=True)).to_be_focused()
    await ink.get_by_label("Units more or fewer").fill("+2")
    await page.keyboard.press("Enter")
    await expect(ink).to_contain_text("2 more on hand")
    await expect(fold.locator("summary")).to_contain_text("7 left")

    # Refused while its colour is folded: the fold opens, so that it is read.
    async def folded(route: Route) -> None:
        await fold.evaluate("fold => { fold.open = false }")
        await route.continue_()

    await page.route("**/api/stock/adjust", folded)
    await ink.get_by_label("Units more or fewer").fill("-99")
    await page.keyboard.press("Enter")
    await expect(ink.locator("[data-field=note]")).to_have_attribute("data-bad", "yes")
    await expect(ink).to_be_visible()


async def test_what_a_feed_is_rejected_for_stays_to_be_read(browser: Browser, site: Served, tmp_path: Path):
    page = await signed_in(browser, site, site.house.staff, "/studio/catalogue/import")
    feed = tmp_path / "autumn.tsv"
    feed.write_text("id\ttitle\tprice\nNEW\tNew coat\t20.00 EUR\nBAD\tBad coat\tfree\n")
    await page.get_by_test_id("feed-file").set_input_files(feed)
    await expect(page.get_by_test_id("import")).to_be_visible()
    assert await site.services.imports.work(site.services.rail.changed)
    await expect(page.get_by_test_id("rejects")).to_contain_text("is not like 129.00 EUR")
    for _ in range(2):  # the page asks again every second
        async with page.expect_response("**/api/catalogue/imports?brand=*"):
            pass
    await expect(page.get_by_test_id("import-apply")).to_have_text("Bring in 1 row")
    await expect(page.get_by_test_id("rejects")).to_contain_text("is not like 129.00 EUR")
    await expect(page.get_by_text("What changes")).to_be_visible()


async def test_a_sales_dates_are_asked_for_where_there_is_a_sale(browser: Browser, site: Served):
    product = await site.services.catalogue.add_product(
        site.house.show.brand_id, slug="knit", title="Knit", variants=[NewVariant("K-S", "S", "Ink", "#112", 12_900, 5)]
    )
    page = await signed_in(browser, site, site.house.staff, f"/studio/catalogue/{product}")
    unit = page.get_by_test_id("unit-K-S")
    begins, save = unit.get_by_label("Begins"), unit.get_by_role("button", name="Save price")
    await expect(unit.get_by_label("Sale price")).to_be_visible()
    await expect(begins).to_be_hidden()
    await unit.get_by_label("Sale price").fill("99")
    await begins.fill("2030-01-01T10:00")
    await save.click()
    await expect(unit.locator("[data-field=note]")).to_contain_text("The sale begins by itself")
    # Taken out again, its dates go with it.
    await unit.get_by_label("Sale price").fill("")
    await expect(begins).to_be_hidden()
    await save.click()
    await expect(unit.locator("[data-field=note]")).to_have_text("Saved.")
    await unit.get_by_label("Sale price").fill("98")
    await expect(begins).to_have_value("")


async def test_a_persons_data_is_erased_only_when_her_name_was_typed(browser: Browser, site: Served):
    await site.house.go_live(1)
    await site.services.people.grant(site.house.staff.id, "moderator", show_id=site.house.show.id)
    ann = await new_page(browser)
    await ann.goto(f"{site.origin}/shows/aw26")
    await say(ann, "good evening", name="Ann Bell")
    desk = await signed_in(browser, site, site.house.staff, "/studio/shows/aw26/room")
    await desk.get_by_test_id("mod-person").click()
    await desk.get_by_test_id("person-erase").click()
    word, erase = desk.get_by_test_id("erase-word"), desk.get_by_test_id("erase-confirm")
    await expect(word).to_be_focused()
    await expect(word).to_have_accessible_name("To erase it, type Ann Bell")
    await expect(erase).to_be_disabled()
    await word.fill("Ann")
    await desk.keyboard.press("Enter")
    await expect(erase).to_be_disabled()
    await expect(desk.get_by_role("heading", name="Erase Ann Bell?")).to_be_visible()
    await word.fill("Ann Bell")
    await desk.get_by_test_id("erase-keep").click()
    await expect(desk.locator("#person")).to_contain_text("1 line")
    await desk.get_by_test_id("person-erase").click()
    await expect(word).to_have_value("")
    await expect(erase).to_be_disabled()
    await word.fill("ann bell")
    await desk.keyboard.press("Enter")
    await expect(desk.locator("#toasts")).to_contain_text("Erased: 1 line")
    await expect(ann.get_by_test_id("chat-line")).to_have_count(0)
