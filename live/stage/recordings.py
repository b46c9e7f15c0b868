"""A show's recordings: their rows, their files, and which of them are to go.

A row outlives its file, so that the host still sees what was recorded. Files are below `recordings/<show>/` of the data
folder; whatever a row says, nothing outside of it is read or removed.
"""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from live.clock import Clock
from live.errors import NotFound
from live.store.sql import Database
from live.store.tables import recordings

FOLDER = "recordings"
TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}
DAY_MS = 86_400_000

State = Literal["recording", "finished", "failed", "removed"]


class Recording(msgspec.Struct, frozen=True):
    """One file. `starts_at_ms` is the media time of its first frame; `why`: failed: disk_full, file, media, gone;
    removed: age, space, hand, gone. `indexed_ms`: since when players can seek in it."""

    id: str
    show_id: str
    path: str
    state: State
    starts_at_ms: int
    started_ms: int
    ended_ms: int | None
    bytes: int
    duration_ms: int
    why: str
    kept: bool
    indexed_ms: int | None

    @property
    def type(self) -> str:
        return TYPES.get(Path(self.path).suffix, "application/octet-stream")

    @property
    def plays(self) -> bool:
        """Whether there is something to see: also of one that broke off."""
        return self.state in ("finished", "failed") and self.duration_ms > 0


class Recordings:
    """The recordings of every show."""

    def __init__(self, db: Database, clock: Clock, data_dir: Path) -> None:
        self._db = db
        self._clock = clock
        self._data_dir = data_dir

    async def list(self, show_id: str | None = None) -> builtins.list[Recording]:
        """In the order in which they play."""

        def read(sql: Connection) -> builtins.list[Recording]:
            query = select(recordings).order_by(recordings.c.started_ms, recordings.c.id)
            if show_id is not None:
                query = select(recordings).where(recordings.c.show_id == show_id)
                query = query.order_by(recordings.c.starts_at_ms, recordings.c.id)
            return [_recording(row) for row in sql.execute(query)]

        return await self._db.read(read)

    async def playable(self, show_id: str) -> builtins.list[Recording]:
        """Those of a show that can be seen, their files being there."""
        return [one for one in await self.list(show_id) if one.plays and self.file(one) is not None]

    async def by_id(self, recording: str) -> Recording:
        """Raises: NotFound."""
        row = await self._db.read(
            lambda sql: sql.execute(select(recordings).where(recordings.c.id == recording)).first()
        )
        if row is None:
            raise NotFound("recording", recording)
        return _recording(row)

    def file(self, one: Recording) -> Path | None:
        """The file, if it is there and where recordings are."""
        folder = (self._data_dir / FOLDER).resolve()
        path = (self._data_dir / one.path).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None

    async def keep(self, recording: str, kept: bool) -> None:
        """Whether retention leaves it alone. Raises: NotFound."""
        await self.by_id(recording)
        await self.change(recording, kept=int(kept))

    async def remove(self, one: Recording, why: str) -> bool:
        """Take the file away and say so in the row; False for one that is being written.

        The row first: should the file stay behind, the worker finds it without one that wants it.
        """

        def write(sql: Connection) -> int:
            is_free = (recordings.c.id == one.id) & recordings.c.state.in_(("finished", "failed"))
            return sql.execute(update(recordings).where(is_free).values(state="removed", why=why)).rowcount

        if not await self._db.write(write):
            return False
        path = self.file(one)
        if path is not None:
            path.unlink(missing_ok=True)
        return True

    async def change(self, recording: str, **values: Any) -> None:
        """Write columns of a row."""
        await self._db.write(
            lambda sql: sql.execute(update(recordings).where(recordings.c.id == recording).values(**values))
        )

    async def adopt(self, one: Recording) -> None:
        """A row for a file that has none: the store was away when it began."""
        values = {**msgspec.structs.asdict(one), "kept": int(one.kept)}
        await self._db.write(lambda sql: sql.execute(insert(recordings).values(**values)))


def to_remove(
    all_of_them: list[Recording], *, now_ms: int, days: int, most_bytes: int
) -> list[tuple[Recording, Literal["age", "space"]]]:
    """Which are to go, the oldest first: those older than `days` (0: none is), then as many more as bring what is left
    below `most_bytes` (0: no limit). Neither one that is kept nor one that is being written; these two count as bytes.
    """
    present = [one for one in all_of_them if one.state != "removed"]
    free = sorted(
        (one for one in present if one.state != "recording" and not one.kept),
        key=lambda one: one.ended_ms or one.started_ms,
    )
    out: list[tuple[Recording, Literal["age", "space"]]] = []
    left = sum(one.bytes for one in present)
    for one in free:
        if days and (one.ended_ms or one.started_ms) < now_ms - days * DAY_MS:
            out.append((one, "age"))
        elif most_bytes and left > most_bytes:
            out.append((one, "space"))
        else:
            continue
        left -= one.bytes
    return out


def _recording(row: Row[Any]) -> Recording:
    return Recording(
        row.id,
        row.show_id,
        row.path,
        row.state,
        row.starts_at_ms,
        row.started_ms,
        row.ended_ms,
        row.bytes,
        row.duration_ms,
        row.why,
        bool(row.kept),
        row.indexed_ms,
    )
