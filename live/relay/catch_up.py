"""Joiners on their way from the newest key frame to now: paced, so that a GOP does not overrun her line.

The key frame leaves at once. The rest follows several times faster than the picture runs; meanwhile what is new queues
behind, so that her numbers have no hole. Who is behind by more than the ring keeps is put among the others at once, on
a relay that cannot keep up with its joiners, and has less to do for it: she has a hole, and asks for a key frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from live.relay.lane import House, Lane
from live.relay.ring import SIZE
from live.relay.rtp import Packet
from live.relay.watching import Watching

EVERY_S = 0.005
LATE_S = 0.1  # as much as a turn that comes late makes up for: by count alone, a full loop would never bring her up
AT_ONCE_BYTES = 64_000  # a key frame of 720p, and what the first router of most lines has room for
AT_ONCE_PACKETS = 40  # at first: her side may still be busy with the handshake's end, and keeps only so much meanwhile
TIMES_THE_RATE = 4
AT_LEAST_KBPS = 8_000


class CatchUp:
    """`done(watching)` is called for each who is with the others now."""

    def __init__(self, house: House, done: Callable[[Watching], None]) -> None:
        self._house = house
        self._done = done
        self._backlogs: dict[Watching, list[Packet]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._went_at = 0.0  # by the loop's clock

    def add(self, watching: Watching, packets: list[Packet]) -> None:
        """She starts with these. Her outlet is started, and she is in no group yet."""
        self._backlogs[watching] = packets
        self._step(watching, AT_ONCE_BYTES, AT_ONCE_PACKETS)
        if self._timer is None:
            self._went_at = asyncio.get_running_loop().time()
        self._go_on_later()

    def sent(self, lane: Lane, packets: list[Packet]) -> None:
        """These went to everybody else."""
        for watching, backlog in list(self._backlogs.items()):
            if watching.video is not None and watching.video.lane is lane:
                backlog.extend(packets)
                if len(backlog) > SIZE:
                    del self._backlogs[watching]
                    self._done(watching)

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
        now = asyncio.get_running_loop().time()
        since_s, self._went_at = min(now - self._went_at, LATE_S), now
        for watching in list(self._backlogs):
            layer = watching.video.lane.layer if watching.video is not None else None
            kbps = max(AT_LEAST_KBPS, TIMES_THE_RATE * layer.usual_kbps if layer is not None else 0)
            self._step(watching, round(kbps * since_s * 125), SIZE)
        self._go_on_later()

    def _step(self, watching: Watching, octets: int, packets: int) -> None:
        seat, backlog = watching.video, self._backlogs[watching]
        if seat is None or not watching.session.peer.connected:
            del self._backlogs[watching]
            return
        count = 0
        while count < min(len(backlog), packets) and (octets > 0 or count == 0):
            octets -= len(backlog[count].payload)
            count += 1
        piece, self._backlogs[watching] = backlog[:count], backlog[count:]
        seat.burst_for(watching.session, piece)
        if not self._backlogs[watching]:
            del self._backlogs[watching]
            self._done(watching)
