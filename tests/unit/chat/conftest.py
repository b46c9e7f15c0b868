from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from contract.chat.archive_contract import MemoryArchive
from room_process import House, Web, web_process


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
async def web(redis_url: str, house: House, archive: MemoryArchive) -> AsyncIterator[Web]:
    async with web_process(redis_url, house, archive) as process:
        yield process


@pytest.fixture
async def two_webs(redis_url: str, house: House, archive: MemoryArchive) -> AsyncIterator[tuple[Web, Web]]:
    async with web_process(redis_url, house, archive) as one, web_process(redis_url, house, archive) as two:
        yield one, two
