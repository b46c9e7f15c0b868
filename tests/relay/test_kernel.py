"""The C fan-out against the Python one, on the same keys: byte for byte, and through every way of failing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pylibsrtp import Policy, Session
from structlog.testing import capture_logs

from live.relay import kernel
from live.relay.fanout import Counters, Fanout, Variant
from live.relay.kernel import Kernel
from live.relay.members import Members
from live.relay.rtp import Packet

GCM, SHA1 = Policy.SRTP_PROFILE_AEAD_AES_128_GCM, Policy.SRTP_PROFILE_AES128_CM_SHA1_80
FRAMES = [(1157,) * 8 + (400,), (160,), (900, 880, 1000, 20), (1100,) * 44 + (7,), (1100, 300, 1100, 1100)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    found = kernel.load(tmp_path_factory.mktemp("cache") / ".cache")
    assert found is not None
    return found


class Room:
    """Viewers with sockets and keys; the keys are the same in each room."""

    def __init__(self, count: int, profile: Any, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.viewers = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(count)]
        self.sender = socket.socket(family, socket.SOCK_DGRAM)
        self.members = Members()
        self.keys = []
        for number, sock in enumerate(self.viewers):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.bind((host, 0))
            sock.settimeout(60)
            key = bytes((number,)) * (28 if profile == GCM else 30)
            policy = Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
            self.keys.append(Session(policy))
            self.members.put(str(number), self.keys[-1]._srtp[0], sock.getsockname())

    def got(self, count: int) -> list[list[bytes]]:
        return [[sock.recv(2048) for _ in range(count)] for sock in self.viewers]

    def close(self) -> None:
        for sock in (*self.viewers, self.sender):
            sock.close()


@pytest.fixture
def rooms() -> Iterator[list[Room]]:
    made: list[Room] = []
    yield made
    for room in made:
        room.close()


def packets(sizes: tuple[int, ...], first: int) -> list[Packet]:
    return [Packet(first + at, 3000 + first, 0, bytes((at,)) * size) for at, size in enumerate(sizes)]


@pytest.mark.parametrize("profile", [GCM, SHA1], ids=["gcm", "sha1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("gso", [True, False], ids=["gso", "one by one"])
def test_c_sends_what_python_sends(built: Kernel, rooms: list[Room], profile: Any, host: str, gso: bool) -> None:
    rooms += [Room(3, profile, host), Room(3, profile, host)]
    tag = 16 if profile == GCM else 10
    seen = []
    for room, how in zip(rooms, (None, built), strict=True):
        counters = Counters()
        counters.gso = gso
        fanout = Fanout([room.sender], counters, how)
        got = []
        for number, sizes in enumerate(FRAMES):
            fanout.frame(packets(sizes, 100 * number), [(Variant(0, tag, 102, 7, 0x8000, 5), room.members)])
            got.append(room.got(len(sizes)))
        assert (counters.dropped, counters.refused) == (0, 0)
        assert counters.gso == gso
        seen.append((got, counters.packets, counters.bytes))
    assert seen[0] == seen[1]
    assert seen[0][0][0][0][0][2:4] == (0x8000).to_bytes(2, "big"), "the premise: it is our RTP"


def test_more_viewers_than_a_batch_all_get_theirs(built: Kernel, rooms: list[Room]) -> None:
    rooms.append(Room(150, GCM))
    fanout = Fanout([rooms[0].sender], Counters(), built)
    for number, sizes in enumerate(((160,), (1157,) * 9)):
        fanout.frame(packets(sizes, 100 * number), [(Variant(0, 16, 102, 7, 0, 0), rooms[0].members)])
        assert len({tuple(got) for got in rooms[0].got(len(sizes))}) == 150
    assert fanout.counters.packets == 150 * 10


def test_who_cannot_be_reached_or_protected_is_counted_and_the_others_get_theirs(
    built: Kernel, rooms: list[Room]
) -> None:
    counts = []
    for how in (None, built):
        room = Room(3, GCM)
        rooms.append(room)
        lost = Session(Policy(key=bytes(28), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=GCM))
        room.members.put("nowhere", lost._srtp[0], ("127.0.0.1", 0))  # port 0 is EINVAL
        fanout = Fanout([room.sender], Counters(), how)
        frame = packets((1000, 1000, 500), 40_000)
        fanout.frame(frame, [(Variant(0, 16, 102, 7, 0, 0), room.members)])
        assert all(len(got) == 3 for got in room.got(3))
        # Libsrtp protects nothing under a number from long ago: its nonce may have been used.
        fanout.frame(packets((200,), 30_000), [(Variant(0, 16, 102, 7, 0, 0), room.members)])
        counters = fanout.counters
        counts.append((counters.packets, counters.dropped, counters.refused, counters.gso))
    assert counts[0] == counts[1]
    assert counts[0][1] > 0
    assert counts[0][2] > 0


def test_without_a_compiler_python_does_it_and_the_log_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel.shutil, "which", lambda name: None)
    with capture_logs() as said:
        assert kernel.load(tmp_path / ".cache") is None
    assert [(line["event"], line["used"], line["why"]) for line in said] == [("relay.kernel", False, "no C compiler")]


def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path: Path) -> None:
    cache = tmp_path / ".cache"
    assert kernel.load(cache) is not None, "the premise"
    (library,) = cache.glob("*.so")
    library.chmod(0o777)
    assert kernel.load(cache) is None
    library.chmod(0o755)
    cache.chmod(0o777)
    assert kernel.load(cache) is None
