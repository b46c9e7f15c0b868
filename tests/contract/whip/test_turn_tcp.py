"""A browser that may use nothing but TURN over TCP plays the show, with what the server tells it of TURN."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from coturn import SECRET, coturn
from playwright.async_api import Page, async_playwright
from relay_stage import ffmpeg, until
from whip_house import WhipHouse, whip_house

CHROMIUM = "/usr/bin/chromium"
PLAYS = """async ({ whep, picture, change }) => {
  const { ways } = await (await fetch(picture)).json();
  const servers = ways[0].ice_servers.map((server) => ({ ...server, ...change }));
  const peer = (window.peer = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: "relay" }));
  window.refused = [];
  peer.onicecandidateerror = ({ errorCode }) => refused.push(errorCode);
  peer.ontrack = ({ streams }) => (document.querySelector("video").srcObject = streams[0]);
  peer.addTransceiver("audio", { direction: "recvonly" });
  peer.addTransceiver("video", { direction: "recvonly" });
  await peer.setLocalDescription();
  const headers = { "Content-Type": "application/sdp" };
  const answer = await fetch(whep, { method: "POST", headers, body: peer.localDescription.sdp });
  window.links = answer.headers.get("Link");
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
}"""
REPORT = """async () => {
  const found = { frames: 0, local: "", relayed: "", refused: window.refused };
  const report = await window.peer.getStats();
  report.forEach((one) => {
    if (one.type === "inbound-rtp" && one.kind === "video") found.frames = one.framesDecoded ?? 0;
    if (one.type === "candidate-pair" && one.nominated && one.state === "succeeded") {
      const local = report.get(one.localCandidateId);
      found.local = local.candidateType;
      found.relayed = local.relayProtocol;
    }
  });
  return found;
}"""


async def _plays(house: WhipHouse, page: Page, **change: str) -> None:
    await page.goto(f"{house.url}/shows/aw26")
    await page.set_content("<video muted autoplay playsinline></video>")
    await page.evaluate(PLAYS, {"whep": house.whep, "picture": f"{house.url}/api/shows/aw26/picture", "change": change})


async def _report(page: Page, enough: Any, within_s: float = 90) -> Any:
    deadline = time.monotonic() + within_s
    while True:
        found = await page.evaluate(REPORT)
        if enough(found):
            return found
        assert time.monotonic() < deadline, found
        await page.wait_for_timeout(100)


async def test_chromium_plays_through_turn_over_tcp_with_the_credential_it_was_given(
    tmp_path: Path, redis_url: str
) -> None:
    """With a wrong credential nothing comes: it is the relayed way that carries the picture, and coturn checks."""
    async with (
        coturn(tmp_path) as turn,
        whip_house(tmp_path, redis_url, turn_urls=turn, turn_secret=SECRET) as house,
        ffmpeg(house.whip, key=house.key),
        async_playwright() as playwright,
    ):
        await until(lambda: house.relay.shows and house.show.state == "live")
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            page = await browser.new_page()
            await _plays(house, page, credential="not what coturn computes")
            found = await _report(page, lambda found: found["refused"])
            assert set(found["refused"]) <= {401, 701}, "refused by coturn, or given up"
            assert (found["frames"], found["local"]) == (0, "")
            await page.evaluate("window.peer.close()")
            await _plays(house, page)
            found = await _report(page, lambda found: found["frames"] > 20)
            assert (found["local"], found["relayed"]) == ("relay", "tcp")
            assert turn in await page.evaluate("window.links")
        finally:
            await browser.close()
