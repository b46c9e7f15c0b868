"""One kind of a show's picture as viewers see it: a numbering without breaks, the ring, the newest key frame."""

from __future__ import annotations

import secrets
from collections import deque

from live.relay.codecs import COUNTS_PICTURES, Pictures, parameter_sets, stap
from live.relay.numbering import Numbering
from live.relay.ring import SIZE, Ring
from live.relay.rtp import Header, Packet, newer
from live.relay.sdp import Format, Kind, Stream

_LENT_REMEMBERED = 16  # one a key frame at most


class Track:
    """Sound or picture of one show. Its SSRCs are the same for all viewers, whose keys differ."""

    def __init__(self, kind: Kind, form: Format) -> None:
        self.kind = kind
        self.format = form
        self.ssrc = secrets.randbelow(0xFFFFFFFE) + 1
        self.rtx_ssrc = secrets.randbelow(0xFFFFFFFE) + 1
        # Below 32768: a receiver that misses the first packets must not guess the wrong rollover (RFC 3711, 3.3.1).
        self.numbering = Numbering(form.clock_rate, secrets.randbelow(16384), secrets.randbits(31))
        self.ring = Ring()
        self.packets = 0
        self.octets = 0
        self.last_ms = 0
        self.key_ms: int | None = None
        self.keys = 0  # key frames so far
        self.pictures = Pictures()
        self._sets: dict[int, bytes] = {}
        self._lent: deque[int] = deque(maxlen=_LENT_REMEMBERED)  # numbers that some joiner got other bytes under
        self._key_timestamp: int | None = None
        self._key_has_sets = False
        self.awaits_key = kind == "video"

    @property
    def stream(self) -> Stream:
        return Stream(self.format, self.ssrc, self.rtx_ssrc)

    @property
    def sets(self) -> list[bytes]:
        """H.264's newest parameter sets."""
        return list(self._sets.values())

    def switch(self, form: Format) -> None:
        """Another source feeds this track from now on. A picture waits for its first key frame."""
        self.format = form
        self.numbering.switch()
        self.pictures.switch()
        self.awaits_key = self.kind == "video"

    def take(self, header: Header, key: bool, now_ms: int) -> Packet | None:
        """The packet under the show's numbers, kept in the ring; None for what cannot be shown."""
        if self.awaits_key:
            if not key:
                return None
            self.awaits_key = False
        placed = self.numbering.place(header.seq, header.timestamp, now_ms)
        if placed is None:
            return None
        seq, timestamp = placed
        if self.ring.get(seq) is not None:
            return None  # came twice; the bytes of a number never change (AES-GCM)
        if self.ring.newest is not None and SIZE <= (self.ring.newest - seq & 0xFFFF) < 0x8000:
            return None  # so late that a newer one has its place
        codec, payload = self.format.codec, header.payload
        if codec in COUNTS_PICTURES:
            payload = self.pictures.rewrite(codec, payload)
        packet = Packet(seq, timestamp, 0x80 if header.marker else 0, payload, key)
        if seq in self._lent and self.ring.newest is not None and newer(self.ring.newest, seq):
            return None  # came late, and a joiner had the parameter sets under its number
        self.ring.put(packet)
        self.packets += 1
        self.octets += len(payload)
        self.last_ms = now_ms
        if codec == "H264":
            self._keep_sets(payload, timestamp)
        if key:
            self._key_starts(seq, timestamp, now_ms)
        return packet

    def join(self) -> list[Packet] | None:
        """What a joiner gets first, from the newest key frame on; None when there is nothing to start from.

        When the publisher sends its parameter sets only once, they come in front, under the number before.
        """
        start = self.ring.playable_from()
        if start is None:
            return None
        packets = list(self.ring.since(start))
        if self.format.codec == "H264" and not self._key_has_sets and self._sets:
            before = start - 1 & 0xFFFF
            if before not in self._lent:
                self._lent.append(before)
            packets.insert(0, Packet(before, packets[0].timestamp, 0, stap(list(self._sets.values()))))
        return packets

    def _keep_sets(self, payload: bytes, timestamp: int) -> None:
        for unit in parameter_sets(payload):
            self._sets[unit[0] & 31] = unit
            if unit[0] & 31 == 7 and timestamp == self._key_timestamp:
                self._key_has_sets = True

    def _key_starts(self, seq: int, timestamp: int, now_ms: int) -> None:
        if timestamp == self._key_timestamp and self.ring.key is not None:
            if newer(self.ring.key, seq):
                self.ring.start_at(seq)
            return
        if self.ring.key is not None and (self.ring.key - seq & 0xFFFF) < SIZE:
            return  # an older key frame, recovered late
        packet = self.ring.get(seq)
        self.keys += 1
        self._key_timestamp = timestamp
        self._key_has_sets = packet is not None and any(unit[0] & 31 == 7 for unit in parameter_sets(packet.payload))
        self.ring.start_at(seq)
        self.key_ms = now_ms
