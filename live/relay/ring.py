"""The last packets of a stream, by sequence number: what resends and joins are served from.

One ring a show and kind, shared by all viewers. 4096 packets are 16 s of 2.5 Mbit/s and 4 s of 10 Mbit/s.
"""

from __future__ import annotations

from collections.abc import Iterator

from live.relay.rtp import Packet, newer

SIZE = 4096  # a power of two below 32768


class Ring:
    """Packets by number; a newer one takes the place of the one SIZE before it."""

    def __init__(self) -> None:
        self._slots: list[Packet | None] = [None] * SIZE
        self.newest: int | None = None
        self.key: int | None = None  # where the newest key frame starts

    def put(self, packet: Packet) -> None:
        self._slots[packet.seq % SIZE] = packet
        if self.newest is None or newer(packet.seq, self.newest):
            self.newest = packet.seq

    def get(self, seq: int) -> Packet | None:
        """The packet of that number, if it is still here."""
        packet = self._slots[seq % SIZE]
        return packet if packet is not None and packet.seq == seq else None

    def start_at(self, seq: int) -> None:
        """A key frame starts here: joiners do."""
        self.key = seq

    def playable_from(self) -> int | None:
        """Where a joiner may start: the newest key frame, as long as all since then still fits."""
        if self.key is None or self.newest is None or self.get(self.key) is None:
            return None
        return self.key if (self.newest - self.key & 0xFFFF) < SIZE else None

    def since(self, seq: int) -> Iterator[Packet]:
        """What there is from `seq` up to the newest, in order; holes are left out."""
        if self.newest is None:
            return
        for step in range((self.newest - seq & 0xFFFF) + 1):
            packet = self.get(seq + step & 0xFFFF)
            if packet is not None:
                yield packet
