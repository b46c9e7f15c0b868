"""What a publisher may send: each codec, sound or picture alone, another set of kinds when she comes back; and a
joiner on a slow line."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from relay_stage import Stage, stage, until
from test_end_to_end import Camera, Viewer, close, live

from live.relay import rtp
from live.relay import show as show_module
from live.relay.catch_up import AT_LEAST_KBPS, AT_ONCE_BYTES, LATE_S
from live.relay.codecs import starts_key_frame

PAYLOADS = {"H264": (102, 103), "VP8": (96, 97), "VP9": (98, 99), "AV1": (45, 46)}
KEY = {"VP8": b"\x10\x00", "VP9": b"\x8c\x80\x01", "AV1": b"\x18\x0a"}
OTHER = {"VP8": b"\x10\x01", "VP9": b"\xcc\x80\x02", "AV1": b"\x10\x0a"}


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "silence" not in request.node.name:
        monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)


@pytest.fixture
async def running(tmp_path: Path, redis_url: str) -> Any:
    async with stage(tmp_path, redis_url=redis_url) as up:
        yield up


class Listener(Viewer):
    """A viewer who keeps whatever comes, by payload type."""

    def __init__(self) -> None:
        super().__init__()
        self.got: dict[int, list[rtp.Header]] = {}
        self.caller.on_rtp = self._any

    @property
    def sounds(self) -> int:
        return len(self.got.get(111, []))

    def _any(self, packet: bytes) -> None:
        header = rtp.parse(packet)
        assert header is not None
        self.got.setdefault(header.payload_type, []).append(header)


class Singer(Camera):
    """A publisher of sound alone."""

    async def on(self, running: Stage) -> str:
        response = await running.publish(self.caller.offer("sendonly", codecs=()))
        assert response.status_code == 201, response.text
        await self.caller.connect(response.text)
        location: str = response.headers["Location"]
        return location

    def sound(self) -> None:
        super().sound()
        self.seq = self.seq + 1 & 0xFFFF
        self.timestamp = self.timestamp + 960 & 0xFFFFFFFF


class Mime(Camera):
    """A publisher of the picture alone."""

    async def on(self, running: Stage) -> str:
        response = await running.publish(self.caller.offer("sendonly", codecs=(self.codec,), audio=False))
        assert response.status_code == 201, response.text
        await self.caller.connect(response.text)
        location: str = response.headers["Location"]
        return location


# ---- codecs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["VP8", "VP9", "AV1"])
async def test_every_codec_is_forwarded_bit_for_bit_beside_opus(running: Stage, codec: str) -> None:
    number, _ = PAYLOADS[codec]
    camera = Camera(payload_type=number, codec=codec)
    await camera.on(running)
    sent: list[bytes] = []

    def packet(payload: bytes, *, marker: bool) -> None:
        sent.append(payload)
        made = rtp.Packet(camera.seq, camera.timestamp, 0x80 * marker, payload)
        camera.caller.send(rtp.build(made, payload_type=number, ssrc=9, seq=camera.seq, timestamp=camera.timestamp))
        camera.seq = camera.seq + 1 & 0xFFFF

    def frame(start: bytes) -> None:
        packet(start + bytes(1200), marker=False)
        packet(bytes((start[0] & 0x77,)) + start[1:] + bytes(90), marker=True)
        camera.timestamp = camera.timestamp + 3000 & 0xFFFFFFFF

    frame(KEY[codec])
    await until(lambda: running.show.state == "live")
    viewer = Listener()
    await viewer.on(running, codecs=(codec,))
    await until(lambda: len(viewer.got.get(number, [])) == 2)
    frame(OTHER[codec])
    camera.sound()
    await until(lambda: len(viewer.got[number]) == 4 and viewer.sounds)
    assert [header.payload for header in viewer.got[number]] == sent
    assert starts_key_frame(codec, viewer.got[number][0].payload)
    assert viewer.got[111][0].payload == b"opus"
    await close(camera, viewer)


async def test_the_biggest_packets_pass_whole(running: Stage) -> None:
    camera = await live(running)
    viewer = Listener()
    await viewer.on(running)
    big = rtp.Packet(camera.seq, camera.timestamp + 3000 & 0xFFFFFFFF, 0x80, b"\x41" + bytes(1430))
    camera.caller.send(
        rtp.build(big, payload_type=102, ssrc=camera.ssrc, seq=big.seq, timestamp=big.timestamp)
    )  # pylibsrtp's own `protect` raises above 1356 bytes
    await until(lambda: any(header.payload == big.payload for header in viewer.got.get(102, [])))
    await close(camera, viewer)


# ---- kinds -------------------------------------------------------------------------------------


async def test_sound_alone_is_live_and_heard_and_its_silence_is_a_slate(running: Stage) -> None:
    singer = Singer()
    await singer.on(running)
    singer.sound()
    await until(lambda: running.show.state == "live")
    listener = Listener()
    response = await listener.on(running)
    assert "m=video 0 " in response.text, "there is no picture"
    while listener.sounds < 3:
        singer.sound()
        await asyncio.sleep(0.02)
    assert not listener.got.get(102)
    await until(lambda: running.show.state == "slate")
    assert len(running.show.viewers) == 1
    singer.sound()
    await until(lambda: running.show.state == "live")
    await close(singer, listener)


async def test_a_picture_alone_is_live_and_seen_and_its_silence_is_a_slate(running: Stage) -> None:
    mime = Mime()
    await mime.on(running)
    mime.frame(key=True)
    await until(lambda: running.show.state == "live")
    viewer = Listener()
    response = await viewer.on(running)
    assert "m=audio 0 " in response.text
    await until(lambda: len(viewer.got.get(102, [])) == 3)
    await until(lambda: running.show.state == "slate")
    assert len(running.show.viewers) == 1
    mime.frame(key=True)
    await until(lambda: running.show.state == "live")
    await close(mime, viewer)


async def test_a_kind_that_a_viewer_was_not_offered_ends_her_session_so_that_she_rejoins(running: Stage) -> None:
    singer = Singer()
    await singer.on(running)
    singer.sound()
    await until(lambda: running.show.state == "live")
    listener = Listener()
    await listener.on(running)
    camera = Camera()
    await camera.on(running)  # the same host, with a picture now
    await asyncio.wait_for(listener.caller.closed.wait(), 60)
    camera.frame(key=True)
    camera.sound()
    again = Listener()
    await until(lambda: running.show.tracks["video"].packets)
    await again.on(running)
    await until(lambda: len(again.got.get(102, [])) == 3)
    camera.frame()  # its sound is numbered with its pictures
    camera.sound()
    await until(lambda: again.sounds)
    await close(singer, listener, camera, again)


async def test_a_publisher_who_comes_back_with_fewer_kinds_keeps_her_viewers(running: Stage) -> None:
    camera = await live(running)
    viewer = Listener()
    await viewer.on(running)
    await camera.caller.close()
    await until(lambda: running.show.state == "slate")
    singer = Singer()
    await singer.on(running)
    singer.sound()
    await until(lambda: running.show.state == "live")
    while not viewer.sounds:
        singer.sound()
        await asyncio.sleep(0.02)
    assert len(running.show.viewers) == 1
    assert not viewer.caller.closed.is_set()
    await close(camera, singer, viewer)


# ---- a slow line -------------------------------------------------------------------------------


class Narrow:
    """A line of `kbps` with a queue of `octets` in front of it, between the relay and a viewer. What it loses is
    told; it delays nothing, as only the loss matters here."""

    def __init__(self, viewer: Viewer, kbps: int, octets: int) -> None:
        peer = viewer.caller.peer
        assert peer is not None
        self.lost = 0
        self._whole, self._kbps, self._room = peer.feed, kbps, octets
        self._queued, self._at = 0.0, asyncio.get_running_loop().time()
        peer.feed = self._feed  # type: ignore[method-assign]

    def _feed(self, datagram: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self._queued = max(0.0, self._queued - (now - self._at) * self._kbps * 125)
        self._at = now
        if self._queued + len(datagram) > self._room:
            self.lost += 1
            return
        self._queued += len(datagram)
        self._whole(datagram)


async def test_a_joiner_on_a_slow_line_gets_the_cached_pictures_paced_and_without_loss(running: Stage) -> None:
    camera = await live(running)
    for count in range(1, 101):  # three seconds after the key frame: 150 KB
        camera.frame()
        await until(lambda count=count: running.show.tracks["video"].packets == 3 + 3 * count)
    viewer = Listener()
    connect = viewer.caller.connect
    lines: list[Narrow] = []

    async def narrowly(answer: str) -> None:
        task = asyncio.create_task(connect(answer))
        await until(lambda: viewer.caller.peer is not None)
        # Room for what leaves at once, and for a turn of the relay's loop that comes late and makes up for it.
        lines.append(Narrow(viewer, 12_000, AT_ONCE_BYTES + round(AT_LEAST_KBPS * LATE_S * 125)))
        await task

    viewer.caller.connect = narrowly  # type: ignore[method-assign, assignment]
    await viewer.on(running)
    await until(lambda: len(viewer.got.get(102, [])) >= 303)
    assert lines[0].lost == 0
    assert all(b.seq == a.seq + 1 & 0xFFFF for a, b in pairwise(viewer.got[102]))
    await close(camera, viewer)
