"""Identifiers: sortable by birth where people page through them, unguessable where they open a door."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from functools import lru_cache

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: five bits a letter
_LETTERS = bytes(ord(ALPHABET[byte & 31]) for byte in range(256))

# Random letters are drawn many at a time: each drawing lets go of the interpreter's lock, and waits for it again.
_RANDOM = 16  # letters an identifier, 80 bits
_DRAWN_AT_ONCE = 400
_drawn: list[str] = []
os.register_at_fork(after_in_child=_drawn.clear)  # or parent and child would make the same identifiers
_born: tuple[int, str] = (0, "")  # the millisecond that was written last, and its letters


def new_id(prefix: str) -> str:
    """`ord_01jx…`: 48 bits of milliseconds and 80 random bits in Crockford's base 32 (as a ULID), after a prefix."""
    global _born
    now, written = time.time_ns() // 1_000_000, _born
    if written[0] != now:  # an order makes seven in a few of them
        _born = written = (now, "".join([ALPHABET[now >> shift & 31] for shift in range(45, -1, -5)]))
    return f"{prefix}_{written[1]}{random_letters()}"


def random_letters() -> str:
    """16 letters of `ALPHABET`, 80 random bits."""
    try:
        return _drawn.pop()  # one step, whichever threads ask
    except IndexError:
        letters = secrets.token_bytes(_RANDOM * _DRAWN_AT_ONCE).translate(_LETTERS).decode()
        mine, *others = [letters[at : at + _RANDOM] for at in range(0, len(letters), _RANDOM)]
        _drawn.extend(others)
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
