"""ICE-lite (RFC 8445 section 2.5): we never send checks, we answer them and send where the peer's lead.

`IceLite` is one session's credentials and address; `UdpPort` (udp.py) finds the session by the username of a check,
then by the address that a check has proved. The address moves only by an authenticated check that nominates it:
a packet from somewhere else, however well aimed, moves nothing.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from live.relay.stun import Check

CONSENT_TTL_MS = 20_000  # a browser checks every 5 s at least (RFC 7675); silence of this length ends the session
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Credentials(NamedTuple):
    """One ICE generation: what the two sides call themselves, and our password."""

    ufrag: str
    password: str
    remote_ufrag: str


def new_credentials(remote_ufrag: str) -> Credentials:
    """48 bits of name, so that sessions do not collide on the one port, and 144 bits of password."""
    return Credentials(_token(8), _token(24), remote_ufrag)


def _token(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class IceLite:
    """Credentials of one session and the address that its peer nominated.

    After a restart both generations are good until the peer uses the new one: a restart that fails costs nothing.
    """

    def __init__(self, remote_ufrag: str, now_ms: int) -> None:
        self.current = new_credentials(remote_ufrag)
        self.coming: Credentials | None = None
        self.address: tuple[int, tuple[str, int]] | None = None  # which socket, and where to
        self.heard_ms = now_ms

    @property
    def generation(self) -> Credentials:
        """The newest generation, which an ETag names."""
        return self.coming or self.current

    def restart(self, remote_ufrag: str) -> Credentials:
        """Offer a new generation beside the one in use (RFC 8445 section 9)."""
        self.coming = new_credentials(remote_ufrag)
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

    def follow(self, check: Check, socket_index: int, address: tuple[str, int]) -> bool:
        """Take a believed check's address: the first provisionally, then what is nominated. True if it moved."""
        here = (socket_index, address)
        if self.address == here or (self.address is not None and not check.nominates):
            return False
        self.address = here
        return True

    def lapsed(self, now_ms: int) -> bool:
        """Whether consent has run out (RFC 7675 section 5.1)."""
        return now_ms - self.heard_ms > CONSENT_TTL_MS
