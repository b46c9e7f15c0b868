"""A show is published, recorded and ended by the real processes; then it is watched again in a real browser."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import av
import msgspec
from pages_of_people import PLACES, READ_STRIP, new_page, read_timecode, until
from playwright.async_api import Browser, Page, expect
from theatre import Theatre, theatre

from live.demo import timecode
from live.events import Card
from live.stage.recordings import Recording

CARD_MS = 250  # how far from its frame a card may come

# Reads the picture's strip in the moment in which a card is put up.
WATCH_CARDS = f"""
(places) => {{
  const read = {READ_STRIP};
  window.cards = [];
  new MutationObserver(() => {{
    const card = document.querySelector('[data-testid="pinned-card"]');
    const look = card?.dataset.look;
    if (look && window.cards.at(-1)?.look !== look) window.cards.push({{ look, ...read(places) }});
  }}).observe(document.getElementById("pinned"), {{ childList: true, subtree: true, attributes: true }});
}}
"""
# The clock of the element is ahead of the frame on screen, as on a busy machine, and told of often: no card may come by
# it, and go again at the next frame.
CLOCK_AHEAD = """
() => {
  const video = document.getElementById("video");
  const clock = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "currentTime");
  const get = () => clock.get.call(video) + (video.paused ? 0 : 0.1);
  Object.defineProperty(video, "currentTime", { get, set: (at) => clock.set.call(video, at) });
  setInterval(() => video.dispatchEvent(new Event("timeupdate")), 2);
}
"""
# A seek or a play that was asked for is done: a frame of it is on screen.
SETTLED = "() => { const v = document.getElementById('video'); return v.readyState >= 2 && !v.seeking; }"


async def a_recorded_show(house: Theatre, browser: Browser) -> list[Card]:
    """On air with two looks. At first the recording can't be written, which the host's page says until it can."""
    in_the_way = house.services.settings.data_dir / "recordings"
    in_the_way.write_text("no folder")
    host = await new_page(browser)
    await host.goto(await house.sign_in_link(house.host, f"/studio/shows/{house.slug}"))
    await house.services.desk.open_show(house.show.id, house.host.id)
    await house.publish_runway()
    alarm = host.get_by_test_id("recording-alarm")
    await expect(alarm).to_contain_text("The show goes on", timeout=20_000)
    if folder := os.environ.get("SHOTS"):
        await host.screenshot(path=Path(folder) / "alarm.png", full_page=True)
    in_the_way.unlink()
    await expect(alarm).to_be_hidden(timeout=30_000)
    await expect(host.get_by_test_id("recordings")).to_contain_text("Recording now")
    await host.close()
    for look in house.looks[:2]:
        await asyncio.sleep(1.8)  # the pace of the show: a card has a moment of its own
        await house.services.desk.drop(house.show.id, look, house.host.id)
    await asyncio.sleep(2.0)
    cards = (await house.services.programmes.of(house.show.id)).cards
    await house.services.desk.end_show(house.show.id, house.host.id)
    await house.aclose()
    return cards


async def indexed(house: Theatre) -> Recording:
    """The show's one recording, once the worker gave it its index."""

    async def found() -> Recording | None:
        rows = await house.services.recordings.playable(house.show.id)
        return rows[0] if rows and rows[0].indexed_ms else None

    recording: Recording = await until(found, within_s=40, what="the recording is indexed")
    return recording


def slip_ms(path: Path) -> int:
    """How far the publisher's own timestamps ran from the time it burnt in: beyond a frame or two the machine was so
    busy that it sent its frames late."""
    apart = []
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            value = timecode.decode_picture(frame.to_ndarray(format="gray").tolist()) if frame.pts % 5 == 0 else None
            if value is not None:
                apart.append(value - round(frame.time * 1000))
    assert apart, "no strip to be read in the file"
    return max(0, max(apart) - min(apart) - 70)


async def seek(page: Page, chapter: str) -> None:
    await page.get_by_test_id(chapter).click()
    await page.wait_for_function(SETTLED)


async def test_a_show_that_is_over_is_watched_again_and_its_cards_come_with_their_frames(
    browser: Browser, tmp_path: Path
) -> None:
    async with theatre(tmp_path, {"FRONTROW_RECORD": "true"}) as house:
        cards = await a_recorded_show(house, browser)
        recording = await indexed(house)
        assert recording.duration_ms > 4_500

        page = await new_page(browser, phone=True)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(house.page)
        await page.evaluate(WATCH_CARDS, PLACES)
        await page.evaluate(CLOCK_AHEAD)
        await page.get_by_test_id("reel-begin").click()
        await page.wait_for_function("() => window.cards.length === 2", timeout=20_000)
        seen = await page.evaluate("() => window.cards")
        assert [shown["look"] for shown in seen] == [card.look for card in cards]
        late_ms = []
        for card, shown in zip(cards, seen, strict=True):
            value = timecode.decode(shown["row"])
            assert value is not None, "no strip to be read"
            # The frame was made a little before the relay had it, whose clock the drop was stamped by.
            late_ms.append(-timecode.age_ms(value, card.dropped_ms))
        slipped_ms = await asyncio.to_thread(slip_ms, tmp_path / "data" / recording.path)
        print(f"cards came {late_ms} ms from their frames' burnt-in time; the publisher slipped by {slipped_ms} ms")
        assert all(abs(ms) <= CARD_MS + slipped_ms for ms in late_ms), (late_ms, slipped_ms)

        # What can't be had has no button, and says why.
        card = page.get_by_test_id("pinned-card")
        await expect(card.get_by_test_id("hold-button")).to_be_hidden()
        await expect(card).to_contain_text("The show is over")
        await expect(card).to_contain_text("€129.00")

        # A chapter goes to its moment, back and forth; the card goes along.
        await page.get_by_test_id("reel-play").click()
        await seek(page, "chapter-1")
        await expect(card).to_contain_text("Look 1")
        first = await until(lambda: read_timecode(page), what="a frame of the first look")
        await seek(page, "chapter-2")
        await expect(card).to_contain_text("Look 2")
        second = await until(lambda: read_timecode(page), what="a frame of the second look")
        apart_ms = cards[1].dropped_ms - cards[0].dropped_ms
        assert abs(second[0] - first[0] - apart_ms) < 1_000

        # By the keyboard: arrows step, space stops and goes on; the slider says where she is.
        await page.get_by_test_id("reel-play").click()
        await page.get_by_test_id("reel-time").focus()
        for _ in range(3):
            await page.keyboard.press("ArrowLeft")
        await page.wait_for_function("() => document.getElementById('video').currentTime < 0.5")
        await expect(page.get_by_text("Before the first look.")).to_be_visible()
        assert (await page.get_by_test_id("reel-time").get_attribute("aria-valuetext") or "").startswith("0:00 of 0:")
        await page.keyboard.press(" ")
        await page.wait_for_function("() => !document.getElementById('video').paused")
        await the_next_file_follows(page, house, recording)
        await the_host_can_save_it(browser, house)
        if folder := os.environ.get("SHOTS"):
            await shots(browser, house, Path(folder))
        assert problems == []


async def the_next_file_follows(page: Page, house: Theatre, recording: Recording) -> None:
    """A publisher who came back with another size left a second file: the film goes on in it."""
    second = recording.path.replace(recording.id, "rec_second")
    folder = house.services.settings.data_dir
    (folder / second).write_bytes((folder / recording.path).read_bytes())
    starts_at_ms = recording.starts_at_ms + recording.duration_ms + 20_000
    await house.services.recordings.adopt(
        msgspec.structs.replace(recording, id="rec_second", path=second, starts_at_ms=starts_at_ms)
    )
    await page.goto(house.page)
    slider = page.get_by_test_id("reel-time")
    assert int(await slider.get_attribute("max") or 0) == 2 * recording.duration_ms
    await slider.evaluate(
        "(slider, at) => { slider.value = at; slider.dispatchEvent(new Event('input')); }", recording.duration_ms - 600
    )
    await page.get_by_test_id("reel-play").click()
    in_second = "v.src.includes('rec_second') && v.currentTime > 0.2"
    await page.wait_for_function(f"() => {{ const v = document.querySelector('video'); return {in_second}; }}")


async def the_host_can_save_it(browser: Browser, house: Theatre) -> None:
    page = await new_page(browser)
    await page.goto(await house.sign_in_link(house.host, f"/studio/shows/{house.slug}"))
    row = page.get_by_test_id("recordings").get_by_role("listitem").first
    await expect(row).to_contain_text("MB")
    async with page.expect_download() as saving:
        await row.get_by_role("link").click()
    saved = await saving.value
    assert saved.suggested_filename.startswith(f"{house.slug}-")
    assert (await saved.path()).stat().st_size > 100_000
    if folder := os.environ.get("SHOTS"):
        await page.screenshot(path=Path(folder) / "host.png", full_page=True)
    await page.close()


async def shots(browser: Browser, house: Theatre, folder: Path) -> None:
    """For eyes: SHOTS=folder."""
    for name, size in (("phone", (390, 844)), ("desk", (1440, 900)), ("low", (844, 390))):
        page = await new_page(browser)
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        await page.goto(house.page)
        await page.wait_for_function(SETTLED)
        await page.screenshot(path=folder / f"replay-{name}-first.png")
        await seek(page, "chapter-2")
        await page.wait_for_timeout(700)
        await page.screenshot(path=folder / f"replay-{name}.png")
        await page.close()
