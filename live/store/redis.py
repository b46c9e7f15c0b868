"""Redis: how it is reached, and the Lua scripts that check and write in one step.

A command is never sent twice by the client: a reply that got lost may have been an effect that stood. Scripts take an
operation id instead and answer a repeat with their first result.
Fails closed: `StoreDown` for stock and money; who may fail open says so at the call.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, PipelineCommand
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.cluster import PRIMARY
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, NoScriptError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from live.errors import StoreDown
from live.settings import Settings

LUA = Path(__file__).parent / "lua"
CONNECTIONS = 96  # more than a web process works on at once (live/web/turnstile.py), and the room's own
CLUSTER_CONNECTIONS = 1_000  # to one node: over it a command fails, where a pool of one store's would wait
REPLY_TIMEOUT_S = 10.0
BATCH_LIMIT = 200  # scripts in one pipeline
MAP_TIMEOUT_S = 2.0  # for a cluster to say who has which slots
MAP_EVERY_S = 0.25  # while commands fail, which may be thousands a second: each reading connects anew to all nodes
HANGS_S = 1.0  # who was given up after so long got no answer; a request whose page has gone ends sooner

Arg = str | bytes | int
_Call = tuple[tuple[Arg, ...], asyncio.Future[Any]]
_YOUR_TURN = object()
_pack: Callable[[tuple[Arg, ...]], bytes] = pack_command  # type: ignore[assignment]  # its stub says one argument


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
        facts: Any = await redis.info("cluster")
        if not facts.get("cluster_enabled"):
            return redis
    except (RedisError, OSError) as why:
        await redis.aclose()
        raise StoreDown("redis") from why
    await redis.aclose()
    return await _cluster(address)


class Cluster(RedisCluster):
    """A cluster that can't be reached, or has a slot without a node, is a store that is away: a RedisError, as with one
    store. To its client that is an error of another kind, which nobody who stays up without a store catches.

    Its client reads the map of the slots again when a command failed, but neither after a pipeline, which is all that
    `Script` sends, nor when a node hangs: without what is here such a process would ask a dead master for ever, though
    its replica has taken over."""

    _failed: str | None = None  # the node that did last: it is asked last for the map
    _read_at = 0.0

    async def initialize(self, *args: Any, **more: Any) -> RedisCluster:
        # A command that is sent alone says that none failed, whatever did before it.
        more["last_failed_node_name"] = more.get("last_failed_node_name") or self._failed
        try:
            # The node that is asked may hang; the next time it is another.
            async with asyncio.timeout(MAP_TIMEOUT_S):
                return await self._initialize_by_any(*args, **more)
        except (RedisClusterException, TimeoutError) as why:
            raise RedisConnectionError(str(why) or "no node says who has which slots") from why

    async def _initialize_by_any(self, *args: Any, **more: Any) -> RedisCluster:
        """The first primary of the map is asked for more, and may be the one that is away."""
        tried: set[str] = set()
        while True:
            try:
                return await super().initialize(*args, **more)
            except (RedisConnectionError, OSError):
                first = next(iter(self.nodes_manager.get_nodes_by_server_type(PRIMARY)), None)
                if first is None or first.name in tried:
                    raise
                tried.add(first.name)
                self.nodes_manager.move_node_to_end_of_cached_nodes(first.name)

    async def aclose(self) -> None:
        if self._initialize:  # to be read anew, with all its connections: its own would leave them open
            await self.nodes_manager.aclose()
            await self.nodes_manager.aclose("startup_nodes")
        await super().aclose()

    async def execute_command(self, *args: Any, **more: Any) -> Any:
        began = time.monotonic()
        try:
            return await super().execute_command(*args, **more)
        except asyncio.CancelledError:
            if time.monotonic() - began >= HANGS_S:
                await self.look_for_another([args])
            raise

    async def script_load(self, script: Any) -> Any:
        """At every primary that answers: another is told when it doesn't know it."""
        loaded = [self._load_at(node, script) for node in self.get_primaries()]
        outcomes = await asyncio.gather(*loaded, return_exceptions=True)
        for outcome in outcomes:
            if not isinstance(outcome, BaseException):
                return outcome
        raise RedisConnectionError("no node takes a script") from next(iter(outcomes), None)

    async def _load_at(self, node: ClusterNode, script: Any) -> Any:
        async with asyncio.timeout(MAP_TIMEOUT_S):
            return await self.execute_command("SCRIPT LOAD", script, target_nodes=node)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        return _Pipeline(self, transaction)  # type: ignore[abstract]  # as its own is: mypy reads a mixin's hint so

    async def node_of(self, command: Sequence[Any]) -> ClusterNode:
        """Whom it is sent to by the map. Raises: RedisError, RedisClusterException."""
        return self.nodes_manager.get_node_from_slot(await self._determine_slot(*command))

    async def look_for_another(self, commands: Sequence[Sequence[Any]]) -> None:
        """The nodes that these were sent to don't answer: before the next command, the map is read again."""
        now = time.monotonic()
        if self._initialize or now - self._read_at < MAP_EVERY_S:
            return
        self._read_at = now
        for command in commands:
            with suppress(RedisError, RedisClusterException):
                node = await self.node_of(command)
                node.update_active_connections_for_reconnect()
                # The first primary is asked whatever has no key.
                self.nodes_manager.move_node_to_end_of_cached_nodes(node.name)
                self._failed = node.name
        self._initialize = True


class _Pipeline(ClusterPipeline):
    """A part for each node: one that is away takes the answers of no other along."""

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        commands: list[PipelineCommand] = list(self._execution_strategy._command_queue)  # type: ignore[attr-defined]
        began = time.monotonic()
        away: BaseException | None = None
        try:
            parts = [] if self._transaction else await self._parts(commands)
            if len(parts) < 2:
                return await super().execute(raise_on_error, allow_redirections)
            return await self._execute_each(parts, commands, raise_on_error, allow_redirections)
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            away = error if _is_away(error) else None
            raise
        except asyncio.CancelledError as error:
            away = error if time.monotonic() - began >= HANGS_S else None
            raise
        finally:
            lost = [
                command.args
                for command in commands
                if _is_away(command.result) or (command.result is None and away is not None)
            ]
            if lost:
                await cast(Cluster, self.cluster_client).look_for_another(lost)

    async def _parts(self, commands: list[PipelineCommand]) -> list[list[PipelineCommand]]:
        cluster = cast(Cluster, self.cluster_client)
        if cluster._initialize:
            await cluster.initialize()
        parts: dict[str, list[PipelineCommand]] = {}
        for command in commands:
            parts.setdefault((await cluster.node_of(command.args)).name, []).append(command)
        return list(parts.values())

    async def _execute_each(
        self, parts: list[list[PipelineCommand]], commands: list[PipelineCommand], raise_on_error: bool, redirect: bool
    ) -> list[Any]:
        pipes = [self.cluster_client.pipeline(transaction=False) for _ in parts]
        for pipe, part in zip(pipes, parts, strict=True):
            pipe._execution_strategy._command_queue = part  # type: ignore[attr-defined]
        asked = [pipe.execute(raise_on_error=False, allow_redirections=redirect) for pipe in pipes]
        for part, outcome in zip(parts, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            for command in part:
                if isinstance(outcome, BaseException) and command.result is None:
                    command.result = outcome
        await self.reset()  # type: ignore[no-untyped-call]
        replies = [command.result for command in commands]
        for reply in replies if raise_on_error else ():
            if isinstance(reply, BaseException):
                raise reply
        return replies


def _is_away(result: Any) -> bool:
    """Whether a node doesn't answer. One to which we have no connection left may well."""
    away = isinstance(result, RedisConnectionError | RedisTimeoutError | OSError)
    return away and not isinstance(result, MaxConnectionsError)


async def _cluster(address: str) -> Redis:
    """A client of the whole cluster that the node at `address` belongs to. It follows a slot that moved; a command
    whose reply was lost is, as everywhere, not sent again."""
    cluster = Cluster.from_url(
        address,
        max_connections=CLUSTER_CONNECTIONS,
        decode_responses=False,
        socket_connect_timeout=5,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        await cluster.initialize()
    except (RedisError, OSError) as why:
        await cluster.aclose()
        raise StoreDown("redis") from why
    # The commands are the same; only what goes past them (Script, chat.subscription) has to know the difference.
    return cast(Redis, cluster)


@cache
def source(name: str) -> str:
    """The text of `lua/<name>.lua` behind what all of them share (`lua/shared.lua`; a line's, `lua/line.lua` too).

    A script runs what it shares anew each time: what only a line needs is kept from the others."""
    shared = ["shared.lua", *(["line.lua"] if name.startswith("line_") else [])]
    return "".join((LUA / file).read_text() for file in [*shared, f"{name}.lua"])


class Script:
    """One Lua script on one client: `await script(keys, args)`.

    Calls that wait at the same moment travel in one pipeline: the round trip, not the script, is what costs.
    Raises StoreDown.
    """

    def __init__(self, redis: Redis, text: str) -> None:
        self._redis = redis
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._waiting: deque[_Call] = deque()
        self._under_way = False

    async def __call__(self, keys: Sequence[str], args: Sequence[Arg] = ()) -> Any:
        call: _Call = ((self._sha, len(keys), *keys, *args), asyncio.get_running_loop().create_future())
        if not self._under_way:
            self._under_way = True
            return await self._carry(call)
        self._waiting.append(call)
        try:
            reply = await call[1]
        except asyncio.CancelledError:
            if call[1].done() and not call[1].cancelled() and call[1].result() is _YOUR_TURN:
                self._hand_over()  # cancelled between being asked to carry and doing it
            raise
        if reply is _YOUR_TURN:
            return await self._carry((call[0], asyncio.get_running_loop().create_future()))
        return reply

    async def each(self, calls: Sequence[tuple[Sequence[str], Sequence[Arg]]]) -> list[Any]:
        """The answers to many calls, which are one caller's: all of them or none. Raises StoreDown."""
        answers: list[Any] = []
        for start in range(0, len(calls), BATCH_LIMIT):
            part = [(self._sha, len(keys), *keys, *args) for keys, args in calls[start : start + BATCH_LIMIT]]
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    answers += await self._pipeline(part)
            except (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError) as why:
                raise StoreDown("redis") from why
        for answer in answers:
            if isinstance(answer, RedisError | OSError):
                raise StoreDown("redis") from answer
        return answers

    async def _carry(self, mine: _Call) -> Any:
        """Send my call and those that wait, as one pipeline."""
        batch = [mine]
        try:
            await asyncio.sleep(0)  # let those who are about to ask come along
            while self._waiting and len(batch) < BATCH_LIMIT:
                call = self._waiting.popleft()
                if not call[1].done():  # else its caller gave up before it was sent
                    batch.append(call)
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
            self._hand_over()
        return mine[1].result()

    def _hand_over(self) -> None:
        """The first who still waits carries the next batch."""
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(_YOUR_TURN)
                return
        self._under_way = False

    async def _pipeline(self, commands: list[tuple[Arg, ...]]) -> list[Any]:
        replies = await piped(self._redis, [("EVALSHA", *command) for command in commands])
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:  # a fresh or restarted server: those did nothing, so sending them again is safe
            await self._redis.script_load(self._text)
            again = await piped(self._redis, [("EVALSHA", *commands[index]) for index in unknown])
            for index, reply in zip(unknown, again, strict=True):
                replies[index] = reply
        return replies


async def piped(redis: Redis, commands: Sequence[tuple[Arg, ...]]) -> list[Any]:
    """The replies to `commands`, sent in one go; one that was refused is the exception among them.

    Raises: redis' ConnectionError and TimeoutError, OSError."""
    if isinstance(redis, RedisCluster):
        # Each to the node of its keys, in the order they were asked in.
        pipe = redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        return list(await pipe.execute(raise_on_error=False))
    # A pipeline of redis-py's packs each command in Python; hiredis does it in C.
    pool = redis.connection_pool
    connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        await connection.send_packed_command([b"".join([_pack(command) for command in commands])])
        return [await _read(connection) for _ in commands]
    except BaseException:
        # Replies that nobody reads any more would be taken for those of the next call.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as refused:  # the script's own error, one of many replies
        return refused


def _answer(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, StoreDown):
        future.set_exception(reply)
        future.exception()  # seen: whoever was cancelled meanwhile won't ask
    elif isinstance(reply, RedisError | OSError):
        down = StoreDown("redis")
        down.__cause__ = reply
        future.set_exception(down)
        future.exception()
    else:
        future.set_result(reply)


def load_script(redis: Redis, name: str) -> Script:
    """The script `lua/<name>.lua`, ready to be called on `redis`."""
    return Script(redis, source(name))
