"""RTCP read and written by hand (RFC 3550 section 6, RFC 4585, RFC 5104, REMB): a thousand viewers send several
compounds a second each, so a compound costs no object but the one `Feedback`. Bytes in, facts out; what does not
parse is left out.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
_NTP_EPOCH_S = 2_208_988_800
MAX_NACKS = 256  # read of one compound: 1,500 bytes can name six thousand packets
_MAX_REMB_BPS = 1 << 40  # the field can say 2^81
_HEAD = struct.Struct("!BBHI")


class Report(NamedTuple):
    """One report block: how a receiver gets `ssrc`. `last_sr`, `delay` as on the wire (1/65536 s)."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_sr: int
    delay: int


class SenderInfo(NamedTuple):
    """A sender's clock: RTP time `timestamp` was at NTP time `ntp` (64 bits)."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int


class Feedback:
    """What one compound packet said."""

    __slots__ = ("bye", "keyframe", "nacks", "remb_bps", "reports", "senders")

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.senders: list[SenderInfo] = []
        self.nacks: list[tuple[int, int]] = []  # (ssrc, seq)
        self.keyframe: list[int] = []  # SSRCs for which PLI or FIR asks
        self.remb_bps: int | None = None
        self.bye: list[int] = []


def parse(compound: bytes) -> Feedback:
    """All of a compound; reading stops at the first length that does not fit."""
    said = Feedback()
    position, size = 0, len(compound)
    while position + 8 <= size:
        first, kind, words, source = _HEAD.unpack_from(compound, position)
        end = position + 4 * (words + 1)
        if first >> 6 != 2 or end > size:
            break
        if kind == RR:
            _reports(compound, position + 8, end, first & 31, said)
        elif kind == SR and end - position >= 28:
            ntp, timestamp, packets, octets = struct.unpack_from("!QIII", compound, position + 8)
            said.senders.append(SenderInfo(source, ntp, timestamp, packets, octets))
            _reports(compound, position + 28, end, first & 31, said)
        elif kind == RTPFB and first & 31 == 1 and end - position >= 16:
            _nacks(compound, position, end, said)
        elif kind == PSFB and end - position >= 12:
            _payload_feedback(compound, position, end, first & 31, said)
        elif kind == BYE:
            said.bye.extend(struct.unpack_from(f"!{min(first & 31, words)}I", compound, position + 4))
        position = end
    return said


def _reports(compound: bytes, position: int, end: int, count: int, said: Feedback) -> None:
    for _ in range(count):
        if position + 24 > end:
            return
        ssrc, loss, highest, jitter, last_sr, delay = struct.unpack_from("!IIIIII", compound, position)
        lost = loss & 0xFFFFFF
        said.reports.append(Report(ssrc, loss >> 24, lost - (lost >> 23 << 24), highest, jitter, last_sr, delay))
        position += 24


def _nacks(compound: bytes, position: int, end: int, said: Feedback) -> None:
    (media,) = struct.unpack_from("!I", compound, position + 8)
    for at in range(position + 12, end - 3, 4):
        if len(said.nacks) >= MAX_NACKS:
            return
        seq, mask = struct.unpack_from("!HH", compound, at)
        said.nacks.append((media, seq))
        step = 1
        while mask:
            if mask & 1:
                said.nacks.append((media, seq + step & 0xFFFF))
            mask >>= 1
            step += 1


def _payload_feedback(compound: bytes, position: int, end: int, form: int, said: Feedback) -> None:
    (media,) = struct.unpack_from("!I", compound, position + 8)
    if form == 1:
        said.keyframe.append(media)
    elif form == 4:
        said.keyframe.extend(struct.unpack_from("!I", compound, at)[0] for at in range(position + 12, end - 7, 8))
    elif form == 15 and end - position >= 20 and compound[position + 12 : position + 16] == b"REMB":
        packed = int.from_bytes(compound[position + 17 : position + 20], "big")
        said.remb_bps = min(_MAX_REMB_BPS, (packed & 0x3FFFF) << (packed >> 18))


def receiver_report(sender: int, reports: list[Report]) -> bytes:
    """RR with its blocks; also the empty one that a compound starts with."""
    body = b"".join(
        struct.pack(
            "!IIIIII", r.ssrc, r.fraction_lost << 24 | r.lost & 0xFFFFFF, r.highest, r.jitter, r.last_sr, r.delay
        )
        for r in reports
    )
    return struct.pack("!BBHI", 0x80 | len(reports), RR, 1 + len(body) // 4, sender) + body


def sender_report(ssrc: int, ntp: int, timestamp: int, packets: int, octets: int) -> bytes:
    return struct.pack(
        "!BBHIQIII", 0x80, SR, 6, ssrc, ntp, timestamp & 0xFFFFFFFF, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF
    )


def description(ssrc: int, cname: str) -> bytes:
    """SDES with the CNAME that ties a show's sound to its picture (RFC 3550 section 6.5.1)."""
    item = struct.pack("!IBB", ssrc, 1, len(cname)) + cname.encode()
    item += bytes(4 - len(item) % 4)
    return struct.pack("!BBH", 0x81, SDES, len(item) // 4) + item


def nack(sender: int, media: int, missing: list[int]) -> bytes:
    """Generic NACK (RFC 4585 section 6.2.1); `missing` in order, around the wrap."""
    pairs: list[tuple[int, int]] = []
    for seq in missing:
        if pairs and 0 < (seq - pairs[-1][0] & 0xFFFF) <= 16:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] | 1 << ((seq - pairs[-1][0] & 0xFFFF) - 1))
        else:
            pairs.append((seq, 0))
    body = b"".join(struct.pack("!HH", seq, mask) for seq, mask in pairs)
    return struct.pack("!BBHII", 0x81, RTPFB, 2 + len(pairs), sender, media) + body


def pli(sender: int, media: int) -> bytes:
    return struct.pack("!BBHII", 0x81, PSFB, 2, sender, media)


def remb(sender: int, bps: int, ssrcs: list[int]) -> bytes:
    """Receiver estimated maximum bitrate: how fast the publisher may send."""
    exponent = max(0, bps.bit_length() - 18)
    packed = exponent << 18 | bps >> exponent
    return (
        struct.pack("!BBHII", 0x8F, PSFB, 4 + len(ssrcs), sender, 0)
        + b"REMB"
        + bytes((len(ssrcs),))
        + packed.to_bytes(3, "big")
        + b"".join(struct.pack("!I", ssrc) for ssrc in ssrcs)
    )


def ntp_of(wall_ms: float) -> int:
    """Unix milliseconds as a 64-bit NTP timestamp."""
    return int((wall_ms / 1000 + _NTP_EPOCH_S) * 4294967296)


def ms_of(ntp: int) -> float:
    """A 64-bit NTP timestamp as Unix milliseconds."""
    return (ntp / 4294967296 - _NTP_EPOCH_S) * 1000
