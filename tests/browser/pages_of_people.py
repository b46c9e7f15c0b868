"""What the people of the browser tests do: look at the picture, read the clock in it, tap."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect

from live.demo import timecode

# Keeps every RTCPeerConnection the page makes, so that its statistics can be read from outside.
KEEP_PEERS = """
(() => {
  const Real = window.RTCPeerConnection;
  window.peers = [];
  window.RTCPeerConnection = class extends Real {
    constructor(...args) { super(...args); window.peers.push(this); }
  };
})();
"""

FRAMES_DECODED = """
async () => {
  let frames = 0;
  for (const peer of window.peers) {
    for (const report of (await peer.getStats()).values()) {
      if (report.type === "inbound-rtp" && report.kind === "video") frames += report.framesDecoded ?? 0;
    }
  }
  return frames;
}
"""

# One strip of the picture, as brightness, with the page's clock at that moment.
READ_STRIP = """
([left, top, cellWidth, cellHeight, cells]) => {
  const video = document.querySelector('video[data-front="yes"]') ?? document.querySelector('[data-testid="video"]');
  if (!video.videoWidth) return null;
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  const now = Date.now();
  const y = Math.floor((top + cellHeight / 2) * canvas.height);
  const row = [];
  for (let cell = 0; cell < cells; cell += 1) {
    const x = Math.floor((left + (cell + 0.5) * cellWidth) * canvas.width);
    const pixels = context.getImageData(x - 1, y - 1, 3, 3).data;
    let sum = 0;
    for (let at = 0; at < pixels.length; at += 4) sum += (pixels[at] + pixels[at + 1] + pixels[at + 2]) / 3;
    row.push(sum / 9);
  }
  return { row, now };
}
"""

PLACES = [timecode.LEFT, timecode.TOP, timecode.CELL_WIDTH, timecode.CELL_HEIGHT, timecode.CELLS]


async def new_page(browser: Browser, *, phone: bool = False) -> Page:
    """A page of a person of its own: another cookie jar, another cache."""
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
    context: BrowserContext = await browser.new_context(viewport=size)  # type: ignore[arg-type]
    await context.add_init_script(KEEP_PEERS)
    page = await context.new_page()
    page.set_default_timeout(60_000)
    return page


async def frames_decoded(page: Page) -> int:
    return int(await page.evaluate(FRAMES_DECODED))


async def picture_moves(page: Page, *, more: int = 10, within_s: float = 90) -> None:
    """Wait until the page decoded `more` frames than now."""
    start = await frames_decoded(page)
    await until(lambda: _more_frames(page, start + more), within_s=within_s, what=f"{more} more frames decoded")


async def _more_frames(page: Page, least: int) -> bool:
    return await frames_decoded(page) >= least


async def read_timecode(page: Page) -> tuple[int, int] | None:
    """(the time burnt into the picture, its age in ms by the page's clock), or None when no strip is to be read."""
    seen: dict[str, Any] | None = await page.evaluate(READ_STRIP, PLACES)
    if seen is None:
        return None
    value = timecode.decode(seen["row"])
    return None if value is None else (value, timecode.age_ms(value, int(seen["now"])))


async def until(true: Any, *, within_s: float = 60, what: str = "it") -> Any:
    """The first true answer of `true()`; fails after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        answer = await true()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.05)


async def say(page: Page, text: str, *, name: str | None = None) -> None:
    """Post a line; the first time a page also asks for a name."""
    await page.get_by_test_id("chat-input").fill(text)
    await page.get_by_test_id("chat-send").click()
    if name is not None:
        await page.get_by_test_id("name-input").fill(name)
        await page.get_by_test_id("chat-send").click()


async def hold(page: Page, sku: str) -> None:
    """Choose the size and hold the piece of the pinned card."""
    card = page.get_by_test_id("pinned-card")
    await card.get_by_test_id(f"size-{sku}").check()  # waits for a card that still moves, as a forced click would not
    await card.get_by_test_id("hold-button").click()
    await expect(card.get_by_test_id("hold-timer")).to_be_visible()


async def fill_contact(page: Page) -> None:
    form = page.get_by_test_id("checkout-form")
    await form.locator("[name=name]").fill("Ada Lovelace")
    await form.locator("[name=email]").fill("ada@example.org")
    await form.locator("[name=country]").select_option("FR")
    await expect(form.locator(".fields__pair [name=postcode]")).to_be_visible()  # as France has it
    await form.locator("[name=line1]").fill("1 Rue de la Paix")
    await form.locator("[name=postcode]").fill("75002")
    await form.locator("[name=city]").fill("Paris")
