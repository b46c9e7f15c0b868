"""A cluster's node is killed while its room and its shop are in use, and its replica, which had lagged, takes over."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import shop_world
from redis.exceptions import ConnectionError as RedisConnectionError
from room_process import until, web_process
from store_cluster import StoreCluster
from test_room_replay_law import Page

from chat import keys as room_keys
from chat.client import RoomClient
from live.errors import SoldOut, StoreDown
from live.settings import Settings
from live.store import keys
from live.store.redis import Script, connect

FAR = 30  # seconds that nobody should have to wait


@pytest.fixture(scope="module")
def cluster() -> Iterator[StoreCluster]:
    """Each test lets one node of it die."""
    with tempfile.TemporaryDirectory(prefix="frontrow-failover-") as folder:
        cluster = StoreCluster(Path(folder), masters=4, replicas=True, away_ms=1500)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def _two_rooms(cluster: StoreCluster) -> tuple[str, str, int]:
    """One whose node may die, one of another node, and the first's node."""
    nodes = {f"show{n}": cluster.master_of(room_keys.head(f"shw_show{n}")) for n in range(40)}
    room, node = next((room, node) for room, node in nodes.items() if cluster.may_die(node))
    return room, next(other for other, its in nodes.items() if its != node), node


async def _said(page: RoomClient, text: str) -> str:
    """The line's id, said again until the store takes it."""
    async with asyncio.timeout(FAR):
        while not (answer := await page.post("line.post", {"text": text})).ok:
            assert answer.code == "store_down"
            await asyncio.sleep(0.1)
    return str(answer.body["line"])


async def _once_it_is_there(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, asked for again while the store is away."""
    async with asyncio.timeout(FAR):
        while True:
            try:
                return await ask()
            except StoreDown:
                await asyncio.sleep(0.1)


def _heard(page: RoomClient, text: str) -> bool:
    shown = [] if page.welcome is None else page.welcome["room"]["lines"]
    return text in [line["text"] for line in [*shown, *(body["line"] for body in page.seen("line.posted"))]]


async def test_a_process_starts_while_a_node_is_away(cluster, tmp_path) -> None:
    first = cluster.master_at(0)
    cluster.kill(first)
    redis = await connect(Settings(_env_file=None, data_dir=tmp_path, redis_url=cluster.url))
    try:
        living = next(key for key in map(str, range(40)) if cluster.master_of(key) != first)
        assert await Script(redis, "return redis.call('INCR', KEYS[1])")([living]) == 1
        async with redis.pipeline(transaction=False) as pipe:
            pipe.get(next(key for key in map(str, range(40)) if cluster.master_of(key) == first))
            pipe.get(living)
            lost, found = await pipe.execute(raise_on_error=False)
        assert isinstance(lost, RedisConnectionError)
        assert found == b"1", "one that is away takes no other's answer along"
    finally:
        await redis.aclose()
        cluster.let_take_over(first)


async def test_a_node_that_hangs_is_not_asked_for_ever_once_its_replica_has_taken_over(
    cluster, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("live.store.redis.REPLY_TIMEOUT_S", 1.2)
    redis = await connect(Settings(_env_file=None, data_dir=tmp_path, redis_url=cluster.url))
    try:
        key, node = next(
            (key, node) for key in map("hang{}".format, range(40)) if cluster.may_die(node := cluster.master_of(key))
        )
        count = Script(redis, "return redis.call('INCR', KEYS[1])")
        assert await count([key]) == 1
        cluster.freeze(node)
        with pytest.raises(StoreDown):
            await count([key])
        cluster.let_take_over(node)
        assert await _once_it_is_there(lambda: count([key])) == 2
    finally:
        await redis.aclose()


async def test_a_room_goes_on_by_the_replica_of_its_node_without_what_was_removed(cluster, house, archive) -> None:
    house.state["cards"] = []
    room, other, node = _two_rooms(cluster)
    async with web_process(cluster.url, house, archive) as one, web_process(cluster.url, house, archive) as two:
        mod_cookie = house.person("mod", "moderator")
        mod, ann = await one.join(mod_cookie, room), await one.join(house.person("ann"), room)
        bob, eve = await two.join(house.person("bob"), room), await two.join(house.person("eve"), room)
        liv, lou = await one.join(house.person("liv"), other), await two.join(house.person("lou"), other)
        pages = [Page(page) for page in (mod, ann, bob)]
        before = await _said(ann, "before")
        rude, worse = await _said(bob, "something rude"), await _said(bob, "something worse")
        await until(lambda: bob.seq == 3, within_s=FAR)
        position = (bob.epoch, bob.seq)

        cluster.cut_off(node)
        late = await _said(ann, "the replica never heard of this")
        for line in (rude, worse):
            assert (await mod.post("line.remove", {"line": line})).ok
        assert (await mod.post("person.ban", {"person": "per_eve"})).ok
        await eve.wait_closed()
        await until(lambda: late in archive.lines and {rude, worse} <= archive.removed.keys(), within_s=FAR)
        await until(lambda: bob.seq == mod.seq == ann.seq, within_s=FAR)
        had = {id(page): len(page.envelopes) for page in (mod, ann, bob)}
        cluster.kill(node)

        # Meanwhile: the room of another node is as ever, on every process.
        await until(lambda: all(service(page)["read_only"] for page in (mod, ann, bob)), within_s=FAR)
        await until(lambda: not any(service(page)["read_only"] for page in (liv, lou)), within_s=FAR)
        assert (await ann.post("line.post", {"text": "is anybody there?"})).code == "store_down"
        await _said(liv, "here nothing is the matter")
        await lou.wait("line.posted", lambda body: body["line"]["text"] == "here nothing is the matter", timeout=FAR)
        assert all(service(page)["read_only"] for page in (mod, ann, bob)), "and that was meanwhile"

        cluster.let_take_over(node)
        await _said(ann, "after")
        # What the replica lacked was shown already, so the room begins anew on every page, and goes on there.
        for page in (mod, ann, bob):
            await page.wait("reset", timeout=FAR)
        await _said(bob, "and on")
        for page in (mod, ann, bob, lou, liv):
            text = "and on" if page not in (lou, liv) else "here nothing is the matter"
            await until(lambda page=page, text=text: _heard(page, text), within_s=FAR)
            assert page.close_code is None
        assert ann.seq == bob.seq == mod.seq

        # The law, and that nothing that was removed is ever delivered again, however one comes back.
        fresh = await one.join(house.person("fay"), room)
        back = await two.join(house.person("bob"), room, resume_from=position)
        assert [line["text"] for line in fresh.welcome["room"]["lines"]] == [
            "before",
            "the replica never heard of this",
            "after",
            "and on",
        ]
        assert fresh.welcome["room"]["lines"][0]["id"] == before
        assert back.envelopes[0]["kind"] == "reset"
        await until(lambda: fresh.seq == ann.seq, within_s=FAR)
        for page in pages:
            page.read()
            assert page.state() == told(fresh).state()
        later = [envelope for page in (mod, ann, bob) for envelope in list(page.envelopes)[had[id(page)] :]]
        for envelope in [*later, *fresh.envelopes, *back.envelopes]:
            assert "something" not in str(envelope)
        eve = await two.join(house.person("eve"), room)
        assert (await eve.post("line.post", {"text": "me again"})).code == "silenced"


def service(page: RoomClient) -> dict[str, Any]:
    """What the page was told last of what is given up."""
    seen = page.seen("service.changed")
    return seen[-1]["service"] if seen else {"read_only": False}


def told(client: RoomClient) -> Page:
    page = Page(client)
    page.read()
    return page


async def test_a_gate_sells_on_by_the_replica_of_its_node_and_never_too_much(cluster, tmp_path) -> None:
    """By a process that asks the store by scripts alone, as a purchase does: nothing else tells its client that the
    node is another."""
    async with shop_world.world(cluster.url, tmp_path) as shop:
        for n in itertools.count():
            coat, scarf = f"COAT-{n}", f"SCARF-{n}"
            show = await shop.stock_a_show({coat: 3, scarf: 1})
            node = cluster.master_of(keys.gate(show))
            if cluster.may_die(node):
                break
        assert (await shop.buy("ann", coat)).status == "paid"
        cluster.cut_off(node)
        assert (await shop.buy("bob", coat, key="key-2")).status == "paid"
        await shop.add("eve", scarf)
        cluster.kill(node)
        with pytest.raises(StoreDown):
            await shop.add("fay", coat)
        cluster.let_take_over(node)
        await _once_it_is_there(lambda: shop.gate.reconcile(show))
        assert {sku: level.left for sku, level in (await shop.levels()).items()} == {coat: 1, scarf: 1}
        assert not await shop.wrong()
        assert (await shop.buy("fay", coat, key="key-3")).status == "paid"
        with pytest.raises(SoldOut):
            await shop.add("eve", coat)
        assert await shop.sold(coat) == 3
        assert not await shop.wrong()
