"""Whether the store keeps what it answered, also when it is killed: what decides if numbers go on after a restart."""

from __future__ import annotations

import time
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

ASKED_EVERY_S = 30.0


class Durability:
    """Asked of the store again now and then: its operator may set it anew."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._keeps = False
        self._asked_at = -ASKED_EVERY_S

    async def keeps(self) -> bool:
        """Each answer follows an fsync, and nobody else could take over. False when the store won't say.

        Raises: RedisError, when the store is down."""
        now = time.monotonic()
        if now - self._asked_at >= ASKED_EVERY_S:
            self._keeps = await self._ask()
            self._asked_at = now
        return self._keeps

    async def _ask(self) -> bool:
        if isinstance(self._redis, RedisCluster):
            return False  # a replica may take over, and have lagged
        try:
            found: Any = await self._redis.config_get("append*")
        except ResponseError:
            return False  # not for us to read (NOPERM, or a service without CONFIG)
        said = {_text(name): _text(value) for name, value in found.items()}
        return said.get("appendonly") == "yes" and said.get("appendfsync") == "always"


def _text(found: Any) -> str:
    return found.decode() if isinstance(found, bytes) else str(found)
