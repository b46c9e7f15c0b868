"""The load: a camera, and viewers who do ICE and DTLS, answer checks and talk as Chromium does.

The same camera and the same viewers for every server that is measured; only who makes the offer differs (Janus does,
so that the viewer answers and is the controlled agent). A checking viewer reads everything: libsrtp authenticates each
packet, numbers must follow, gaps are asked for by NACK. The others leave theirs in their sockets: on a loopback or a
veth the receiving half of the kernel runs in the sender's time, so every server is charged alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from live.relay import rtcp, rtp
from live.relay.caller import Caller
from live.relay.errors import HandshakeFailed
from live.relay.peer import RelayCertificate
from live.relay.stun import answer as stun_answer
from live.relay.stun import parse_check, request

FRAME_PACKETS, PAYLOAD_BYTES, SOUND_BYTES = 9, 1157, 160
KEY_PACKETS, KEY_EVERY_FRAMES = 36, 60
FRAME_HZ, SOUND_HZ = 30, 50
PACKETS_A_SECOND = FRAME_HZ * FRAME_PACKETS + (KEY_PACKETS - FRAME_PACKETS) // 2 + SOUND_HZ
VIDEO, SOUND = 102, 111
JOINS_AT_ONCE = 4
JOINED_WITHIN_S = 20
RR_EVERY_S = 1 / 3  # Chromium: about three RR and two REMB a second


class Camera:
    """720p30 at 2.5 Mbit/s with sound, made of random bytes behind H.264's headers. `send` takes plain RTP."""

    def __init__(self, certificate: RelayCertificate, *, host: str = "127.0.0.1") -> None:
        self.caller = Caller(certificate, host=host)
        self.send: Callable[[bytes], None] = self.caller.send
        self.sent = 0
        self._numbers = {VIDEO: 1, SOUND: 1}
        self._body = secrets.token_bytes(PAYLOAD_BYTES)
        self._frame = 0
        self._sounds = 0
        self._wished = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def heeds_wishes(self) -> None:
        """From now on a key frame is sent when it is asked for, too, as a browser does."""

        def heard(compound: bytes) -> None:
            self._wished = self._wished or bool(rtcp.parse(compound).keyframe)

        self.caller.on_rtcp = heard

    async def stop(self, *, silently: bool = False) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.caller.close(silently=silently)

    async def _run(self) -> None:
        begun, first = time.perf_counter(), self._frame
        while True:
            self.frame()
            while self._sounds * FRAME_HZ < self._frame * SOUND_HZ:
                self._packet(SOUND, self._sounds * 960, True, self._body[:SOUND_BYTES])
                self._sounds += 1
            await asyncio.sleep(max(0.0, begun + (self._frame - first) / FRAME_HZ - time.perf_counter()))

    async def fill(self, packets: int) -> None:
        """So many packets beside those that are due: a server's memory of them is full before viewers are counted."""
        for _ in range(0, packets, 32):
            self._burst(32)
            await asyncio.sleep(0.015)

    def _burst(self, count: int) -> None:
        for _ in range(count):
            self._packet(VIDEO, self._frame * 3000, True, bytes((0x7C, 0xC1)) + self._body[2:])
            self._packet(SOUND, self._sounds * 960, True, self._body[:SOUND_BYTES])

    def frame(self) -> None:
        key = self._frame % KEY_EVERY_FRAMES == 0 or self._wished
        self._wished = False
        count = KEY_PACKETS if key else FRAME_PACKETS
        for place in range(count):
            start = (0x80 if place == 0 else 0x40 if place == count - 1 else 0) | (5 if key else 1)
            self._packet(VIDEO, self._frame * 3000, place == count - 1, bytes((0x7C, start)) + self._body[2:])
        self._frame += 1

    def _packet(self, number: int, timestamp: int, marker: bool, payload: bytes) -> None:
        seq = self._numbers[number] = self._numbers[number] + 1 & 0xFFFF
        packet = rtp.Packet(seq, timestamp & 0xFFFFFFFF, 0x80 * marker, payload)
        self.send(rtp.build(packet, payload_type=number, ssrc=number, seq=seq, timestamp=packet.timestamp))
        self.sent += 1


class Answerer(Caller):
    """The same client when the other side makes the offer and is a full ICE agent: we are the controlled one."""

    def answer_to(self, offer: str) -> str:
        """Takes each m-section with the payload types it came with."""
        keep = ("a=mid:", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "m=", "c=", "a=rtcp-mux")
        lines: list[str] = []
        for line in offer.splitlines():
            if line.startswith("m="):
                lines += self._ours() if lines else []
            if line.startswith(keep) and (lines or line.startswith("m=")):
                lines.append(line)
        mids = " ".join(line.partition(":")[2] for line in lines if line.startswith("a=mid:"))
        head = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {mids}"]
        return "\r\n".join([*head, *lines, *self._ours(), ""])

    def _ours(self) -> list[str]:
        host, port = self.socket.getsockname()[:2]
        return [
            "a=recvonly", f"a=ice-ufrag:{self._ufrag}", f"a=ice-pwd:{self._password}", "a=setup:active",
            f"a=fingerprint:{self._certificate.fingerprint}", f"a=candidate:1 1 udp 2130706431 {host} {port} typ host",
            "a=end-of-candidates",
        ]  # fmt: skip

    async def connect(self, offer: str, *, fingerprint: str | None = None) -> None:
        await super().connect(offer.replace("a=setup:actpass", "a=setup:passive"), fingerprint=fingerprint)

    def check(self, *, nominate: bool = False) -> None:
        ufrag, password = self._remote
        self._send(request(self._ufrag, ufrag, password, secrets.token_bytes(12), nominate=False, controlling=False))

    def stun(self, datagram: bytes) -> None:
        check = parse_check(datagram)
        password = self._password.encode()
        if check is None:
            super().stun(datagram)
        elif check.authentic(password) and self._to is not None:
            self._send(stun_answer(check, password, *self._to))


class Viewer:
    """Joins; then either reads and checks everything, or only keeps her session alive."""

    def __init__(
        self, certificate: RelayCertificate, *, checks: bool, host: str = "127.0.0.1", answers: bool = False
    ) -> None:
        self.caller = (Answerer if answers else Caller)(certificate, host=host)
        self.checks = checks
        self.video, self.resend = VIDEO, VIDEO + 1
        self.here = False
        self.received = 0
        self.resent = 0
        self.asked = 0
        self._missing: set[int] = set()
        self._given_up = 0
        self._last: int | None = None
        self._ssrc = 1
        self._first = asyncio.Event()
        self._talking: asyncio.Task[None] | None = None
        self.caller.on_rtp = self._rtp

    @property
    def lost(self) -> int:
        """Packets that never came, not by a resend either."""
        return self._given_up + len(self._missing)

    async def join(self, enter: Callable[[Viewer], Awaitable[None]]) -> float:
        """Seconds from the first request to the first picture."""
        begun = time.perf_counter()
        await enter(self)
        await self._first.wait()
        took_s = time.perf_counter() - begun
        if not self.checks:
            self.caller.pause()
        self._talking = asyncio.create_task(self._talk())
        self.here = True
        return took_s

    async def leave(self, *, silently: bool = False) -> None:
        if self._talking is not None:
            self._talking.cancel()
            await asyncio.gather(self._talking, return_exceptions=True)
            self._talking = None
        self.here = False
        await self.caller.close(silently=silently)

    async def _talk(self) -> None:
        await asyncio.sleep(secrets.randbelow(1000) / 1000)
        beat = 0
        while True:
            compound = rtcp.receiver_report(1, [rtcp.Report(self._ssrc, 0, 0, self._last or 0, 0, 0, 0)])
            if beat % 3:
                compound += rtcp.remb(1, 5_000_000, [self._ssrc])
            self.caller.send_rtcp(compound)
            beat += 1
            await asyncio.sleep(RR_EVERY_S)

    def forget(self) -> None:
        self.received = self.resent = self.asked = self._given_up = 0
        self._missing.clear()

    def _rtp(self, packet: bytes) -> None:
        header = rtp.parse(packet)
        assert header is not None
        if header.payload_type == self.resend and len(header.payload) > 2:
            self.resent += 1
            self._missing.discard(int.from_bytes(header.payload[:2], "big"))
        elif header.payload_type == self.video:
            self._ssrc = header.ssrc
            self._follow(header.seq)
            self.received += 1
            self._first.set()

    def _follow(self, seq: int) -> None:
        step = seq - self._last & 0xFFFF if self._last is not None else 1
        if step == 0 or step >= 0x8000:
            self._missing.discard(seq)
            return
        self._last = seq
        if step > 1:
            gap = [seq - back & 0xFFFF for back in range(step - 1, 0, -1)]
            if step > 500:
                self._given_up += step - 1
                return
            self._missing.update(gap)
            self.asked += len(gap)
            self.caller.send_rtcp(rtcp.receiver_report(1, []) + rtcp.nack(1, self._ssrc, gap))


async def joined(audience: list[Viewer], enter: Callable[[Viewer], Awaitable[None]]) -> list[float]:
    """How long each took who came in; one who did not is not `here`. No wait in here is without an end."""

    async def one(viewer: Viewer) -> float | None:
        with contextlib.suppress(TimeoutError, HandshakeFailed, OSError, RuntimeError, httpx.HTTPError):
            async with asyncio.timeout(JOINED_WITHIN_S):
                return await viewer.join(enter)
        return None

    took: list[Any] = []
    for start in range(0, len(audience), JOINS_AT_ONCE):
        took += await asyncio.gather(*(one(viewer) for viewer in audience[start : start + JOINS_AT_ONCE]))
    return [seconds for seconds in took if seconds is not None]
