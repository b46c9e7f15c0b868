"""Counts tries in a window, so that guessing and flooding get slow. Fails open: see `hit`."""

from __future__ import annotations

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from live.store import keys

log = structlog.get_logger()

REDIS_ANSWERS_WITHIN_S = 1


class Throttle:
    """Fixed windows in Redis, shared by every process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def hit(self, what: str, who: str, *, limit: int, window_s: int) -> int:
        """Count one try of `who`; 0 while at most `limit` fell into the window, else the seconds until it ends.

        Fails open: with Redis away a limit would lock everybody out, and what it guards (a password, a page) has
        its own check behind it.
        """
        key = keys.throttle(what, who)
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S), self._redis.pipeline(transaction=True) as pipe:
                pipe.incr(key)
                pipe.expire(key, window_s, nx=True)
                pipe.ttl(key)
                count, _, left_s = await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("throttle.open", what=what, error=type(error).__name__)
            return 0
        return 0 if count <= limit else max(1, int(left_s))

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
