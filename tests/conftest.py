"""What many tests share: a real store, started once a process, and which of them run by themselves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pg
import pytest
from hypothesis import HealthCheck, settings
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from store_server import StoreServer, redis_client

# Files that watch a real picture by the second, or take both cores: `make test` runs them one after the other (`-m
# alone`), when those that don't mind their neighbours are through.
ALONE = {
    "browser/test_falling_over.py",
    "browser/test_hls_player.py",
    "browser/test_killed_origin.py",
    "browser/test_show.py",
    "browser/test_watched_again.py",
    "browser/test_ways_to_the_picture.py",
    "faults/test_race.py",
    "relay/test_killed_relay.py",
    "relay/test_lossy_line.py",
    "relay/test_mirrors.py",
    "relay/test_recorded_lips.py",
    "tail/test_behind_nginx.py",
    "tail/test_tail_process.py",
}
HERE = Path(__file__).parent

# By itself hypothesis fails an example that takes a fifth of a second, and a test whose examples are slow to make: on a
# busy machine that is any of them. And its examples are the same in each run: a change is judged by what it changed.
# HYPOTHESIS_SEED=random draws others; so do the long runs (`make faults`, `make fuzz-api`).
settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="HYPOTHESIS_SEED" not in os.environ,
    database=None,
)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    assert all((HERE / name).is_file() for name in ALONE)
    for item in items:
        if item.path.relative_to(HERE).as_posix() in ALONE:
            item.add_marker("alone")


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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """For whole servers, on each store in turn. None: SQLite in the data folder. PostgreSQL: an empty server; the
    processes migrate it as they start."""
    if request.param == "sqlite":
        yield None
    else:
        with pg.running() as url:
            yield url
