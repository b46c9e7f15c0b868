"""reel.js in a real browser on two short files: whoever goes from one to the other is told of no moment between."""

from __future__ import annotations

import mimetypes
from pathlib import Path

import av
import pytest
from playwright.async_api import Browser, Route

STATIC = Path(__file__).parents[2] / "static"
ORIGIN = "http://page.test"
PAGE = """<!doctype html><title>reel</title><main id=main><video id=video muted playsinline></video></main>
<canvas id=ambient></canvas><input id=reel-time type=range><button id=reel-play><i data-fill=words></i></button>
<button id=reel-begin></button><p id=reel-length></p><p id=reel-note></p><p id=reel-now></p>"""
BEGIN = """
async () => {
  const { Reel } = await import("/static/js/controllers/reel.js");
  const file = (n, starts_at_ms) => ({ url: `/film.mp4?n=${n}`, type: "video/mp4", starts_at_ms, duration_ms: 4_000 });
  window.reel = new Reel([file(1, 0), file(2, 60_000)]);
  window.heard = [];
  reel.addEventListener("time", () => heard.push(Math.round(reel.mediaMs)));
}
"""


@pytest.fixture
def film(tmp_path: Path) -> bytes:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
        video.width, video.height, video.pix_fmt, video.gop_size = 320, 180, "yuv420p", 25
        for _ in range(100):
            container.mux(video.encode(av.VideoFrame(320, 180, "yuv420p")))
        container.mux(video.encode(None))
    return path.read_bytes()


async def test_going_to_another_file_tells_no_moment_on_the_way(browser: Browser, film: bytes) -> None:
    async def answer(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN).split("?")[0]
        file = STATIC.parent / path.lstrip("/")
        if path == "/":
            await route.fulfill(body=PAGE, content_type="text/html")
        elif path == "/film.mp4":
            begin = int(route.request.headers.get("range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            told = {"Content-Range": f"bytes {begin}-{len(film) - 1}/{len(film)}", "Accept-Ranges": "bytes"}
            await route.fulfill(status=206, body=film[begin:], headers=told, content_type="video/mp4")
        elif file.is_file():
            await route.fulfill(body=file.read_text(), content_type=mimetypes.guess_type(file.name)[0] or "text/plain")
        else:
            await route.fulfill(status=404)

    page = await (await browser.new_context()).new_page()
    await page.route(f"{ORIGIN}/**", answer)
    await page.goto(f"{ORIGIN}/")
    await page.evaluate(BEGIN)
    await page.evaluate("reel.play()")
    await page.wait_for_function("reel.mediaMs > 1_000")
    for reel_ms, media_ms in ((7_000, 63_000), (2_000, 2_000), (6_500, 62_500)):
        await page.evaluate("(to) => { heard.length = 0; reel.seek(to); }", reel_ms)
        there = "(from) => reel.mediaMs > from + 200 && !reel.video.seeking && heard.slice()"
        heard = await (await page.wait_for_function(there, arg=media_ms)).json_value()
        # It plays on meanwhile, on a busy machine for a while; what is on the way lies before, or in the other file.
        assert media_ms - 60 <= min(heard) <= max(heard) <= media_ms // 60_000 * 60_000 + 4_000, heard
    await page.context.close()
