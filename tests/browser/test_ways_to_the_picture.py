"""picture.js in a real browser without a server behind it: the relay is a second peer of the same page, the tail is
made here. Which way is taken, what is told when none can be, a relay's end, and sound without a picture."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route
from tail_made import MadeTail

STATIC = Path(__file__).parents[2] / "static"
ORIGIN = "http://page.test"
PAGE = """<!doctype html><title>picture</title>
<video id=near data-front=yes muted playsinline></video><video id=far muted playsinline></video>"""
WHEP = {"kind": "whep", "url": "/whep/aw26"}
TAIL = {"kind": "llhls", "url": "/hls/aw26/live.m3u8"}
LIVEKIT = {"kind": "livekit", "url": "wss://rooms.test", "token": "t"}

# A relay of sorts: it answers offers with a moving canvas and a tone; `window.refuse` is a status it answers instead.
RELAY = """
() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
  const brush = canvas.getContext("2d");
  let n = 0;
  setInterval(() => { brush.fillStyle = `hsl(${n} 80% 50%)`; brush.fillRect(n++ % 320, 0, 8, 180); }, 33);
  const sound = new AudioContext();
  const tone = new OscillatorNode(sound);
  const out = sound.createMediaStreamDestination();
  tone.connect(out);
  tone.start();
  window.relays = ["relay_1", "relay_2", "relay_3"];
  window.asked = [];
  window.deleted = [];
  const real = window.fetch;
  window.fetch = async (url, init = {}) => {
    if (!String(url).includes("/whep/")) return real(url, init);
    if (init.method === "DELETE") { deleted.push(String(url).split("/").at(-1)); return new Response(null); }
    asked.push(performance.now());
    if (window.refuse) return new Response("", { status: window.refuse, headers: { "Retry-After": "1" } });
    const peer = (window.relay = new RTCPeerConnection());
    await peer.setRemoteDescription({ type: "offer", sdp: init.body });
    for (const track of [canvas.captureStream(30).getTracks()[0], out.stream.getTracks()[0]]) peer.addTrack(track);
    await peer.setLocalDescription(await peer.createAnswer());
    while (peer.iceGatheringState !== "complete") await new Promise((next) => setTimeout(next, 5));
    const headers = { Location: `/whep/aw26/${relays.shift()}.id` };
    return new Response(peer.localDescription.sdp, { status: 201, headers });
  };
}
"""
# LiveKit's client where its server is away: what can't be had is told by an event and by a refusal.
CLIENT = """
export const RoomEvent = { Disconnected: "disconnected" };
export class Room {
  on(kind, act) { if (kind === RoomEvent.Disconnected) this.gone = act; }
  async connect() { (window.tries ??= []).push(performance.now()); this.gone(); throw new Error("away"); }
  async disconnect() { this.gone(); }
}
"""
WATCH = """
async () => {
  const { Picture } = await import("/static/js/picture.js");
  const { Screen } = await import("/static/js/screen.js");
  const { call } = await import("/static/js/http.js");
  window.heard = [];
  window.pageScreen = new Screen([...document.querySelectorAll("video")]);
  window.picture = new Picture(pageScreen, { slug: "aw26", call });
  for (const kind of ["live", "sound", "slate", "failed", "way"])
    picture.addEventListener(kind, (event) => heard.push(event.detail?.code ?? kind));
  window.begun = performance.now();
  void picture.start();
}
"""


@pytest.fixture
async def tail() -> AsyncIterator[MadeTail]:
    async with MadeTail().running() as tail:
        yield tail


async def opened(browser: Browser, ways: list[Any], tail: MadeTail | None = None) -> Page:
    async def answer(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN).split("?")[0]
        file = STATIC.parent / path.lstrip("/")
        if path == "/":
            await route.fulfill(body=PAGE, content_type="text/html")
        elif path == "/api/shows/aw26/picture":
            await route.fulfill(body=json.dumps({"ways": ways}), content_type="application/json")
        elif path.startswith("/hls/") and tail is not None:
            await tail.route(route)
        elif path.startswith("/static/") and file.is_file():
            kind = mimetypes.guess_type(file.name)[0] or "text/plain"
            await route.fulfill(body=file.read_text(), content_type=kind)
        else:
            await route.fulfill(status=404)

    page = await (await browser.new_context()).new_page()
    await page.route(f"{ORIGIN}/**", answer)
    await page.goto(f"{ORIGIN}/")
    await page.evaluate(RELAY)
    return page


async def test_a_relay_that_is_full_sends_the_page_to_the_tail_at_once_and_takes_it_back(
    browser: Browser, tail: MadeTail
) -> None:
    page = await opened(browser, [WHEP, TAIL], tail)
    await page.evaluate("window.refuse = 503")
    await page.evaluate(WATCH)
    await page.wait_for_function("picture.way === 'HLS' && picture.state === 'live'")
    assert await page.evaluate("picture._far.firstFrameMs") < 2_000
    shown = await page.evaluate("picture.mediaMs(Date.now(), Date.now() - 60_000)")
    assert 56_000 < shown < 59_500, "the moment on screen is the tail's, seconds behind"

    await page.evaluate("window.refuse = 0; picture.hurry()")
    await page.wait_for_function("picture.way === 'WebRTC'")
    assert await page.evaluate("pageScreen.front.id") == "near"
    assert 59_000 < await page.evaluate("picture.mediaMs(Date.now(), Date.now() - 60_000)") <= 60_000
    await page.wait_for_function("!document.getElementById('far').src")
    assert await page.evaluate("heard") == ["live", "way", "way"], "no slate between, it never stood still"
    await page.context.close()


async def test_sound_that_goes_on_alone_is_told_and_a_dead_relays_page_joins_anew_at_once(browser: Browser) -> None:
    page = await opened(browser, [WHEP])
    await page.evaluate(WATCH)
    await page.wait_for_function("picture.state === 'live'")
    # The line is too thin for any picture: the relay keeps the sound.
    await page.evaluate("relay.getSenders()[0].replaceTrack(null)")
    await page.wait_for_function("picture.state === 'sound'")
    assert await page.evaluate("heard") == ["live", "way", "sound"]

    await page.evaluate("picture.relayGone('relay_9')")
    assert await page.evaluate("asked.length") == 1, "somebody else's relay"
    took_ms = await page.evaluate(
        """async () => {
            const begun = performance.now();
            picture.relayGone("relay_1");
            while (asked.length < 2) await new Promise((next) => setTimeout(next, 5));
            return asked[1] - begun;
        }"""
    )
    assert took_ms < 400, "a chance of 200 ms, not its silence"
    await page.wait_for_function("picture.state === 'live'")
    assert await page.evaluate("deleted") == [], "what died with its relay is not asked for"
    assert (await page.evaluate("picture.stats()"))["joins"] == 2
    await page.context.close()


async def test_a_page_that_the_browser_kept_plays_when_it_is_shown_again(browser: Browser) -> None:
    page = await opened(browser, [WHEP])
    await page.evaluate(WATCH)
    await page.wait_for_function("picture.state === 'live'")
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    assert await page.evaluate("deleted") == ["relay_1.id"]
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await page.wait_for_function("asked.length === 2 && picture.state === 'live'")
    assert await page.evaluate("heard") == ["live", "way", "slate", "live"]
    await page.context.close()


async def test_a_way_that_this_page_cannot_go_is_told_or_gone_around(browser: Browser, tail: MadeTail) -> None:
    for ways, told in (([LIVEKIT], "no_client"), ([], "no_way")):
        page = await opened(browser, ways)
        await page.evaluate(WATCH)
        await page.wait_for_function("heard.length > 0")
        assert await page.evaluate("heard") == [told]
        await page.context.close()
    page = await opened(browser, [LIVEKIT, TAIL], tail)
    await page.evaluate(WATCH)
    await page.wait_for_function("picture.way === 'HLS'")
    await page.context.close()


async def test_a_camera_that_is_allowed_after_the_stop_is_let_go(browser: Browser) -> None:
    page = await opened(browser, [])
    state = await page.evaluate(
        """async () => {
            const { Publisher } = await import("/static/js/publisher.js");
            const picture = document.createElement("canvas").captureStream();
            let allow = () => {};
            const asked = new Promise((resolve) => (allow = () => resolve(picture)));
            Object.defineProperty(navigator, "mediaDevices", { value: { getUserMedia: () => asked } });
            const publisher = new Publisher(null, { url: "/whip/aw26", key: "k" });
            const begun = publisher.start();
            await publisher.stop();
            allow();
            await begun;
            return picture.getTracks().map((track) => track.readyState);
        }"""
    )
    assert state == ["ended"]
    await page.context.close()


async def test_a_room_that_is_away_is_tried_again_once_a_time_and_nobody_enters_one_after_the_end(
    browser: Browser,
) -> None:
    page = await opened(browser, [LIVEKIT])
    await page.route("**/vendor/**", lambda route: route.fulfill(body=CLIENT, content_type="text/javascript"))
    await page.evaluate(WATCH)
    await page.wait_for_function("window.tries?.length === 4", timeout=15_000)
    apart = await page.evaluate("tries.slice(1).map((at, n) => at - tries[n])")
    assert min(apart) > 900, "one loop, not one more at each try"
    await page.evaluate("picture.stop()")
    tried = await page.evaluate("tries.length")
    # Begun and stopped while the client is on its way.
    await page.evaluate("async () => { const begun = picture.start(); await picture.stop(); await begun; }")
    assert await page.evaluate("[tries.length, picture._other]") == [tried, None]
    await page.context.close()
