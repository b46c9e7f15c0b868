"""ICE-lite (RFC 8445 section 2.5): we never send checks, we answer them and send where the peer's lead.

`IceLite` is one session's credentials and address; `UdpPort` (udp.py) finds the session by the username of a check,
then by the address that a check has proved. The address moves only by an authenticated check that nominates it, and
once we have sent there more than answers to checks, only when somebody at the new address answers a check of ours: a
check that was seen on its way and sent again from elsewhere, or with a forged source, moves nothing
(docs/decisions/0089-a-path-is-proven-before-it-carries.md).
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from live.relay.stun import Check, Echo, request

CONSENT_TTL_MS = 20_000  # a browser checks every 5 s at least (RFC 7675); silence of this length ends the session
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


Path = tuple[int, tuple[str, int]]  # which socket, and where to


class Credentials(NamedTuple):
    """One ICE generation: what the two sides call themselves, and their passwords."""

    ufrag: str
    password: str
    remote_ufrag: str
    remote_password: str


class Probe(NamedTuple):
    """A check of ours that only somebody at `path` can answer."""

    path: Path
    transaction: bytes
    password: bytes
    packet: bytes


def new_credentials(remote_ufrag: str, remote_password: str) -> Credentials:
    """48 bits of name, so that sessions do not collide on the one port, and 144 bits of password."""
    return Credentials(_token(8), _token(24), remote_ufrag, remote_password)


def _token(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class IceLite:
    """Credentials of one session and the address that its peer nominated.

    After a restart both generations are good until the peer uses the new one: a restart that fails costs nothing.
    """

    def __init__(self, remote_ufrag: str, now_ms: int, remote_password: str = "") -> None:
        self.current = new_credentials(remote_ufrag, remote_password)
        self.coming: Credentials | None = None
        self.address: Path | None = None
        self.settled = False  # more than answers to checks went to the address: it moves by an answered probe only
        self.heard_ms = now_ms
        self._probe: Probe | None = None

    @property
    def generation(self) -> Credentials:
        """The newest generation, which an ETag names."""
        return self.coming or self.current

    def restart(self, remote_ufrag: str, remote_password: str = "") -> Credentials:
        """Offer a new generation beside the one in use (RFC 8445 section 9)."""
        self.coming = new_credentials(remote_ufrag, remote_password)
        return self.coming

    def believe(self, check: Check, now_ms: int) -> bytes | None:
        """Our password, when the check proves itself against a living generation; else None."""
        for credentials in (self.coming, self.current):
            if credentials is None or check.local_ufrag != credentials.ufrag:
                continue
            if check.remote_ufrag != credentials.remote_ufrag:
                return None
            password = credentials.password.encode()
            if not check.authentic(password):
                return None
            if credentials is self.coming:
                self.current, self.coming = credentials, None
            self.heard_ms = now_ms
            return password
        return None

    def follow(self, check: Check, path: Path) -> bool:
        """Take a believed check's address: the first provisionally, then what is nominated. True if it moved."""
        if not self.wants(check, path) or self.settled:
            return False
        self.address = path
        return True

    def wants(self, check: Check, path: Path) -> bool:
        """Whether a believed check asks for another address than the present one."""
        return self.address != path and (self.address is None or check.nominates)

    def probe(self, path: Path) -> bytes:
        """A check of ours to `path`. Sent again with each of the peer's: the same one, so that a late answer counts."""
        if self._probe is None or self._probe.path != path:
            ours, transaction = self.current, secrets.token_bytes(12)
            password = ours.remote_password.encode()
            packet = request(ours.ufrag, ours.remote_ufrag, password, transaction, nominate=False, controlling=False)
            self._probe = Probe(path, transaction, password, packet)
        return self._probe.packet

    def echoed(self, echo: Echo, path: Path) -> bool:
        """Whether that is the answer to the probe, from where it was sent to. Then the address is there."""
        probe = self._probe
        if probe is None or probe.path != path or probe.transaction != echo.transaction:
            return False
        if not echo.authentic(probe.password):
            return False
        self._probe = None
        self.address = path
        return True

    def lapsed(self, now_ms: int) -> bool:
        """Whether consent has run out (RFC 7675 section 5.1)."""
        return now_ms - self.heard_ms > CONSENT_TTL_MS
