"""A track on its way out: what waits for the rest of its frame, and the groups of viewers who get it.

The sound is one lane, the picture as it is one, and each smaller size that somebody watches is one (`ladder.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

from live.relay.codecs import NO_SHIFT, Shift
from live.relay.fanout import Fanout, Variant
from live.relay.members import Members
from live.relay.ring import SIZE
from live.relay.rtp import Packet, newer
from live.relay.source import Layer
from live.relay.track import Track
from live.relay.udp import UdpPort
from live.relay.viewer import shifted_packet

FLUSH_PACKETS = 24
FLUSH_S = 0.004  # a paced frame trickles in; nobody waits longer than this for its rest

Groups = dict[Variant, Members]


class House(NamedTuple):
    """What all parts of a show work with."""

    port: UdpPort
    fanout: Fanout
    now_ms: Callable[[], int]
    wall_ms: Callable[[], int]


class Lane:
    """`sent(lane, packets)` is called after each flush."""

    def __init__(self, track: Track, house: House, sent: Callable[[Lane, list[Packet]], None]) -> None:
        self.track = track
        self.layer: Layer | None = None  # what feeds it at present
        self._ended_a_frame = True  # what left last
        self._house = house
        self._sent = sent
        # Viewers who came from another lane may need other picture ids: those of a shift get copies of their own.
        self._groups: dict[Shift, Groups] = {NO_SHIFT: {}}
        self._floor: int | None = None
        self._pending: list[Packet] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def between_frames(self) -> bool:
        """Whether nobody has a part of a frame, or would get one by a flush."""
        return self._ended_a_frame and not self._pending

    @property
    def empty(self) -> bool:
        """Whether nobody is in it."""
        return not any(self._groups.values())

    @property
    def viewers(self) -> int:
        return sum(len(members) for groups in self._groups.values() for members in groups.values())

    def put(self, packet: Packet) -> None:
        """A packet of the track; it leaves with the rest of its frame."""
        if self._floor is not None and self._below(packet.seq):
            packet.sealed = True  # for resends, as it is
            self._sent(self, [packet])
            return
        if self.track.kind == "audio":
            self._leave([packet])
            return
        self._pending.append(packet)
        if packet.marker or len(self._pending) >= FLUSH_PACKETS:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """What waits leaves now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pending:
            packets, self._pending = self._pending, []
            self._ended_a_frame = packets[-1].marker != 0
            self._leave(packets)

    def join(self, variant: Variant, shift: Shift, name: str, context: object, port: object) -> None:
        """One more gets what leaves from now on."""
        groups = self._groups.setdefault(shift, {})
        groups.setdefault(variant, Members()).put(name, context, port)

    def leave(self, variant: Variant, shift: Shift, name: str) -> None:
        groups = self._groups[shift]
        members = groups[variant]
        members.remove(name)
        if not members:
            del groups[variant]
            if not groups and shift != NO_SHIFT:
                del self._groups[shift]

    def let_in_at(self, seq: int) -> None:
        """Somebody came from another lane, and her numbers before `seq` are taken by that one's packets: what is late
        and older does not leave any more. Whoever misses it asks for it (AES-GCM: never two contents)."""
        self._floor = seq

    def burst(self, packets: list[Packet], groups: dict[Shift, Groups]) -> None:
        """Packets that left before, for those who come now."""
        for shift, some in groups.items():
            self._to_groups(packets, shift, some.items())

    def publisher_time(self, timestamp: int) -> float | None:
        """The publisher's NTP time, in ms, of a timestamp of the track; None when she did not report."""
        if self.layer is None or self.layer.sender_clock is None:
            return None
        ntp_ms, reported = self.layer.sender_clock
        ticks = timestamp - reported - self.track.numbering.timestamp_offset
        return ntp_ms + ((ticks + 0x80000000 & 0xFFFFFFFF) - 0x80000000) * 1000 / self.track.numbering.clock_rate

    def timestamp_of(self, publisher_ms: float) -> int | None:
        """The track's timestamp at that time of the publisher's; None when she did not report."""
        if self.layer is None or self.layer.sender_clock is None:
            return None
        ntp_ms, reported = self.layer.sender_clock
        numbering = self.track.numbering
        return int(reported + (publisher_ms - ntp_ms) * numbering.clock_rate / 1000 + numbering.timestamp_offset)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _below(self, seq: int) -> bool:
        assert self._floor is not None
        newest = self.track.ring.newest
        if newest is not None and (newest - self._floor & 0xFFFF) >= SIZE:
            self._floor = None  # nothing so late is taken by the track
            return False
        return newer(self._floor, seq)

    def _leave(self, packets: list[Packet]) -> None:
        # The plain ones go first: sending seals a packet's padding, and the copies have it from there.
        for shift, groups in self._groups.items():
            self._to_groups(packets, shift, groups.items())
        self._sent(self, packets)

    def _to_groups(self, packets: list[Packet], shift: Shift, groups: Iterable[tuple[Variant, Members]]) -> None:
        if shift != NO_SHIFT:
            codec = self.track.format.codec
            packets = [shifted_packet(packet, codec, shift) for packet in packets]
        self._house.fanout.frame(packets, groups)
