"""The room's and the shop's tests once more, on three nodes: each script finds all its keys on one of them, events
cross from one process to the other by sharded channels, and the shop's invariants hold."""

from __future__ import annotations

import asyncio
import inspect
from types import ModuleType

import pytest
import test_checkout
import test_room_order
import test_room_talk
import test_scripts
import test_waitlist
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import NodesManager
from redis.exceptions import MaxConnectionsError
from room_process import until, web_process
from store_cluster import StoreCluster

from chat.client import RoomClient
from live.accounts.sessions import Sessions
from live.accounts.throttle import Throttle
from live.clock import SystemClock
from live.errors import StoreDown
from live.store.redis import Script

# Theirs is the one store that they kill, or look into past its client.
NOT_HERE = {"own_store_server", "tmp_path", "monkeypatch", "store_server", "database_url"}

shop = test_waitlist.shop  # their fixture


def _again(module: ModuleType, *, only: str = "") -> None:
    for name, test in vars(module).items():
        if name.startswith("test_") and inspect.isfunction(test):
            asked = inspect.signature(test).parameters.keys()
            if not asked & NOT_HERE and (not only or only in asked):
                globals()[f"{name}_on_a_cluster"] = test


_again(test_checkout)
_again(test_waitlist)
_again(test_scripts)
_again(test_room_order, only="two_webs")
_again(test_room_talk, only="two_webs")


async def test_the_premise_it_is_a_cluster_and_rooms_lie_on_different_nodes(redis) -> None:
    assert isinstance(redis, RedisCluster)
    nodes = {redis.get_node_from_key(f"c:{{shw_{n}}}:head").name for n in range(20)}
    assert len(nodes) == 3


async def test_the_node_that_failed_is_asked_last_for_the_map_also_by_a_command_alone(redis, monkeypatch) -> None:
    asked, read = [], NodesManager.initialize

    async def initialize(self: NodesManager, **more: object) -> None:
        asked.append(more["last_failed_node_name"])
        await read(self, **more)

    monkeypatch.setattr(NodesManager, "initialize", initialize)
    await redis.set("a", 1)
    await redis.look_for_another([("GET", "a")])
    assert await redis.get("a") == b"1"
    assert asked == [redis.get_node_from_key("a").name]


async def test_a_node_to_which_no_connection_is_left_is_not_taken_for_dead(redis, monkeypatch) -> None:
    node, script = redis.get_node_from_key("a"), Script(redis, "return 1")
    assert await script(["a"]) == 1
    free = [node.acquire_connection() for _ in range(len(node._free))]
    monkeypatch.setattr(node, "max_connections", len(node._connections))
    try:
        with pytest.raises(StoreDown) as told:
            await script(["a"])
        assert isinstance(told.value.__cause__, MaxConnectionsError), "the premise"
        assert not redis._initialize, "each reading of the map ends every connection, of the other nodes too"
    finally:
        for connection in free:
            node.release(connection)
    assert await script(["a"]) == 1


async def test_rooms_of_every_node_are_heard_by_one_process(two_webs, house) -> None:
    one, two = two_webs
    clients = [await one.join(house.person(f"p{n}", device=f"d{n}"), f"show{n}") for n in range(6)]
    nodes = {two.bus.redis.get_node_from_key(f"c:{{shw_show{n}}}:head").name for n in range(6)}
    assert len(nodes) > 1
    for n in range(6):
        for card in range(3):
            await two.bus.publish(f"shw_show{n}", "card.dropped", {"card": card})
    for client in clients:
        await until(lambda client=client: client.seq == 3)
        assert [e["seq"] for e in client.envelopes if "seq" in e] == [1, 2, 3]


async def test_a_lost_connection_to_one_node_loses_no_event(two_webs, house, redis) -> None:
    one, two = two_webs
    clients = [await one.join(house.person(f"p{n}", device=f"d{n}"), f"show{n}") for n in range(4)]
    for node in redis.get_primaries():
        await redis.execute_command("CLIENT KILL", "TYPE", "pubsub", target_nodes=node)
    for n in range(4):
        for card in range(5):
            await two.bus.publish(f"shw_show{n}", "card.dropped", {"card": card})
    for client in clients:
        await until(lambda client=client: client.seq == 5)
        assert [e["seq"] for e in client.envelopes if "seq" in e] == [1, 2, 3, 4, 5]


def _lines_of(page: RoomClient) -> list[str]:
    lines = page.welcome["room"]["lines"] + [body["line"] for body in page.seen("line.posted")]
    return [line["text"] for line in lines]


async def test_sockets_stay_while_the_whole_cluster_is_away_and_go_on_after(tmp_path, house, archive) -> None:
    cluster = StoreCluster(tmp_path)
    cluster.start()
    try:
        async with web_process(cluster.url, house, archive) as web:
            ann = await web.join(house.person("ann"))
            assert (await ann.post("line.post", {"text": "before"})).ok
            cluster.stop()
            for _ in range(5):
                assert (await ann.post("line.post", {"text": "meanwhile"})).code == "store_down"
            await ann.wait("service.changed", lambda body: body["service"]["read_only"])
            cluster.again()
            async with asyncio.timeout(120):
                while not (await ann.post("line.post", {"text": "after"})).ok:  # noqa: ASYNC110 - nothing to subscribe to
                    await asyncio.sleep(0.2)
            # A cluster's store may have lost some: the room is told anew, with the line or followed by it.
            await ann.wait("reset")
            await until(lambda: "after" in _lines_of(ann))
            assert ann.close_code is None
    finally:
        cluster.stop()


async def test_sessions_and_limits_work_where_their_keys_lie_on_different_nodes(redis) -> None:
    sessions = Sessions(redis, SystemClock())
    opened = await asyncio.gather(*(sessions.open(staff_id="stf_1") for _ in range(8)))
    assert {session.id for _, session in opened} == set(await sessions.of_staff("stf_1"))
    assert (await sessions.get(opened[0][0])).staff_id == "stf_1"
    throttle = Throttle(redis)
    waits = [await throttle.hit("x", "her", limit=2, window_s=60) for _ in range(3)]
    assert waits[:2] == [0, 0]
    assert waits[2] > 0
