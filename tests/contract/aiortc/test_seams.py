"""The private names of aiortc, pylibsrtp and pyOpenSSL that `live/relay/peer.py` stands on. An upgrade that moves one
fails here under its name, before anything fails on air."""

from __future__ import annotations

import asyncio
import inspect
import re

import pytest
from aiortc import rtcdtlstransport as dtls
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from OpenSSL import SSL
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib

from live.relay.errors import HandshakeFailed
from live.relay.peer import Peer, RelayCertificate


@pytest.mark.parametrize("name", ["_set_role", "start", "_setup_srtp", "_recv_next", "_write_ssl"])
def test_dtls_transport_has(name: str) -> None:
    assert callable(getattr(RTCDtlsTransport, name))


def test_dtls_transport_asks_its_ice_for_recv_send_and_role_only() -> None:
    used = set(re.findall(r"self\.transport\.(\w+)", inspect.getsource(RTCDtlsTransport)))
    assert used == {"_recv", "_send", "role"}


def test_dtls_transport_reads_its_profiles_from_the_instance() -> None:
    assert "self._srtp_profiles = " in inspect.getsource(RTCDtlsTransport.__init__)
    assert "self._srtp_profiles" in inspect.getsource(RTCDtlsTransport.start)
    for name in ("SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_SHA1_80"):
        assert getattr(dtls, name) in dtls.SRTP_PROFILES, "libsrtp was built without it"


def test_a_certificate_makes_the_context_and_nothing_changes_it_afterwards() -> None:
    assert list(inspect.signature(RTCCertificate._create_ssl_context).parameters) == ["self", "srtp_profiles"]
    certificate = RelayCertificate.generateCertificate()
    assert isinstance(certificate, RelayCertificate)
    context = certificate._create_ssl_context(dtls.SRTP_PROFILES)
    assert isinstance(context, SSL.Context)
    assert certificate._create_ssl_context(dtls.SRTP_PROFILES) is context
    assert not certificate.ageing()
    assert certificate.ageing(certificate.expires)


def test_ssl_connection_has_what_we_call() -> None:
    for name in ("bio_read", "bio_write", "recv", "shutdown", "get_selected_srtp_profile", "DTLSv1_get_timeout",
                 "DTLSv1_handle_timeout"):  # fmt: skip
        assert callable(getattr(SSL.Connection, name)), name


def test_libsrtp_is_reached_below_its_python_face() -> None:
    for name in ("srtp_protect", "srtp_protect_rtcp", "srtp_unprotect", "srtp_unprotect_rtcp"):
        assert hasattr(lib, name), name
    session = Session(Policy(key=bytes(30), ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    packet = ffi.new("char[]", 2048)
    length = ffi.new("int *", 1450)
    packet[0] = b"\x80"
    assert lib.srtp_protect(session._srtp[0], packet, length) == 0
    assert length[0] == 1460


def test_the_packet_that_the_python_face_refuses_is_why_we_go_below_it() -> None:
    session = Session(Policy(key=bytes(30), ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    with pytest.raises(ValueError, match="too long"):
        session.protect(b"\x80" + bytes(1400))


class Wire:
    """Two peers, back to back, through the loop."""

    def __init__(self, fingerprint: str | None = None) -> None:
        loop = asyncio.get_running_loop()
        certificates = [RelayCertificate.generateCertificate() for _ in range(2)]
        prints = [tuple(certificate.fingerprint.split()) for certificate in certificates]
        theirs = [("sha-256", fingerprint or prints[1][1])]
        self.server = Peer(certificates[0], theirs, "server", lambda d: loop.call_soon(self.client.feed, d))
        ours = [("sha-256", prints[0][1])]
        self.client = Peer(certificates[1], ours, "client", lambda d: loop.call_soon(self.server.feed, d))

    async def connect(self) -> list[BaseException | None]:
        return list(await asyncio.gather(self.server.connect(), self.client.connect(), return_exceptions=True))

    def close(self) -> None:
        self.client.close()
        self.server.close()


async def test_two_peers_shake_hands_and_exchange_long_packets_both_ways() -> None:
    wire = Wire()
    assert await wire.connect() == [None, None]
    assert wire.server.tag_bytes == 16, "AES-GCM is taken first"
    heard: list[bytes] = []
    wire.client.on_rtp = wire.server.on_rtcp = heard.append
    packet = b"\x80\x60" + bytes(1440)
    protected = wire.server.protect(packet)
    assert protected is not None
    wire.client.feed(protected)
    wire.client.feed(protected[:-1] + bytes((protected[-1] ^ 1,)))
    wire.client.feed(b"\x80")
    compound = b"\x80\xc9\x00\x01\x00\x00\x00\x07"
    wire.client.send_rtcp(compound)
    await asyncio.sleep(0)
    assert heard == [packet, compound], "the altered one is not heard"
    wire.close()


async def test_close_says_goodbye_and_the_other_side_hears_it_once() -> None:
    wire = Wire()
    await wire.connect()
    gone = asyncio.Event()
    wire.client.on_closed = gone.set
    wire.server.close()
    wire.server.close()
    await asyncio.wait_for(gone.wait(), 5)
    assert wire.server.protect is not None
    wire.client.close()


async def test_another_certificate_than_the_offer_named_is_refused() -> None:
    wire = Wire(fingerprint=":".join(["00"] * 32))
    results = await wire.connect()
    assert isinstance(results[0], HandshakeFailed)
    assert not wire.server.connected
    wire.close()


async def test_a_flood_during_the_handshake_is_bounded() -> None:
    wire = Wire()
    for _ in range(10_000):
        wire.server.feed(b"\x16" + bytes(100))
        wire.server.feed(b"\x80" + bytes(100))
    assert len(wire.server._path._waiting) <= 64
    assert len(wire.server._early) <= 64
    wire.close()
