"""Recordings whose relay died: their files end where they ended."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, select, update

from live.clock import Clock
from live.store.sql import Database
from live.store.tables import recordings

QUIET_MS = 60_000  # a file that was not written to for so long has no writer any more


async def close_abandoned(db: Database, clock: Clock, data_dir: Path) -> int:
    """Mark recordings that nobody writes any more as finished, or failed when there is no file. Answers how many."""
    now = clock.now_ms()

    def close(connection: Connection) -> int:
        count = 0
        for row in connection.execute(select(recordings).where(recordings.c.state == "recording")).all():
            path = data_dir / row.path
            size, written_ms = (path.stat().st_size, int(path.stat().st_mtime * 1000)) if path.exists() else (0, 0)
            if now - max(written_ms, row.started_ms) < QUIET_MS:
                continue
            state = "finished" if size else "failed"
            done = {"state": state, "bytes": size, "ended_ms": written_ms or now}
            connection.execute(update(recordings).where(recordings.c.id == row.id).values(done))
            count += 1
        return count

    return await db.write(close)
