"""What becomes of recordings: those whose relay died are closed, finished ones get their index, old ones go, and files
and rows that lost each other are brought together.

A worker may run on another machine than the relay: it judges rows only by folders that it has.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import structlog
from sqlalchemy import Connection, select, update

from live.clock import Clock
from live.ids import new_id
from live.settings import Settings
from live.stage.recordings import DAY_MS, FOLDER, TYPES, Recording, Recordings, to_remove
from live.stage.timeline import Timeline
from live.store.sql import Database
from live.store.tables import recordings, shows
from live.worker.remux import PART, index

log = structlog.get_logger("worker")

QUIET_MS = 60_000  # a file that was not written to for so long has no writer any more
RESERVE_BYTES = 256 << 20  # left free beside the copy: the shop's books are on the same disk
PATIENCE_MS = 3_600_000
GB = 1 << 30


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
            done = {"state": "finished", "bytes": size, "ended_ms": written_ms or now}
            if not size:
                done |= {"state": "failed", "why": "gone"}
            connection.execute(update(recordings).where(recordings.c.id == row.id).values(done))
            count += 1
        return count

    return await db.write(close)


class Reels:
    """The jobs. Each may be run by any number of workers."""

    def __init__(self, db: Database, clock: Clock, settings: Settings) -> None:
        self._db, self._clock, self._settings = db, clock, settings
        self._recordings = Recordings(db, clock, settings.data_dir)
        self._timeline = Timeline(db)

    async def close(self) -> int:
        return await close_abandoned(self._db, self._clock, self._settings.data_dir)

    async def index(self) -> int:
        """Give finished files their index, one after the other. Answers how many."""
        rows, now, done = await self._recordings.list(), self._clock.now_ms(), 0
        is_busy = any(one.state == "recording" for one in rows)
        for one in rows:
            path = self._recordings.file(one) if one.state in ("finished", "failed") else None
            if path is None or one.indexed_ms is not None:
                continue
            if is_busy and now - (one.ended_ms or now) < PATIENCE_MS:
                continue  # the disk belongs to the show that is being recorded; but not for ever
            if shutil.disk_usage(path.parent).free < path.stat().st_size + RESERVE_BYTES:
                log.warning("recording.no_room_for_index", recording=one.id, bytes=one.bytes)
                continue
            try:
                found = await asyncio.to_thread(index, path)
            except FileExistsError:
                continue
            values = {"indexed_ms": self._clock.now_ms(), "bytes": path.stat().st_size}
            # One in which nothing can be read doesn't play, and isn't tried again.
            await self._recordings.change(one.id, **values, duration_ms=found.duration_ms if found else 0)
            log.info("recording.indexed", recording=one.id, duration_ms=found.duration_ms if found else None)
            done += 1
        return done

    async def retire(self) -> int:
        """Remove what is too old or too much. Answers how many."""
        settings = self._settings
        going = to_remove(
            await self._recordings.list(),
            now_ms=self._clock.now_ms(),
            days=settings.recording_days,
            most_bytes=round(settings.recording_gb * GB),
        )
        done = 0
        for one, why in going:
            if self._recordings.file(one) is None and not self._judges(one.path):
                continue
            if await self._recordings.remove(one, why):
                log.info("recording.removed", recording=one.id, show=one.show_id, why=why, bytes=one.bytes)
                done += 1
        return done

    async def reconcile(self) -> int:
        """Rows without a file say so; files without a row get one, or go with their time. Answers how many."""
        rows = await self._recordings.list()
        done = 0
        for one in rows:
            is_there = one.state == "recording" or one.state == "removed" or self._recordings.file(one) is not None
            if not is_there and self._judges(one.path):
                await self._recordings.change(one.id, state="removed", why="gone")
                done += 1
        return done + await self._find_strays({one.path: one for one in rows})

    async def _find_strays(self, known: dict[str, Recording]) -> int:
        root, now, done = self._settings.data_dir / FOLDER, self._clock.now_ms(), 0
        for path in sorted(root.glob("*/*")) if root.is_dir() else []:
            row = known.get(path.relative_to(self._settings.data_dir).as_posix())
            written_ms = int(path.stat().st_mtime * 1000)
            if now - written_ms < QUIET_MS or not path.is_file() or (row is not None and row.state != "removed"):
                continue
            if path.suffix == PART or row is not None:
                path.unlink(missing_ok=True)  # an index that was not finished; or a removal that was not
            elif path.suffix in TYPES and await self._adopt(path, written_ms, path.stat().st_size):
                log.info("recording.adopted", path=path.name, show=path.parent.name)
            elif self._settings.recording_days and written_ms < now - self._settings.recording_days * DAY_MS:
                path.unlink(missing_ok=True)
            else:
                continue
            done += 1
        return done

    async def _adopt(self, path: Path, written_ms: int, size: int) -> bool:
        """The file's row, if its folder names a show. Where it belongs is told by the show's timeline, which knows both
        clocks."""
        show_id = path.parent.name
        is_known = select(shows.c.id).where(shows.c.id == show_id)
        if await self._db.read(lambda sql: sql.execute(is_known).first()) is None:
            return False
        try:
            found = await asyncio.to_thread(index, path)
        except FileExistsError:
            return False
        duration_ms, size = (found.duration_ms, found.bytes) if found is not None else (0, size)
        moments = await self._timeline.of(show_id)
        first_wall_ms = moments[-1].wall_ms - moments[-1].at_ms if moments else written_ms - duration_ms
        started_ms = written_ms - duration_ms
        await self._recordings.adopt(
            Recording(
                id=path.stem if path.stem.startswith("rec_") else new_id("rec"),
                show_id=show_id,
                path=path.relative_to(self._settings.data_dir).as_posix(),
                state="finished" if found is not None else "failed",
                starts_at_ms=max(0, started_ms - first_wall_ms),
                started_ms=started_ms,
                ended_ms=written_ms,
                bytes=size,
                duration_ms=duration_ms,
                why="" if found is not None else "media",
                kept=False,
                indexed_ms=self._clock.now_ms(),
            )
        )
        return True

    def _judges(self, path: str) -> bool:
        """Whether this machine has the folder that the file would be in."""
        return (self._settings.data_dir / path).parent.is_dir()
