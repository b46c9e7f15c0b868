"""Identifiers: sortable by birth where people page through them, unguessable where they open a door."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]  # ten bits at a time: an order makes seven
_SHIFTS = range(120, -1, -10)


def new_id(prefix: str) -> str:
    """`ord_01jx…`: 48 bits of milliseconds and 80 random bits in Crockford's base 32 (as a ULID), after a prefix."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return f"{prefix}_" + "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


def new_secret() -> str:
    """256 random bits, URL-safe: a session, a stream key, a capability."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """How a secret is stored: SHA-256 in hex. Enough for 256 random bits; passwords go through argon2 instead."""
    return hashlib.sha256(secret.encode()).hexdigest()


def sign(secret_key: str, purpose: str, text: str) -> str:
    """A keyed tag over `text` for one `purpose`, 32 hex digits (HMAC-SHA-256, RFC 2104, cut to 128 bits)."""
    return hmac.digest(secret_key.encode(), f"{purpose}\0{text}".encode(), "sha256").hex()[:32]


def signed(secret_key: str, purpose: str, text: str) -> str:
    """`text.tag`: a link that only we could have made."""
    return f"{text}.{sign(secret_key, purpose, text)}"


def unsign(secret_key: str, purpose: str, token: str) -> str | None:
    """The text of a `signed` token, or None when it is not ours."""
    text, dot, tag = token.rpartition(".")
    if not dot or not hmac.compare_digest(tag.encode(), sign(secret_key, purpose, text).encode()):
        return None
    return text
