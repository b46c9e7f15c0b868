"""A real relay on real sockets: publishers and viewers that shake hands, lose packets, come back, and misbehave."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from relay_stage import KEY, Stage, ffmpeg, stage, until

from live.clock import SystemClock
from live.relay import catch_up, foyer, rtcp, rtp
from live.relay import show as show_module
from live.relay.caller import Caller
from live.relay.codecs import stap, starts_key_frame
from live.relay.errors import Full, HandshakeFailed
from live.relay.peer import RelayCertificate
from live.relay.rtp import Header
from live.store import keys

FRAME_START = b"\x7c\x81" + bytes(900)
SPS, PPS = b"\x67\x42\xe0\x1f", b"\x68\xce\x3c\x80"
CERTIFICATE = RelayCertificate.generateCertificate()


class Camera:
    """A publisher made of a Caller: frames of three packets, a key frame when told."""

    def __init__(self, *, payload_type: int = 102, codec: str = "H264") -> None:
        self.caller = Caller(CERTIFICATE)
        self.payload_type = payload_type
        self.codec = codec
        self.seq = secrets.randbelow(65536)
        self.timestamp = secrets.randbits(32)
        self.ssrc = secrets.randbits(31) | 1
        self.heard = rtcp.Feedback()
        self.sent: dict[int, bytes] = {}
        self.caller.on_rtcp = self._heard

    async def on(self, running: Stage) -> str:
        response = await running.publish(self.caller.offer("sendonly", codecs=(self.codec,)))
        assert response.status_code == 201, response.text
        await self.caller.connect(response.text)
        location: str = response.headers["Location"]
        return location

    def frame(self, *, key: bool = False, skip: frozenset[int] = frozenset()) -> None:
        """Three packets; those at the places in `skip` get lost on the way."""
        self.timestamp = self.timestamp + 3000 & 0xFFFFFFFF
        if self.codec == "H264":
            parts = [stap([SPS, PPS]), b"\x7c\x85" + bytes(900), b"\x7c\x45" + bytes(500)] if key else []
            parts = parts or [FRAME_START, b"\x7c\x01" + bytes(900), b"\x7c\x41" + bytes(100)]
        else:
            parts = [b"\x10" + (b"\x00" if key else b"\x01") + bytes(800), b"\x00" + bytes(800), b"\x00" + bytes(90)]
        for place, payload in enumerate(parts):
            packet = rtp.build(
                rtp.Packet(self.seq, self.timestamp, 0x80 * (place == 2), payload),
                payload_type=self.payload_type,
                ssrc=self.ssrc,
                seq=self.seq,
                timestamp=self.timestamp,
            )
            self.sent[self.seq] = packet
            if place not in skip:
                self.caller.send(packet)
            self.seq = self.seq + 1 & 0xFFFF

    def sound(self) -> None:
        packet = rtp.Packet(self.seq, self.timestamp, 0x80, b"opus")
        self.caller.send(rtp.build(packet, payload_type=111, ssrc=5, seq=self.seq, timestamp=self.timestamp))

    def _heard(self, compound: bytes) -> None:
        said = rtcp.parse(compound)
        self.heard.nacks += said.nacks
        self.heard.keyframe += said.keyframe
        self.heard.reports += said.reports
        self.heard.remb_bps = said.remb_bps or self.heard.remb_bps


class Viewer:
    """A viewer made of a Caller: remembers the picture it got, by number."""

    def __init__(self) -> None:
        self.caller = Caller(CERTIFICATE)
        self.video: dict[int, rtp.Header] = {}
        self.order: list[int] = []
        self.resent: dict[int, rtp.Header] = {}
        self.reports: list[rtcp.SenderInfo] = []
        self.caller.on_rtp = self._rtp
        self.caller.on_rtcp = lambda compound: self.reports.extend(rtcp.parse(compound).senders)
        self.ssrc = 0
        self.session = ""

    async def on(self, running: Stage, **offer: Any) -> Any:
        response = await running.play(self.caller.offer("recvonly", **offer))
        assert response.status_code == 201, response.text
        self.session = response.headers["Location"]
        await self.caller.connect(response.text)
        return response

    def gaps(self) -> list[int]:
        return [b - a & 0xFFFF for a, b in pairwise(self.order) if b - a & 0xFFFF != 1]

    def _rtp(self, packet: bytes) -> None:
        found = rtp.parse(packet)
        assert found is not None
        if found.payload_type in (102, 96):
            self.ssrc = found.ssrc
            self.video[found.seq] = found
            self.order.append(found.seq)
        elif found.payload_type in (103, 97):
            original = int.from_bytes(found.payload[:2], "big")
            self.resent[original] = found


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """These cameras send only when told: on a busy machine that must not count as a publisher who fell silent, whose
    pictures are shown from her next key frame on only."""
    if "silence" not in request.node.name:
        monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)


@pytest.fixture
async def running(tmp_path: Path, redis_url: str) -> Any:
    async with stage(tmp_path, redis_url=redis_url) as up:
        yield up


async def close(*people: Camera | Viewer) -> None:
    for person in people:
        await person.caller.close()


async def live(running: Stage, **camera: Any) -> Camera:
    """A show with a publisher whose first key frame has come."""
    made = Camera(**camera)
    await made.on(running)
    made.frame(key=True)
    await until(lambda: running.show.state == "live")
    return made


# ---- the way of the picture --------------------------------------------------------------------


async def test_a_joiner_gets_the_key_frame_at_once_and_everything_after_it_in_order(running: Stage) -> None:
    camera = await live(running)
    for count in range(6, 94, 3):  # one by one: a burst would overflow a small machine's socket buffer
        camera.frame()
        await until(lambda count=count: running.show.tracks["video"].packets == count)
    viewer = Viewer()
    await viewer.on(running)
    await until(lambda: len(viewer.order) == 93)  # the publisher sends nothing meanwhile: all of it is the cache
    first = viewer.video[viewer.order[0]]
    assert starts_key_frame("H264", first.payload)
    assert first.seq < 32768
    camera.frame()
    await until(lambda: len(viewer.order) == 96)
    assert viewer.gaps() == []
    theirs = [rtp.parse(packet) for packet in camera.sent.values()]
    assert [viewer.video[seq].payload for seq in viewer.order] == [packet.payload for packet in theirs if packet]
    await close(camera, viewer)


@asynccontextmanager
async def a_late_loop(camera: Camera) -> AsyncIterator[None]:
    """Each of its turns takes a tenth of a second, in which twelve frames come."""

    async def late() -> None:
        while True:
            for _ in range(12):
                camera.frame()
            time.sleep(0.1)  # noqa: ASYNC251 - that is the point
            await asyncio.sleep(0.005)

    busy = asyncio.create_task(late())
    try:
        yield
        assert not busy.done()
    finally:
        busy.cancel()


async def test_a_joiner_comes_up_with_the_others_also_where_the_loop_is_late(running: Stage) -> None:
    """By so much a turn, however long it took, she would be sent less than what comes in: a relay that thousands join
    at once would never have done with them, and stay late for it."""
    camera = await live(running)
    viewer = Viewer()
    async with a_late_loop(camera):
        await viewer.on(running)
        await until(lambda: viewer.order)
        await until(lambda: not running.show._catch_up._backlogs)
    await close(camera, viewer)


async def test_a_joiner_who_cannot_be_brought_up_is_put_among_the_others_before_her_backlog_outgrows_the_ring(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "SIZE", 300)
    monkeypatch.setattr(catch_up, "LATE_S", 0.0)  # a packet a turn: she never comes up
    camera = await live(running)
    viewer = Viewer()
    async with a_late_loop(camera):
        await viewer.on(running)
        backlogs = running.show._catch_up._backlogs
        await until(lambda: backlogs)
        most = 0
        async with asyncio.timeout(60):
            while backlogs:
                most = max(most, *map(len, backlogs.values()))
                await asyncio.sleep(0)
        assert 100 < most <= 300
    camera.frame(key=True)
    await until(lambda: starts_key_frame("H264", viewer.video[viewer.order[-3]].payload))
    await close(camera, viewer)


@pytest.mark.parametrize("setup", ["actpass", "active", "passive"])
async def test_every_dtls_role_works(running: Stage, setup: str) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running, setup=setup)
    await until(lambda: viewer.order)
    await close(camera, viewer)


async def test_a_publisher_that_comes_back_goes_on_in_the_same_numbering(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running)
    await until(lambda: len(viewer.order) == 3)
    await camera.caller.close()  # close_notify
    await until(lambda: running.show.state == "slate")
    again = Camera()
    await again.on(running)
    again.frame()  # from the middle of a GOP: nobody can show it
    again.frame(key=True)
    await until(lambda: len(viewer.order) == 6)
    assert viewer.gaps() == []
    assert running.show.state == "live"
    before, after = viewer.video[viewer.order[2]], viewer.video[viewer.order[3]]
    assert after.ssrc == before.ssrc
    assert 0 < (after.timestamp - before.timestamp & 0xFFFFFFFF) < 90_000 * 60
    assert starts_key_frame("H264", after.payload)
    assert list(running.show.viewers) == [viewer.session.rpartition(".")[2]]
    await close(again, viewer)


async def test_a_second_publisher_with_the_key_takes_over(running: Stage) -> None:
    first = await live(running)
    second = Camera()
    await second.on(running)
    await asyncio.wait_for(first.caller.closed.wait(), 60)
    second.frame(key=True)
    await until(lambda: running.show.source.layers)
    offer = Camera().caller
    refused = await running.http.post(
        f"{running.url}/whip/one?return=1",
        content=offer.offer("sendonly"),
        headers={"Content-Type": "application/sdp", "Authorization": f"Bearer {KEY}"},
    )
    assert refused.status_code == 409, "one who was sent away does not push out the other"
    await offer.close()
    await close(first, second)


async def test_a_codec_that_a_viewer_did_not_agree_to_ends_her_session_so_that_she_rejoins(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running)
    other = Camera(payload_type=96, codec="VP8")
    await other.on(running)
    other.frame(key=True)
    await asyncio.wait_for(viewer.caller.closed.wait(), 60)
    again = Viewer()
    await again.on(running)
    await until(lambda: again.order)
    assert again.video[again.order[0]].payload_type == 96
    await close(camera, other, viewer, again)


async def test_silence_becomes_a_slate_and_its_viewers_stay(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running)
    await until(lambda: running.show.state == "slate")
    assert len(running.show.viewers) == 1
    camera.frame()
    camera.frame(key=True)
    await until(lambda: running.show.state == "live")
    await close(camera, viewer)


# ---- loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rtx", [True, False])
async def test_what_a_viewer_lost_is_resent(running: Stage, rtx: bool) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running, rtx=rtx)
    await until(lambda: len(viewer.order) == 3)
    peer = viewer.caller.peer
    assert peer is not None
    whole, eaten = peer.feed, []

    def lossy(datagram: bytes) -> None:
        if datagram[0] > 127 and datagram[1] == 102 and not eaten:  # the first of the next frame
            eaten.append(datagram)
        else:
            whole(datagram)

    peer.feed = lossy  # type: ignore[method-assign]
    camera.frame()
    await until(lambda: len(viewer.order) == 5)
    number = viewer.order[2] + 1 & 0xFFFF
    assert number not in viewer.video, "premise: it was lost"
    lost = Header(False, 102, number, viewer.video[number + 1 & 0xFFFF].timestamp, viewer.ssrc, {}, FRAME_START)
    viewer.caller.send_rtcp(rtcp.receiver_report(1, []) + rtcp.nack(1, viewer.ssrc, [lost.seq]))
    if rtx:
        resent = await until(lambda: viewer.resent.get(lost.seq))
        assert resent.payload[2:] == lost.payload
        assert resent.ssrc != lost.ssrc, "another stream: AES-GCM never sees a number twice"
    else:
        assert (await until(lambda: viewer.video.get(lost.seq))) == lost
    await close(camera, viewer)


async def test_what_was_lost_from_the_publisher_is_asked_for_and_reaches_viewers(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running)
    await until(lambda: len(viewer.order) == 3)
    camera.frame(skip=frozenset({1}))
    camera.frame()
    nack = await until(lambda: camera.heard.nacks)
    camera.caller.send(camera.sent[nack[0][1]])
    await until(lambda: len(viewer.order) == 9)
    assert sorted(b - viewer.order[0] & 0xFFFF for b in viewer.order) == list(range(9))
    await close(camera, viewer)


async def test_key_frame_requests_of_many_become_one(running: Stage) -> None:
    camera = await live(running)
    viewers = [Viewer() for _ in range(5)]
    for viewer in viewers:
        await viewer.on(running)
    await until(lambda: all(viewer.order for viewer in viewers))
    asked = len(camera.heard.keyframe)
    for viewer in viewers:
        viewer.caller.send_rtcp(rtcp.receiver_report(1, []) + rtcp.pli(1, viewer.ssrc))
    await until(lambda: len(camera.heard.keyframe) > asked)
    camera.frame()
    await until(lambda: all(len(viewer.order) == 6 for viewer in viewers))
    assert len(camera.heard.keyframe) <= asked + 2
    assert camera.heard.remb_bps is not None
    assert camera.heard.remb_bps > 3_900_000
    await close(camera, *viewers)


async def test_reports_carry_the_clock_for_lip_sync(running: Stage) -> None:
    camera = await live(running)
    camera.sound()
    await until(lambda: "audio" in running.show.tracks)
    viewer = Viewer()
    await viewer.on(running)
    await until(lambda: len({info.ssrc for info in viewer.reports}) == 2)
    await close(camera, viewer)


# ---- other people's clients --------------------------------------------------------------------


async def test_aiortcs_own_client_decodes_what_ffmpeg_publishes(tmp_path: Path, redis_url: str) -> None:
    # aioice leaves loopback out, so the relay listens on every address of the host.
    async with stage(tmp_path, redis_url=redis_url, udp_host="") as up, ffmpeg(f"{up.url}/whip/one", active=False):
        await until(lambda: up.relay.shows and up.show.state == "live")
        client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind in ("video", "audio"):
            client.addTransceiver(kind, direction="recvonly")
        await client.setLocalDescription(await client.createOffer())
        response = await up.play(client.localDescription.sdp)
        assert response.status_code == 201, response.text
        await client.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        video = next(t.receiver.track for t in client.getTransceivers() if t.kind == "video")
        async with asyncio.timeout(60):
            frames = [await video.recv() for _ in range(10)]
        assert {(frame.width, frame.height) for frame in frames} == {(320, 240)}
        times = [frame.pts for frame in frames]
        assert times == sorted(set(times))
        await client.close()
        await until(lambda: not up.show.viewers)


# ---- strangers ---------------------------------------------------------------------------------


async def test_another_certificate_than_the_answer_names_is_refused(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    response = await running.play(viewer.caller.offer("recvonly"))
    with pytest.raises(HandshakeFailed):
        await viewer.caller.connect(response.text, fingerprint=":".join(["00"] * 32))
    thief = Caller(RelayCertificate.generateCertificate())
    thief._certificate, own = CERTIFICATE, thief._certificate
    response = await running.play(thief.offer("recvonly"))  # names another certificate than it will show
    thief._certificate = own
    failed = running.relay.handshakes_failed
    task = asyncio.create_task(thief.connect(response.text))
    await until(lambda: running.relay.handshakes_failed > failed)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await thief.close()
    await close(camera, viewer)


async def test_garbage_disturbs_nobody_and_is_not_answered(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running)
    await until(lambda: len(viewer.order) == 3)
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.setblocking(False)
    to = running.relay.port.candidates[0]
    sessions = len(running.relay.sessions)
    for size in range(1, 1400, 7):
        await asyncio.sleep(0)  # the relay shares this loop: let it read, or only the kernel's buffer is tested
        for first in (0, 1, 22, 128, 200, 255):
            stranger.sendto(bytes((first,)) + secrets.token_bytes(size), to)
            viewer.caller.socket.sendto(bytes((first,)) + secrets.token_bytes(size), to)  # even from a known address
    for _ in range(5):
        camera.frame()
    await until(lambda: len(viewer.order) == 18)
    assert viewer.gaps() == []
    assert len(running.relay.sessions) == sessions
    with pytest.raises(BlockingIOError):
        stranger.recv(2048)
    stranger.close()
    await close(camera, viewer)


async def test_a_viewer_moves_with_an_authenticated_check_and_not_without(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running)
    await until(lambda: len(viewer.order) == 3)
    session = next(iter(running.show.viewers.values())).session
    before = session.ice.address
    thief = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    thief.sendto(b"\x80" + bytes(60), running.relay.port.candidates[0])
    camera.frame()
    await until(lambda: len(viewer.order) == 6)
    assert session.ice.address == before
    loop = asyncio.get_running_loop()
    loop.remove_reader(viewer.caller.socket)
    viewer.caller.socket.close()  # her phone goes from one network to another
    viewer.caller.socket = thief
    thief.setblocking(False)
    loop.add_reader(thief, viewer.caller._readable)
    viewer.caller.check()
    await until(lambda: session.ice.address != before)
    camera.frame()
    await until(lambda: len(viewer.order) == 9)
    await close(camera, viewer)


# ---- the API -----------------------------------------------------------------------------------


async def test_whip_and_whep_say_no_in_the_words_of_their_rfc(running: Stage) -> None:
    caller = Caller(CERTIFICATE)
    offer = caller.offer("sendonly")
    http, url = running.http, running.url
    assert (await running.publish("this is no SDP")).status_code == 400
    unknown = offer.replace("H264", "H266").replace("VP8", "VP1").replace("opus", "g")
    assert (await running.publish(unknown)).status_code == 422
    assert (await running.publish("v=0\r\n" + "a" * 70_000)).status_code == 413
    refused = await running.publish(offer, key="wrong")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    assert (await running.publish(offer, key="key-of-show-two")).status_code == 403
    assert (await running.publish(offer, slug="none")).status_code == 404
    headers = {"Content-Type": "text/plain", "Authorization": f"Bearer {KEY}"}
    assert (await http.post(f"{url}/whip/one", content=offer, headers=headers)).status_code == 415
    for slug, why in (("one", "no picture yet"), ("two", "not live")):
        early = await running.play(caller.offer("recvonly"), slug=slug)
        assert early.status_code == 409, why
        assert int(early.headers["Retry-After"]) >= 1
    preflight = await http.options(f"{url}/whip/one")
    assert preflight.status_code == 204
    assert preflight.headers["Accept-Post"] == "application/sdp"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert (await http.head(f"{url}/whep/one")).headers["Content-Type"].startswith("application/sdp")
    await caller.close()


async def test_a_session_can_be_trickled_restarted_and_ended(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    response = await viewer.on(running)
    url, tag = f"{running.url}{viewer.session}", response.headers["ETag"]
    assert tag.startswith('"')

    async def patch(body: str, **headers: str) -> Any:
        headers["Content-Type"] = "application/trickle-ice-sdpfrag"
        return await running.http.patch(url, content=body, headers=headers)

    candidate = "a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n"
    assert (await patch(candidate, **{"If-Match": tag})).status_code == 204
    assert (await patch(candidate)).status_code == 204, "whip-whep.js sends no If-Match to WHEP"
    assert (await patch(candidate, **{"If-Match": '"stale"'})).status_code == 412
    assert (await running.http.patch(url, content=candidate, headers={"Content-Type": "a/b"})).status_code == 415
    restarted = await patch("a=ice-ufrag:newone\r\na=ice-pwd:newpasswordnewpassword\r\n", **{"If-Match": "*"})
    assert restarted.status_code == 200
    assert restarted.headers["ETag"] not in ("", tag)
    assert "a=ice-ufrag:" in restarted.text
    camera.frame()
    await until(lambda: len(viewer.order) == 6)  # the old generation goes on until the new one is used
    assert (await patch(candidate, **{"If-Match": tag})).status_code == 412
    assert (await running.http.delete(url)).status_code == 200
    await asyncio.wait_for(viewer.caller.closed.wait(), 60)
    assert not running.show.viewers
    assert (await running.http.delete(url)).status_code == 404
    await close(camera, viewer)


async def test_a_session_is_only_known_under_the_address_of_its_show(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running)
    elsewhere = running.url + viewer.session.replace("/whep/one/", "/whep/two/")
    headers = {"Content-Type": "application/trickle-ice-sdpfrag"}
    fragment = "a=ice-ufrag:newone\r\na=ice-pwd:newpasswordnewpassword\r\n"
    assert (await running.http.patch(elsewhere, content=fragment, headers=headers)).status_code == 404
    assert (await running.http.delete(elsewhere)).status_code == 404
    assert len(running.show.viewers) == 1
    assert (await running.http.delete(running.url + viewer.session)).status_code == 200, "the premise"
    await close(camera, viewer)


async def test_an_address_that_names_another_key_of_the_store_touches_nothing(running: Stage) -> None:
    camera = await live(running)
    await until(lambda: running.process._changes.empty())
    claimed = await running.redis.get(keys.relay_of_show("shw_one"))
    assert (await running.http.delete(f"{running.url}/whep/one/show:shw_one.x")).status_code == 404
    assert await running.redis.get(keys.relay_of_show("shw_one")) == claimed
    await close(camera)


async def test_a_publishers_patch_needs_its_tag_and_her_key(running: Stage) -> None:
    camera = Camera()
    url = f"{running.url}{await camera.on(running)}"
    headers = {"Content-Type": "application/trickle-ice-sdpfrag"}
    body = "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n"
    assert (await running.http.patch(url, content=body, headers=headers)).status_code == 401
    headers["Authorization"] = f"Bearer {KEY}"
    assert (await running.http.patch(url, content=body, headers=headers)).status_code == 428
    assert (await running.http.delete(url)).status_code == 401
    assert (await running.http.delete(url, headers=headers)).status_code == 200
    await asyncio.wait_for(camera.caller.closed.wait(), 60)
    await close(camera)


async def test_a_full_relay_says_so(tmp_path: Path, redis_url: str) -> None:
    async with stage(tmp_path, redis_url=redis_url, relay_capacity=1) as up:
        camera = await live(up)
        viewer, late = Viewer(), Viewer()
        await viewer.on(up)
        refused = await up.play(late.caller.offer("recvonly"))
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        await close(camera, viewer, late)


async def test_a_flood_of_offers_keeps_neither_the_publisher_nor_other_networks_out(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = await live(running)
    monkeypatch.setattr(foyer, "MOST", 6)
    monkeypatch.setattr(foyer, "OF_A_NETWORK", 3)
    flood, relay = Viewer(), running.process.relay
    offer = flood.caller.offer("recvonly")
    for _ in range(3):
        relay.play("shw_one", offer, "a network")
    with pytest.raises(Full):
        relay.play("shw_one", offer, "a network")
    for _ in range(3):
        relay.play("shw_one", offer, "another")
    with pytest.raises(Full):
        relay.play("shw_one", offer, "a third")
    back = Camera()
    await back.on(running)
    await until(lambda: camera.caller.closed.is_set())
    await close(camera, back, flood)


async def test_the_registry_and_the_rooms_log_hear_of_the_picture(running: Stage) -> None:
    camera = await live(running)
    found = await running.redis.hgetall(keys.media("shw_one"))
    while found.get(b"state") != b"live":
        await asyncio.sleep(0.01)
        found = await running.redis.hgetall(keys.media("shw_one"))
    assert await running.redis.get(keys.relay_of_show("shw_one")) == running.process._registry.id.encode()
    bus = running.process._bus
    epoch, seq = await bus.history.position("shw_one")
    await camera.caller.close()
    await until(lambda: running.show.state == "slate")
    events: Any = []
    while not events:
        await asyncio.sleep(0.01)
        events = await bus.history.since("shw_one", epoch, seq)
    assert b"picture.changed" in msgspec.json.encode(events[0])
    await close(camera)


async def test_a_rotated_key_cuts_its_publisher_and_an_ended_show_everybody(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running)
    running.relay.drop_publisher("shw_one")
    await asyncio.wait_for(camera.caller.closed.wait(), 60)
    assert len(running.show.viewers) == 1
    running.relay.end_show("shw_one")
    await asyncio.wait_for(viewer.caller.closed.wait(), 60)
    assert not running.relay.sessions
    await close(camera, viewer)


async def test_sigterm_ends_the_process_cleanly(tmp_path: Path, redis_url: str) -> None:
    code = "import asyncio; from live.settings import Settings; from live.relay.server import run; "
    code += "asyncio.run(run(Settings()))"
    environment = os.environ | {
        "REDIS_URL": redis_url, "FRONTROW_DATA_DIR": str(tmp_path), "FRONTROW_RELAY_UDP_PORT": "0",
        "FRONTROW_RELAY_UDP_HOST": "127.0.0.1",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"relay.ready" not in (line := await process.stdout.readline()):
            assert line, "it ended before it was ready"
        process.send_signal(signal.SIGTERM)
        rest = await process.stdout.read()
        assert await process.wait() == 0, rest.decode()


async def test_prometheus_reads_what_left_and_who_is_in(running: Stage) -> None:
    camera = await live(running)
    viewer = Viewer()
    await viewer.on(running)
    await until(lambda: len(viewer.order) == 3)
    camera.frame()
    await until(lambda: len(viewer.order) == 6)
    viewer.caller.send_rtcp(rtcp.nack(1, viewer.ssrc, viewer.order[:2]))
    await until(lambda: len(viewer.resent) == 2)
    control = running.process.control
    text = (await running.http.get(f"{control}/metrics")).text
    said = dict(line.split(" ") for line in text.splitlines() if not line.startswith("#"))
    assert said["frontrow_relay_viewers"] == "1.0"
    assert said["frontrow_relay_publishers"] == said["frontrow_relay_shows_live"] == "1.0"
    assert float(said["frontrow_relay_packets_total"]) >= 6
    assert said["frontrow_relay_resent_total"] == "2.0"
    assert said["frontrow_relay_join_seconds_count"] == "1.0"
    assert (await running.http.get(f"{control}/stats")).status_code == 401, "all else needs the bearer"
    await close(camera, viewer)


class Later:
    """A clock that is ahead of the real one."""

    def __init__(self, ahead_ms: int) -> None:
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return SystemClock().now_ms() + self._ahead_ms


async def test_an_ageing_certificate_is_replaced_for_new_sessions_while_old_ones_go_on(running: Stage) -> None:
    camera = await live(running)
    early, late = Viewer(), Viewer()
    first = await early.on(running)
    running.relay._clock = Later(26 * 24 * 3600 * 1000)
    second = await late.on(running)
    running.relay._clock = SystemClock()
    third = Viewer()
    again = await third.on(running)

    def fingerprint(response: Any) -> str:
        return next(line for line in response.text.splitlines() if line.startswith("a=fingerprint:"))

    assert fingerprint(first) != fingerprint(second) == fingerprint(again)
    before = len(early.order)
    camera.frame()
    await until(lambda: len(early.order) == before + 3 and late.order and third.order)
    await close(camera, early, late, third)
