"""A peer with keys of her own, so that what she sends is authentic, and mad: it costs bounded memory and time."""

from __future__ import annotations

import asyncio
import struct
import tracemalloc

import pytest
from OpenSSL._util import ffi
from OpenSSL._util import lib as openssl

from live.relay import peer as peer_module
from live.relay.errors import HandshakeFailed
from live.relay.peer import Peer, RelayCertificate

CERTIFICATE = RelayCertificate.generateCertificate()
SHA_256 = [("sha-256", CERTIFICATE.fingerprint.split()[1])]


async def pair() -> tuple[Peer, Peer]:
    """Two ends that shook hands: ours, and a stranger's."""
    loop = asyncio.get_running_loop()

    def to_theirs(datagram: bytes) -> None:
        loop.call_soon(theirs.feed, datagram)

    def to_ours(datagram: bytes) -> None:
        loop.call_soon(ours.feed, datagram)

    ours = Peer(CERTIFICATE, SHA_256, "server", to_theirs)
    theirs = Peer(CERTIFICATE, SHA_256, "client", to_ours)
    await asyncio.gather(ours.connect(), theirs.connect())
    return ours, theirs


def packet(ssrc: int, seq: int, payload: bytes = b"opus", payload_type: int = 111) -> bytes:
    return struct.pack("!BBHII", 0x80, payload_type, seq & 0xFFFF, 960 * seq & 0xFFFFFFFF, ssrc) + payload


@pytest.mark.parametrize("records_read", [1, peer_module._MAX_RECORDS])
async def test_many_dtls_records_in_a_datagram_do_not_pile_up_in_openssl(
    monkeypatch: pytest.MonkeyPatch, records_read: int
) -> None:
    monkeypatch.setattr(peer_module, "_MAX_RECORDS", records_read)
    ours, theirs = await pair()
    ssl = theirs._dtls._ssl
    fed = 0
    for _ in range(300):
        records = b""
        for _ in range(6):
            ssl.send(bytes(190))
            records += ssl.bio_read(1500)
        fed += len(records)
        ours.feed(records)
    kept = openssl.BIO_get_mem_data(ours._dtls._ssl._into_ssl, ffi.new("char **"))
    if records_read == 1:
        assert kept > fed / 2, "the premise: one record read a datagram, and the rest stays"
    else:
        assert kept == 0
    theirs.close()
    ours.close()


async def test_invented_ssrcs_get_no_more_contexts_of_libsrtp_than_64() -> None:
    ours, theirs = await pair()
    heard: list[bytes] = []
    ours.on_rtp = heard.append
    ours.on_rtcp = heard.append
    for ssrc in range(1, 1001):
        protected = theirs.protect(packet(ssrc, 1))
        assert protected is not None, "premise"
        ours.feed(protected)
        theirs.send_rtcp(struct.pack("!BBHI", 0x80, 201, 1, 0x10000 + ssrc))
    await asyncio.sleep(0)
    assert len(heard) == len(ours._sources) == peer_module._MAX_SOURCES
    again = theirs.protect(packet(1, 2))
    assert again is not None
    ours.feed(again)
    assert len(heard) == peer_module._MAX_SOURCES + 1, "those that are known go on"
    theirs.close()
    ours.close()


async def test_a_forged_packet_does_not_take_a_place_of_an_ssrc() -> None:
    ours, theirs = await pair()
    for ssrc in range(1, 200):
        ours.feed(packet(ssrc, 1) + bytes(16))
    assert not ours._sources
    theirs.close()
    ours.close()


async def test_a_packet_that_is_sent_again_is_heard_once() -> None:
    ours, theirs = await pair()
    heard: list[bytes] = []
    ours.on_rtp = heard.append
    ours.on_rtcp = heard.append
    sound = theirs.protect(packet(7, 1))
    assert sound is not None
    reports: list[bytes] = []
    theirs._send = reports.append
    theirs.send_rtcp(struct.pack("!BBHI", 0x80, 201, 1, 7))
    for datagram in (sound, reports[0]):
        ours.feed(datagram)
    assert len(heard) == 2, "premise"
    for _ in range(50):
        for datagram in (sound, reports[0]):
            ours.feed(datagram)
    assert len(heard) == 2
    flipped = bytearray(theirs.protect(packet(7, 2)) or b"")
    flipped[-1] ^= 1
    ours.feed(bytes(flipped))
    assert len(heard) == 2
    theirs._send = lambda _: None
    theirs.close()
    ours.close()


@pytest.mark.parametrize("size", [0, 1, 1400, 1500, 1560])
async def test_sizes_from_nothing_to_more_than_ethernet_are_taken_or_dropped_whole(size: int) -> None:
    ours, theirs = await pair()
    heard: list[bytes] = []
    ours.on_rtp = heard.append
    protected = theirs.protect(packet(7, 1, bytes(size)))
    assert protected is not None
    ours.feed(protected)
    assert [len(one) for one in heard] == [12 + size]
    for wrong in (protected + bytes(400), protected[:11], protected[:13], bytes((128,)), bytes((22,)), bytes((200,))):
        ours.feed(wrong)
    assert len(heard) == 1
    theirs.close()
    ours.close()


async def test_garbage_during_the_handshake_costs_a_bounded_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "HANDSHAKE_TIMEOUT_S", 0.05)
    waiting = Peer(CERTIFICATE, SHA_256, "server", lambda _: None)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(5000):
        waiting.feed(b"\x16" + bytes(1400))
        waiting.feed(b"\x80" + bytes(1400))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2 * peer_module._MAX_WAITING * 1500
    with pytest.raises(HandshakeFailed):
        await waiting.connect()
    waiting.close()
