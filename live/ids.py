"""Identifiers: sortable by birth where people page through them, unguessable where they open a door."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from functools import lru_cache

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]  # ten bits at a time: an order makes seven
_SHIFTS = range(120, -1, -10)

# Random bits are drawn many at a time: each drawing lets go of the interpreter's lock, and waits for it again.
_DRAWN_AT_ONCE = 400
_drawn: list[int] = []
os.register_at_fork(after_in_child=_drawn.clear)  # or parent and child would make the same identifiers


def new_id(prefix: str) -> str:
    """`ord_01jx…`: 48 bits of milliseconds and 80 random bits in Crockford's base 32 (as a ULID), after a prefix."""
    value = (time.time_ns() // 1_000_000) << 80 | _random_80_bits()
    return f"{prefix}_" + "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


def _random_80_bits() -> int:
    try:
        return _drawn.pop()  # one step, whichever threads ask
    except IndexError:
        fresh = secrets.token_bytes(10 * _DRAWN_AT_ONCE)
        drawn = [int.from_bytes(fresh[at : at + 10], "big") for at in range(0, len(fresh), 10)]
        mine = drawn.pop()
        _drawn.extend(drawn)
        return mine


def new_secret() -> str:
    """256 random bits, URL-safe: a session, a stream key, a capability."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """How a secret is stored: SHA-256 in hex. Enough for 256 random bits; passwords go through argon2 instead."""
    return hashlib.sha256(secret.encode()).hexdigest()


def sign(secret_key: str, purpose: str, text: str) -> str:
    """A keyed tag over `text` for one `purpose`, 32 hex digits (HMAC-SHA-256, RFC 2104, cut to 128 bits)."""
    keyed = _keyed(secret_key, purpose).copy()
    keyed.update(text.encode())
    return keyed.hexdigest()[:32]


@lru_cache(maxsize=64)
def _keyed(secret_key: str, purpose: str) -> hmac.HMAC:
    """The part of a tag that is the same for every text of a purpose."""
    return hmac.new(secret_key.encode(), f"{purpose}\0".encode(), hashlib.sha256)


def signed(secret_key: str, purpose: str, text: str) -> str:
    """`text.tag`: a link that only we could have made."""
    return f"{text}.{sign(secret_key, purpose, text)}"


def unsign(secret_key: str, purpose: str, token: str) -> str | None:
    """The text of a `signed` token, or None when it is not ours."""
    text, dot, tag = token.rpartition(".")
    if not dot or not hmac.compare_digest(tag.encode(), sign(secret_key, purpose, text).encode()):
        return None
    return text
