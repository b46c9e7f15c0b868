"""Lines on their way to the archive: gathered, written a few hundred at a time, never waited for by who talks."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from chat.ports import Archive, LineRecord

log = logging.getLogger("chat.keeper")

QUEUED_LINES = 10_000
BATCH_LINES = 200


class Keeper:
    """Fails open: a line that doesn't fit or can't be written is counted in `lost` and stays in the room's log only."""

    def __init__(self, archive: Archive) -> None:
        self.lost = 0
        self._archive = archive
        self._lines: asyncio.Queue[tuple[str, LineRecord]] = asyncio.Queue(QUEUED_LINES)

    def keep(self, room: str, record: LineRecord) -> None:
        try:
            self._lines.put_nowait((room, record))
        except asyncio.QueueFull:
            self.lost += 1

    async def run(self) -> None:
        while True:
            await self._write([await self._lines.get()])

    async def rest(self, within_s: float) -> None:
        """What still waits when the process goes."""
        if not self._lines.empty():
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._write([self._lines.get_nowait()])

    async def _write(self, batch: list[tuple[str, LineRecord]]) -> None:
        while not self._lines.empty():
            batch.append(self._lines.get_nowait())
        for room in {name for name, _ in batch}:
            records = [record for name, record in batch if name == room]
            for start in range(0, len(records), BATCH_LINES):
                part = records[start : start + BATCH_LINES]
                try:
                    await self._archive.lines_posted(room, part)
                except Exception:
                    self.lost += len(part)
                    log.exception("%d lines of %s were not archived", len(part), room)
