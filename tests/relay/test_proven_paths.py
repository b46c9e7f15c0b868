"""Where a session's packets go: only to who proved to be there. What is captured, replayed or forged moves nothing."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from relay_people import CERTIFICATE, Viewer, live, watching
from relay_stage import Stage, stage, until

from live.relay import rtcp, sdp, stun
from live.relay import show as show_module
from live.relay.caller import Caller
from live.relay.ice import IceLite
from live.relay.session import OFFER_CREDIT, Session
from live.relay.udp import UNPROVEN_TIMES, UdpPort, open_sockets


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)


@pytest.fixture
async def running(tmp_path: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Who came leaves at the end, also of a test that fails: a socket left to the collector fails one after it."""
    came: list[Caller | Elsewhere] = []
    for kind in (Caller, Elsewhere):

        def noted(self: Any, *args: Any, begin: Any = kind.__init__, **more: Any) -> None:
            begin(self, *args, **more)
            came.append(self)

        monkeypatch.setattr(kind, "__init__", noted)
    async with stage(tmp_path, redis_url=redis_url) as up:
        yield up
        for one in reversed(came):  # the newest first: one may have taken over another's socket
            await one.close()


class Elsewhere:
    """A socket at another address of the network; keeps what comes there."""

    def __init__(self, running: Stage) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.to = running.relay.port.candidates[0]
        self.sent = 0
        self.got: list[bytes] = []

    def send(self, datagram: bytes) -> None:
        self.sent += len(datagram)
        self.socket.sendto(datagram, self.to)

    def read(self) -> list[bytes]:
        while True:
            try:
                self.got.append(self.socket.recv(2048))
            except BlockingIOError:
                return self.got

    async def close(self) -> None:
        self.socket.close()


def check_of(viewer: Viewer, *, password: bytes | None = None) -> bytes:
    """One of her checks, as somebody on her Wi-Fi would have seen it."""
    ufrag, known = viewer.caller._remote
    return stun.request(viewer.caller._ufrag, ufrag, password or known, secrets.token_bytes(12), nominate=True)


def session_of(running: Stage, viewer: Viewer) -> Session:
    session: Session = running.show.viewers[viewer.session.rpartition(".")[2]].session
    return session


async def test_a_replayed_check_moves_nothing_and_its_sender_gets_no_picture(running: Stage) -> None:
    camera, viewer, thief = await live(running), Viewer(), Elsewhere(running)
    await viewer.on(running)
    await until(lambda: len(viewer.order) == 3)
    before = session_of(running, viewer).ice.address
    for _ in range(5):
        thief.send(check_of(viewer))
    await until(lambda: len(thief.read()) >= 5)
    for _ in range(10):
        camera.frame()
    await until(lambda: len(viewer.order) == 33)
    assert session_of(running, viewer).ice.address == before
    assert viewer.gaps() == []
    assert all(datagram[0] < 4 for datagram in thief.read()), "answers to checks, and our own: nothing else"
    assert sum(map(len, thief.got)) <= UNPROVEN_TIMES * thief.sent


async def test_a_wrong_answer_to_the_probe_or_one_from_another_place_proves_nothing(running: Stage) -> None:
    camera, viewer = await live(running), await watching(running)
    thief, accomplice = Elsewhere(running), Elsewhere(running)
    session = session_of(running, viewer)
    before = session.ice.address
    thief.send(check_of(viewer))
    await until(lambda: len(thief.read()) == 2)
    probe = stun.parse_check(next(one for one in thief.got if stun.parse_check(one)))
    assert probe is not None
    guess = stun.answer(probe, b"a guess", "127.0.0.1", 5)
    right = stun.answer(probe, viewer.caller._password.encode(), "127.0.0.1", 5)
    thief.send(guess)
    accomplice.send(right)
    thief.send(right[:-1])
    thief.send(b"\x01\x01" + right[2:8] + bytes(12) + right[20:])
    camera.frame()
    await until(lambda: len(viewer.order) == 6)
    assert session.ice.address == before
    assert viewer.caller._checks is not None
    viewer.caller._checks.cancel()  # the next of her own would move it back before we look
    thief.send(right)  # the premise: whoever has her password and is there may move her
    await until(lambda: session.ice.address != before)


async def test_a_viewer_who_aims_her_stream_at_another_hits_nobody(running: Stage) -> None:
    camera, victim, attacker = await live(running), await watching(running), await watching(running)
    hers = session_of(running, victim)
    before = session_of(running, attacker).ice.address
    here = victim.caller.socket
    for _ in range(5):
        here.sendto(check_of(attacker), running.relay.port.candidates[0])  # a forged source, as the relay sees it
    camera.frame()
    await until(lambda: len(victim.order) == len(attacker.order) == 6)
    assert session_of(running, attacker).ice.address == before
    assert victim.gaps() == []
    victim.caller.send_rtcp(
        rtcp.receiver_report(1, []) + rtcp.nack(1, victim.ssrc, [victim.order[-1]])
    )  # what she says still reaches her own session
    await until(lambda: victim.resent)
    assert running.relay.port._by_address[0][here.getsockname()] is hers


async def test_an_address_that_somebody_left_is_taken_over_by_who_is_there_now(running: Stage) -> None:
    await live(running)
    gone, new = await watching(running), Viewer()
    here = gone.caller.socket
    await until(lambda: running.show.viewers)
    loop = asyncio.get_running_loop()
    # A NAT gives her old port to somebody else, seconds after her phone was switched off.
    assert gone.caller._checks is not None
    gone.caller._checks.cancel()
    gone.caller._to = None
    loop.remove_reader(here)
    new.caller.socket.close()
    new.caller.socket = here
    await new.on(running)
    await until(lambda: new.order)
    gone.caller._reading = False


async def test_no_more_goes_to_an_unproven_address_than_three_times_what_came(running: Stage) -> None:
    """A forged source: its owner never answers, however often DTLS would send its flight again."""
    await live(running)
    caller, forged = Caller(CERTIFICATE), Elsewhere(running)
    answer = (await running.play(caller.offer("recvonly"))).text
    theirs = sdp.read_offer(answer)
    session = next(one for one in running.relay.sessions.values() if not one.peer.connected)
    forged.send(
        stun.request(caller._ufrag, theirs.ufrag, theirs.password.encode(), secrets.token_bytes(12), nominate=True)
    )
    await until(lambda: forged.read())
    hello = client_hello()
    forged.send(hello)
    await until(lambda: any(20 <= one[0] < 64 for one in forged.read()))
    for _ in range(20):
        session._send(forged.got[-1])  # as OpenSSL's timer does, each time somewhat later
    await until(lambda: session.credit < len(forged.got[-1]))
    assert sum(map(len, forged.read())) <= UNPROVEN_TIMES * forged.sent + OFFER_CREDIT


async def test_check_storms_from_many_addresses_remember_a_bounded_number_of_them() -> None:
    port = UdpPort(open_sockets("127.0.0.1", 0), "", lambda: 0)
    caller = Caller(CERTIFICATE)
    offer = sdp.read_offer(caller.offer("recvonly"))
    await caller.close()
    sessions = [Session("play", "s", offer, port, CERTIFICATE, 0) for _ in range(2)]
    for session in sessions:
        port.admit(session)
    port._send = lambda *_: None  # type: ignore[method-assign]
    for session in sessions:
        for number in range(3000):
            ours = session.ice.current
            packet = stun.request(offer.ufrag, ours.ufrag, ours.password.encode(), bytes(12), nominate=True)
            port._stun(0, packet, (f"10.0.{number >> 8}.{number & 255}", 5))
            session.ice.settled = number > 20
    assert len(port._by_address[0]) <= 16
    assert len(port._probed) <= 1024
    for session in sessions:
        session.close()
    assert not port._probed
    assert not port._by_address[0]
    assert not port._by_name
    for sock in port.sockets:
        sock.close()


def test_a_probe_is_the_same_until_it_is_answered_so_that_a_late_answer_counts() -> None:
    ice = IceLite("them", 0, "their-password")
    path = (0, ("192.0.2.1", 1))
    first = ice.probe(path)
    assert ice.probe(path) == first
    assert ice.probe((0, ("192.0.2.2", 2))) != first
    check = stun.parse_check(ice.probe(path))
    assert check is not None
    assert (check.local_ufrag, check.nominates) == ("them", False)
    assert check.authentic(b"their-password")


def test_a_check_of_two_thousand_bytes_is_dropped_after_24_attributes() -> None:
    head = struct.pack("!HHI12s", 1, 2028 - 20, stun.COOKIE, bytes(12))
    assert stun.parse_check(head + b"\x80\x22\0\0" * 502) is None
    ice = IceLite("them", 0)
    good = stun.request("them", ice.current.ufrag, ice.current.password.encode(), bytes(12), nominate=True)
    assert stun.parse_check(good) is not None, "premise"
    padded = head[:2] + struct.pack("!H", len(good) - 20 + 4 * 30) + good[4:20] + b"\x80\x22\0\0" * 30 + good[20:]
    assert stun.parse_check(padded) is None, "what we would have to walk through is bounded"


def client_hello() -> bytes:
    from OpenSSL import SSL

    context = SSL.Context(SSL.DTLS_METHOD)
    connection = SSL.Connection(context)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(1500)
