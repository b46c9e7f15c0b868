"""What many tests share: a real store, started once a run."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from store_server import StoreServer, redis_client


@pytest.fixture(scope="session")
def store_server() -> Iterator[StoreServer]:
    """The store that most tests share. Don't kill this one: take `own_store_server`."""
    with tempfile.TemporaryDirectory(prefix="frontrow-store-") as folder:
        server = StoreServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def own_store_server() -> Iterator[StoreServer]:
    """A store of this test's own, to kill."""
    with tempfile.TemporaryDirectory(prefix="frontrow-store-") as folder:
        server = StoreServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def redis_url(store_server: StoreServer) -> str:
    """The address of a real, empty store."""
    with SyncRedis(unix_socket_path=str(store_server.socket)) as client:
        client.flushall()
    return store_server.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of that store, as `live.store.redis.connect` makes it: bytes, and no retries."""
    client = redis_client(redis_url)
    try:
        yield client
    finally:
        await client.aclose()
