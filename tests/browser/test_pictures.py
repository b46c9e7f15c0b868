"""A piece's pictures on its card: by finger, by side and by key, each with its words, and nothing moves."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

from house import served, settings_for
from pages_of_people import new_page
from PIL import Image
from playwright.async_api import Browser, expect

SHADES = ("#8a6a54", "#2b3a4a", "#556644")


async def jpeg(shade: str) -> AsyncIterator[bytes]:
    out = io.BytesIO()
    Image.new("RGB", (900, 1200), shade).save(out, "JPEG")
    yield out.getvalue()


async def test_all_pictures_of_a_piece_are_seen_on_its_card(browser: Browser, tmp_path: Path, redis_url: str) -> None:
    async with served(settings_for(tmp_path, redis_url)) as site:
        s = site.services
        await site.house.go_live(1)
        (piece,) = (await s.programmes.of(site.house.show.id)).pieces[site.house.looks[0]]
        for number, shade in enumerate(SHADES[:2], start=1):
            await s.pictures.add(piece.product, f"Coat, view {number}", jpeg(shade))
        await s.rail.changed(["L1-S"])
        page = await new_page(browser, phone=True)
        fetched: list[str] = []
        page.on("request", lambda request: "/media/p-" in request.url and fetched.append(request.url))
        await page.goto(f"{site.origin}/shows/aw26")
        card = page.get_by_test_id("pinned-card")
        image, after = card.locator("img"), card.get_by_test_id("picture-after")
        await expect(after).to_be_visible()
        await expect(image).to_have_attribute("alt", "Coat, view 1")
        assert len(fetched) == 1, "the others are fetched when they are turned to"
        place = await card.bounding_box()

        await after.click()
        await expect(image).to_have_attribute("alt", "Coat, view 2")
        await expect(card.get_by_text("Picture 2 of 2: Coat, view 2")).to_be_attached()
        assert await card.bounding_box() == place, "nothing moved"

        # A third comes while it is looked at: it stays where it is, and the third is there.
        await s.pictures.add(piece.product, "Coat, view 3", jpeg(SHADES[2]))
        await s.rail.changed(["L1-S"])
        await expect(card.locator("[data-field=dots] span")).to_have_count(3)
        await expect(image).to_have_attribute("alt", "Coat, view 2")
        await after.focus()
        await page.keyboard.press("ArrowRight")
        await expect(image).to_have_attribute("alt", "Coat, view 3")
        await page.keyboard.press("ArrowLeft")
        await expect(image).to_have_attribute("alt", "Coat, view 2")

        box = await image.bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        for start, end, alt in ((0.8, 0.2, "Coat, view 3"), (0.2, 0.8, "Coat, view 2")):
            await page.mouse.move(box["x"] + box["width"] * start, y)
            await page.mouse.down()
            await page.mouse.move(box["x"] + box["width"] * end, y, steps=4)
            await page.mouse.up()
            await expect(image).to_have_attribute("alt", alt)
        for view in await s.pictures.of(piece.product):
            if view.alt != "Coat, view 1":
                await s.pictures.remove(view.id)
        await s.rail.changed(["L1-S"])
        await expect(after).to_be_hidden()
        await expect(image).to_have_attribute("alt", "Coat, view 1")
