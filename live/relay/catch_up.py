"""Joiners on their way from the newest key frame to now: paced, so that a GOP does not overrun her line.

The key frame leaves at once. The rest follows several times faster than the picture runs; meanwhile what is new queues
behind, so that her numbers have no hole. Bounded by the ring, as nobody is behind by more than a GOP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from live.relay.lane import House, Lane
from live.relay.rtp import Packet
from live.relay.watching import Watching

EVERY_S = 0.005
AT_ONCE_BYTES = 64_000  # a key frame of 720p, and what the first router of most lines has room for
AT_ONCE_PACKETS = 40  # her side may still be busy with the handshake's end, and keeps only so much meanwhile
TIMES_THE_RATE = 4
AT_LEAST_KBPS = 8_000


class CatchUp:
    """`done(watching)` is called for each who is with the others now."""

    def __init__(self, house: House, done: Callable[[Watching], None]) -> None:
        self._house = house
        self._done = done
        self._backlogs: dict[Watching, list[Packet]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, watching: Watching, packets: list[Packet]) -> None:
        """She starts with these. Her outlet is started, and she is in no group yet."""
        self._backlogs[watching] = packets
        self._step(watching, AT_ONCE_BYTES)
        self._go_on_later()

    def sent(self, lane: Lane, packets: list[Packet]) -> None:
        """These went to everybody else."""
        for watching, backlog in self._backlogs.items():
            if watching.video is not None and watching.video.lane is lane:
                backlog.extend(packets)

    def discard(self, watching: Watching) -> None:
        self._backlogs.pop(watching, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on_later(self) -> None:
        if self._backlogs and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        for watching in list(self._backlogs):
            layer = watching.video.lane.layer if watching.video is not None else None
            kbps = max(AT_LEAST_KBPS, TIMES_THE_RATE * layer.usual_kbps if layer is not None else 0)
            self._step(watching, round(kbps * EVERY_S * 125))
        self._go_on_later()

    def _step(self, watching: Watching, octets: int) -> None:
        seat, backlog = watching.video, self._backlogs[watching]
        if seat is None or not watching.session.peer.connected:
            del self._backlogs[watching]
            return
        count = 0
        while count < min(len(backlog), AT_ONCE_PACKETS) and (octets > 0 or count == 0):
            octets -= len(backlog[count].payload)
            count += 1
        piece, self._backlogs[watching] = backlog[:count], backlog[count:]
        seat.burst_for(watching.session, piece)
        if not self._backlogs[watching]:
            del self._backlogs[watching]
            self._done(watching)
