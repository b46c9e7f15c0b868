"""Both SQL stores, real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pg
import pytest
import shop_world
from house import settings_for

from live.desk.wiring import Services, services
from live.store.migrate import upgrade


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A running PostgreSQL with this project's schema."""
    with pg.running() as url:
        upgrade(url, Path("/nowhere"))
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """None means SQLite in the test's own folder; PostgreSQL is emptied first."""
    if request.param == "sqlite":
        return None
    url = str(request.getfixturevalue("postgres_url"))
    shop_world.empty(url)
    return url


@pytest.fixture
async def world(redis_url: str, tmp_path: Path, database_url: str | None) -> AsyncIterator[shop_world.World]:
    """A shop on each of the two stores in turn."""
    async with shop_world.world(redis_url, tmp_path, database_url=database_url) as shop:
        yield shop


@pytest.fixture
async def s(redis_url: str, tmp_path: Path, database_url: str | None) -> AsyncIterator[Services]:
    """All of a process's parts, on each of the two stores in turn."""
    async with services(settings_for(tmp_path, redis_url, database_url=database_url)) as parts:
        yield parts
