"""Clients that are not ours: FFmpeg 9 publishes, werift (a WebRTC of its own) and whip-whep.js (by the drafts' author)
play and publish, through the whole server.

The two from npm are put into .venv by `make test`, by name and exact version.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from js_peers import node_modules
from playwright.async_api import Page, Route, async_playwright
from relay_stage import ffmpeg, until
from whip_house import WhipHouse, whip_house

CHROMIUM = "/usr/bin/chromium"
HERE = Path(__file__).parent


async def _node(*arguments: str) -> dict[str, Any]:
    node = shutil.which("node")
    assert node is not None, "node is not here: scripts/packages installs it"
    process = await asyncio.create_subprocess_exec(
        node, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaints = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, complaints.decode() or out.decode()
    said: dict[str, Any] = json.loads(out.splitlines()[-1])
    return said


async def _on_air(house: WhipHouse) -> None:
    await until(lambda: house.relay.shows and house.show.state == "live")


async def test_werift_plays_what_ffmpeg_publishes_without_a_gap(tmp_path: Path, redis_url: str) -> None:
    modules = node_modules()
    async with whip_house(tmp_path, redis_url) as house, ffmpeg(house.whip, key=house.key):
        await _on_air(house)
        said = await _node(str(HERE / "werift_plays.cjs"), str(modules), house.whep, "60")
        assert said["status"] == 201
        assert said["video"] >= 60
        assert said["sound"] > 0
        assert said["numbering"], "each number one after the one before"
        assert said["deleted"] == 200
        await until(lambda: not house.show.viewers)


FLAGS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--use-fake-device-for-media-stream"]
PUBLISHES = """async ({ url, key }) => {
  const { WHIPClient } = await import("/peers/whip.js");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  const peer = (window.publishing = new RTCPeerConnection());
  for (const track of stream.getTracks()) peer.addTransceiver(track, { direction: "sendonly" });
  window.whip = new WHIPClient();
  await whip.publish(peer, url, key);
}"""
PLAYS = """async (url) => {
  const { WHEPClient } = await import("/peers/whep.js");
  const peer = (window.playing = new RTCPeerConnection());
  peer.addTransceiver("audio", { direction: "recvonly" });
  peer.addTransceiver("video", { direction: "recvonly" });
  const video = document.body.appendChild(document.createElement("video"));
  video.muted = true;
  peer.ontrack = ({ streams }) => { video.srcObject = streams[0]; video.play(); };
  window.whep = new WHEPClient();
  await whep.view(peer, url);
}"""
DECODED = """async (least) => {
  let frames = 0;
  (await window.playing.getStats()).forEach((one) => {
    if (one.type === "inbound-rtp" && one.kind === "video") frames = one.framesDecoded ?? 0;
  });
  return frames > least && frames;
}"""


async def test_whip_whep_js_publishes_plays_trickles_restarts_and_ends(tmp_path: Path, redis_url: str) -> None:
    modules = node_modules()
    assert await asyncio.to_thread(Path(CHROMIUM).exists), "Debian's chromium is not here: scripts/packages installs it"
    async with whip_house(tmp_path, redis_url) as house, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, "--use-fake-ui-for-media-stream"]
        )
        try:
            page = await browser.new_page()
            asked: list[tuple[str, str, int]] = []
            page.on("response", lambda said: asked.append((said.request.method, said.url, said.status)))
            await page.route("**/peers/*.js", lambda route: _serve(route, modules / "whip-whep"))
            await page.goto(f"{house.url}/shows/ss27")  # another show's page: its own player asks for nothing
            await page.evaluate(PUBLISHES, {"url": house.whip, "key": house.key})
            await _on_air(house)
            await page.evaluate(PLAYS, house.whep)
            await _true(page, DECODED, 15)
            # Both restart ICE, and the picture goes on.
            await page.evaluate("Promise.all([window.whip.restart(), window.whep.restart()])")
            before = await page.evaluate(DECODED, 0)
            await _true(page, DECODED, before + 30)
            await page.evaluate("window.whep.stop()")
            await until(lambda: not house.show.viewers)
            await page.evaluate("window.whip.stop()")
            await until(lambda: house.show.publisher is None)
            await until(lambda: sum(method == "DELETE" for method, _, _ in asked) == 2)
        finally:
            await browser.close()
    ours = [(method, way, status) for method, url, status in asked for way in ("whip", "whep") if f"/{way}/aw26" in url]
    for way in ("whip", "whep"):
        assert ("POST", way, 201) in ours
        assert ("PATCH", way, 204) in ours, "it trickled"
        assert ("PATCH", way, 200) in ours, "it restarted"
    # It closes its connection before it deletes: the close_notify may be here first, and end the session.
    assert [status for method, _, status in ours if method == "DELETE" and status not in (200, 404)] == []
    assert [one for one in ours if one[2] >= 400 and one[0] != "DELETE"] == []
    heard = [(method, status) for method, url, status in asked if "/events" in url]
    assert ("POST", 201) in heard, "it asked for the session's events"
    assert ("GET", 200) in heard, "and opened the stream"


async def _serve(route: Route, folder: Path) -> None:
    await route.fulfill(path=folder / route.request.url.rpartition("/")[2], content_type="text/javascript")


async def _true(page: Page, question: str, *arguments: Any) -> None:
    async with asyncio.timeout(120):
        while not await page.evaluate(question, *arguments):
            await page.wait_for_timeout(50)
