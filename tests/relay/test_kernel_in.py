"""Reading in C against reading in Python: the same datagrams, heard by the same sessions, and the same left out."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from pylibsrtp import Policy, Session

from live.relay import kernel, rtcp
from live.relay.intake import BATCH
from live.relay.kernel import Kernel
from live.relay.peer import UNPROTECT_ADDRESS, address_of
from live.relay.udp import UdpPort, open_sockets

GCM, SHA1 = Policy.SRTP_PROFILE_AEAD_AES_128_GCM, Policy.SRTP_PROFILE_AES128_CM_SHA1_80
CALM = rtcp.receiver_report(1, [rtcp.Report(7, 0, 0, 9, 0, 0, 0)]) + rtcp.remb(1, 900_000, [7])
LOSING = rtcp.receiver_report(1, [rtcp.Report(7, 3, 5, 9, 0, 0, 0)])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    found = kernel.load(tmp_path_factory.mktemp("cache") / ".cache")
    assert found is not None
    return found


class Listener:
    """A session as the port sees it, with real keys; what it hears is written down."""

    def __init__(self, number: int, profile: Any, quiet: bool) -> None:
        key = bytes((number + 1,)) * (28 if profile == GCM else 30)
        self.sends = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self.hears = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
        self.quiet = quiet
        self.paths: list[tuple[int, Any]] = []
        self.heard: list[tuple[str, bytes]] = []
        self.known: set[bytes] = set()

    @property
    def receiving(self) -> int:
        return address_of(self.hears._srtp[0])

    def knows(self, source: bytes) -> bool:
        return source in self.known

    def datagram(self, datagram: bytes) -> None:
        """As `Peer.feed` does with media; the rest is kept as it came."""
        if not (127 < datagram[0] < 192 and 12 <= len(datagram) <= 1600):
            self.heard.append(("raw", datagram))
            return
        is_rtcp = 192 <= datagram[1] <= 223
        try:
            plain = self.hears.unprotect_rtcp(datagram) if is_rtcp else self.hears.unprotect(datagram)
        except Exception:
            return
        self.known.add(datagram[4:8] if is_rtcp else datagram[8:12])
        self.media(plain, is_rtcp)

    def media(self, packet: bytes, is_rtcp: bool) -> None:
        self.heard.append(("rtcp" if is_rtcp else "rtp", packet))

    def moved(self) -> None:
        """Nobody asks."""


class Hall:
    """A port and its listeners."""

    def __init__(self, built: Kernel | None, host: str, profile: Any, *, quiet: bool = False, count: int = 3) -> None:
        self.now_ms = 10_000
        self.port = UdpPort(open_sockets(host, 0), "", lambda: self.now_ms, built)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listeners = [Listener(number, profile, quiet) for number in range(count)]
        self.ends = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(count + 1)]  # the last is a stranger
        self.in_c = built is not None
        for sock in self.ends:
            sock.bind((host, 0))
            sock.connect(self.port.sockets[0].getsockname())
        for listener, sock in zip(self.listeners, self.ends, strict=False):
            self.port._by_address[0][sock.getsockname()] = listener
            listener.paths.append((0, sock.getsockname()))

    def read(self) -> None:
        """Until nothing is left: on loopback what was sent is there."""
        sock = self.port.sockets[0]
        for _ in range(20):
            (self.port._readable_in_c if self.in_c else self.port._readable)(0, sock)

    def close(self) -> None:
        for sock in (*self.ends, *self.port.sockets):
            sock.close()


@pytest.fixture
def halls() -> Iterator[list[Hall]]:
    made: list[Hall] = []
    yield made
    for hall in made:
        hall.close()


def rtp(seq: int, size: int, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHII", 0x80, 102, seq, 3000, ssrc) + bytes((seq & 255,)) * size


@pytest.mark.parametrize("profile", [GCM, SHA1], ids=["gcm", "sha1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_c_hears_what_python_hears(built: Kernel, halls: list[Hall], profile: Any, host: str) -> None:
    halls += [Hall(None, host, profile), Hall(built, host, profile)]
    for hall in halls:
        for number, (listener, sock) in enumerate(zip(hall.listeners, hall.ends, strict=False)):
            for seq in range(1, 40):
                sealed = listener.sends.protect(rtp(seq, 10 * seq))
                sock.send(sealed)
                if seq == 5:
                    sock.send(sealed)  # a replay
                    sock.send(sealed[:-1] + bytes((sealed[-1] ^ 1,)))
                    sock.send(sealed[:11])
                    sock.send(bytes((22, 254, 253)) + bytes(200))  # DTLS
                    sock.send(bytes((200,)) + bytes(40))
                    sock.send(b"\x80" + bytes(1650))
                    sock.send(b"")
                if seq % 10 == 0:
                    sock.send(listener.sends.protect_rtcp(CALM if seq < 30 else LOSING))
            hall.ends[-1].send(rtp(number, 50))
            hall.read()
    by_python, by_c = ([listener.heard for listener in hall.listeners] for hall in halls)
    assert by_python == by_c
    assert [kind for kind, _ in by_c[0]].count("rtp") == 39
    assert [packet for kind, packet in by_c[0] if kind == "rtcp"] == [CALM, CALM, LOSING]
    assert halls[0].port.strays == halls[1].port.strays == 3


def test_c_decrypts_an_ssrc_by_itself_only_once_python_let_it_in(built: Kernel, halls: list[Hall]) -> None:
    halls.append(Hall(built, "127.0.0.1", GCM, count=1))
    listener, sock = halls[0].listeners[0], halls[0].ends[0]
    raw: list[bytes] = []
    listener.datagram = raw.append  # type: ignore[method-assign] - lets nobody in
    for seq in (1, 2):
        sock.send(listener.sends.protect(rtp(seq, 100)))
        halls[0].read()
    assert len(raw) == 2
    listener.known.add((7).to_bytes(4, "big"))
    halls[0].port._by_address[0].learn(sock.getsockname(), raw[0])
    for seq in (3, 4):
        sock.send(listener.sends.protect(rtp(seq, 100)))
        halls[0].read()
        halls[0].port._by_address[0][sock.getsockname()] = listener  # as each of her checks does
    assert len(raw) == 2
    assert listener.heard == [("rtp", rtp(3, 100)), ("rtp", rtp(4, 100))]


def test_a_key_frame_that_comes_first_leaves_room_for_the_sounds_ssrc(built: Kernel, halls: list[Hall]) -> None:
    halls.append(Hall(built, "127.0.0.1", GCM, count=1))
    hall, listener, sock = halls[0], halls[0].listeners[0], halls[0].ends[0]
    raw: list[bytes] = []
    hear = listener.datagram

    def by_python(datagram: bytes) -> None:
        raw.append(datagram)
        hear(datagram)

    listener.datagram = by_python  # type: ignore[method-assign]
    for seq in range(40):  # one batch, and all of it new to C
        sock.send(listener.sends.protect(rtp(seq, 100)))
    hall.read()
    for seq in (1, 2, 3):
        sock.send(listener.sends.protect(rtp(seq, 100, ssrc=8)))
        hall.read()
    assert len(raw) == 41, "C decrypts the sound after its first packet"
    assert len(listener.heard) == 43


def test_that_all_is_well_is_heard_once_a_second_and_anything_else_at_once(built: Kernel, halls: list[Hall]) -> None:
    halls.append(Hall(built, "127.0.0.1", GCM, quiet=True, count=1))
    hall, listener, sock = halls[0], halls[0].listeners[0], halls[0].ends[0]
    asks = rtcp.receiver_report(1, []) + rtcp.nack(1, 7, [4, 5])
    for compound, step_ms in ((CALM, 300), (CALM, 300), (CALM, 300), (asks, 10), (LOSING, 10), (CALM, 980), (CALM, 21)):
        hall.now_ms += step_ms
        sock.send(listener.sends.protect_rtcp(compound))
        hall.read()
    # The first goes the way of an unknown SSRC and the second proves that C took over.
    assert [packet for _, packet in listener.heard] == [CALM, CALM, asks, LOSING, CALM]
    assert hall.port.calm == 2


def test_who_asks_for_packets_all_the_time_is_heard_of_her_line_too(built: Kernel, halls: list[Hall]) -> None:
    halls.append(Hall(built, "127.0.0.1", GCM, quiet=True, count=1))
    hall, listener, sock = halls[0], halls[0].listeners[0], halls[0].ends[0]
    asks = rtcp.receiver_report(1, []) + rtcp.nack(1, 7, [4, 5])
    for _ in range(20):
        for compound in (asks, CALM):
            hall.now_ms += 100
            sock.send(listener.sends.protect_rtcp(compound))
            hall.read()
    heard = [packet for _, packet in listener.heard]
    assert heard.count(asks) == 20
    assert heard.count(CALM) == 4, "once a second"


def test_a_session_that_ends_in_the_middle_of_a_batch_hears_no_more(built: Kernel, halls: list[Hall]) -> None:
    halls.append(Hall(built, "127.0.0.1", GCM, count=2))
    hall = halls[0]
    first, second = hall.listeners
    leaves = first.datagram

    def end(datagram: bytes) -> None:
        leaves(datagram)
        del hall.port._by_address[0][hall.ends[0].getsockname()]

    first.datagram = end  # type: ignore[method-assign]
    for _ in range(3):
        hall.ends[0].send(bytes((22, 254, 253)))
        hall.ends[1].send(bytes((22, 254, 253)))
    hall.read()
    assert (len(first.heard), len(second.heard)) == (1, 3)


def test_who_breaks_on_a_datagram_takes_nobody_elses_along(built: Kernel, halls: list[Hall]) -> None:
    halls.append(Hall(built, "127.0.0.1", GCM, count=2))
    hall = halls[0]

    def broken(datagram: bytes) -> None:
        raise RuntimeError

    hall.listeners[0].datagram = broken  # type: ignore[method-assign]
    for sock in hall.ends[:2]:
        sock.send(bytes((22, 254, 253)))
    hall.read()
    assert len(hall.listeners[1].heard) == 1


def test_thousands_come_and_go_and_each_is_found(built: Kernel, halls: list[Hall]) -> None:
    halls.append(Hall(built, "127.0.0.1", GCM, count=1))
    hall, listener, sock = halls[0], halls[0].listeners[0], halls[0].ends[0]
    paths = hall.port._by_address[0]
    for turn in range(3):
        for port in range(1024, 5000):
            paths[("10.0.0.1", port)] = listener
        for port in range(1024, 5000):
            if port % 2 == turn % 2:
                paths.pop(("10.0.0.1", port), None)
        sock.send(bytes((22, 254, turn)))
        hall.read()
    assert len(listener.heard) == 3


def test_a_full_batch_is_read_whole(built: Kernel, halls: list[Hall]) -> None:
    halls.append(Hall(built, "127.0.0.1", GCM, count=1))
    for number in range(BATCH + 5):
        halls[0].ends[0].send(bytes((22, number)))
    halls[0].read()
    assert [packet[1] for _, packet in halls[0].listeners[0].heard] == list(range(BATCH + 5))


async def test_the_loop_hears_of_a_socket_that_c_reads(built: Kernel, halls: list[Hall]) -> None:
    halls.append(Hall(built, "127.0.0.1", GCM, count=1))
    hall = halls[0]
    came = asyncio.Event()
    hall.listeners[0].datagram = lambda _: came.set()  # type: ignore[method-assign]
    hall.port.open()
    hall.ends[0].send(bytes((22, 1)))
    await asyncio.wait_for(came.wait(), 60)
    hall.port.close()
    assert UNPROTECT_ADDRESS
