"""The main job in a real browser: a viewer watches, a host drops, the piece is held, paid and owned."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pages_of_people import (
    fill_contact,
    frames_decoded,
    hold,
    new_page,
    picture_moves,
    read_timecode,
    say,
    until,
)
from playwright.async_api import Browser, Page, expect
from sqlalchemy import select
from theatre import Theatre, theatre

from live.store.tables import orders, payments, variants

UNITS = 5  # of each SKU, as the house is seeded


async def viewer_page(browser: Browser, house: Theatre, *, phone: bool = False) -> Page:
    page = await new_page(browser, phone=phone)
    await page.goto(house.page)
    return page


async def left_on(page: Page, units: int) -> None:
    """The pinned card says how many are left."""
    await expect(page.get_by_test_id("pinned-card").get_by_test_id("stock")).to_contain_text(str(units))


async def pay(page: Page, outcome: str, *, code: str | None = None) -> None:
    """From the open bag through the form to the provider's page, and choose how the payment ends."""
    await page.get_by_test_id("checkout-button").click()
    await fill_contact(page)
    await page.get_by_test_id("pay-button").click()
    provider = page.frame_locator('[data-testid="pay-frame"]')
    await provider.get_by_test_id(f"pay-{outcome}").click()
    if code is not None:
        await provider.get_by_test_id("code-input").fill(code)
        await provider.get_by_test_id("code-send").click()


async def test_a_viewer_watches_a_published_file_buys_what_walks_and_the_room_stays_fit_to_read(
    browser: Browser, tmp_path: Path
) -> None:
    async with theatre(tmp_path) as house:
        await house.publish_file()
        host = await new_page(browser)
        await host.goto(await house.sign_in_link(house.host, f"/studio/shows/{house.slug}"))
        viewer = await viewer_page(browser, house, phone=True)
        neighbour = await viewer_page(browser, house)
        moderator = await new_page(browser)
        await moderator.goto(await house.sign_in_link(house.moderator, f"/studio/shows/{house.slug}/room"))

        # The show is not on air: nobody but the host sees the picture.
        await picture_moves(host)
        await expect(viewer.get_by_test_id("countdown")).to_be_visible()
        assert await frames_decoded(viewer) == 0
        await host.get_by_test_id("go-live").click()
        await picture_moves(viewer)

        await host.get_by_test_id("drop-3").click()
        card = viewer.get_by_test_id("pinned-card")
        await expect(card).to_contain_text("Coat 3", timeout=1000)
        await expect(neighbour.get_by_test_id("pinned-card")).to_contain_text("Look 3")

        await hold(viewer, "L3-S")
        await neighbour.get_by_test_id("pinned-card").get_by_test_id("size-L3-S").check()
        await left_on(neighbour, UNITS - 1)
        await expect(host.get_by_test_id("tally-held")).to_have_text("1")

        # A reload at the worst moment: the card, the hold and its timer are as before.
        await viewer.reload()
        await expect(viewer.get_by_test_id("pinned-card")).to_contain_text("Coat 3")
        await expect(viewer.get_by_test_id("pinned-card").get_by_test_id("hold-timer")).to_be_visible()
        await picture_moves(viewer)

        await viewer.get_by_test_id("bag-button").click()
        await expect(viewer.get_by_test_id("bag-line")).to_have_count(1)
        before = await frames_decoded(viewer)
        await pay(viewer, "success")
        await expect(viewer.get_by_test_id("order-done")).to_be_visible()
        number = await viewer.get_by_test_id("order-number").inner_text()
        assert await frames_decoded(viewer) > before, "the show went on while she paid"
        assert await viewer.evaluate("window.peers.length") == 1, "and it was never started again"

        order = await house.one(select(orders).where(orders.c.number == number))
        assert order.status == "paid"
        assert (await house.one(select(payments).where(payments.c.order_id == order.id))).captured_minor == 12_900
        assert (await house.one(select(variants).where(variants.c.sku == "L3-S"))).sold == 1
        await left_on(neighbour, UNITS - 1)
        await expect(host.get_by_test_id("tally-orders")).to_have_text("1")
        await expect(host.get_by_test_id("tally-held")).to_have_text("0")
        async with viewer.context.expect_page() as receipt:
            await viewer.get_by_test_id("order-link").click()
        await expect((await receipt.value).get_by_test_id("order")).to_contain_text(number)

        # The room.
        await say(neighbour, "what a <b>coat</b>", name="Bea")
        await expect(viewer.get_by_test_id("chat-line").filter(has_text="what a <b>coat</b>")).to_have_count(1)
        await moderator.get_by_test_id("mod-line").filter(has_text="what a").hover()
        await moderator.get_by_test_id("mod-line").filter(has_text="what a").get_by_test_id("mod-delete").click()
        await expect(viewer.get_by_test_id("chat-line").filter(has_text="what a <b>coat</b>")).to_have_count(0)

        await say(neighbour, "buy cheap watches")
        spam = moderator.get_by_test_id("mod-line").filter(has_text="cheap watches")
        await spam.hover()
        await spam.get_by_test_id("mod-ban").click()
        await expect(viewer.get_by_test_id("chat-line").filter(has_text="cheap watches")).to_have_count(0)
        await neighbour.reload()
        await picture_moves(neighbour)
        composer = neighbour.get_by_test_id("chat-input")
        if await composer.is_enabled():
            await say(neighbour, "let me in again")
            await expect(neighbour.locator("#say-note")).not_to_be_empty()
        await expect(viewer.get_by_test_id("chat-line").filter(has_text="let me in again")).to_have_count(0)
        snapshot = await viewer.request.get(f"{house.url}/api/shows/{house.slug}")
        assert "let me in again" not in await snapshot.text()


async def test_each_way_a_payment_can_end_is_said_and_nothing_is_lost(browser: Browser, tmp_path: Path) -> None:
    async with theatre(tmp_path) as house:
        await house.services.desk.open_show(house.show.id, "test")
        await house.services.desk.drop(house.show.id, house.looks[0], "test")
        viewer = await viewer_page(browser, house)
        await hold(viewer, "L1-S")
        await viewer.get_by_test_id("bag-button").click()
        await expect(viewer.get_by_test_id("bag-line")).to_be_visible()
        await viewer.go_back()
        await expect(viewer.get_by_test_id("bag-line")).to_be_hidden()
        assert viewer.url == house.page, "Back closed the bag, not the show"
        await viewer.get_by_test_id("bag-button").click()

        await pay(viewer, "decline")
        await expect(viewer.get_by_test_id("pay-retry")).to_be_visible()
        await viewer.get_by_test_id("pay-retry").click()
        await viewer.get_by_test_id("pay-button").click()
        provider = viewer.frame_locator('[data-testid="pay-frame"]')
        await provider.get_by_test_id("pay-3ds").click()
        await provider.get_by_test_id("code-input").fill("123456")
        await provider.get_by_test_id("code-send").click()
        await expect(viewer.get_by_test_id("order-done")).to_be_visible(timeout=30_000)

        other = await viewer_page(browser, house)
        await hold(other, "L1-M")
        await other.get_by_test_id("bag-button").click()
        await pay(other, "timeout")
        await expect(other.get_by_test_id("order-done")).to_be_visible(timeout=45_000)

        paid = await house.all(select(orders).where(orders.c.status == "paid"))
        assert sorted(order.total_minor for order in paid) == [12_900, 12_900]
        assert {row.sku: row.sold for row in await house.all(select(variants))} == {
            **{f"L{look}-{size}": 0 for look in (1, 2, 3) for size in "SM"},
            "L1-S": 1,
            "L1-M": 1,
            "HAT": 0,
        }


async def test_the_generated_runway_is_seen_within_a_second_and_a_publisher_that_returns_needs_no_reload(
    browser: Browser, tmp_path: Path
) -> None:
    async with theatre(tmp_path) as house:
        await house.services.desk.open_show(house.show.id, "test")
        runway = await house.publish_runway()
        viewer = await viewer_page(browser, house)
        await picture_moves(viewer)
        first = await until(lambda: read_timecode(viewer), what="a timecode in the picture")
        moved = await until(lambda: _later(viewer, first[0]), what="the timecode moves")
        assert 0 <= moved[1] < 1000, f"the picture is {moved[1]} ms old"

        await house.kill(runway)
        await expect(viewer.get_by_test_id("slate")).to_be_visible()
        await house.publish_runway()
        await expect(viewer.get_by_test_id("slate")).to_be_hidden(timeout=30_000)
        again = await until(lambda: _later(viewer, moved[0]), what="the picture goes on")
        assert again[1] < 1000
        assert await viewer.evaluate("window.peers.length") == 1, "the same session goes on"


async def test_a_host_goes_on_air_with_the_camera_of_her_browser(browser: Browser, tmp_path: Path) -> None:
    async with theatre(tmp_path) as house:
        host = await new_page(browser)
        await host.goto(await house.sign_in_link(house.host, f"/studio/shows/{house.slug}"))
        await host.get_by_test_id("camera-start").click()
        await host.get_by_test_id("go-live").click()
        viewer = await viewer_page(browser, house)
        await picture_moves(viewer)


async def _later(page: Page, than: int) -> tuple[int, int] | None:
    await asyncio.sleep(0.05)  # the next frame
    seen = await read_timecode(page)
    return seen if seen is not None and seen[0] != than and seen[1] < 1000 else None
