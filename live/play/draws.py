"""Lucky draws that anyone can check: commit to a seed, take entries, reveal the seed. Pure.

1. At the opening a random seed is made and its SHA-256 is published: the commitment.
2. Entries are free and one a person.
3. At the draw the seed and the digest of the sorted entries are published. A person's ticket is
   HMAC-SHA-256(key = seed, message = digest of all entries + person); the lowest tickets win.

The digest is in the ticket, so every entry changes everyone's: who knew the seed could not pick a winning name before
the last entry was in. What a commitment can't show is that the house made no entries of its own; the list of entries
is public for that. Source: docs/decisions/0063-a-draw-is-proven.md
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from live.errors import Invalid

PLACES = range(1, 101)
SECONDS = range(10, 3601)
PRIZE_MAX = 140  # characters


def check(prize: str, places: int, seconds: int) -> str:
    """The prize as it will be shown. Raises: Invalid."""
    prize = " ".join(prize.split())
    if not 1 <= len(prize) <= PRIZE_MAX:
        raise Invalid("prize", f"1 to {PRIZE_MAX} characters")
    if places not in PLACES:
        raise Invalid("places", f"{PLACES.start} to {PLACES.stop - 1}")
    if seconds not in SECONDS:
        raise Invalid("seconds", f"{SECONDS.start} to {SECONDS.stop - 1}")
    return prize


def commitment(seed: bytes) -> str:
    """What is published before the first entry: SHA-256 of the seed, hex."""
    return hashlib.sha256(seed).hexdigest()


def digest(entries: Iterable[str]) -> str:
    """SHA-256 (hex) over the entries, sorted by code point, each once and followed by a line feed."""
    return hashlib.sha256("".join(f"{person}\n" for person in sorted(set(entries))).encode()).hexdigest()


def in_order(seed: bytes, entries: Iterable[str]) -> list[str]:
    """Everyone who entered, from the first place on."""
    people = set(entries)
    of_all = digest(people)
    return sorted(people, key=lambda person: (hmac.digest(seed, f"{of_all}{person}".encode(), "sha256"), person))


def winners(seed: bytes, entries: Iterable[str], places: int) -> list[str]:
    """The winners in order; fewer than `places` when fewer entered."""
    return in_order(seed, entries)[:places]


def verify(
    *, committed: str, seed: bytes, entries: Sequence[str], entries_digest: str, places: int, won: Sequence[str]
) -> bool:
    """Whether the published winners follow from what was published before."""
    return (
        hmac.compare_digest(commitment(seed), committed)
        and len(set(entries)) == len(entries)
        and digest(entries) == entries_digest
        and winners(seed, entries, places) == list(won)
    )
