"""What travels through a pipe between two processes of one machine: datagrams, in the clear. Pure: bytes in and out.

origin → subscriber, by the first byte
    S  start    JSON StreamInfo: what the show is made of. Again when that changes, before the first packet of the new
    P  packets  of one track: a flushed frame or a part of one
    C  clock    JSON Clock: which RTP time was which server time, once a second
    T  state    JSON Told: the show's state, when it moved
    E  end      JSON Bye: this pipe is over, and why

subscriber → origin
    JSON, one of Subscribe, Beat, WantKey, Again, Leave

P: 1 byte "P", 1 byte track, 8 bytes server time of forwarding (ms), then per packet 2 bytes number, 4 bytes timestamp,
1 byte flags (1 marker, 2 key frame starts here), 2 bytes size, payload. Numbers and timestamps are the show's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

from live.relay.rtp import Packet
from live.relay.sdp import Format, Kind

MAX_AGAIN = 256  # packets asked for again at a time
MAX_DATAGRAM = 48 * 1024  # a socket buffer of the usual 208 KiB holds four
_HEAD = struct.Struct("!cBQ")
_PACKET = struct.Struct("!HIBH")
_MARKER, _KEY = 1, 2


class PipedTrack(msgspec.Struct, frozen=True):
    """One track; its place in `StreamInfo.tracks` is the number that packets carry. `sets`: H.264's newest SPS and PPS,
    for a publisher that sends them only once. `rid`: the layer of a lower picture; "" for the one all can have."""

    kind: Kind
    codec: str
    clock_rate: int
    fmtp: dict[str, str]
    rid: str = ""
    sets: list[bytes] = []

    @property
    def format(self) -> Format:
        return Format(self.codec, self.clock_rate, self.fmtp)


class StreamInfo(msgspec.Struct, frozen=True):
    """A show as its origin describes it. `first_wall_ms`: server time of its first frame, media time's zero."""

    show: str
    state: Literal["waiting", "live", "slate"]
    first_wall_ms: int | None
    tracks: list[PipedTrack]


class Clock(msgspec.Struct, frozen=True):
    """At server time `wall_ms` the track's clock stood at `timestamp`: the same for both kinds, so lips are in sync."""

    track: int
    wall_ms: float
    timestamp: int


class Told(msgspec.Struct, frozen=True):
    state: Literal["waiting", "live", "slate"]
    first_wall_ms: int | None


class Bye(msgspec.Struct, frozen=True):
    """`ended`: the show is over; `going`: the process ends; `not_origin`: it mirrors another; `unknown`: subscribe
    first; `refused`: the token is another's."""

    why: Literal["ended", "going", "not_origin", "unknown", "refused"]


class PipedPacket(NamedTuple):
    """`wall_ms`: server time at which the origin forwarded it."""

    track: int
    seq: int
    timestamp: int
    marker: bool
    key: bool
    payload: bytes
    wall_ms: int


# ---- origin → subscriber -----------------------------------------------------------------------

Message = StreamInfo | Clock | Told | Bye
_LETTERS: dict[type, bytes] = {StreamInfo: b"S", Clock: b"C", Told: b"T", Bye: b"E"}
_KINDS = {letter[0]: kind for kind, letter in _LETTERS.items()}


def encode(message: Message) -> bytes:
    return _LETTERS[type(message)] + msgspec.json.encode(message)


def encode_packets(track: int, packets: Iterable[Packet], wall_ms: int) -> Iterator[bytes]:
    """Datagrams of at most MAX_DATAGRAM bytes, each with as many packets as fit."""
    head = _HEAD.pack(b"P", track, wall_ms)
    parts, size = [head], len(head)
    for packet in packets:
        length = len(packet.payload)
        if size + _PACKET.size + length > MAX_DATAGRAM and len(parts) > 1:
            yield b"".join(parts)
            parts, size = [head], len(head)
        flags = (_MARKER if packet.marker else 0) | (_KEY if packet.key else 0)
        parts += (_PACKET.pack(packet.seq, packet.timestamp, flags, length), packet.payload)
        size += _PACKET.size + length
    if len(parts) > 1:
        yield b"".join(parts)


def decode(datagram: bytes) -> Message | list[PipedPacket]:
    """Raises ValueError for what no origin would send."""
    if datagram[:1] == b"P":
        return _packets(datagram)
    kind = _KINDS.get(datagram[0]) if datagram else None
    if kind is None:
        raise ValueError("no such message")
    try:
        message: Message = msgspec.json.decode(memoryview(datagram)[1:], type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    return message


def _packets(datagram: bytes) -> list[PipedPacket]:
    try:
        _, track, wall_ms = _HEAD.unpack_from(datagram)
        found, position = [], _HEAD.size
        while position < len(datagram):
            seq, timestamp, flags, size = _PACKET.unpack_from(datagram, position)
            position += _PACKET.size
            payload = datagram[position : position + size]
            if len(payload) < size:
                raise ValueError("cut off")
            position += size
            marker, key = flags & _MARKER != 0, flags & _KEY != 0
            found.append(PipedPacket(track, seq, timestamp, marker, key, payload, wall_ms))
    except struct.error as error:
        raise ValueError(str(error)) from None
    return found


# ---- subscriber → origin -----------------------------------------------------------------------


class Subscribe(msgspec.Struct, frozen=True, tag=True):
    """`mirror`: it forwards to others. A mirror is not fed by a mirror, or two of them would feed each other."""

    show: str
    token: str
    mirror: bool = False


class Beat(msgspec.Struct, frozen=True, tag=True):
    """It lives. Sent when the pipe is quiet, too: the answer to a dead origin's address is ECONNREFUSED."""


class WantKey(msgspec.Struct, frozen=True, tag=True):
    """A key frame, please; of the layer `rid` where it is not ""."""

    rid: str = ""


class Again(msgspec.Struct, frozen=True, tag=True):
    """Packets that did not come."""

    track: int
    seqs: list[int]


class Leave(msgspec.Struct, frozen=True, tag=True):
    """It wants no more."""


Request = Subscribe | Beat | WantKey | Again | Leave
_requests = msgspec.json.Decoder(Request)


def encode_request(request: Request) -> bytes:
    return msgspec.json.encode(request)


def decode_request(datagram: bytes) -> Request:
    """Raises ValueError."""
    try:
        request: Request = _requests.decode(datagram)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    return request


BEAT, LEAVE = encode_request(Beat()), encode_request(Leave())
