"""Two processes' worth of services on the same real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from house import House, settings_for

from live.clock import SetClock
from live.desk.wiring import Services, services


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def two(tmp_path: Path, redis_url: str, clock: SetClock) -> AsyncIterator[tuple[Services, Services]]:
    async with AsyncExitStack() as stack:
        settings = settings_for(tmp_path, redis_url)
        one = await stack.enter_async_context(services(settings, clock=clock))
        other = await stack.enter_async_context(services(settings, clock=clock))
        yield one, other


@pytest.fixture
async def house(two: tuple[Services, Services]) -> House:
    return await House(two[0]).seed()
