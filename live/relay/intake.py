"""What comes in by one socket, read by C in batches (kernel_in.c), and the sessions it belongs to.

`Paths` is a dictionary, address -> session, that keeps C's table in step: C looks addresses up and decrypts with the
contexts in there, so each must be alive. It is: the dictionary holds the session, and the session its context.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from live.relay.kernel import Kernel
from live.relay.members import sockaddr
from live.relay.peer import UNPROTECT_ADDRESS, UNPROTECT_RTCP_ADDRESS

CALM_MS = 1000  # a viewer's "all is well" is heard once in this time
RAW, RTP, RTCP, STUN = range(4)
BATCH = 64
_SLOT, _ADDRESS = 2048, 32


class Heard(Protocol):
    """A session, as its socket sees it."""

    @property
    def receiving(self) -> int:
        """Where libsrtp's context for what she sends lies; 0 while there is none."""

    @property
    def quiet(self) -> bool:
        """Whether her "all is well" may be thinned: a viewer's, not a publisher's."""

    def knows(self, source: bytes) -> bool:
        """Whether authentic media of that SSRC came already."""


class Read(NamedTuple):
    """One datagram. Of RTP and RTCP the plain packet; else what came, and from where. STUN finds its session itself."""

    kind: int
    datagram: bytes
    session: Any
    address: Any


class Paths(dict[Any, Any]):
    """Address -> session. With a kernel, C reads the socket."""

    def __init__(self, kernel: Kernel | None = None) -> None:
        super().__init__()
        self._calls = _Calls(kernel) if kernel is not None else None
        self._numbers: dict[Any, int] = {}
        self._contexts: dict[Any, int] = {}  # as C has them
        self._by_number: dict[int, Any] = {}
        self._last_number = 0

    @property
    def in_c(self) -> bool:
        return self._calls is not None

    def __setitem__(self, address: Any, session: Heard) -> None:
        if super().get(address) is session and self._contexts.get(address) == session.receiving:
            return  # as with every check of hers
        self._forget(address)
        super().__setitem__(address, session)
        if self._calls is not None:
            self._contexts[address] = session.receiving
            # Numbers are never used again: of what is read in one go, something may be of a session that just left.
            self._last_number += 1
            self._numbers[address], self._by_number[self._last_number] = self._last_number, session
            self._calls.put(sockaddr(address), session.receiving, self._last_number, session.quiet)

    def __delitem__(self, address: Any) -> None:
        self._forget(address)
        super().__delitem__(address)

    def pop(self, address: Any, *default: Any) -> Any:
        self._forget(address)
        return super().pop(address, *default)

    def _forget(self, address: Any) -> None:
        number = self._numbers.pop(address, None)
        if number is not None and self._calls is not None:
            self._calls.remove(sockaddr(address))
            del self._contexts[address]
            del self._by_number[number]

    def read(self, sock: socket.socket, now_ms: int) -> Iterator[Read]:
        """One batch, at most BATCH datagrams, whatever becomes of sessions while it is gone through."""
        calls = self._calls
        assert calls is not None
        for place in range(calls.receive(sock.fileno(), now_ms)):
            kind, session = calls.kinds[place], None
            if kind != STUN:
                session = self._by_number.get(calls.numbers[place])
                if session is None:
                    continue  # gone, by what was read just before
            address = calls.address(place) if kind in (STUN, RAW) else None
            yield Read(kind, calls.datagram(place), session, address)

    def learn(self, address: Any, datagram: bytes) -> None:
        """C may decrypt that SSRC by itself, if the session let it in. `datagram`: media, as it came."""
        source = datagram[4:8] if 192 <= datagram[1] <= 223 else datagram[8:12]
        session = self.get(address)
        if self._calls is not None and session is not None and session.knows(source):
            self._calls.knows(sockaddr(address), source)

    @property
    def strays(self) -> int:
        """Datagrams of no session, of those that C read."""
        return self._calls.counts[1] if self._calls is not None else 0

    @property
    def calm(self) -> int:
        """Compounds that said only that all is well, and were not passed on."""
        return self._calls.counts[3] if self._calls is not None else 0


class _Calls:
    """kernel_in.c: its table and its arrays."""

    def __init__(self, kernel: Kernel) -> None:
        library, number, pointer, word = kernel.library, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64
        library.frontrow_paths.restype = pointer
        library.frontrow_paths_free.argtypes = [pointer]
        library.frontrow_path_put.argtypes = [pointer, pointer, word, word, number]
        library.frontrow_path_remove.argtypes = [pointer, pointer]
        library.frontrow_path_knows.argtypes = [pointer, pointer, ctypes.c_uint32]
        library.frontrow_receive.argtypes = [
            pointer, word, word, number, ctypes.c_int64, ctypes.c_int64, pointer, pointer, pointer, pointer, pointer,
            pointer, pointer,
        ]  # fmt: skip
        self._library = library
        self._table = library.frontrow_paths()
        if not self._table:
            raise MemoryError
        weakref.finalize(self, library.frontrow_paths_free, self._table)
        self._data = ctypes.create_string_buffer(BATCH * _SLOT)
        self._view = memoryview(self._data).cast("B")
        self._addresses = ctypes.create_string_buffer(BATCH * _ADDRESS)
        self._lengths, self._places = (ctypes.c_int32 * BATCH)(), (ctypes.c_int32 * BATCH)()
        self.kinds, self.numbers = (ctypes.c_int32 * BATCH)(), (ctypes.c_uint64 * BATCH)()
        self.counts = (ctypes.c_int64 * 4)()

    def put(self, address: bytes, context: int, number: int, quiet: bool) -> None:
        if self._library.frontrow_path_put(self._table, address.ljust(_ADDRESS, b"\0"), context, number, quiet):
            raise MemoryError

    def remove(self, address: bytes) -> None:
        self._library.frontrow_path_remove(self._table, address.ljust(_ADDRESS, b"\0"))

    def knows(self, address: bytes, source: bytes) -> None:
        (as_it_lies,) = struct.unpack("=I", source)
        self._library.frontrow_path_knows(self._table, address.ljust(_ADDRESS, b"\0"), as_it_lies)

    def receive(self, fd: int, now_ms: int) -> int:
        count: int = self._library.frontrow_receive(
            self._table, UNPROTECT_ADDRESS, UNPROTECT_RTCP_ADDRESS, fd, now_ms, CALM_MS, self._data, self._addresses,
            self.kinds, self._lengths, self._places, self.numbers, self.counts,
        )  # fmt: skip
        return max(0, count)

    def datagram(self, place: int) -> bytes:
        start = self._places[place] * _SLOT
        return bytes(self._view[start : start + self._lengths[place]])

    def address(self, place: int) -> Any:
        start = self._places[place] * _ADDRESS
        return _address_of(self._addresses.raw[start : start + _ADDRESS])


def _address_of(raw: bytes) -> Any:
    """As `recvfrom` says it."""
    (family,) = struct.unpack_from("=H", raw)
    if family == socket.AF_INET:
        return socket.inet_ntoa(raw[4:8]), raw[2] << 8 | raw[3]
    (port, flow), (scope,) = struct.unpack_from("!HI", raw, 2), struct.unpack_from("=I", raw, 24)
    host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
    return (f"{host}%{socket.if_indextoname(scope)}" if scope else host), port, flow, scope
