"""RTP on the way in and the packet as the relay keeps it (RFC 3550 section 5.1, RFC 8285)."""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("!BBHII")


class Header(NamedTuple):
    """The parts of an incoming packet. `payload` leaves out extensions and padding; `extensions` is id -> bytes."""

    marker: bool
    payload_type: int
    seq: int
    timestamp: int
    ssrc: int
    extensions: dict[int, bytes]
    payload: bytes


class Packet:
    """One packet of the show, numbered by the relay. `seq` and `timestamp` are the show's own, before a viewer's
    offset; `marker` is 0x80 or 0, as it sits in the header's second byte. `pad` is decided when the packet is first
    sent, and `sealed` then: the same number must never carry other bytes (AES-GCM, RFC 7714 section 8.4)."""

    __slots__ = ("key", "marker", "pad", "payload", "sealed", "seq", "timestamp")

    def __init__(self, seq: int, timestamp: int, marker: int, payload: bytes, key: bool = False) -> None:
        self.seq = seq
        self.timestamp = timestamp
        self.marker = marker
        self.payload = payload
        self.key = key
        self.pad = 0
        self.sealed = False

    def __repr__(self) -> str:
        return f"Packet(seq={self.seq}, timestamp={self.timestamp}, {len(self.payload)} bytes{', key' * self.key})"


def parse(packet: bytes) -> Header | None:
    """The packet taken apart, or None when its lengths contradict each other."""
    size = len(packet)
    if size < 12:
        return None
    first, second, seq, timestamp, ssrc = _HEADER.unpack_from(packet)
    if first >> 6 != 2:
        return None
    start = 12 + 4 * (first & 15)
    extensions: dict[int, bytes] = {}
    if first & 0x10:
        if start + 4 > size:
            return None
        profile, words = struct.unpack_from("!HH", packet, start)
        block = packet[start + 4 : start + 4 + 4 * words]
        start += 4 + 4 * words
        if start > size:
            return None
        extensions = _extensions(profile, block)
    end = size - packet[-1] if first & 0x20 else size
    if end < start:
        return None
    return Header(second > 127, second & 127, seq, timestamp, ssrc, extensions, packet[start:end])


def _extensions(profile: int, block: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position, size = 0, len(block)
    if profile == 0xBEDE:  # one-byte headers
        while position < size:
            byte = block[position]
            position += 1
            if byte == 0:
                continue
            if byte >> 4 == 15:
                break
            length = (byte & 15) + 1
            found[byte >> 4] = block[position : position + length]
            position += length
    elif profile & 0xFFF0 == 0x1000:  # two-byte headers
        while position + 1 < size:
            name, length = block[position], block[position + 1]
            position += 1
            if name == 0:
                continue
            found[name] = block[position + 1 : position + 1 + length]
            position += 1 + length
    return found


def newer(a: int, b: int) -> bool:
    """Whether sequence number `a` comes after `b`, around the wrap (RFC 1982)."""
    return a != b and (a - b & 0xFFFF) < 0x8000


def build(packet: Packet, *, payload_type: int, ssrc: int, seq: int, timestamp: int) -> bytes:
    """The packet in the clear for one viewer, with the padding it first had."""
    first = 0xA0 if packet.pad else 0x80
    header = _HEADER.pack(first, packet.marker | payload_type, seq, timestamp, ssrc)
    return header + packet.payload + padding(packet.pad)


def build_rtx(packet: Packet, *, payload_type: int, ssrc: int, seq: int, timestamp: int, original: int) -> bytes:
    """A resend: the payload behind its original number, on a stream of its own (RFC 4588 section 4)."""
    header = _HEADER.pack(0x80, packet.marker | payload_type, seq, timestamp, ssrc)
    return header + struct.pack("!H", original) + packet.payload


def padding(size: int) -> bytes:
    """RTP padding of `size` bytes, 0 to 255: the last one counts them (RFC 3550 section 5.1)."""
    return bytes(size - 1) + bytes((size,)) if size else b""
