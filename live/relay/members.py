"""The viewers of one group, as Python goes through them and as C does."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from live.relay.peer import address_of


class Packed(NamedTuple):
    """The same in arrays; `status` is C's to write."""

    contexts: ctypes.Array[ctypes.c_uint64]
    addresses: bytes
    address_bytes: int
    status: ctypes.Array[ctypes.c_int32]
    size: int


class Members:
    """Who gets a layout: name -> (libsrtp context, address). All of one socket, so of one address family."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, Any]] = {}
        self._packed: Packed | None = None

    @classmethod
    def of(cls, context: Any, address: Any) -> Members:
        """A group of one."""
        alone = cls()
        alone.put("", context, address)
        return alone

    def put(self, name: str, context: Any, address: Any) -> None:
        self._known[name] = (context, address)
        self._packed = None

    def remove(self, name: str) -> None:
        if self._known.pop(name, None) is not None:
            self._packed = None

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._known.values())

    def packed(self) -> Packed:
        """Made anew only when somebody came or went."""
        if self._packed is None:
            count = len(self._known)
            contexts = (ctypes.c_uint64 * count)(*(address_of(context) for context, _ in self._known.values()))
            addresses = [sockaddr(address) for _, address in self._known.values()]
            status = (ctypes.c_int32 * count)()
            self._packed = Packed(contexts, b"".join(addresses), len(addresses[0]) if count else 1, status, count)
        return self._packed


def sockaddr(address: Any) -> bytes:
    """A `recvfrom` address as the kernel's struct: sockaddr_in for a pair, sockaddr_in6 for four."""
    host, port = address[:2]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    head = struct.pack("=H", family) if sys.platform == "linux" else b""
    if family == socket.AF_INET:
        return head + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)
    flow, scope = (*address[2:], 0, 0)[:2]
    packed = socket.inet_pton(family, host.partition("%")[0])
    return head + struct.pack("!HI", port, flow) + packed + struct.pack("=I", scope)
