"""VP9 pictures out of RTP: payload descriptors (RFC 9628 section 4.2) and what a key frame's header says. Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

from live.relay.depacketise import FRAME_BYTES_MAX, Frame, Ordered

_SYNC = 0x498342  # VP9 bitstream specification 0.7, section 7.2
_SRGB = 7
LAYERS_MAX = 8  # a superframe's count has three bits


class Descriptor(NamedTuple):
    """What a payload descriptor says. `size` is how many bytes it takes."""

    size: int
    predicted: bool
    begins: bool
    ends: bool
    spatial: int


class VP9Frames:
    """Whole VP9 pictures. One of several spatial layers comes as a superframe (annex B of the bitstream
    specification), which every decoder takes apart. A frame's `format` is its size, profile and bit depth."""

    def __init__(self) -> None:
        self.wants_key = True
        self._ts: int | None = None
        self._layers: list[list[bytes]] = []
        self._open = False
        self._torn = False
        self._size = 0

    def push(self, packet: Ordered) -> list[Frame]:
        out: list[Frame] = []
        if packet.lost:
            self._start(torn=False)
            self._ts, self.wants_key = None, True
        if not packet.payload:
            return out
        if self._ts is not None and packet.ts != self._ts:
            out += self._end()
        self._ts = packet.ts
        self._size += len(packet.payload)
        if not self._take(packet.payload):
            self._torn = True
        if packet.marker:
            out += self._end()
            self._ts = None
        return out

    def _take(self, payload: bytes) -> bool:
        descriptor = read_descriptor(payload)
        if descriptor is None or self._size > FRAME_BYTES_MAX:
            return False
        if descriptor.begins:
            if self._open or len(self._layers) == LAYERS_MAX:
                return False
            self._layers.append([])
        elif not self._open:
            return False
        self._layers[-1].append(payload[descriptor.size :])
        self._open = not descriptor.ends
        return True

    def _end(self) -> list[Frame]:
        layers = [b"".join(parts) for parts in self._layers]
        # Some senders leave E out; a marker, or the next picture, ends the layer as well.
        torn = self._torn or not layers
        ts = self._ts
        assert ts is not None
        self._start(torn=False)
        if torn:
            self.wants_key = True
            return []
        form = key_format(layers[0])
        if form is not None:
            self.wants_key = False
        elif self.wants_key:
            return []
        return [Frame(ts, superframe(layers), form is not None, form or b"")]

    def _start(self, *, torn: bool) -> None:
        self._layers, self._open, self._torn, self._size = [], False, torn, 0


def read_descriptor(payload: bytes) -> Descriptor | None:
    """The payload descriptor, or None when it is cut off or nothing follows it."""
    if not payload:
        return None
    flags, size = payload[0], 1
    flexible = flags & 0x10
    try:
        if flags & 0x80:  # I: a picture id of 7 or 15 bits
            size += 2 if payload[size] & 0x80 else 1
        spatial = 0
        if flags & 0x20:  # L: layer indices; without flexible mode TL0PICIDX follows
            spatial = payload[size] >> 1 & 7
            size += 1 if flexible else 2
        if flexible and flags & 0x40:  # F and P: up to three references, N says that one more follows
            for number in range(3):
                size += 1
                if not payload[size - 1] & 1:
                    break
                if number == 2:
                    return None
        if flags & 0x02:  # V: the scalability structure
            size = _structure_end(payload, size)
    except IndexError:
        return None
    if size >= len(payload):
        return None
    return Descriptor(size, bool(flags & 0x40), bool(flags & 0x08), bool(flags & 0x04), spatial)


def _structure_end(payload: bytes, at: int) -> int:
    """Section 4.2.1. Raises: IndexError when it is cut off."""
    head = payload[at]
    at += 1
    if head & 0x10:  # Y: a size for each spatial layer
        at += 4 * ((head >> 5) + 1)
    if head & 0x08:  # G: a group of pictures
        pictures = payload[at]
        at += 1
        for _ in range(pictures):
            at += 1 + (payload[at] >> 2 & 3)
    return at


def key_format(frame: bytes) -> bytes | None:
    """A key frame's width and height (little-endian, 16 bits), profile and bit depth; None when it is no key frame."""
    bits = _Bits(frame[:24])
    try:
        if bits.take(2) != 2:
            return None
        profile = bits.take(1) | bits.take(1) << 1
        if profile == 3 and bits.take(1):
            return None
        if bits.take(1) or bits.take(1):  # shows an old frame again; or is predicted
            return None
        bits.take(2)
        if bits.take(24) != _SYNC:
            return None
        depth = 8
        if profile >= 2:
            depth = 12 if bits.take(1) else 10
        if bits.take(3) == _SRGB:
            bits.take(1 if profile & 1 else 0)
        else:
            bits.take(4 if profile & 1 else 1)
        width, height = bits.take(16) + 1, bits.take(16) + 1
    except IndexError:
        return None
    return struct.pack("<HHBB", width & 0xFFFF, height & 0xFFFF, profile, depth)


def superframe(layers: list[bytes]) -> bytes:
    """One picture of all its layers, with an index at the end that says where each begins."""
    if len(layers) == 1:
        return layers[0]
    mark = bytes([0xC0 | 3 << 3 | len(layers) - 1])
    return b"".join(layers) + mark + b"".join(struct.pack("<I", len(layer)) for layer in layers) + mark


class _Bits:
    """Reads from the highest bit down. Raises: IndexError at the end."""

    def __init__(self, buffer: bytes) -> None:
        self._buffer = buffer
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._buffer[self._at >> 3] >> 7 - (self._at & 7) & 1
            self._at += 1
        return value
