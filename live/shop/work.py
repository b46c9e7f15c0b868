"""A proof of work: what a tap costs who makes thousands of them, and nobody else notices. Optional, by drop.

The challenge is the server's, signed: it names the show, the look and the person, and ends after ten minutes. It is
answered by a number that makes SHA-256 begin with so many zero bits, and is good for one operation; that operation
sent again after a lost answer is the same one. Source: docs/decisions/0120-work-is-asked-of-browsers.md
"""

from __future__ import annotations

import hashlib

from redis.asyncio import Redis
from redis.exceptions import RedisError

from live.clock import Clock
from live.errors import StoreDown, WorkNeeded
from live.events import Work
from live.ids import digest, new_secret, signed, unsign
from live.store import keys

LIFE_S = 600
PURPOSE = "work"
CHALLENGE_MAX = 400  # characters


def is_done(challenge: str, answer: int, bits: int) -> bool:
    """Whether `answer` makes enough zero bits. Pure."""
    found = hashlib.sha256(f"{challenge}:{answer}".encode()).digest()
    return int.from_bytes(found) >> (256 - bits) == 0


class Proofs:
    """Hands out challenges and takes answers."""

    def __init__(self, redis: Redis, clock: Clock, secret_key: str) -> None:
        self._redis = redis
        self._clock = clock
        self._key = secret_key

    def challenge(self, show_id: str, look: str, person: str) -> tuple[str, int]:
        """A challenge and the ms until which it may be answered."""
        until_ms = self._clock.now_ms() + LIFE_S * 1000
        return signed(self._key, PURPOSE, f"{show_id}|{look}|{person}|{until_ms}|{new_secret()[:16]}"), until_ms

    async def take(self, show_id: str, look: str, person: str, work: Work | None, *, bits: int, op: str) -> None:
        """Let `op` through for its work, once. Raises: WorkNeeded, StoreDown.

        Fails closed: the same Redis holds the stock."""
        if work is None:
            raise WorkNeeded(look, "missing")
        text = unsign(self._key, PURPOSE, work.challenge) if len(work.challenge) <= CHALLENGE_MAX else None
        names = text.split("|") if text is not None else []
        if names[:3] != [show_id, look, person] or not is_done(work.challenge, work.answer, bits):
            raise WorkNeeded(look, "wrong")
        if int(names[3]) < self._clock.now_ms():
            raise WorkNeeded(look, "stale")
        key = keys.work(show_id, digest(work.challenge)[:32])
        try:
            # Longer than a challenge lives, so that none outlives its mark.
            used_by = await self._redis.set(key, op.encode(), nx=True, get=True, ex=LIFE_S + 300)
        except (RedisError, OSError) as why:
            raise StoreDown("redis") from why
        if used_by is not None and used_by != op.encode():
            raise WorkNeeded(look, "used")
