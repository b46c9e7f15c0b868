"""A bad line: a UDP proxy between a viewer and the relay that loses and delays datagrams, and a judge of the picture.

    python -m bench.lossy [--seconds 120] [--loss 0.05] [--jitter-ms 30]

5 % are lost at random, independently and both ways; each of the others is late by 0 to 30 ms. They stay in order, as in
a router's queue; with --reorder they overtake each other, worse than on any line, and receivers ask too early.
The viewer is our own client with NACK and RTX as a browser has them. `Judge` is a jitter buffer and decoder as far as a
freeze goes: a frame can be shown when all its packets and all frames before it are there; a whole key frame is shown at
once, whatever is missing before it; without a packet for longer than the give-up time it waits for the next one. The
camera sends a key frame when it is asked for one, as a browser's does. A freeze is the time between two shown frames
beyond the usual.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from live.relay import rtcp, rtp  # noqa: E402

ASK_AGAIN_MS = 60  # Chromium asks again after a round trip, 100 ms at most
GIVE_UP_MS = 1000
MAX_TRIES = 10
FROZEN_MS = 500
STALL_MS = 50
Address = tuple[str, int]


class Line(asyncio.DatagramProtocol):
    """One viewer's bad line to `relay`. She talks to `address`; each way has its own dice, the same in each run."""

    def __init__(self, relay: Address, *, loss: float, jitter_ms: float, reorder: bool = False, seed: int = 1) -> None:
        self._relay = relay
        self._loss, self._jitter_ms = loss, jitter_ms
        self._reorder = reorder
        self._last = [0.0, 0.0]
        self._dice = random.Random(seed)
        self._viewer: Address | None = None
        self._ways: list[asyncio.DatagramTransport] = []
        self.carried = self.lost = 0

    async def open(self) -> Address:
        loop = asyncio.get_running_loop()
        for host in ("127.0.0.1", "127.0.0.1"):
            index = len(self._ways)
            way, _ = await loop.create_datagram_endpoint(lambda i=index: _Way(self, i), local_addr=(host, 0))  # type: ignore[misc]
            sock = way.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            self._ways.append(way)
        address: Address = self._ways[0].get_extra_info("sockname")[:2]
        return address

    def close(self) -> None:
        for way in self._ways:
            way.close()

    def came(self, index: int, datagram: bytes, sender: Address) -> None:
        if index == 0:
            self._viewer = sender
        to = self._relay if index == 0 else self._viewer
        if to is None:
            return
        self.carried += 1
        if self._dice.random() < self._loss:
            self.lost += 1
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + self._dice.random() * self._jitter_ms / 1000
        if not self._reorder:
            # A timer a microsecond later: the loop keeps no order among those that are due at once.
            at = self._last[index] = max(at, self._last[index] + 1e-6)
        loop.call_at(at, self._on, 1 - index, datagram, to)

    def _on(self, index: int, datagram: bytes, to: Address) -> None:
        if not self._ways[index].is_closing():
            self._ways[index].sendto(datagram, to)


class _Way(asyncio.DatagramProtocol):
    def __init__(self, line: Line, index: int) -> None:
        self._line, self._index = line, index

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._line.came(self._index, data, addr[:2])


@dataclass
class Judge:
    """Says when a picture froze, from packets as they come; asks for what is missing. `ask` sends a compound.

    Pure but for `ask`: the time comes in. `key(payload)`: whether a key frame starts there.
    """

    ask: Callable[[bytes], None]
    key: Callable[[bytes], bool]
    ssrc: int = 0
    freezes_ms: list[float] = field(default_factory=list)
    longest_ms: float = 0.0
    stalls_ms: float = 0.0
    frames: int = 0
    packets: int = 0
    resends: int = 0
    losses: int = 0
    gaps_given_up: int = 0
    _next: int | None = None
    _highest: int = -1
    _waiting: dict[int, rtp.Header] = field(default_factory=dict)
    _missing: dict[int, list[float]] = field(default_factory=dict)  # number -> [since, asked, tries]
    _shown_ms: float | None = None
    _awaits_key: bool = True

    def took(self, header: rtp.Header, now_ms: float, *, resent: bool = False) -> None:
        """A packet of the picture; a resend under its original number."""
        self.ssrc = self.ssrc if resent else header.ssrc
        if resent:
            self.resends += 1
        else:
            self.packets += 1
        if self._next is None:
            self._next = self._highest = header.seq
        ahead = header.seq - self._next & 0xFFFF
        if ahead >= 0x8000 or header.seq in self._waiting:
            return
        self._waiting[header.seq] = header
        self._missing.pop(header.seq, None)
        step = header.seq - self._highest & 0xFFFF
        if 0 < step < 0x8000:
            for back in range(1, step):
                self._missing[header.seq - back & 0xFFFF] = [now_ms, -1e9, 0]
                self.losses += 1
            self._highest = header.seq
        self._show(now_ms)

    def stalled(self, ms: float) -> None:
        """This process had no CPU for so long, by its own clock: no freeze of the picture."""
        self.stalls_ms += ms
        if self._shown_ms is not None:
            self._shown_ms += ms

    def tick(self, now_ms: float) -> None:
        """Every few ms: NACKs that are due; what never comes is given up, and a key frame asked for."""
        due = []
        for number, entry in list(self._missing.items()):
            if now_ms - entry[0] > GIVE_UP_MS or entry[2] >= MAX_TRIES:
                self._skip(number)
            # A moment first: the line puts packets out of order.
            elif now_ms - entry[0] >= 15 and now_ms - entry[1] >= ASK_AGAIN_MS:
                entry[1], entry[2] = now_ms, entry[2] + 1
                due.append(number)
        if due:
            due.sort(key=lambda number: number - (self._next or 0) & 0xFFFF)
            self.ask(rtcp.receiver_report(1, []) + rtcp.nack(1, self.ssrc, due))

    def _skip(self, number: int) -> None:
        self._missing.pop(number, None)
        self.gaps_given_up += 1
        self._awaits_key = True
        self.ask(rtcp.receiver_report(1, []) + rtcp.pli(1, self.ssrc))
        if self._next is not None and (number - self._next & 0xFFFF) < 0x8000:
            self._next = number + 1 & 0xFFFF
            self._waiting = {n: h for n, h in self._waiting.items() if (n - self._next & 0xFFFF) < 0x8000}

    def _show(self, now_ms: float) -> None:
        """Whole frames, in order, the moment they are whole."""
        while self._next is not None:
            frame: list[rtp.Header] = []
            number = self._next
            while (header := self._waiting.get(number)) is not None:
                frame.append(header)
                number = number + 1 & 0xFFFF
                if header.marker:
                    break
            if not frame or not frame[-1].marker:
                if self._jump():
                    continue
                return
            for header in frame:
                del self._waiting[header.seq]
            self._next = number
            self._awaits_key = self._awaits_key and not self.key(frame[0].payload)
            if not self._awaits_key:
                self._shown(now_ms)

    def _jump(self) -> bool:
        """To a whole key frame behind what is missing; False while there is none."""
        assert self._next is not None
        for number in sorted(self._waiting, key=lambda number: number - (self._next or 0) & 0xFFFF):
            if number == self._next or not self.key(self._waiting[number].payload):
                continue
            at = number
            while at in self._waiting and not self._waiting[at].marker:
                at = at + 1 & 0xFFFF
            if at in self._waiting:
                self._next = number
                self._waiting = {n: h for n, h in self._waiting.items() if (n - number & 0xFFFF) < 0x8000}
                self._missing = {n: entry for n, entry in self._missing.items() if (n - number & 0xFFFF) < 0x8000}
                return True
        return False

    def _shown(self, now_ms: float) -> None:
        self.frames += 1
        if self._shown_ms is not None:
            gap_ms = now_ms - self._shown_ms
            self.longest_ms = max(self.longest_ms, gap_ms)
            if gap_ms > FROZEN_MS:
                self.freezes_ms.append(gap_ms)
        self._shown_ms = now_ms


def through(answer: str, line: Address) -> tuple[str, Address]:
    """The relay's answer with the line's address in place of its own, and the relay's own."""
    for text in answer.splitlines():
        if text.startswith("a=candidate:") and " 127.0.0.1 " in text:
            port = int(text.split(" 127.0.0.1 ")[1].split()[0])
            return answer.replace(f" 127.0.0.1 {port} ", f" {line[0]} {line[1]} "), ("127.0.0.1", port)
    raise ValueError("no candidate on 127.0.0.1")


async def watch(caller: Any, judge: Judge, seconds: float, *, video: int = 102) -> None:
    """Let `judge` see what comes to a connected `caller` for that long."""

    def came(packet: bytes) -> None:
        header = rtp.parse(packet)
        now_ms = time.monotonic() * 1000
        if header is not None and header.payload_type == video:
            judge.took(header, now_ms)
        elif header is not None and header.payload_type == video + 1 and len(header.payload) > 2:
            number = int.from_bytes(header.payload[:2], "big")
            judge.took(header._replace(seq=number, payload=header.payload[2:]), now_ms, resent=True)

    caller.on_rtp = came
    until, beat = time.monotonic() + seconds, 0
    while (begun := time.monotonic()) < until:
        await asyncio.sleep(0.01)
        late_ms = (time.monotonic() - begun) * 1000 - 10
        if late_ms > STALL_MS:
            judge.stalled(late_ms)
        judge.tick(time.monotonic() * 1000)
        beat += 1
        if beat % 33 == 0:
            report = rtcp.Report(judge.ssrc, 12, 0, judge._highest & 0xFFFF, 0, 0, 0)
            caller.send_rtcp(rtcp.receiver_report(1, [report]) + rtcp.remb(1, 5_000_000, [judge.ssrc]))


async def measure(seconds: float, loss: float, jitter_ms: float, reorder: bool) -> dict[str, Any]:
    from bench.relay_load import Camera
    from bench.relay_process import RelayUnderTest
    from live.relay.caller import Caller
    from live.relay.codecs import starts_key_frame
    from live.relay.peer import RelayCertificate

    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as folder:
        certificate = RelayCertificate.generateCertificate()
        relay, camera, viewer = RelayUnderTest(Path(folder), -1, 10), Camera(certificate), Caller(certificate)
        line = Line(("127.0.0.1", 0), loss=loss, jitter_ms=jitter_ms, reorder=reorder)
        try:
            camera.heeds_wishes()
            await relay.on_air(camera)
            answer = await relay.order("/play", offer=viewer.offer("recvonly"))
            answer, line._relay = through(answer, await line.open())
            judge = Judge(viewer.send_rtcp, lambda payload: starts_key_frame("H264", payload))
            watching = asyncio.create_task(watch(viewer, judge, seconds))
            await viewer.connect(answer)
            await watching
        finally:
            await viewer.close()
            line.close()
            await camera.stop()
            await relay.stop()
    return {
        "seconds": seconds, "loss": loss, "jitter_ms": jitter_ms, "reorder": reorder,
        "frames": judge.frames, "packets": judge.packets,
        "freezes_over_500_ms": len(judge.freezes_ms), "longest_gap_ms": round(judge.longest_ms, 1),
        "stalls_of_ours_ms": round(judge.stalls_ms),
        "missed_at_first": judge.losses, "resends": judge.resends, "given_up": judge.gaps_given_up,
        "lost_by_the_line": round(line.lost / max(1, line.carried), 4),
        "resends_to_loss": round(judge.resends / max(1, loss * (judge.packets / (1 - loss))), 2),
    }  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=120)
    options.add_argument("--loss", type=float, default=0.05)
    options.add_argument("--jitter-ms", type=float, default=30)
    options.add_argument("--reorder", action="store_true")
    options.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "lossy.json")
    asked = options.parse_args()
    found = asyncio.run(measure(asked.seconds, asked.loss, asked.jitter_ms, asked.reorder))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=2) + "\n")
    for name, value in found.items():
        print(f"  {name.replace('_', ' '):24} {value}")


if __name__ == "__main__":
    main()
