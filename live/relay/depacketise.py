"""From RTP packets to whole frames: RTP (RFC 3550), H.264 (RFC 6184), VP8 (RFC 7741), Opus (RFC 7587). Pure.

Packets go through a `Reorder` first, which puts them in order and says where one is missing for good; the
frame makers then hand out only frames that a decoder can show: after a loss nothing until the next key frame.
VP9's and AV1's are in vp9.py and av1.py.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple, Protocol

Kind = Literal["video", "audio"]
VideoCodec = Literal["h264", "vp8", "vp9", "av1"]

VIDEO_HZ = 90_000
AUDIO_HZ = 48_000
RATE: dict[Kind, int] = {"video": VIDEO_HZ, "audio": AUDIO_HZ}

START_CODE = b"\0\0\0\1"
SLICE, IDR, SPS, PPS = 1, 5, 7, 8  # nal_unit_type, H.264 table 7-1

# A hole is given up when a packet this much later is there: beyond what a NACK's answer takes, and within the
# two seconds of recording that a crash may cost.
HOLE_S = 0.4
WAITING_PACKETS_MAX = 1024
# So many packets in a row from the far past mean that the numbering started anew.
STALE_PACKETS_MAX = 50
# What one frame may gather, so that a stream without ends can't fill the memory.
FRAME_BYTES_MAX = 8 << 20
SETS_MAX = 32


class Rtp(NamedTuple):
    """One packet: header fields as they came, `payload` without header extension and padding."""

    seq: int
    timestamp: int
    marker: bool
    payload: bytes


class Frame(NamedTuple):
    """A whole access unit. `ts` is the unwrapped RTP timestamp in ticks of the kind's clock. `format` is what the
    decoder must be set up with (H.264: Annex B parameter sets; VP8: width and height; VP9: those, profile and bit
    depth; AV1: the sequence header; Opus: nothing); it is only set on key frames. `ticks` is the duration where the
    payload states it (Opus), else 0."""

    ts: int
    payload: bytes
    key: bool
    format: bytes = b""
    ticks: int = 0


def parse(packet: bytes) -> Rtp | None:
    """The packet's parts, or None when it is not RTP (RFC 3550 section 5.1)."""
    if len(packet) < 12 or packet[0] >> 6 != 2:
        return None
    flags, second, seq, timestamp = struct.unpack_from("!BBHI", packet)
    start, end = 12 + 4 * (flags & 15), len(packet)
    if flags & 0x10:
        if end < start + 4:
            return None
        start += 4 + 4 * struct.unpack_from("!H", packet, start + 2)[0]
    if flags & 0x20:
        # A padding count of 0 or beyond the payload is an attack or a bug, not a packet.
        if not 0 < packet[-1] <= end - start:
            return None
        end -= packet[-1]
    if end < start:
        return None
    return Rtp(seq, timestamp, bool(second & 0x80), packet[start:end])


class Unwrap:
    """Counts on where a `bits` wide counter wraps; a step of up to half the range back is a step back."""

    def __init__(self, bits: int) -> None:
        self._modulus = 1 << bits
        self._last: int | None = None

    def __call__(self, value: int) -> int:
        self._last = self.near(value)
        return self._last

    def near(self, value: int) -> int:
        """Where `value` is, without counting on to it."""
        if self._last is None:
            return value
        step = (value - self._last) % self._modulus
        return self._last + step - (self._modulus if step >= self._modulus // 2 else 0)


class Ordered(NamedTuple):
    """A packet in its place. `ts` is unwrapped; `lost` is how many packets right before it never came."""

    ts: int
    marker: bool
    payload: bytes
    lost: int


class Reorder:
    """Puts packets of one kind in order. Bounded: a hole is waited for `HOLE_S` of media time or
    `WAITING_PACKETS_MAX` packets, whichever comes first, then it counts as lost."""

    def __init__(self, rate_hz: int) -> None:
        self._hole_ticks = int(HOLE_S * rate_hz)
        self._unwrap_ts = Unwrap(32)
        self._start()

    def _start(self) -> None:
        self._unwrap_seq = Unwrap(16)
        self._next: int | None = None
        self._waiting: dict[int, tuple[int, Rtp]] = {}
        self._stale = 0

    def push(self, rtp: Rtp) -> list[Ordered]:
        """What can be handed on now that `rtp` is there: nothing, it, or a run of packets."""
        ts = self._unwrap_ts(rtp.timestamp)
        seq = self._unwrap_seq(rtp.seq)
        if self._next is None:
            self._next = seq
        if seq < self._next:
            self._stale += 1
            if self._stale <= STALE_PACKETS_MAX:
                return []
            out = self.flush()
            self._start()
            self._next = self._unwrap_seq(rtp.seq)
            # What lies between the two numberings is unknown: say that something was lost.
            return [*out, *self._take(ts, rtp, lost=1)]
        self._stale = 0
        if seq == self._next and not self._waiting:
            return self._take(ts, rtp, lost=0)
        self._waiting[seq] = (ts, rtp)
        return self._run(given_up=self._is_hopeless(ts))

    def place(self, timestamp: int) -> int:
        """The unwrapped place of a 32 bit timestamp near the newest packet's."""
        return self._unwrap_ts.near(timestamp)

    def flush(self) -> list[Ordered]:
        """Everything that still waits, holes given up."""
        out: list[Ordered] = []
        while self._waiting:
            out += self._run(given_up=True)
        return out

    def _is_hopeless(self, newest_ts: int) -> bool:
        if len(self._waiting) >= WAITING_PACKETS_MAX:
            return True
        oldest_ts, _ = self._waiting[min(self._waiting)]
        return newest_ts - oldest_ts > self._hole_ticks

    def _run(self, *, given_up: bool) -> list[Ordered]:
        assert self._next is not None
        lost = 0
        if given_up:
            first = min(self._waiting)
            lost, self._next = first - self._next, first
        out: list[Ordered] = []
        while self._next in self._waiting:
            ts, rtp = self._waiting.pop(self._next)
            out += self._take(ts, rtp, lost=lost)
            lost = 0
        return out

    def _take(self, ts: int, rtp: Rtp, *, lost: int) -> list[Ordered]:
        assert self._next is not None
        self._next += 1
        return [Ordered(ts, rtp.marker, rtp.payload, lost)]


class Frames(Protocol):
    """Makes frames out of ordered packets. `wants_key`: nothing will come before the next key frame."""

    wants_key: bool

    def push(self, packet: Ordered) -> list[Frame]: ...


class H264Frames:
    """Access units in Annex B. `parameter_sets`: SPS and PPS told outside the stream (sprop-parameter-sets)."""

    def __init__(self, parameter_sets: list[bytes] | None = None) -> None:
        self.wants_key = True
        self._sets = list(parameter_sets or [])
        self._ts: int | None = None
        self._nals: list[bytes] = []
        self._size = 0
        self._fragments: list[bytes] | None = None
        self._begins_known = False

    def push(self, packet: Ordered) -> list[Frame]:
        out: list[Frame] = []
        if packet.lost:
            self._nals, self._fragments, self._ts = [], None, None
            self._begins_known, self.wants_key = False, True
        if not packet.payload:  # padding alone, sent to probe or to fill a burst
            return out
        if self._ts is not None and packet.ts != self._ts:
            out += self._end()
            self._begins_known = True
        self._ts = packet.ts
        self._size += len(packet.payload)
        if self._size > FRAME_BYTES_MAX or not self._unpack(packet.payload):
            # Not a payload of RFC 6184: as good as lost.
            self._nals, self._fragments = [], None
            self._begins_known, self.wants_key = False, True
        if packet.marker:
            out += self._end()
            self._ts, self._begins_known = None, True
        return out

    def _unpack(self, payload: bytes) -> bool:
        kind = payload[0] & 31
        if 1 <= kind <= 23:  # single NAL unit, section 5.6
            self._nals.append(payload)
        elif kind == 24:  # STAP-A, section 5.7.1
            at = 1
            while at + 2 <= len(payload):
                size = struct.unpack_from("!H", payload, at)[0]
                nal = payload[at + 2 : at + 2 + size]
                if not size or len(nal) < size:
                    return False
                self._nals.append(nal)
                at += 2 + size
        elif kind == 28 and len(payload) >= 2:  # FU-A, section 5.8
            header = payload[1]
            if header & 0x80:
                self._fragments = [bytes([payload[0] & 0xE0 | header & 31])]
            if self._fragments is None:
                return False
            self._fragments.append(payload[2:])
            if header & 0x40:
                self._nals.append(b"".join(self._fragments))
                self._fragments = None
        else:
            return False
        return True

    def _end(self) -> list[Frame]:
        nals, self._nals, self._size = self._nals, [], 0
        torn, self._fragments = self._fragments is not None, None
        ts = self._ts
        assert ts is not None
        if torn:
            self.wants_key = True
            return []
        kinds = {nal[0] & 31 for nal in nals}
        self._learn([nal for nal in nals if nal[0] & 31 in (SPS, PPS)])
        if not kinds & {SLICE, IDR}:  # parameter sets alone belong to the next picture
            return []
        key = IDR in kinds
        if key:
            # After a loss, a key frame counts only from its beginning, which its SPS marks.
            if not self._is_set_up() or not (self._begins_known or SPS in kinds):
                return []
            if SPS not in kinds:
                nals = [*self._sets, *nals]
            self.wants_key = False
        elif self.wants_key:
            return []
        return [Frame(ts, _annex_b(nals), key, _annex_b(self._sets) if key else b"")]

    def _learn(self, sets: list[bytes]) -> None:
        if any(nal[0] & 31 == SPS for nal in sets):
            self._sets = sets  # an encoder that starts over sends all of them again
        else:
            self._sets = (self._sets + [nal for nal in sets if nal not in self._sets])[:SETS_MAX]

    def _is_set_up(self) -> bool:
        return {SPS, PPS} <= {nal[0] & 31 for nal in self._sets}


class VP8Frames:
    """VP8 frames without their payload descriptors (RFC 7741 section 4.2)."""

    def __init__(self) -> None:
        self.wants_key = True
        self._ts: int | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def push(self, packet: Ordered) -> list[Frame]:
        out: list[Frame] = []
        if packet.lost:
            self._parts, self._ts, self.wants_key = [], None, True
        if not packet.payload:
            return out
        if self._ts is not None and packet.ts != self._ts:
            out += self._end()
        self._ts = packet.ts
        self._size += len(packet.payload)
        size = _vp8_descriptor_size(packet.payload)
        if size is None or self._size > FRAME_BYTES_MAX:
            self._parts, self.wants_key = [], True
        else:
            starts = packet.payload[0] & 0x10 and not packet.payload[0] & 7
            if self._parts or starts:
                self._parts.append(packet.payload[size:])
        if packet.marker:
            out += self._end()
            self._ts = None
        return out

    def _end(self) -> list[Frame]:
        data, self._parts, self._size = b"".join(self._parts), [], 0
        if not data:
            self.wants_key = True
            return []
        assert self._ts is not None
        key = not data[0] & 1  # RFC 6386 section 9.1
        if key:
            if len(data) < 10 or data[3:6] != b"\x9d\x01\x2a":
                self.wants_key = True
                return []
            self.wants_key = False
        elif self.wants_key:
            return []
        return [Frame(self._ts, data, key, data[6:10] if key else b"")]


class OpusFrames:
    """Opus needs no assembly: a packet is a frame (RFC 7587 section 4.2). A lost one is silence, nothing more."""

    wants_key = False

    def push(self, packet: Ordered) -> list[Frame]:
        ticks = opus_ticks(packet.payload)
        return [Frame(packet.ts, packet.payload, True, b"", ticks)] if ticks else []


def opus_ticks(packet: bytes) -> int:
    """How long an Opus packet sounds, in 1/48000 s; 0 when it is none (RFC 6716 section 3.1)."""
    if not packet:
        return 0
    config, count_code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        ticks = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        ticks = (480, 960)[config & 1]
    else:
        ticks = (120, 240, 480, 960)[config & 3]
    stated = packet[1] & 63 if len(packet) > 1 else 0
    count = (1, 2, 2, stated)[count_code]
    return ticks * count if ticks * count <= 5760 else 0


def _annex_b(nals: list[bytes]) -> bytes:
    return b"".join(START_CODE + nal for nal in nals)


def _vp8_descriptor_size(payload: bytes) -> int | None:
    size = 1
    if payload[0] & 0x80:  # X: extension bits follow
        if len(payload) < 2:
            return None
        bits = payload[1]
        size = 2
        if bits & 0x80:  # I: PictureID, of one byte or two
            if len(payload) < 3:
                return None
            size += 2 if payload[2] & 0x80 else 1
        size += bool(bits & 0x40) + bool(bits & 0x30)  # L: TL0PICIDX; T or K: one byte for both
    return size if len(payload) > size else None
