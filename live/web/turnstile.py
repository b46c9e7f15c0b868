"""A bound on how many requests are worked on at once.

A thousand taps in one moment don't make a process faster by all being half done: they wait for the same few
connections, and those at the end would find the stores "down" when they are only busy. So a few are inside and the
rest stand in line, first come, first served. The line has a bound, and nobody stands in it for ever: beyond either
the answer is `overloaded`, with a time to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from live.errors import Overloaded

INSIDE = 64  # fewer than the store's connections (live/store/redis.py), so that nobody inside waits for one
LINE = 4_000  # requests; each holds a few KiB
LINE_S = 30.0


class Turnstile:
    """`async with turnstile.inside(): …`"""

    def __init__(self, *, inside: int = INSIDE, line: int = LINE, line_s: float = LINE_S) -> None:
        self._places = asyncio.Semaphore(inside)  # wakes in order of arrival
        self._line = line
        self._line_s = line_s
        self.waiting = 0

    @asynccontextmanager
    async def inside(self) -> AsyncIterator[None]:
        """Waits for a place. Raises: Overloaded, when the line is full or the wait was too long."""
        if self._places.locked() and self.waiting >= self._line:
            raise Overloaded()
        self.waiting += 1
        try:
            async with asyncio.timeout(self._line_s):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded() from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._places.release()
