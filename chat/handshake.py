"""The opening of a socket (RFC 6455, section 4.2) as browsers ask for it, read and answered in one step. Pure.

uvicorn has read the request's head already and hands it on whole; websockets would read it again, line by line: a tenth
of what a socket costs to come in. What is not asked in the plain way (`asked` gives None) is left to websockets, which
also knows how to refuse.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import lru_cache

import msgspec
from websockets.exceptions import InvalidHeaderFormat
from websockets.headers import parse_extension
from websockets.typing import ExtensionHeader

HEAD_MOST = 8 * 1024  # bytes; below every bound of websockets
HEADERS_MOST = 64
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Of these a second one would be a matter of opinion.
_SINGLE = frozenset({b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version"})
_LEFT_TO_WEBSOCKETS = frozenset({b"sec-websocket-protocol"})


class Asked(msgspec.Struct, frozen=True):
    """`headers` as ASGI has them, names in lower case; `extensions` the value of that header, or ""."""

    target: bytes
    headers: list[tuple[bytes, bytes]]
    key: bytes
    extensions: str

    def answer(self, more: list[tuple[bytes, bytes]]) -> bytes:
        """The head that opens the socket, with `more` headers."""
        accept = base64.b64encode(hashlib.sha1(self.key + _GUID, usedforsecurity=False).digest())
        return b"".join(
            (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: ",
                accept,
                b"\r\n",
                *(b"%b: %b\r\n" % header for header in more),
                b"\r\n",
            )
        )


def asked(head: bytes) -> Asked | None:
    """What a head asks for that uvicorn put together from what it parsed: a line each, names in lower case."""
    if len(head) > HEAD_MOST or not head.endswith(b"\r\n\r\n"):
        return None
    first, *lines = head[:-4].split(b"\r\n")
    method, _, rest = first.partition(b" ")
    target, _, version = rest.partition(b" ")
    if method != b"GET" or version != b"HTTP/1.1" or not target.isascii() or len(lines) > HEADERS_MOST:
        return None
    headers: list[tuple[bytes, bytes]] = []
    said: dict[bytes, bytes] = {}
    extensions = b""
    for line in lines:
        name, colon, value = line.partition(b": ")
        if not colon or name in _LEFT_TO_WEBSOCKETS:
            return None
        headers.append((name, value))
        if name in _SINGLE:
            if name in said:
                return None
            said[name] = value
        elif name == b"sec-websocket-extensions":
            if not value:
                return None
            extensions = extensions + b", " + value if extensions else value
    key = said.get(b"sec-websocket-key", b"")
    is_plain = (
        said.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in (token.strip() for token in said.get(b"connection", b"").lower().split(b","))
        and said.get(b"sec-websocket-version") == b"13"
        and _is_key(key)
        and extensions.isascii()
    )
    return Asked(target, headers, key, extensions.decode()) if is_plain else None


@lru_cache(maxsize=64)  # browsers say one of a few words
def offers(extensions: str) -> list[ExtensionHeader] | None:
    """The extensions that a client offers, in its order; None when that can't be read."""
    try:
        return parse_extension(extensions) if extensions else []
    except InvalidHeaderFormat:
        return None


def _is_key(key: bytes) -> bool:
    """16 bytes in base64 (section 4.2.1, 5)."""
    try:
        return len(key) == 24 and len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except binascii.Error:
        return False
