"""Redis: how it is reached, and the Lua scripts that check and write in one step.

A command is never sent twice by the client: a reply that got lost may have been an effect that stood. Scripts take an
operation id instead and answer a repeat with their first result.
Fails closed: `StoreDown` for stock and money; who may fail open says so at the call.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from live.errors import StoreDown
from live.settings import Settings

LUA = Path(__file__).parent / "lua"
CONNECTIONS = 96  # more than a web process works on at once (live/web/turnstile.py), and the room's own
REPLY_TIMEOUT_S = 10.0
BATCH_LIMIT = 200  # scripts in one pipeline

Arg = str | bytes | int


async def connect(settings: Settings, *, url: str | None = None) -> Redis:
    """A client of the Redis at `url` or the settings' REDIS_URL, known to answer. Raises StoreDown.

    Its connections have no read time-out of their own, since subscribers wait for ever; scripts bring theirs.
    """
    address = url or settings.redis_url
    if not address:
        raise StoreDown("redis")
    pool = BlockingConnectionPool.from_url(
        address,
        max_connections=CONNECTIONS,
        timeout=5,  # seconds to wait for a free connection
        decode_responses=False,
        socket_connect_timeout=5,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )
    redis: Redis = Redis.from_pool(pool)
    try:
        await redis.ping()
    except (RedisError, OSError) as why:
        await redis.aclose()
        raise StoreDown("redis") from why
    return redis


@cache
def source(name: str) -> str:
    """The text of `lua/<name>.lua` behind what all of them share (`lua/shared.lua`)."""
    return (LUA / "shared.lua").read_text() + (LUA / f"{name}.lua").read_text()


class Script:
    """One Lua script on one client: `await script(keys, args)`.

    Calls that wait at the same moment travel in one pipeline: the round trip, not the script, is what costs.
    Raises StoreDown.
    """

    def __init__(self, redis: Redis, text: str) -> None:
        self._redis = redis
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._waiting: list[tuple[tuple[Arg, ...], asyncio.Future[Any]]] = []
        self._under_way = False

    async def __call__(self, keys: Sequence[str], args: Sequence[Arg] = ()) -> Any:
        command: tuple[Arg, ...] = (self._sha, len(keys), *keys, *args)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answer))
        while not answer.done():
            if self._under_way:
                # Somebody else's pipeline is out. It answers us, or wakes us to send the next one.
                await self._turn(answer)
            else:
                await self._send()
        return answer.result()

    async def _turn(self, answer: asyncio.Future[Any]) -> None:
        await asyncio.wait((answer, self._round), return_when=asyncio.FIRST_COMPLETED)

    async def _send(self) -> None:
        self._under_way = True
        self._round: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch: list[tuple[tuple[Arg, ...], asyncio.Future[Any]]] = []
        try:
            await asyncio.sleep(0)  # let those who are about to ask come along
            batch, self._waiting = self._waiting[:BATCH_LIMIT], self._waiting[BATCH_LIMIT:]
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                replies = await self._pipeline([command for command, _ in batch])
            for (_, answer), reply in zip(batch, replies, strict=True):
                _answer(answer, reply)
        except asyncio.CancelledError:
            # Only the one who carried the batch gave up. The others' scripts may have run: they hear so.
            for _, answer in batch:
                _answer(answer, StoreDown("redis"))
            raise
        except (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError) as why:
            for _, answer in batch:
                down = StoreDown("redis")
                down.__cause__ = why
                _answer(answer, down)
        finally:
            self._under_way = False
            self._round.set_result(None)

    async def _pipeline(self, commands: list[tuple[Arg, ...]]) -> list[Any]:
        replies = await self._once(commands)
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:  # a fresh or restarted server: those did nothing, so sending them again is safe
            await self._redis.script_load(self._text)
            for index, reply in zip(unknown, await self._once([commands[i] for i in unknown]), strict=True):
                replies[index] = reply
        return replies

    async def _once(self, commands: list[tuple[Arg, ...]]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command("EVALSHA", *command)
            return list(await pipe.execute(raise_on_error=False))


def _answer(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, StoreDown):
        future.set_exception(reply)
        future.exception()  # seen: whoever was cancelled meanwhile won't ask
    elif isinstance(reply, RedisError):
        down = StoreDown("redis")
        down.__cause__ = reply
        future.set_exception(down)
        future.exception()
    else:
        future.set_result(reply)


def load_script(redis: Redis, name: str) -> Script:
    """The script `lua/<name>.lua`, ready to be called on `redis`."""
    return Script(redis, source(name))
