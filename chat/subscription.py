"""One process's subscription: one connection for all its rooms, on a cluster one a node; they come back by themselves.

On a cluster a channel lives where the keys of its room live. Any node that is lost, and any channel that moved to
another, ends all of them: they are made again by the map that holds then, and every channel is `restored`. A node that
can't be reached keeps only its own channels waiting, until it is back or another has taken over.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from chat.errors import StoreDown

log = logging.getLogger("chat.subscription")

CONFIRM_S = 5.0
# A store that hangs without closing the connection is noticed after two of these.
QUIET_S = 5.0
BACKOFF_S = (0.1, 2.0)
_AWAY = (RedisError, OSError, RedisClusterException)  # the last, of a cluster as a whole, is no RedisError
_ALONE = ""  # the name of the one node of a store that is no cluster


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
        self._out: set[str] = set()  # channels of nodes that can't be reached
        self._some_are_out = asyncio.Event()
        self._failed: str | None = None  # the node that did last
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # one leg a node
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._legs: dict[str, Any] = {}  # node -> its pub/sub connection
        self._heard: set[Any] = set()  # legs that said anything since they were last looked at
        self._group: asyncio.TaskGroup | None = None
        self._up = False

    def up(self, channel: str) -> bool:
        """Whether what is published there is heard, as far as anyone knows."""
        return self._up and channel not in self._out

    async def want(self, channel: str) -> None:
        """Subscribed and confirmed: what is published after this returns is delivered.

        Raises: StoreDown when that takes more than 5 s."""
        if channel in self._wanted and channel in self._confirmed and self.up(channel):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(channel, []).append(future)
        is_new = channel not in self._wanted
        self._wanted.add(channel)
        try:
            # When the connection is down, run() subscribes to all that is wanted as soon as it is back.
            async with asyncio.timeout(CONFIRM_S):
                if self._up and is_new:
                    await self._subscribe_first(channel)
                await future
        except (*_AWAY, RuntimeError) as error:
            # A RuntimeError: the group of readers is ending just now.
            raise StoreDown() from error
        finally:
            waiting = self._waiting.get(channel, [])
            if future in waiting:
                waiting.remove(future)

    async def _subscribe_first(self, channel: str) -> None:
        try:
            await self._subscribe({channel})
        except BaseException:
            # Who asked is gone, or out of time; who comes next only waits for it, so it is asked for all the same.
            self._leave_for_later({channel})
            raise

    async def leave(self, channel: str) -> None:
        self._wanted.discard(channel)
        self._confirmed.discard(channel)
        self._out.discard(channel)
        if self._up:
            try:
                for leg in list(self._legs.values()):
                    if channel.encode() in leg.shard_channels:
                        await leg.sunsubscribe(channel)
            except (RedisError, OSError):
                log.debug("unsubscribe lost with the connection")

    async def run(self) -> None:
        """Read until cancelled; connect again when the store went away."""
        backoff = BACKOFF_S[0]
        while True:
            try:
                async with asyncio.TaskGroup() as self._group:
                    await self._connect()
                    backoff = BACKOFF_S[0]
                    await self._reach_the_rest()
            except* _AWAY as errors:
                log.warning("the store's subscription was lost: %s", errors.exceptions[0])
            finally:
                self._up = False
                legs, self._legs = list(self._legs.values()), {}
                self._heard.clear()
                for leg in legs:
                    await self._end(leg)
            await asyncio.sleep(backoff * random.uniform(0.5, 1))  # noqa: S311 - spreads processes, hides nothing
            backoff = min(2 * backoff, BACKOFF_S[1])

    async def _connect(self) -> None:
        await self._read_the_map()
        self._out = set(self._wanted)
        self._up = True
        await self._subscribe(set(self._wanted))

    async def _reach_the_rest(self) -> None:
        """What lay on a node that can't be reached is asked for again, where it lies by then."""
        while True:
            await self._some_are_out.wait()
            self._some_are_out.clear()
            backoff = BACKOFF_S[0]
            while self._out:
                await asyncio.sleep(backoff * random.uniform(0.5, 1))  # noqa: S311 - spreads processes, hides nothing
                backoff = min(2 * backoff, BACKOFF_S[1])
                try:
                    await self._read_the_map()
                    await self._subscribe(set(self._out))
                except _AWAY as error:
                    log.debug("not reached yet: %s", error)

    async def _read_the_map(self) -> None:
        if isinstance(self._redis, RedisCluster):
            # A node that hangs is asked last; if it is asked after all, it is another the next time.
            async with asyncio.timeout(CONFIRM_S):
                await self._redis.nodes_manager.initialize(last_failed_node_name=self._failed)

    async def _subscribe(self, channels: set[str]) -> None:
        """Asks for them, each where it lies; those of a node that can't be reached are `_out`.

        Raises: RedisError, OSError, RedisClusterException when no node can be reached."""
        nodes: dict[str, set[str]] = {}
        for channel in channels:
            nodes.setdefault(self._node_of(channel), set()).add(channel)
        asked = [self._subscribe_at(node, mine) for node, mine in nodes.items()]
        for node, error in zip(nodes, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if error is None:
                continue
            self._failed = node
            if not isinstance(error, _AWAY) or not self._legs:
                raise error
            log.warning("a node of the store is away: %s", error)
            self._leave_for_later(nodes[node])

    def _leave_for_later(self, channels: set[str]) -> None:
        self._out |= channels & self._wanted
        self._some_are_out.set()

    async def _subscribe_at(self, node: str, channels: set[str]) -> None:
        # A node that hangs takes the connection and says nothing: the time is for all of it.
        async with asyncio.timeout(CONFIRM_S), self._turns[node]:
            leg, is_new = self._legs.get(node), node not in self._legs
            if leg is None:
                leg = self._leg(node)
            try:
                if node == _ALONE:
                    await leg.ssubscribe(*channels)
                else:
                    for channel in channels:  # one command, one slot
                        await leg.ssubscribe(channel)
                if is_new:
                    self._attend(node, leg)
            except BaseException:
                if is_new:
                    await self._end(leg)
                raise
            self._out -= channels

    def _attend(self, node: str, leg: Any) -> None:
        """Raises: RuntimeError, when all legs are just ending: this one is none, or it would stay without a reader."""
        assert self._group is not None
        for attend in (self._read, self._watch):
            attending = attend(node, leg)
            try:
                self._group.create_task(attending)
            except RuntimeError:
                attending.close()
                raise
        self._legs[node] = leg
        self._heard.add(leg)

    async def _end(self, leg: Any) -> None:
        await leg.aclose()
        if isinstance(self._redis, RedisCluster):
            await leg.connection_pool.disconnect()

    def _node_of(self, channel: str) -> str:
        if not isinstance(self._redis, RedisCluster):
            return _ALONE
        node: Any = self._redis.get_node_from_key(channel)
        return str(node.name)

    def _leg(self, name: str) -> Any:
        if not isinstance(self._redis, RedisCluster):
            return self._redis.pubsub(push_handler_func=_as_it_came)
        node: Any = self._redis.get_node(node_name=name)
        if node is None:  # the map was read again while another's turn at it lasted
            raise ConnectionError(f"{name} is no longer on the map")
        pool = ConnectionPool(connection_class=node.connection_class, **node.connection_kwargs)
        return Redis(connection_pool=pool).pubsub(push_handler_func=_as_it_came)

    async def _read(self, node: str, leg: Any) -> None:
        # The connection's own reading: what the client does around it costs more than all that we do with an event.
        # Without a time-out, which costs a quarter of the reading: `_watch` sees to a store that hangs.
        while True:
            try:
                response = await leg.connection.read_response(timeout=math.inf, push_request=True)
            except _AWAY:
                self._failed = node
                raise
            self._heard.add(leg)
            if response[0] == b"smessage":
                self._deliver(response[1].decode(), response[2])
                continue
            message = await leg.handle_message(response)
            if message["type"] == "ssubscribe":
                self._confirm(message["channel"].decode())
            elif message["type"] == "sunsubscribe" and message["channel"].decode() in self._wanted:
                raise ConnectionError("a channel moved to another node")

    async def _watch(self, node: str, leg: Any) -> None:
        """A store that hangs closes nothing: whoever answers no ping is gone."""
        while True:
            await asyncio.sleep(QUIET_S)
            if leg not in self._heard:
                self._failed = node
                raise ConnectionError("no answer to a ping")
            self._heard.discard(leg)
            await leg.ping()

    def _confirm(self, channel: str) -> None:
        again = channel in self._confirmed
        self._confirmed.add(channel)
        for future in self._waiting.pop(channel, []):
            if not future.done():
                future.set_result(None)
        if again:
            self._restored(channel)


async def _as_it_came(response: Any) -> Any:
    """In place of the client's own, which makes text of every message for a log that nobody reads."""
    return response
