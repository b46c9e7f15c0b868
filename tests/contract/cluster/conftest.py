"""The same rooms and shops, on a cluster of three real nodes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import shop_world
from redis.asyncio import Redis
from store_cluster import StoreCluster

from live.settings import Settings
from live.store.redis import connect

HERE = Path(__file__).parents[2]
sys.path += [str(HERE / "unit" / "chat"), str(HERE / "contract" / "store")]  # whose tests run here once more

from contract.chat.archive_contract import MemoryArchive  # noqa: E402
from room_process import House, Web, web_process  # noqa: E402


@pytest.fixture(scope="session")
def store_cluster() -> Iterator[StoreCluster]:
    with tempfile.TemporaryDirectory(prefix="frontrow-cluster-") as folder:
        cluster = StoreCluster(Path(folder))
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def redis_url(store_cluster: StoreCluster) -> str:
    store_cluster.flush()
    return store_cluster.url


@pytest.fixture
async def redis(redis_url: str, tmp_path: Path) -> AsyncIterator[Redis]:
    client = await connect(Settings(_env_file=None, data_dir=tmp_path, redis_url=redis_url))
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
async def world(redis_url: str, tmp_path: Path) -> AsyncIterator[shop_world.World]:
    async with shop_world.world(redis_url, tmp_path) as shop:
        yield shop


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
async def two_webs(redis_url: str, house: House, archive: MemoryArchive) -> AsyncIterator[tuple[Web, Web]]:
    async with web_process(redis_url, house, archive) as one, web_process(redis_url, house, archive) as two:
        yield one, two


@pytest.fixture
async def web(two_webs: tuple[Web, Web]) -> Web:
    return two_webs[0]
