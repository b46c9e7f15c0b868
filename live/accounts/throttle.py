"""Counts tries, so that guessing and flooding get slow: in a window (`hit`), or steadily (`pace`). Both fail open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from live.errors import StoreDown
from live.store import keys
from live.store.redis import load_script

log = structlog.get_logger()

REDIS_ANSWERS_WITHIN_S = 1


class Throttle:
    """Counts in Redis, shared by every process. `now_ms` is the clock of `pace`."""

    def __init__(self, redis: Redis, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._redis = redis
        self._now_ms = now_ms
        self._gcra = load_script(redis, "gcra")
        self._hit = load_script(redis, "hit")

    async def pace(self, what: str, who: str, *, burst: int, every_ms: int) -> int:
        """Count one act of `who`: 0 when it is let through, else the ms to wait. `burst` acts may come at once; after
        that one each `every_ms`, with no window whose edge would let through twice as much (GCRA).

        Fails open, as `hit` does.
        """
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                return int(await self._gcra([keys.pace(what, who)], [self._now_ms(), every_ms, burst]))
        except (StoreDown, OSError) as error:
            log.warning("throttle.open", what=what, error=type(error).__name__)
            return 0

    async def hit(self, what: str, who: str, *, limit: int, window_s: int) -> int:
        """Count one try of `who`; 0 while at most `limit` fell into the window, else the seconds until it ends.

        Fails open: with Redis away a limit would lock everybody out, and what it guards (a password, a page) has
        its own check behind it.
        """
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                count, left_s = await self._hit([keys.throttle(what, who)], [window_s])
        except (StoreDown, OSError) as error:
            log.warning("throttle.open", what=what, error=type(error).__name__)
            return 0
        return 0 if count <= limit else max(1, int(left_s))

    async def hit_each(self, what: str, whos: Sequence[str], *, limit: int, window_s: int) -> list[int]:
        """`hit` of many, together. Fails open."""
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                found = await self._hit.each([([keys.throttle(what, who)], [window_s]) for who in whos])
        except (StoreDown, OSError) as error:
            log.warning("throttle.open", what=what, error=type(error).__name__)
            return [0] * len(whos)
        return [0 if count <= limit else max(1, int(left_s)) for count, left_s in found]

    async def spent(self, what: str, who: str, *, limit: int) -> int:
        """Whether `who` has used up her tries, without counting one: 0, or the seconds until the window ends. Fails
        open."""
        key = keys.throttle(what, who)
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S), self._redis.pipeline(transaction=True) as pipe:
                pipe.get(key)
                pipe.ttl(key)
                count, left_s = await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("throttle.open", what=what, error=type(error).__name__)
            return 0
        return 0 if int(count or 0) < limit else max(1, int(left_s))

    async def clear(self, what: str, who: str) -> None:
        """Forget the tries: the right password was given. Fails open."""
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                await self._redis.delete(keys.throttle(what, who))
        except (RedisError, OSError) as error:
            log.warning("throttle.open", what=what, error=type(error).__name__)
