"""A browser that sends its picture in three sizes at once, or in a codec that few send; and one that sees it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from relay_stage import KEY, stage, until
from test_in_a_browser import CHROMIUM, frames, page_of, play, stats

from live.relay.quality import Line, Quality

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Debian's chromium is not installed")

PUBLISH = """async ([key, codec]) => {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 960, height: 540, frameRate: 15 } });
    window.peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const transceiver = peer.addTransceiver(stream.getVideoTracks()[0], { direction: 'sendonly', sendEncodings: [
        { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
        { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
        { rid: 'f', maxBitrate: 1_500_000 },
    ] });
    window.sender = transceiver.sender;
    transceiver.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter(
        (one) => [`video/${codec}`, 'video/rtx'].includes(one.mimeType)));
    await peer.setLocalDescription(await peer.createOffer());
    const answer = await fetch('/whip/one', { method: 'POST', body: peer.localDescription.sdp,
        headers: { 'Content-Type': 'application/sdp', Authorization: `Bearer ${key}` } });
    await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
}"""
SWITCH_OFF = """async (rid) => {
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) if (encoding.rid === rid) encoding.active = false;
    await sender.setParameters(parameters);
}"""


async def test_the_best_layer_is_seen_and_layers_change_at_key_frames_only(tmp_path: Path, redis_url: str) -> None:
    async with stage(tmp_path, redis_url=redis_url) as running, page_of(running) as page:
        await page.evaluate(PUBLISH, [KEY, "H264"])
        await until(lambda: running.relay.shows and running.show.source is not None)
        ingest = running.show.source
        forwarded: list[tuple[str, bool, bool]] = []
        forward = ingest.forward

        def watched(layer: Any, header: Any, key: bool, switched: bool) -> None:
            forwarded.append((layer.rid, key, switched))
            forward(layer, header, key, switched)

        ingest.forward = watched
        # The bandwidth estimate has to rise before the browser sends all three.
        await until(lambda: {layer.rid for layer in ingest.layers.values()} == {"q", "h", "f"})
        await until(lambda: forwarded and forwarded[-1][0] == "f")
        await play(page)
        seen = await stats(page, "player", lambda found: found["width"] == 960 and found["framesDecoded"] > 15)
        assert seen["lost"] == 0

        await page.evaluate(SWITCH_OFF, "f")
        await until(lambda: forwarded[-1][0] == "h")
        await stats(page, "player", lambda found: found["width"] == 480)
        after = await stats(page, "player", lambda found: found["framesDecoded"] > seen["framesDecoded"] + 30)
        assert after["joins"] == 1, "the viewer had to join again"
        changes = [now for before, now in pairwise(forwarded) if now[0] != before[0]]
        assert changes, "the premise: layers did change"
        assert all(key and switched for _, key, switched in changes)
        assert sum(switched for _, _, switched in forwarded) <= len(changes) + 1
        await page.evaluate("player.stop()")
        await page.evaluate("peer.close()")


async def test_a_browser_decodes_on_while_it_is_moved_between_sizes(tmp_path: Path, redis_url: str) -> None:
    """VP8, whose picture ids have to be rewritten for it. Its line is not narrowed: the ladder is told to move it."""
    async with stage(tmp_path, redis_url=redis_url) as running, page_of(running) as page:
        await page.evaluate(PUBLISH, [KEY, "VP8"])
        await until(lambda: running.relay.shows and running.show.source is not None)
        source = running.show.source
        await until(lambda: getattr(source.forwarded("video"), "rid", "") == "f")
        await play(page)
        seen = await stats(page, "player", lambda found: found["width"] == 960 and found["framesDecoded"] > 15)
        (watching,) = running.show.viewers.values()
        watching.quality = Unmoved()
        ladder = running.show.ladder
        for place, width in ((0, 240), (1, 480), (2, 960), (0, 240)):
            rungs = await until(lambda: [r for r in [ladder.rungs(source, running.relay._now_ms())] if len(r) == 3])
            ladder._send_to(watching, rungs[0][place])
            await stats(page, "player", lambda found, width=width: found["width"] == width)
            decoded = (await page.evaluate("player.stats()"))["framesDecoded"]
            seen = await stats(page, "player", lambda found, decoded=decoded: found["framesDecoded"] > decoded + 15)
        assert seen["joins"] == 1, "the viewer had to join again"
        assert seen["lost"] == 0
        assert running.relay.counters.refused == 0
        await page.evaluate("player.stop()")
        await page.evaluate("peer.close()")


class Unmoved(Quality):
    """Stays where it was put."""

    def choose(self, line: Line, ladder: Sequence[int], at: int, now_ms: int) -> int:
        return at


ONE_CODEC = """async ([key, codec]) => {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240, frameRate: 15 } });
    window.peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const transceiver = peer.addTransceiver(stream.getVideoTracks()[0], { direction: 'sendonly' });
    transceiver.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter(
        (one) => [`video/${codec}`, 'video/rtx'].includes(one.mimeType)));
    await peer.setLocalDescription(await peer.createOffer());
    const answer = await fetch('/whip/one', { method: 'POST', body: peer.localDescription.sdp,
        headers: { 'Content-Type': 'application/sdp', Authorization: `Bearer ${key}` } });
    await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
}"""


@pytest.mark.parametrize("codec", ["VP9", "AV1"])
async def test_a_browser_decodes_what_another_codec_carries(tmp_path: Path, redis_url: str, codec: str) -> None:
    async with stage(tmp_path, redis_url=redis_url) as running, page_of(running) as page:
        await page.evaluate(ONE_CODEC, [KEY, codec])
        await until(lambda: running.relay.shows and running.show.state == "live")
        await play(page)
        seen = await frames(page, 15)
        assert (seen["codec"], seen["lost"]) == (codec, 0)
        await page.evaluate("player.stop()")
        await page.evaluate("peer.close()")
