"""The bag in two tabs of one browser: what one does the other sees, and a hold that ran out says what can be done."""

from __future__ import annotations

from pathlib import Path

from pages_of_people import fill_contact, hold, new_page
from playwright.async_api import Browser, Page, expect
from theatre import Theatre, theatre

from live.store import keys


async def lapse(house: Theatre) -> None:
    """Every hold of the show runs out now, as time would have it; the worker tells."""
    holds = keys.holds(house.show.id)
    redis = house.services.redis
    members = await redis.zrange(holds, 0, -1)
    assert members, "the premise: something is held"
    await redis.zadd(holds, dict.fromkeys(members, house.services.clock.now_ms() - 1))
    await house.services.desk.lapse()


async def bag_of(page: Page) -> Page:
    await page.get_by_test_id("bag-button").click()
    return page


async def test_two_tabs_are_one_bag_through_hold_lapse_reload_and_payment(browser: Browser, tmp_path: Path) -> None:
    async with theatre(tmp_path) as house:
        await house.services.desk.open_show(house.show.id, "test")
        await house.services.desk.drop(house.show.id, house.looks[0], "test")
        one = await new_page(browser)
        await one.goto(house.page)
        two = await one.context.new_page()
        await two.goto(house.page)
        line_one, line_two = one.get_by_test_id("bag-line"), two.get_by_test_id("bag-line")

        await hold(one, "L1-S")
        await bag_of(two)
        await expect(line_two).to_have_attribute("data-state", "held")
        await expect(line_two).to_contain_text("Yours for")

        await lapse(house)
        await bag_of(one)
        for line in (line_one, line_two):
            await expect(line).to_have_attribute("data-state", "lapsed")
            await expect(line).to_contain_text("The hold ran out")
        await one.reload()  # and it is still there to be held again
        await bag_of(one)
        await line_one.get_by_role("button", name="Hold again").click()
        await expect(line_one).to_have_attribute("data-state", "held")
        await expect(line_two).to_have_attribute("data-state", "held")

        # It runs out once more, and the others take all of them.
        await lapse(house)
        services = house.services
        for n in range(5):
            await services.desk.add_to_cart(house.show.id, f"per_{n}", "L1-S", 1, op=f"{n}")
        for line in (line_one, line_two):
            await expect(line).to_have_attribute("data-state", "gone")
            await expect(line).to_contain_text("sold out")
            await expect(line.get_by_role("button", name="Hold again")).to_be_hidden()
        await services.desk.remove_from_cart(house.show.id, "per_0", "L1-S", op="r")
        await line_two.get_by_role("button", name="Hold again").click()
        await expect(line_one).to_have_attribute("data-state", "held")

        # One tab goes to the till and is reloaded in the middle of paying; the other knows, and sees it sold.
        await one.get_by_test_id("checkout-button").click()
        await fill_contact(one)
        await one.get_by_test_id("pay-button").click()
        await expect(one.get_by_test_id("pay-frame")).to_be_visible()
        await expect(line_two).to_contain_text("Waiting for payment")
        await one.reload()
        await one.frame_locator('[data-testid="pay-frame"]').get_by_test_id("pay-success").click()
        await expect(one.get_by_test_id("order-done")).to_be_visible()
        await expect(line_two).to_have_count(0)


async def test_a_coupon_in_the_bag_is_used_with_one_tap(browser: Browser, tmp_path: Path) -> None:
    async with theatre(tmp_path) as house:
        s = house.services
        await s.desk.open_show(house.show.id, "test")
        await s.desk.drop(house.show.id, house.looks[0], "test")
        page = await new_page(browser, phone=True)
        await page.goto(house.page)
        await hold(page, "L1-S")
        (person,) = await people_holding(house)
        await s.coupons.give(house.show.id, "ply_1", {person: 500})
        await bag_of(page)
        coupon, use = page.get_by_test_id("coupon"), page.get_by_test_id("coupon-use")
        await expect(coupon).to_contain_text("Your coupon: €5.00, until")
        await use.click()
        await expect(use).to_have_attribute("aria-pressed", "true")
        await expect(coupon).to_contain_text("€5.00 less at the checkout")
        await page.get_by_test_id("checkout-button").click()
        await expect(page.locator("#codes")).to_contain_text("−€5.00")
        await expect(page.get_by_test_id("checkout-total")).to_have_text("€124.00")
        await page.locator("#codes").get_by_role("button").click()
        await expect(page.get_by_test_id("checkout-total")).to_have_text("€129.00")


async def people_holding(house: Theatre) -> list[str]:
    members = await house.services.redis.zrange(keys.holds(house.show.id), 0, -1)
    return [member.decode().split("|")[0] for member in members]
