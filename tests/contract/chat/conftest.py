"""Both SQL stores under the room's archive, real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import fresh_store
import pg
import pytest
import shop_world
from redis.asyncio import Redis

from live.accounts.sessions import Sessions
from live.clock import SystemClock
from live.desk.archive import SqlArchive
from live.settings import Settings
from live.store.migrate import upgrade
from live.store.sql import Database


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A running PostgreSQL with this project's schema."""
    with pg.running() as url:
        upgrade(url, Path("/nowhere"))
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Each of the two stores in turn, empty."""
    url = None
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        shop_world.empty(url)
    else:
        fresh_store.lay(tmp_path)
    database = await Database.open(Settings(data_dir=tmp_path, database_url=url, _env_file=None))
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
def sessions(redis: Redis) -> Sessions:
    return Sessions(redis, SystemClock())


@pytest.fixture
def sql_archive(db: Database, sessions: Sessions) -> SqlArchive:
    return SqlArchive(db, sessions)
