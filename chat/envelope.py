"""The one wire message: bytes in, envelopes out, and back. No I/O.

A frame out is one envelope or an array of them. An envelope that was numbered is the same bytes in Redis's log, on
the bus and on every socket: it is encoded once, and `joined` only puts brackets and commas around such bytes.
"""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

import msgspec

from chat.errors import BadFrame, Invalid

MAX_FRAME_IN_BYTES = 16 * 1024
MAX_OP_CHARS = 64
# What a decoder says of bytes that somebody else sent; the last of brackets within brackets, some thousand deep.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

T = TypeVar("T")


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """`seq` numbers an event within its room's epoch and is None for private and volatile ones; `at` is the media
    time in ms that an event belongs to, None when it belongs to none."""

    kind: str
    body: msgspec.Raw = msgspec.Raw(b"{}")
    seq: int | None = None
    at: int | None = None


class Frame(msgspec.Struct, frozen=True):
    """What a client sends. `op` is its own id of the intent, the key to the answer and to asking again."""

    kind: str
    op: str = ""
    body: msgspec.Raw = msgspec.Raw(b"{}")


class Hello(msgspec.Struct, frozen=True):
    """The client's first frame: where it stopped, or nulls when it is new."""

    epoch: str | None = None
    seq: int | None = None


_frames = msgspec.json.Decoder(Frame)
_envelopes = msgspec.json.Decoder(Envelope)
_encoder = msgspec.json.Encoder()


def decode_frame(data: str | bytes) -> Frame:
    """Raises: BadFrame 1009 (over 16 KiB), 1007 (not JSON, or not an envelope)."""
    if len(data) > MAX_FRAME_IN_BYTES or (isinstance(data, str) and len(data.encode()) > MAX_FRAME_IN_BYTES):
        raise BadFrame(1009, "too large")
    try:
        frame = _frames.decode(data)
    except UNREADABLE as error:
        raise BadFrame(1007, "not an envelope") from error
    if len(frame.op) > MAX_OP_CHARS:
        raise BadFrame(1007, "op too long")
    return frame


def decode_body(body: bytes | msgspec.Raw, shape: type[T]) -> T:
    """Raises: Invalid (carries the field's JSON path, and why)."""
    try:
        return msgspec.json.decode(body, type=shape)
    except UNREADABLE as error:
        why, _, path = str(error).partition(" - at `")
        raise Invalid(path.rstrip("`").removeprefix("$.") or "body", why) from error


def decode_envelope(data: bytes) -> Envelope:
    """An envelope that we encoded ourselves, from the log or the bus."""
    return _envelopes.decode(data)


def encode(kind: str, body: object, *, at: int | None = None) -> bytes:
    """An envelope without a number: private, volatile, or an answer without an `op`."""
    return b"{" + tail(kind, body, at=at)


def tail(kind: str, body: object, *, at: int | None = None) -> bytes:
    """An envelope from after its `{` on: the script that numbers it writes `{"seq":812,` before it."""
    middle = b"" if at is None else b'"at":%d,' % at
    return b'"kind":%b,%b"body":%b}' % (_encoder.encode(kind), middle, _encoder.encode(body))


def numbered(seq: int, envelope_tail: bytes) -> bytes:
    return b'{"seq":%d,%b' % (seq, envelope_tail)


def answer(kind: str, op: str, body: object) -> bytes:
    """`ok` or `refused` to the intent `op`."""
    encoded = _encoder.encode
    return b'{"kind":%b,"op":%b,"body":%b}' % (encoded(kind), encoded(op), encoded(body))


def joined(envelopes: list[bytes]) -> bytes:
    """The payload of one frame: the envelope itself, or an array of several."""
    return envelopes[0] if len(envelopes) == 1 else b"[" + b",".join(envelopes) + b"]"


def server_frame(payload: bytes) -> bytes:
    """`payload` as one unmasked, uncompressed text frame (RFC 6455, section 5.2), ready for any number of sockets."""
    return _framed(0x81, payload)


def deflated_frame(payload: bytes) -> bytes:
    """`payload` as one text frame of permessage-deflate (RFC 7692, section 7.2.1), without context from any message
    before it: so it is the same bytes for every socket."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return _framed(0xC1, packed.removesuffix(b"\x00\x00\xff\xff"))


def _framed(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (first, size, payload)
    if size < 65536:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8, "big"), payload)


def plain(body: msgspec.Raw) -> Any:
    """A body as dicts and lists, for tests and clients."""
    return msgspec.json.decode(body)
