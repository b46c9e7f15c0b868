"""The process's one UDP port: a socket for each address of the host, all on the same number.

A socket an address, because a check must be answered from where it was sent to; with one wildcard socket the kernel
would choose. Sockets are raw and non-blocking: asyncio's `DatagramTransport` queues without bound when the network
is slower than we are.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Callable
from typing import Protocol

import ifaddr
import structlog

from live.relay.ice import IceLite
from live.relay.intake import RAW, RTCP, STUN, Heard, Paths
from live.relay.kernel import Kernel
from live.relay.stun import Check, answer, parse_check, parse_echo

log = structlog.get_logger(__name__)

Address = tuple[str, int]
_MAX_READS = 128  # datagrams a wake-up, so that a flood leaves time for everything else
_MAX_PATHS = 8  # addresses remembered per session
_MAX_PROBED = 1024  # addresses asked and not yet heard from; the eldest is forgotten, and asked again by her next check
UNPROVEN_TIMES = 3  # what may go to an unproven address, times what came from it (as RFC 9000 section 8 has it)
_BUFFER_BYTES = 4 * 1024 * 1024


class Receiver(Heard, Protocol):
    """A session, as the port sees it."""

    ice: IceLite
    paths: list[tuple[int, Address]]
    credit: int  # bytes that may go to an address nobody has proved yet: three times what came from it

    def datagram(self, datagram: bytes) -> None: ...
    def media(self, packet: bytes, is_rtcp: bool) -> None: ...
    def moved(self) -> None: ...


def host_addresses() -> list[str]:
    """All addresses of this host that a viewer could use: link-local ones are left out, loopback comes last."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            if not ipaddress.ip_address(text).is_link_local and text not in found:
                found.append(text)
    return sorted(found, key=lambda text: (ipaddress.ip_address(text).is_loopback, ":" in text))


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """One socket an address, on one port number. Raises OSError when the first cannot have it."""
    hosts = [host] if host else host_addresses() or ["127.0.0.1"]
    opened: list[socket.socket] = []
    for text in hosts:
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            sock.bind((text, port))
        except OSError:
            sock.close()
            if not opened:
                raise
            continue  # an address that went away, or IPv6 switched off
        opened.append(sock)
        port = sock.getsockname()[1]
    return opened


class UdpPort:
    """Reads the sockets and finds the session of each datagram; sends, dropping what the kernel does not take."""

    def __init__(
        self, sockets: list[socket.socket], announce: str, now_ms: Callable[[], int], kernel: Kernel | None = None
    ) -> None:
        """With a `kernel`, C reads the sockets and decrypts."""
        self.sockets = sockets
        self.number = sockets[0].getsockname()[1]
        self._now_ms = now_ms
        self._by_name: dict[str, Receiver] = {}
        self._by_address = [Paths(kernel) for _ in sockets]
        self._probed: dict[tuple[int, Address], Receiver] = {}
        self.dropped = 0
        self._strays = 0
        named = [part.strip() for part in announce.split(",") if part.strip()]
        bound = [sock.getsockname()[0] for sock in sockets]
        if not named:
            named = [host for text in bound for host in (host_addresses() if text in ("0.0.0.0", "::") else [text])]  # noqa: S104
        self.candidates: list[Address] = [(host, self.number) for host in named]

    def open(self) -> None:
        loop = asyncio.get_running_loop()
        for index, sock in enumerate(self.sockets):
            read = self._readable_in_c if self._by_address[index].in_c else self._readable
            loop.add_reader(sock, read, index, sock)

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in self.sockets:
            loop.remove_reader(sock)
            sock.close()

    @property
    def strays(self) -> int:
        """Datagrams from addresses of no session."""
        return self._strays + sum(paths.strays for paths in self._by_address)

    @property
    def calm(self) -> int:
        """Reports of viewers that only said again that all is well, so that nobody had to hear them."""
        return sum(paths.calm for paths in self._by_address)

    def connected(self, session: Receiver) -> None:
        """Its keys are there: C may decrypt."""
        for index, address in session.paths:
            if self._by_address[index].get(address) is session:
                self._by_address[index][address] = session

    def admit(self, session: Receiver) -> None:
        """Make a session known by the names of its living ICE generations."""
        for credentials in (session.ice.current, session.ice.coming):
            if credentials is not None:
                self._by_name[credentials.ufrag] = session

    def forget_names(self, session: Receiver) -> None:
        """Names of generations that are gone; the session is admitted again under those it has."""
        for name in [name for name, known in self._by_name.items() if known is session]:
            del self._by_name[name]

    def forget(self, session: Receiver) -> None:
        self.forget_names(session)
        for path in [path for path, known in self._probed.items() if known is session]:
            del self._probed[path]
        for index, address in session.paths:
            if self._by_address[index].get(address) is session:
                del self._by_address[index][address]

    def send(self, session: Receiver, datagram: bytes) -> None:
        """To where the session's peer is; dropped when that is unknown or the socket is full."""
        if session.ice.address is not None:
            index, address = session.ice.address
            self._send(index, datagram, address)

    def _send(self, index: int, datagram: bytes, address: Address) -> None:
        try:
            self.sockets[index].sendto(datagram, address)
        except OSError:
            self.dropped += 1

    def _readable(self, index: int, sock: socket.socket) -> None:
        known = self._by_address[index]
        for _ in range(_MAX_READS):
            try:
                datagram, address = sock.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier send
            if not datagram:
                continue
            if datagram[0] < 4:  # STUN (RFC 7983)
                self._stun(index, datagram, address)
                continue
            session = known.get(address)
            if session is None:
                self._strays += 1
            else:
                session.datagram(datagram)

    def _readable_in_c(self, index: int, sock: socket.socket) -> None:
        paths = self._by_address[index]
        for read in paths.read(sock, self._now_ms()):
            try:
                if read.kind == STUN:
                    self._stun(index, read.datagram, read.address)
                elif read.kind == RAW:
                    read.session.datagram(read.datagram)
                    if 127 < read.datagram[0] < 192 and len(read.datagram) >= 12:
                        paths.learn(read.address, read.datagram)
                else:
                    read.session.media(read.datagram, read.kind == RTCP)
            except Exception:
                log.exception("relay.datagram_broke")  # the rest of the batch is other people's

    def _stun(self, index: int, datagram: bytes, address: Address) -> None:
        check = parse_check(datagram)
        if check is not None:
            self._checked(index, check, address, len(datagram))
            return
        echo = parse_echo(datagram)
        path = (index, address)
        session = self._probed.get(path)
        if session is not None and echo is not None and session.ice.echoed(echo, path):
            self._enter(session, path)
            session.moved()

    def _checked(self, index: int, check: Check, address: Address, size: int) -> None:
        session = self._by_name.get(check.local_ufrag)
        if session is None:
            return
        password = session.ice.believe(check, self._now_ms())
        if password is None:
            return  # no answer either: a guess learns nothing
        session.credit += UNPROVEN_TIMES * size
        path = (index, address)
        reply = answer(check, password, address[0], address[1])
        session.credit -= len(reply)
        self._send(index, reply, address)
        if self._by_address[index].get(address, session) is not session:
            self._probe(session, path)  # another session's address: not hers by a check alone, which may be forged
            return
        if session.ice.wants(check, path) and session.ice.settled:
            self._probe(session, path)
            return
        self._enter(session, path)
        if session.ice.follow(check, path):
            session.moved()

    def _probe(self, session: Receiver, path: tuple[int, Address]) -> None:
        """Ask whoever is there. Small and once a check, so that nothing is amplified."""
        if len(self._probed) >= _MAX_PROBED:
            del self._probed[next(iter(self._probed))]
        self._probed[path] = session
        self._send(path[0], session.ice.probe(path), path[1])

    def _enter(self, session: Receiver, path: tuple[int, Address]) -> None:
        """Datagrams from that address are hers from now on."""
        index, address = path
        before = self._by_address[index].get(address)
        if before is not None and before is not session and path in before.paths:
            before.paths.remove(path)
        self._probed.pop(path, None)
        if path not in session.paths:
            if len(session.paths) >= _MAX_PATHS:
                oldest = next(item for item in session.paths if item != session.ice.address)
                session.paths.remove(oldest)
                self._by_address[oldest[0]].pop(oldest[1], None)
            session.paths.append(path)
        self._by_address[index][address] = session


def gso_possible() -> bool:
    """UDP_SEGMENT is Linux's, since 4.18."""
    return sys.platform == "linux"
