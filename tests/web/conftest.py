"""The application on real stores, for the web tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from house import Served, Web, running, served, settings_for


@pytest.fixture
async def web(tmp_path: Path, redis_url: str) -> AsyncIterator[Web]:
    async with running(settings_for(tmp_path, redis_url)) as web:
        yield web


@pytest.fixture
async def site(tmp_path: Path, redis_url: str) -> AsyncIterator[Served]:
    """A real uvicorn with the room's sockets."""
    async with served(settings_for(tmp_path, redis_url)) as site:
        yield site
