"""A publisher who sends three sizes at once, and viewers whose lines differ: real sockets, every packet decrypted."""

from __future__ import annotations

import asyncio
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from relay_stage import Stage, stage, until
from test_end_to_end import CERTIFICATE, PPS, SPS

from live.relay import ladder as ladder_module
from live.relay import quality, rtcp, rtp
from live.relay import show as show_module
from live.relay.caller import Caller
from live.relay.codecs import stap, starts_key_frame

RIDS = {"q": (71, 100), "h": (72, 300), "f": (73, 900)}  # SSRC, bytes of a packet
FRAME_S = 0.03


class Simulcast:
    """Sends frames of three packets in each size until it is closed; a key frame of a size when asked for one."""

    def __init__(self, *, audio: bool = True) -> None:
        self.caller = Caller(CERTIFICATE)
        self.caller.on_rtcp = self._heard
        self.audio = audio
        self.off: set[str] = set()
        self.asked: list[str] = []
        self._keys = set(RIDS)
        self._seq = dict.fromkeys(RIDS, 65_000)
        self._frames = 0
        self._sending: asyncio.Task[None] | None = None

    async def on(self, running: Stage) -> None:
        offer = self.caller.offer("sendonly", codecs=("H264",), audio=self.audio)
        offer += "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
        offer += "".join(f"a=rid:{rid} send\r\n" for rid in RIDS) + f"a=simulcast:send {';'.join(RIDS)}\r\n"
        response = await running.publish(offer)
        assert response.status_code == 201, response.text
        assert "a=simulcast:recv q;h;f" in response.text
        await self.caller.connect(response.text)
        self._sending = asyncio.create_task(self._send_for_ever())

    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self.caller.close()

    async def _send_for_ever(self) -> None:
        """At her pace also where the loop is late: what is chosen hangs on the rates of her sizes."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._frames += 1
            for rid in RIDS:
                if rid not in self.off:
                    self._frame(rid, key=rid in self._keys)
                    self._keys.discard(rid)
            if self.audio:
                sound = rtp.Packet(self._frames & 0xFFFF, self._frames * 1440 & 0xFFFFFFFF, 0x80, b"opus")
                built = rtp.build(sound, payload_type=111, ssrc=5, seq=sound.seq, timestamp=sound.timestamp)
                self.caller.send(built)
            due = max(due + FRAME_S, loop.time() - 5 * FRAME_S)
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _frame(self, rid: str, *, key: bool) -> None:
        ssrc, size = RIDS[rid]
        timestamp = self._frames * 2700 + ssrc * 1_000_000 & 0xFFFFFFFF
        body = bytes(size)
        parts = [b"\x7c\x85" + body, b"\x7c\x05" + body, b"\x7c\x45" + body] if key else [b"\x41" + body] * 3
        if key:
            parts = [stap([SPS, PPS]), *parts]
        for place, payload in enumerate(parts):
            seq = self._seq[rid]
            self._seq[rid] = seq + 1 & 0xFFFF
            marker = 0x80 if place == len(parts) - 1 else 0
            extension = struct.pack("!HHBB2x", 0xBEDE, 1, 0x40, ord(rid))
            head = struct.pack("!BBHII", 0x90, marker | 102, seq, timestamp, ssrc)
            self.caller.send(head + extension + payload + b"%c%d" % (rid.encode(), self._frames))

    def _heard(self, compound: bytes) -> None:
        for ssrc in rtcp.parse(compound).keyframe:
            rid = next(name for name, (own, _) in RIDS.items() if own == ssrc)
            self.asked.append(rid)
            self._keys.add(rid)


class Audience:
    """A viewer who keeps every packet and reports what she is told to."""

    def __init__(self) -> None:
        self.caller = Caller(CERTIFICATE)
        self.caller.on_rtp = self._rtp
        self.video: list[rtp.Header] = []
        self.sounds = 0
        self.remb_kbps: int | None = None
        self.lost = 0
        self._reporting: asyncio.Task[None] | None = None

    async def on(self, running: Stage, **offer: Any) -> None:
        response = await running.play(self.caller.offer("recvonly", codecs=("H264",), **offer))
        assert response.status_code == 201, response.text
        await self.caller.connect(response.text)
        await until(lambda: self.video)
        self._reporting = asyncio.create_task(self._report_for_ever())

    async def close(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)
        await self.caller.close()

    @property
    def size(self) -> str:
        """Which size she sees."""
        return _rid(self.video[-1])

    def sizes(self) -> list[str]:
        """One after the other."""
        rids = [_rid(header) for header in self.video if _rid(header)]
        return [rid for before, rid in pairwise(["", *rids]) if rid != before]

    def check(self) -> None:
        """Every packet: one SSRC, numbers without a gap, timestamps that rise, key frames at each change of size."""
        assert len({header.ssrc for header in self.video}) == 1
        for before, now in pairwise(self.video):
            assert now.seq == before.seq + 1 & 0xFFFF, "a gap"
            step = now.timestamp - before.timestamp & 0xFFFFFFFF
            assert step < 90_000 * 5
            assert (step > 0) == before.marker, "a frame has one timestamp, and the next one a later"
        frames = [now for before, now in pairwise(self.video) if before.marker]
        for before, now in pairwise(self.video):
            if _rid(now) and _rid(before) != _rid(now):
                first = now if now in frames else before
                assert starts_key_frame("H264", first.payload)

    async def _report_for_ever(self) -> None:
        while True:
            ssrc = self.video[-1].ssrc
            compound = rtcp.receiver_report(1, [rtcp.Report(ssrc, self.lost, 0, self.video[-1].seq, 0, 0, 0)])
            if self.remb_kbps is not None:
                compound += rtcp.remb(1, self.remb_kbps * 1000, [ssrc])
            self.caller.send_rtcp(compound)
            await asyncio.sleep(0.1)

    def _rtp(self, packet: bytes) -> None:
        header = rtp.parse(packet)
        assert header is not None
        if header.payload_type == 102:
            self.video.append(header)
        elif header.payload_type == 111:
            self.sounds += 1


def _rid(header: rtp.Header) -> str:
    found = header.payload.rstrip(b"0123456789")[-1:].decode("ascii", "replace")
    return found if found in RIDS else ""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hysteresis in a fifth of its time, and no slate when this machine is busy."""
    monkeypatch.setattr(quality, "HOLD_MS", 600)
    monkeypatch.setattr(quality, "SURE_UP_MS", 800)
    monkeypatch.setattr(quality, "TRIAL_AFTER_MS", 60_000)  # what REMB shows no room for is not tried
    monkeypatch.setattr(quality, "STARVED_BEATS", 2)
    monkeypatch.setattr(show_module, "REPORT_ROUNDS", 2)
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)
    monkeypatch.setattr(ladder_module, "ALIVE_MS", 3000)


@pytest.fixture
async def running(tmp_path: Path, redis_url: str) -> Any:
    async with stage(tmp_path, redis_url=redis_url) as up:
        yield up


async def live(running: Stage, **more: Any) -> Simulcast:
    """A show whose best picture is the big one, and whose rates are known."""
    camera = Simulcast(**more)
    await camera.on(running)
    await until(lambda: running.relay.shows and running.show.source is not None)
    await until(lambda: len(running.show.source.layers) == 3 + camera.audio)
    await until(lambda: getattr(running.show.source.forwarded("video"), "rid", "") == "f")
    await until(lambda: all(layer.usual_kbps for layer in running.show.source.layers.values()))
    return camera


async def believed(running: Stage) -> None:
    """Each viewer's first REMB was looked at: what comes next is a fall, or is not."""
    await until(lambda: all(one.quality._remb_kbps for one in running.show.viewers.values()))


async def test_a_viewer_whose_line_gets_narrow_goes_down_and_returns_while_another_stays(running: Stage) -> None:
    camera = await live(running)
    her, him = Audience(), Audience()
    her.remb_kbps = him.remb_kbps = 5000
    await her.on(running)
    await him.on(running)
    await until(lambda: her.size == him.size == "f")
    await believed(running)
    rates = {layer.rid: layer.usual_kbps for layer in running.show.source.layers.values() if layer.rid}
    her.remb_kbps = round(rates["h"] * 1.8)
    await until(lambda: her.size == "h")
    assert running.show.stats()["viewers_smaller"] == 1
    assert "h" in camera.asked, "its key frame was asked for"
    her.remb_kbps = rates["q"] // 3
    her.lost = 40
    await until(lambda: her.size == "q")
    her.remb_kbps, her.lost = 5000, 0
    await until(lambda: her.size == "f", 25)
    assert her.sizes()[-5:] == ["f", "h", "q", "h", "f"]
    assert him.sizes()[-1:] == ["f"]
    assert him.sizes().count("f") == 1, "nobody else's picture changed"
    her.check()
    him.check()
    assert running.relay.counters.refused == 0
    for person in (her, him, camera):
        await person.close()


async def test_where_no_size_fits_the_sound_goes_on_alone_and_the_picture_is_tried_again(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "TRIAL_AFTER_MS", 1600)
    camera = await live(running)
    her, silent = Audience(), Audience()
    her.remb_kbps = silent.remb_kbps = 5000
    await her.on(running)
    await silent.on(running, audio=False)
    await believed(running)
    her.remb_kbps = silent.remb_kbps = 10
    her.lost = silent.lost = 100
    await until(lambda: running.show.stats()["viewers_sound_only"] == 1)
    pictures, sounds = len(her.video), her.sounds
    await until(lambda: her.sounds > sounds + 20)
    assert len(her.video) <= pictures + 3
    assert silent.size == "q", "who has no sound keeps the smallest picture"
    her.remb_kbps, her.lost = 5000, 0
    await until(lambda: her.size == "f", 25)
    her.check()
    for person in (her, silent, camera):
        await person.close()


async def test_a_size_that_its_publisher_ends_hands_its_viewers_on(running: Stage) -> None:
    camera = await live(running)
    her, him = Audience(), Audience()
    her.remb_kbps = him.remb_kbps = 5000
    await her.on(running)
    await him.on(running)
    await believed(running)
    rates = {layer.rid: layer.usual_kbps for layer in running.show.source.layers.values() if layer.rid}
    her.remb_kbps, him.remb_kbps = round(rates["h"] * 1.8), 5000
    await until(lambda: her.size == "h")
    camera.off = {"h"}
    await until(lambda: her.size == "q", 25)
    camera.off = {"f", "h"}
    await until(lambda: him.size == "q", 25)  # the best that lives is what all others see
    camera.off = set()
    await until(lambda: him.size == "f", 25)
    her.check()
    him.check()
    for person in (her, him, camera):
        await person.close()
