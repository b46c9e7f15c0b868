"""One process's subscription: one connection for all its rooms, which comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chat.errors import StoreDown

log = logging.getLogger("chat.subscription")

CONFIRM_S = 5.0
# A store that hangs without closing the connection is noticed after two of these.
QUIET_S = 5.0
BACKOFF_S = (0.1, 2.0)


class Subscription:
    """`deliver(channel, data)` gets every message; `restored(channel)` is called whenever a channel that was confirmed
    before is confirmed again: messages may have been missed in between. Neither may block."""

    def __init__(
        self,
        redis: Redis,
        deliver: Callable[[str, bytes], None],
        restored: Callable[[str], None],
        *,
        always: Iterable[str] = (),
    ) -> None:
        self._redis = redis
        self._deliver = deliver
        self._restored = restored
        self._wanted: set[str] = set(always)
        self._confirmed: set[str] = set()
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._pubsub: Any = None
        self.up = False

    async def want(self, channel: str) -> None:
        """Subscribed and confirmed: what is published after this returns is delivered.

        Raises: StoreDown when that takes more than 5 s."""
        if channel in self._wanted and channel in self._confirmed and self.up:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(channel, []).append(future)
        is_new = channel not in self._wanted
        self._wanted.add(channel)
        try:
            # When the connection is down, run() subscribes to all that is wanted as soon as it is back.
            if self.up and is_new:
                await self._pubsub.ssubscribe(channel)
            async with asyncio.timeout(CONFIRM_S):
                await future
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreDown() from error
        finally:
            waiting = self._waiting.get(channel, [])
            if future in waiting:
                waiting.remove(future)

    async def leave(self, channel: str) -> None:
        self._wanted.discard(channel)
        self._confirmed.discard(channel)
        if self.up:
            try:
                await self._pubsub.sunsubscribe(channel)
            except (RedisError, OSError):
                log.debug("unsubscribe lost with the connection")

    async def run(self) -> None:
        """Read until cancelled; connect again when the store went away."""
        backoff = BACKOFF_S[0]
        while True:
            try:
                self._pubsub = self._redis.pubsub()
                sent = set(self._wanted)
                await self._pubsub.ssubscribe(*sent)
                self.up = True
                # Wanted while that was on its way.
                if late := self._wanted - sent:
                    await self._pubsub.ssubscribe(*late)
                backoff = BACKOFF_S[0]
                await self._read()
            except (RedisError, OSError) as error:
                log.warning("the store's subscription was lost: %s", error)
            finally:
                self.up = False
                pubsub, self._pubsub = self._pubsub, None
                if pubsub is not None:
                    await pubsub.aclose()
            await asyncio.sleep(backoff * random.uniform(0.5, 1))  # noqa: S311 - spreads processes, hides nothing
            backoff = min(2 * backoff, BACKOFF_S[1])

    async def _read(self) -> None:
        quiet = 0
        while True:
            message = await self._pubsub.get_message(timeout=QUIET_S)
            if message is None:
                quiet += 1
                if quiet > 1:
                    raise ConnectionError("no answer to a ping")
                await self._pubsub.ping()
                continue
            quiet = 0
            if message["type"] == "smessage":
                self._deliver(message["channel"].decode(), message["data"])
            elif message["type"] == "ssubscribe":
                self._confirm(message["channel"].decode())

    def _confirm(self, channel: str) -> None:
        again = channel in self._confirmed
        self._confirmed.add(channel)
        for future in self._waiting.pop(channel, []):
            if not future.done():
                future.set_result(None)
        if again:
            self._restored(channel)
