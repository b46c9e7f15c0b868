"""The worker's care of recordings: retention, and files and rows that lost each other."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from live.clock import SetClock
from live.settings import Settings
from live.stage.recordings import DAY_MS
from live.store.sql import Database
from live.store.tables import brands, recordings, shows, timeline
from live.worker.recordings import QUIET_MS, Reels
from live.worker.remux import PART

BRAND = {"id": "bra_1", "slug": "b", "name": "B", "currency": "EUR", "country": "FR", "created_ms": 0}
SHOW = {"id": "sho_1", "brand_id": "bra_1", "slug": "s", "title": "S", "created_ms": 0}


@dataclass
class House:
    folder: Path
    db: Database
    clock: SetClock
    reels: Reels

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms()

    async def row(self, name: str, *, age_ms: int = DAY_MS, file: bytes | None = b"film", **more: object) -> Path:
        path = f"recordings/sho_1/{name}.mp4"
        ended_ms = self.now_ms - age_ms
        values = {
            "id": name, "show_id": "sho_1", "path": path, "state": "finished", "starts_at_ms": 0,
            "started_ms": ended_ms - 1_000, "ended_ms": ended_ms, "bytes": len(file or b""), "duration_ms": 1_000,
        }  # fmt: skip
        await self.db.write(lambda sql: sql.execute(insert(recordings).values(**{**values, **more})))
        if file is not None:
            self.write(name + ".mp4", age_ms, file)
        return self.folder / path

    def write(self, name: str, age_ms: int, content: bytes = b"film", show: str = "sho_1") -> Path:
        path = self.folder / "recordings" / show / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ((self.now_ms - age_ms) / 1000,) * 2)
        return path

    async def states(self) -> dict[str, tuple[str, str]]:
        rows = await self.db.read(lambda sql: sql.execute(select(recordings)).all())
        return {row.id: (row.state, row.why) for row in rows}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    settings = Settings(_env_file=None, data_dir=tmp_path, recording_days=30, recording_gb=0)
    db, clock = await Database.open(settings), SetClock()
    await db.write(lambda sql: sql.execute(insert(brands).values(BRAND)))
    await db.write(lambda sql: sql.execute(insert(shows).values(SHOW)))
    yield House(tmp_path, db, clock, Reels(db, clock, settings))
    await db.close()


async def test_old_recordings_go_and_their_rows_say_so(house: House) -> None:
    old = await house.row("old", age_ms=31 * DAY_MS)
    kept = await house.row("kept", age_ms=31 * DAY_MS, kept=1)
    young = await house.row("young", age_ms=29 * DAY_MS)
    written = await house.row("written", age_ms=31 * DAY_MS, state="recording", ended_ms=None)
    assert await house.reels.retire() == 1
    assert [path.exists() for path in (old, kept, young, written)] == [False, True, True, True]
    states = await house.states()
    assert states["old"] == ("removed", "age")
    assert {states[name][0] for name in ("kept", "young")} == {"finished"}
    assert await house.reels.retire() == 0, "again: nothing more"


async def test_a_row_without_its_file_says_so(house: House) -> None:
    await house.row("gone", file=None)
    await house.row("there")
    assert await house.reels.reconcile() == 1
    assert await house.states() == {"gone": ("removed", "gone"), "there": ("finished", "")}


async def test_a_worker_without_the_folder_judges_nothing(house: House) -> None:
    await house.row("elsewhere", file=None)
    assert await house.reels.reconcile() == 0
    assert await house.reels.retire() == 0
    assert await house.states() == {"elsewhere": ("finished", "")}


async def test_what_a_crash_left_behind_is_cleared_once_it_is_quiet(house: House) -> None:
    left = house.write("rec_1.mp4" + PART, QUIET_MS + 1_000)
    fresh = house.write("rec_2.mp4" + PART, 1_000)
    removed = await house.row("rec_3", state="removed", why="age")
    os.utime(removed, ((house.now_ms - QUIET_MS * 2) / 1000,) * 2)
    assert await house.reels.reconcile() == 2
    assert [path.exists() for path in (left, fresh, removed)] == [False, True, False]


async def test_a_file_without_a_row_is_adopted_where_its_show_is_known(house: House) -> None:
    moment = {"show_id": "sho_1", "kind": "card.dropped", "actor": "", "body": "{}"}
    moment |= {"at_ms": 5_000, "wall_ms": house.now_ms - 400_000}  # so the first frame was 405 s ago
    await house.db.write(lambda sql: sql.execute(insert(timeline).values(**moment)))
    house.write("rec_stray.mp4", 100_000)
    house.write("rec_fresh.mp4", 1_000)
    stranger = house.write("rec_other.mp4", 31 * DAY_MS, show="sho_unknown")
    await house.reels.reconcile()
    (row,) = await house.db.read(lambda sql: sql.execute(select(recordings)).all())
    assert (row.id, row.show_id, row.path) == ("rec_stray", "sho_1", "recordings/sho_1/rec_stray.mp4")
    assert row.state == "failed", "four bytes are no film"
    assert row.starts_at_ms == 305_000
    assert not stranger.exists(), "nobody's, and older than recordings get"


async def test_a_file_in_which_nothing_can_be_read_is_tried_once(house: House) -> None:
    await house.row("rec_1")
    assert await house.reels.index() == 1
    assert await house.reels.index() == 0
    (row,) = await house.db.read(lambda sql: sql.execute(select(recordings)).all())
    assert (row.duration_ms, row.indexed_ms) == (0, house.now_ms)


async def test_while_a_show_is_recorded_the_disk_is_its(house: House) -> None:
    await house.row("rec_1", age_ms=1_000)
    await house.row("rec_2", state="recording", ended_ms=None)
    assert await house.reels.index() == 0
    house.clock.advance(3_600_000)
    assert await house.reels.index() == 1, "but not for ever"
