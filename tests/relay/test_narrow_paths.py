"""The fan-out on real sockets: what one viewer's path can't carry costs the others nothing."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pylibsrtp import Policy, Session

from live.relay.fanout import Counters, Fanout, Variant
from live.relay.rtp import Packet
from live.relay.udp import gso_possible

UDP, UDP_SEGMENT = 17, 103
SIZES = (900, 900, 900, 400)

pytestmark = pytest.mark.skipif(not gso_possible(), reason="GSO is Linux's")


class Narrow(socket.socket):
    """A socket whose way to `far` takes no segmented sends, as the kernel says it of a route with a small MTU."""

    far: tuple[str, int] | None = None
    why = errno.EMSGSIZE
    segmented = 0

    def sendto(self, data: Any, address: Any) -> int:  # type: ignore[override]
        if self.getsockopt(UDP, UDP_SEGMENT):
            if address == self.far:
                raise OSError(self.why, "path")
            self.segmented += 1
        return super().sendto(data, address)


@pytest.fixture
def ends() -> Iterator[tuple[Narrow, list[socket.socket]]]:
    viewers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for sock in viewers:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(60)
    with Narrow(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield sender, viewers
    for sock in viewers:
        sock.close()


def frame(first: int) -> list[Packet]:
    return [Packet(first + index, 0, 0, bytes(size)) for index, size in enumerate(SIZES)]


def members(viewers: list[socket.socket]) -> list[tuple[Any, Any]]:
    keys = [
        Session(
            Policy(
                key=bytes(30), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80
            )
        )
        for _ in viewers
    ]
    return [((key, key._srtp), sock.getsockname()) for key, sock in zip(keys, viewers, strict=True)]


def test_a_viewer_behind_a_narrow_path_gets_hers_one_by_one_and_the_others_keep_gso(
    ends: tuple[Narrow, list[socket.socket]],
) -> None:
    sender, viewers = ends
    sender.far = viewers[1].getsockname()
    counters = Counters()
    fanout = Fanout([sender], counters)
    held = members(viewers)
    group = (Variant(0, 10, 102, 7, 0, 0), [(key[1][0], address) for key, address in held])
    for round_trip in range(2):
        fanout.frame(frame(10 * round_trip), [group])
        for sock in viewers:
            assert [len(sock.recv(2048)) for _ in SIZES] == [12 + size + 10 for size in SIZES]
    assert counters.gso
    assert sender.segmented == 4, "two viewers, two frames"
    assert sender.getsockopt(UDP, UDP_SEGMENT) == 0, "the socket's other datagrams leave whole"


def test_a_device_that_cannot_do_it_turns_gso_off_for_good(ends: tuple[Narrow, list[socket.socket]]) -> None:
    sender, viewers = ends
    sender.far, sender.why = viewers[0].getsockname(), errno.EIO
    counters = Counters()
    fanout = Fanout([sender], counters)
    held = members(viewers)
    group = (Variant(0, 10, 102, 7, 0, 0), [(key[1][0], address) for key, address in held])
    fanout.frame(frame(0), [group])
    for sock in viewers:
        assert [len(sock.recv(2048)) for _ in SIZES] == [12 + size + 10 for size in SIZES]
    assert not counters.gso
    assert sender.segmented == 0
