"""The other side of a session: makes an offer, checks, shakes hands, and sends or receives RTP.

What the tests and the benchmark watch and publish with; a relay that pulls from another is one, too.
It is a full ICE agent only as far as a lite peer needs one (RFC 8445 section 2.5): it checks the first candidate
it can reach and nominates it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import Callable
from typing import Literal

from live.relay import sdp
from live.relay.peer import Peer, RelayCertificate
from live.relay.stun import answer, parse_check, request

CHECK_EVERY_S = 2.0
_FIRST_CHECKS_S = 0.05

_AUDIO = """m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a={direction}
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
"""
_VIDEO = """m=video 9 UDP/TLS/RTP/SAVPF {numbers}
c=IN IP4 0.0.0.0
a=mid:1
a={direction}
a=rtcp-mux
a=rtcp-rsize
"""
_CODECS = {
    "H264": (102, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    "VP8": (96, "VP8/90000", ""),
    "VP9": (98, "VP9/90000", "profile-id=0"),
    "AV1": (45, "AV1/90000", ""),
}


class Caller:
    """One session from outside. `on_rtp` and `on_rtcp` get decrypted packets."""

    def __init__(self, certificate: RelayCertificate, *, host: str = "127.0.0.1") -> None:
        self._certificate = certificate
        self._ufrag = secrets.token_hex(4)
        self._password = secrets.token_hex(12)
        self._remote: tuple[str, bytes] = ("", b"")
        self._to: tuple[str, int] | None = None
        self._checks: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()
        self._reading = False
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        # A joiner gets a whole GOP within milliseconds: 93 packets overflow the usual 208 KiB of a reader that is late.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((host, 0))
        self.host = host
        self.peer: Peer | None = None
        self.closed = asyncio.Event()
        self.on_rtp: Callable[[bytes], None] = _ignore
        self.on_rtcp: Callable[[bytes], None] = _ignore
        self.answer = ""

    def offer(
        self,
        direction: Literal["sendonly", "recvonly"],
        *,
        codecs: tuple[str, ...] = ("H264", "VP8"),
        audio: bool = True,
        rtx: bool = True,
        setup: str = "actpass",
    ) -> str:
        """An offer as a browser would make it, in short."""
        head = "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE {mids}\na=extmap-allow-mixed\n"
        head += f"a=ice-ufrag:{self._ufrag}\na=ice-pwd:{self._password}\n"
        head += f"a=fingerprint:{self._certificate.fingerprint}\na=setup:{setup}\n"
        numbers, lines = [], ""
        for name in codecs:
            number, encoding, fmtp = _CODECS[name]
            numbers.append(number)
            lines += f"a=rtpmap:{number} {encoding}\n"
            lines += "".join(f"a=rtcp-fb:{number} {what}\n" for what in ("goog-remb", "ccm fir", "nack", "nack pli"))
            lines += f"a=fmtp:{number} {fmtp}\n" if fmtp else ""
            if rtx:
                numbers.append(number + 1)
                lines += f"a=rtpmap:{number + 1} rtx/90000\na=fmtp:{number + 1} apt={number}\n"
        text = _AUDIO.format(direction=direction) if audio else ""
        if codecs:
            text += _VIDEO.format(direction=direction, numbers=" ".join(map(str, numbers))) + lines
        mids = " ".join(["0"] * audio + ["1"] * bool(codecs))
        return (head.format(mids=mids) + text).replace("\n", "\r\n")

    async def connect(self, answer: str, *, fingerprint: str | None = None) -> None:
        """Check and shake hands. Raises HandshakeFailed. `fingerprint` overrides the answer's, for tests."""
        theirs = sdp.read_offer(answer)
        self.answer = answer
        self._remote = (theirs.ufrag, theirs.password.encode())
        candidates = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answer)
        same = [(host, int(port)) for host, port in candidates if host == self.host]
        family = [(host, int(port)) for host, port in candidates if (":" in host) == (":" in self.host)]
        self._to = (same or family)[0]
        prints = [("sha-256", fingerprint)] if fingerprint else theirs.fingerprints
        self.peer = Peer(self._certificate, prints, "client" if theirs.setup == "passive" else "server", self._send)
        self.peer.on_rtp = lambda packet: self.on_rtp(packet)
        self.peer.on_rtcp = lambda packet: self.on_rtcp(packet)
        self.peer.on_closed = self.closed.set
        asyncio.get_running_loop().add_reader(self.socket, self._readable)
        self._reading = True
        self._checks = asyncio.create_task(self._check_for_ever(), name="ICE checks")
        await self._answered.wait()
        await self.peer.connect()

    def check(self, *, nominate: bool = True) -> None:
        """Send one connectivity check."""
        ufrag, password = self._remote
        self._send(request(self._ufrag, ufrag, password, secrets.token_bytes(12), nominate=nominate))

    def send(self, packet: bytes) -> None:
        """Send one RTP packet, protected."""
        assert self.peer is not None
        protected = self.peer.protect(packet)
        if protected is not None:
            self._send(protected)

    def send_rtcp(self, compound: bytes) -> None:
        assert self.peer is not None
        self.peer.send_rtcp(compound)

    def pause(self) -> None:
        """Read no more: what comes stays in the socket, and is lost when that is full. Checks and reports go on."""
        if self._reading:
            asyncio.get_running_loop().remove_reader(self.socket)
            self._reading = False

    async def close(self, *, silently: bool = False) -> None:
        """End it; `silently` as a process that was killed does."""
        if self._checks is not None:
            self._checks.cancel()
            await asyncio.gather(self._checks, return_exceptions=True)
        if self._reading:
            asyncio.get_running_loop().remove_reader(self.socket)
            self._reading = False
        if silently:
            self._to = None
        if self.peer is not None:
            self.peer.close()
        self.socket.close()

    def stun(self, datagram: bytes) -> None:
        """What comes of STUN answers a check of ours, or asks whether we are where our checks say we are."""
        check = parse_check(datagram)
        if check is None:
            self._answered.set()
        elif check.local_ufrag == self._ufrag and check.authentic(self._password.encode()) and self._to is not None:
            self._send(answer(check, self._password.encode(), *self._to[:2]))

    async def _check_for_ever(self) -> None:
        while True:
            self.check()
            await asyncio.sleep(CHECK_EVERY_S if self._answered.is_set() else _FIRST_CHECKS_S)

    def _send(self, datagram: bytes) -> None:
        if self._to is not None:
            try:
                self.socket.sendto(datagram, self._to)
            except OSError:
                return  # as on any network: what does not go is lost

    def _readable(self) -> None:
        for _ in range(64):
            try:
                datagram = self.socket.recv(2048)
            except OSError:
                return
            if datagram and datagram[0] < 4:
                self.stun(datagram)
            elif datagram and self.peer is not None:
                self.peer.feed(datagram)


def _ignore(packet: bytes) -> None:
    """Nobody listens."""
