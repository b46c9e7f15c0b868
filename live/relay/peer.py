"""One DTLS association and its SRTP keys: the only file that touches private names of aiortc and pylibsrtp.

`tests/contract/aiortc` holds each of those names, so that an upgrade that breaks a seam is named.

`RTCDtlsTransport` does the handshake over a small object with `_recv`, `_send` and `role`. Afterwards its receive
task is ended and datagrams are fed in synchronously: a queue and a wake-up a packet are saved. Packets are
protected in our own buffers, because `Session.protect` raises above 1356 bytes. RFC 5764, RFC 7714.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from OpenSSL import SSL
from pylibsrtp._binding import ffi, lib

from live.relay.errors import HandshakeFailed
from live.relay.farewell import Farewell, reads

HANDSHAKE_TIMEOUT_S = 8.0
_MAX_WAITING = 64  # datagrams kept while the handshake runs; later ones are dropped
_SRTCP_TRAILER = 4 + 16
_MAX_SOURCES = 64  # SSRCs one peer may use: libsrtp keeps a context for each, and looks through them one by one
_MAX_RECORDS = 128  # DTLS records read of one datagram; the shortest that is one has 13 bytes of header
_TAG_BYTES = {SRTP_AEAD_AES_128_GCM.openssl_profile: 16, SRTP_AES128_CM_SHA1_80.openssl_profile: 10}
# AES-GCM first: half the cost of AES-CM with SHA-1 on a CPU that has both instructions.
_PROFILES = [SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_SHA1_80]

new_buffer: Callable[[str, int], Any] = ffi.new
memmove: Callable[[Any, Any, int], None] = ffi.memmove
buffer_of: Callable[..., Any] = ffi.buffer
srtp_protect: Callable[[Any, Any, Any], int] = lib.srtp_protect
PROTECT_ADDRESS, UNPROTECT_ADDRESS, UNPROTECT_RTCP_ADDRESS = (  # for C of our own
    int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))
    for name in ("srtp_protect", "srtp_unprotect", "srtp_unprotect_rtcp")
)

_packet = ffi.new("char[]", 2048)
_packet_bytes = ffi.buffer(_packet)
_length = ffi.new("int *")


def address_of(context: Any) -> int:
    """Where a sending context lies in memory, for C of our own. Good while its Peer is referenced."""
    return int(ffi.cast("uintptr_t", context))


class RelayCertificate(RTCCertificate):
    """The process's certificate (ECDSA P-256), with one TLS context for all sessions instead of one each."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
        return self._context

    @property
    def fingerprint(self) -> str:
        """SHA-256 in the words of `a=fingerprint` (RFC 8122)."""
        return next(f"sha-256 {f.value}" for f in self.getFingerprints() if f.algorithm == "sha-256")

    def ageing(self, now: datetime | None = None) -> bool:
        """Whether a new one should take over for sessions to come: five days before its end."""
        return self.expires - (now or datetime.now(UTC)) < timedelta(days=5)


class _Path:
    """What `RTCDtlsTransport` needs of its ICE transport. Bounded: a flood during a handshake is dropped."""

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._out = send
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, datagram: bytes) -> None:
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append(datagram)
            self._arrived.set()

    def close(self) -> None:
        self._closed = True
        self._arrived.set()

    async def _recv(self) -> bytes:
        while not self._waiting:
            if self._closed:
                raise ConnectionError
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    async def _send(self, data: bytes) -> None:
        self._out(data)


class Peer:
    """The secure end of one session. Feed it datagrams; it calls back with decrypted RTP and RTCP.

    `role`: "server" when the answer says passive, "client" when active. `on_closed` is called once, when the other
    side says close_notify.
    """

    def __init__(
        self,
        certificate: RelayCertificate,
        fingerprints: list[tuple[str, str]],
        role: str,
        send: Callable[[bytes], None],
    ) -> None:
        self._path: _Path | None = _Path(send)  # until the handshake is over
        self._send = send
        self._early: deque[bytes] | None = deque(maxlen=_MAX_WAITING)  # likewise
        self._fingerprints = [RTCDtlsFingerprint(algorithm, value) for algorithm, value in fingerprints]
        self._dtls: Any = RTCDtlsTransport(self._path, [certificate])  # type: ignore[arg-type]  # until `_retire`
        self._dtls._srtp_profiles = _PROFILES
        self._dtls._set_role(role)
        self._is_server = role == "server"
        self._farewell: Farewell | None = None  # in place of `_dtls`
        self._timer: asyncio.TimerHandle | None = None
        self._rx: Any = None
        self._tx: Any = None
        self._sources: set[bytes] = set()
        self.tag_bytes = 0
        self.connected = False
        self.closed = False
        self.on_rtp: Callable[[bytes], None] = _ignore
        self.on_rtcp: Callable[[bytes], None] = _ignore
        self.on_closed: Callable[[], None] = _nothing

    @property
    def context(self) -> Any:
        """libsrtp's sending context, for `srtp_protect`. Good while this Peer is referenced."""
        return self._tx._srtp[0]

    @property
    def receiving(self) -> int:
        """Where libsrtp's receiving context lies, for C of our own; 0 while there is none."""
        return address_of(self._rx._srtp[0]) if self.connected else 0

    def knows(self, source: bytes) -> bool:
        """Whether authentic media of that SSRC came already."""
        return source in self._sources

    async def connect(self) -> None:
        """Do the handshake. Raises HandshakeFailed: time-out, another fingerprint, no common SRTP profile."""
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await self._dtls.start(RTCDtlsParameters(fingerprints=self._fingerprints))
        except TimeoutError:
            raise HandshakeFailed("timeout") from None
        except (SSL.Error, ConnectionError, ValueError) as error:
            raise HandshakeFailed(type(error).__name__) from None
        pump = self._dtls._task
        if pump is None or self._dtls.state != "connected":
            raise HandshakeFailed(self._dtls.state)
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        if self.closed:
            raise HandshakeFailed("closed")
        self._dtls._task = None
        self._rx, self._tx = self._dtls._rx_srtp, self._dtls._tx_srtp
        self.tag_bytes = _TAG_BYTES[self._dtls._ssl.get_selected_srtp_profile()]
        self.connected = True
        self._retransmit_later()
        path, early, self._path, self._early = self._path, self._early, None, None
        for datagram in (*(path._waiting if path else ()), *(early or ())):
            self.feed(datagram)

    def feed(self, datagram: bytes) -> None:
        """Take one datagram that came from the session's address. Never raises on what a stranger may send."""
        first = datagram[0]
        if 127 < first < 192:
            if not self.connected:
                if self._early is not None:
                    self._early.append(datagram)  # media may overtake the end of the handshake
            elif len(datagram) >= 12 and len(datagram) <= 1600:
                self._feed_srtp(datagram)
        elif 19 < first < 64:
            if self.connected:
                self._feed_dtls(datagram)
            elif self._path is not None:
                self._path.put(datagram)

    def send_rtcp(self, compound: bytes) -> None:
        """Protect and send; at most 1400 bytes."""
        if self.connected and not self.closed:
            size = len(compound)
            _packet_bytes[0:size] = compound
            _length[0] = size
            if lib.srtp_protect_rtcp(self.context, _packet, _length) == 0:
                self._send(_packet_bytes[0 : _length[0]])

    def protect(self, packet: bytes) -> bytes | None:
        """One RTP packet, protected; None when libsrtp refuses, so that nothing leaves in the clear."""
        size = len(packet)
        _packet_bytes[0:size] = packet
        _length[0] = size
        return _packet_bytes[0 : _length[0]] if srtp_protect(self.context, _packet, _length) == 0 else None

    def close(self) -> None:
        """End at once, telling the other side by close_notify. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._path is not None:
            self._path.close()
        if self.connected and self._farewell is not None:
            self._send(self._farewell.ours)
        elif self.connected:
            try:
                self._dtls._ssl.shutdown()
                self._flush_dtls()
            except SSL.Error:
                pass
        self.connected = False
        # No cycle is left, so that keys and buffers go with the last reference: the collector looks in once in
        # hundreds of sessions (it does not see the 10 KiB that each has in libsrtp).
        self.on_rtp = self.on_rtcp = self._send = _ignore
        self.on_closed = _nothing

    def _feed_srtp(self, datagram: bytes) -> None:
        size = len(datagram)
        # RFC 5761 section 4: RTCP's packet types are 192 to 223 in the second byte.
        is_rtcp = 192 <= datagram[1] <= 223
        source = datagram[4:8] if is_rtcp else datagram[8:12]
        if source not in self._sources and len(self._sources) >= _MAX_SOURCES:
            return
        _packet_bytes[0:size] = datagram
        _length[0] = size
        if is_rtcp:
            if lib.srtp_unprotect_rtcp(self._rx._srtp[0], _packet, _length) == 0:
                self._sources.add(source)
                self._took(_packet_bytes[0 : _length[0]], self.on_rtcp)
        elif lib.srtp_unprotect(self._rx._srtp[0], _packet, _length) == 0:
            self._sources.add(source)
            self._took(_packet_bytes[0 : _length[0]], self.on_rtp)

    def _took(self, plain: bytes, hear: Callable[[bytes], None]) -> None:
        if self._farewell is None and self._dtls is not None:
            self._retire()
        hear(plain)

    def _retire(self) -> None:
        """Let OpenSSL go: authentic media says that the other side has its keys, so no flight of ours is missing."""
        ssl = self._dtls._ssl
        cipher = ssl.get_cipher_name() or ""
        if not reads(ssl.get_protocol_version_name(), cipher):
            return
        try:
            ssl.shutdown()
            ours = ssl.bio_read(1500)
        except SSL.Error:
            return
        self._farewell = Farewell(
            cipher, ssl.master_key(), ssl.client_random(), ssl.server_random(), from_client=self._is_server, ours=ours
        )
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dtls = None

    def _feed_dtls(self, datagram: bytes) -> None:
        if self._farewell is not None:
            if self._farewell.heard(datagram) and not self.closed:
                self.on_closed()
            return
        ssl = self._dtls._ssl
        ended = False
        try:
            ssl.bio_write(datagram)
            # To its end: what is left in OpenSSL's buffer would pile up behind every datagram that follows.
            for _ in range(_MAX_RECORDS):
                ssl.recv(1500)
        except SSL.ZeroReturnError:
            ended = True
        except SSL.Error:
            pass  # a record that is not ours, or nothing to read yet
        self._flush_dtls()
        if ended and not self.closed:
            self.on_closed()

    def _flush_dtls(self) -> None:
        try:
            out = self._dtls._ssl.bio_read(1500)
        except SSL.Error:
            return
        if out:
            self._send(out)

    def _retransmit_later(self) -> None:
        # With DTLS 1.3 the last flight may still need to be sent again (RFC 9147 section 5.8).
        timeout = self._dtls._ssl.DTLSv1_get_timeout()
        if timeout is not None and not self.closed:
            self._timer = asyncio.get_running_loop().call_later(max(timeout, 0.01), self._retransmit)

    def _retransmit(self) -> None:
        if not self.closed:
            try:
                self._dtls._ssl.DTLSv1_handle_timeout()
            except SSL.Error:
                return
            self._flush_dtls()
            self._retransmit_later()


def _ignore(packet: bytes) -> None:
    """Nobody listens yet."""


def _nothing() -> None:
    """Nobody listens yet."""
