"""Bounds of time that hold on a machine of any speed: where it stands still, or gives others its cores, so does the
clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

TICK_S = 0.01


async def soon(what: Awaitable[T], within_s: float = 1.0) -> T:
    """Its result. Fails when it takes `within_s` or longer, told by the turns of this process's loop: one that comes
    late, as all that is measured then does, counts as one."""
    task = asyncio.ensure_future(what)
    for _ in range(round(within_s / TICK_S)):
        done, _ = await asyncio.wait({task}, timeout=TICK_S)
        if done:
            return task.result()
    task.cancel()
    await asyncio.wait({task})
    raise AssertionError(f"not within {within_s} s")
