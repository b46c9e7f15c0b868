"""A cluster's nodes that hang, die or leave the map while rooms are asked for, told by legs that do as they are bid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import RedisCluster

from chat import subscription
from chat.errors import StoreDown
from chat.subscription import Subscription

FAR = 60  # seconds that nobody should have to wait


class Leg:
    """A connection to one node, which takes what is sent once `open` is set."""

    def __init__(self, open_: asyncio.Event) -> None:
        self.connection = self
        self.shard_channels: dict[bytes, None] = {}
        self.asked = asyncio.Event()
        self.ended = False
        self.when_ended: Callable[[], None] = lambda: None
        self._open = open_
        self._said: asyncio.Queue[Any] = asyncio.Queue()

    def die(self) -> None:
        self._said.put_nowait(ConnectionError("the node is gone"))

    async def ssubscribe(self, *channels: str) -> None:
        self.asked.set()
        await self._open.wait()
        for channel in channels:
            self.shard_channels[channel.encode()] = None
            self._said.put_nowait([b"ssubscribe", channel.encode(), 1])

    async def read_response(self, **_: Any) -> Any:
        said = await self._said.get()
        if isinstance(said, Exception):
            raise said
        return said

    async def handle_message(self, response: Any) -> dict[str, Any]:
        return {"type": response[0].decode(), "channel": response[1]}

    async def ping(self) -> None:
        self._said.put_nowait([b"pong", b"", 0])

    async def aclose(self) -> None:
        self.ended = True
        self.when_ended()


class Nodes(Subscription):
    """A channel `a:x` lies on the node "a"."""

    def __init__(self) -> None:
        super().__init__(None, lambda channel, data: None, lambda channel: None, always=["a:always"])  # type: ignore[arg-type]
        self.open: dict[str, asyncio.Event] = {"a": asyncio.Event(), "b": asyncio.Event()}
        self.legs: dict[str, list[Leg]] = {"a": [], "b": []}
        self.leg_of_b = asyncio.Event()
        self.open["a"].set()

    async def _read_the_map(self) -> None:
        pass

    def _node_of(self, channel: str) -> str:
        return channel[0]

    def _leg(self, name: str) -> Leg:
        leg = Leg(self.open[name])
        self.legs[name].append(leg)
        if name == "b":
            self.leg_of_b.set()
        return leg


@pytest.fixture
async def nodes():
    nodes = Nodes()
    run = asyncio.create_task(nodes.run())
    async with asyncio.timeout(FAR):
        await nodes.want("a:always")
        yield nodes
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run


async def test_a_room_is_asked_for_though_whoever_came_first_left_before_its_node_answered(nodes: Nodes) -> None:
    first = asyncio.create_task(nodes.want("b:room"))
    await nodes.leg_of_b.wait()
    await nodes.legs["b"][0].asked.wait()
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    nodes.open["b"].set()
    await nodes.want("b:room")
    assert nodes.up("b:room")


async def test_a_room_is_asked_for_though_its_node_hung_until_who_came_first_gave_up(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "CONFIRM_S", 0.05)
    with pytest.raises(StoreDown):
        await nodes.want("b:room")
    monkeypatch.setattr(subscription, "CONFIRM_S", FAR / 4)
    nodes.open["b"].set()
    await nodes.want("b:room")
    assert nodes.up("b:room")


async def test_a_leg_that_was_made_when_all_of_them_ended_is_none(nodes: Nodes) -> None:
    first = asyncio.create_task(nodes.want("b:room"))
    await nodes.leg_of_b.wait()
    (late,) = nodes.legs["b"]
    await late.asked.wait()
    nodes.legs["a"][0].when_ended = nodes.open["b"].set  # nobody reads any more, and nothing was begun anew
    nodes.legs["a"][0].die()
    with pytest.raises(StoreDown):
        await first
    await nodes.want("b:room")
    assert late.ended, "it has no reader"
    assert len(nodes.legs["b"]) == 2


class Map(RedisCluster):
    """It names a node that it no longer has: it was read anew in between."""

    def __init__(self) -> None:
        self.nodes_manager = self
        self.read = asyncio.Semaphore(0)

    async def initialize(self, **_: Any) -> None:  # type: ignore[override]
        self.read.release()

    def get_node_from_key(self, key: str, replica: bool = False) -> Any:
        return SimpleNamespace(name="gone")

    def get_node(self, *_: Any, **__: Any) -> Any:
        return None


async def test_a_node_that_left_the_map_meanwhile_is_one_that_is_away() -> None:
    cluster = Map()
    run = asyncio.create_task(Subscription(cluster, print, print, always=["x"]).run())  # type: ignore[arg-type]
    asked = asyncio.gather(cluster.read.acquire(), cluster.read.acquire())
    await asyncio.wait({run, asked}, timeout=FAR, return_when=asyncio.FIRST_COMPLETED)
    try:
        assert asked.done(), "the map is read again"
        assert not run.done()
    finally:
        asked.cancel()
        run.cancel()
        await asyncio.gather(run, asked, return_exceptions=True)
