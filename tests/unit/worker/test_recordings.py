"""Recordings whose relay died are closed by the worker."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import insert, select

from live.clock import SetClock
from live.settings import Settings
from live.store.sql import Database
from live.store.tables import brands, recordings, shows
from live.worker.recordings import QUIET_MS, close_abandoned


async def test_a_recording_that_nobody_writes_is_finished_and_one_without_a_file_failed(tmp_path: Path) -> None:
    clock = SetClock()
    now = clock.now_ms()
    db = await Database.open(Settings(data_dir=tmp_path, database_url=None))
    try:
        await db.write(lambda c: c.execute(insert(brands).values(BRAND)))
        await db.write(lambda c: c.execute(insert(shows).values(SHOW)))
        for name, started_ms, written_ms in (
            ("left", now - 500_000, now - QUIET_MS - 1_000),
            ("written", now - 500_000, now - 1_000),
            ("fresh", now - 1_000, None),
            ("gone", now - 500_000, None),
        ):
            row = {"id": name, "show_id": "sho_1", "path": f"{name}.mp4", "state": "recording"}
            row |= {"starts_at_ms": 0, "started_ms": started_ms}
            await db.write(lambda c, row=row: c.execute(insert(recordings).values(row)))  # type: ignore[misc]
            if written_ms is not None:
                (tmp_path / f"{name}.mp4").write_bytes(b"film")
                os.utime(tmp_path / f"{name}.mp4", (written_ms / 1000, written_ms / 1000))
        assert await close_abandoned(db, clock, tmp_path) == 2
        rows = await db.read(lambda c: c.execute(select(recordings)).all())
        assert {row.id: row.state for row in rows} == {
            "left": "finished",
            "written": "recording",
            "fresh": "recording",
            "gone": "failed",
        }
        left = next(row for row in rows if row.id == "left")
        assert (left.bytes, left.ended_ms) == (4, now - QUIET_MS - 1_000)
        assert await close_abandoned(db, clock, tmp_path) == 0, "again: nothing more"
    finally:
        await db.close()


BRAND = {"id": "bra_1", "slug": "b", "name": "B", "currency": "EUR", "country": "FR", "created_ms": 0}
SHOW = {"id": "sho_1", "brand_id": "bra_1", "slug": "s", "title": "S", "created_ms": 0}
