"""Every kind of recording in a real Chromium: it plays, knows its length and lands where it is sent; and what Chromium
itself publishes as VP9 and AV1 comes back out of the file."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Page
from relay_stage import KEY, stage, until
from rtp_made import Numbering, audio_rtp, in_time, pictures, play, sounds, video_rtp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route
from test_in_a_browser import page_of
from test_simulcast import ONE_CODEC

from live.relay.recorder import Recorder
from live.worker.remux import index

# Sends it to 3.05 s, where the picture is white, and says what is there.
LOOK = """
async (url) => {
  const video = document.createElement("video");
  video.muted = true;
  document.body.replaceChildren(video);
  const heard = (name) => new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", () => reject(new Error(video.error?.message)), { once: true });
  });
  const loaded = heard("loadeddata");
  video.src = url;
  await loaded;
  const duration = video.duration;
  const sought = heard("seeked");
  video.currentTime = 3.05;
  await sought;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 8, 8);
  const white = context.getImageData(4, 4, 1, 1).data[0];
  await video.play();
  const ended = heard("ended");
  video.currentTime = 4.5;
  await ended;
  return { duration, white, width: video.videoWidth, end: video.currentTime };
}
"""


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """The folder over HTTP, in ranges, as the web process serves recordings."""

    async def file(request: Request) -> Response:
        return FileResponse(folder / request.path_params["name"])

    async def page(request: Request) -> Response:
        return HTMLResponse("<!doctype html><body></body>")

    sock = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/page", page), Route("/{name}", file)])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[sock]))
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
    sock.close()


def made(folder: Path, codec: str) -> Path:
    """Five seconds, as they were recorded and with their index."""
    recorder = Recorder(folder, codec, video=codec, on_event=lambda event: None, reserve_bytes=0)  # type: ignore[arg-type]
    both = video_rtp(codec, pictures(codec, 5.0), Numbering()), audio_rtp(sounds(5.0), Numbering())
    for sent in in_time(*both):
        recorder.packet(sent.kind, sent.rtp, at_ms=sent.at_s * 1000)  # type: ignore[arg-type]
    recorder.close(60)
    (path,) = (folder / "recordings" / codec).iterdir()
    assert index(path) is not None
    return path.rename(folder / f"{codec}{path.suffix}")


async def test_each_codecs_recording_plays_to_its_end_and_can_be_searched(tmp_path: Path) -> None:
    files = [made(tmp_path, codec) for codec in ("h264", "vp8", "vp9", "av1")]
    async with served(tmp_path) as url, page_at(url) as page:
        for file in files:
            seen = await page.evaluate(LOOK, f"/{file.name}")
            assert seen["duration"] == pytest.approx(5.0, abs=0.05), file.name
            assert seen["white"] > 150, file.name
            assert seen["width"] == 320
            assert seen["end"] == pytest.approx(5.0, abs=0.1), file.name


@contextlib.asynccontextmanager
async def page_at(url: str) -> AsyncIterator[Page]:
    class Running:
        pass

    running = Running()
    running.url = url  # type: ignore[attr-defined]
    async with page_of(running) as page:  # type: ignore[arg-type]
        yield page


async def test_what_chromium_publishes_is_in_the_files_each_codec_in_its_own(tmp_path: Path, redis_url: str) -> None:
    async with stage(tmp_path, redis_url=redis_url, record=True) as running, page_of(running) as page:
        frames = 0
        for codec in ("VP9", "AV1"):
            await page.evaluate(ONE_CODEC, [KEY, codec])
            await until(lambda: running.relay.shows and running.show.state == "live")
            await until(lambda: running.show.stats()["codec"] == codec)  # noqa: B023 - asked at once
            begun_ms = running.show.media_ms(running.process._clock.now_ms())
            await until(lambda: running.show.media_ms(running.process._clock.now_ms()) > begun_ms + 2_500)  # noqa: B023
            begun = frames
            # Software encodes them: on a slow machine fewer a second.
            frames = await until(
                lambda: next((now for now in [running.show.recorder._recorder.counts.frames] if now > begun + 30), 0)  # noqa: B023
            )
            await page.evaluate("peer.close()")
        recorder = running.show.recorder._recorder
        running.relay.end_show(running.show.name)
        await asyncio.to_thread(recorder._thread.join, 60)
    files = sorted((tmp_path / "recordings").rglob("*.*"), key=lambda path: path.suffix)
    assert [path.suffix for path in files] == [".mp4", ".webm"]
    for path in files:
        assert index(path) is not None
        played = await asyncio.to_thread(play, path)
        assert played.size == (320, 240)
        assert len(played.video_s) > 25
        assert played.video_s[-1] > 1.8
