"""One WHIP or WHEP session: its ICE credentials, its peer, the task that lives as long as it does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Literal

from live.relay import sdp
from live.relay.errors import HandshakeFailed
from live.relay.ice import IceLite
from live.relay.peer import HANDSHAKE_TIMEOUT_S, Peer, RelayCertificate
from live.relay.udp import UNPROVEN_TIMES, Address, UdpPort

OFFER_CREDIT = 1_000  # bytes: the offer that made the session was longer; a passive FFmpeg sends one check of 100


class Session:
    """`id` is a capability: whoever knows it may end the session. `tag` names its ICE generation (an ETag's inside)."""

    def __init__(
        self,
        kind: Literal["publish", "play"],
        show: str,
        offer: sdp.Offer,
        port: UdpPort,
        certificate: RelayCertificate,
        now_ms: int,
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        self.kind = kind
        self.show = show
        self.network = ""  # a viewer's, as web told it
        self.ice = IceLite(offer.ufrag, now_ms, offer.password)
        self.paths: list[tuple[int, Address]] = []
        self.credit = OFFER_CREDIT
        self.started_ms = now_ms
        self.role = sdp.role_of_ours(offer)
        self.peer = Peer(certificate, offer.fingerprints, self.role, self._send)
        self.fingerprint = certificate.fingerprint
        self.task: asyncio.Task[None] | None = None
        self.on_moved: Callable[[], None] = _nothing
        self.on_picture: Callable[[], None] = _nothing  # her first picture packets left
        self._port = port
        self._addressed = asyncio.Event()

    @property
    def tag(self) -> str:
        return self.ice.generation.ufrag

    def ours(self) -> sdp.Ours:
        """Our side, as an answer says it."""
        generation = self.ice.generation
        return sdp.Ours(generation.ufrag, generation.password, self.fingerprint, self._port.candidates)

    async def connect(self) -> None:
        """Wait for the peer's first check, then do the handshake. Raises HandshakeFailed."""
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await self._addressed.wait()
        except TimeoutError:
            raise HandshakeFailed("no check") from None
        await self.peer.connect()
        self._port.connected(self)

    @property
    def receiving(self) -> int:
        return self.peer.receiving

    @property
    def quiet(self) -> bool:
        return self.kind == "play"

    def knows(self, source: bytes) -> bool:
        return self.peer.knows(source)

    def media(self, packet: bytes, is_rtcp: bool) -> None:
        """A plain packet that the port decrypted with our context."""
        (self.peer.on_rtcp if is_rtcp else self.peer.on_rtp)(packet)

    def datagram(self, datagram: bytes) -> None:
        if not self.peer.connected:
            self.credit += UNPROVEN_TIMES * len(datagram)
        self.peer.feed(datagram)

    def moved(self) -> None:
        self._addressed.set()
        self.on_moved()

    def close(self) -> None:
        """End at once. Safe to call twice."""
        self.peer.close()
        self._port.forget(self)
        self.on_moved = self.on_picture = _nothing

    def _send(self, datagram: bytes) -> None:
        self.ice.settled = True
        if not self.peer.connected:
            # A forged source must not make us flood somebody: DTLS sends again, and by then more has come.
            if self.credit < len(datagram):
                return
            self.credit -= len(datagram)
        self._port.send(self, datagram)


def _nothing() -> None:
    """A publisher's address matters only to its own peer, and she gets no picture."""
