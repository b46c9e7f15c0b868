"""A recording's row says what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Row, insert, select

from live.relay.recording_events import RecordingBehind, RecordingFailed, RecordingFinished, RecordingStarted
from live.relay.recording_rows import note
from live.settings import Settings
from live.store.sql import Database
from live.store.tables import brands, recordings, shows

STARTED = RecordingStarted("rec_1", "sho_1", "recordings/sho_1/rec_1.mp4", 9_000, 1_000)
FINISHED = RecordingFinished("rec_1", "sho_1", 61_000, 4_711, 60_000)
FAILED = RecordingFailed("rec_1", "sho_1", "disk_full", 31_000, 2_000)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(Settings(data_dir=tmp_path, database_url=None))
    await database.write(a_show)
    yield database
    await database.close()


def a_show(connection: Connection) -> None:
    brand = {"id": "bra_1", "slug": "b", "name": "B", "currency": "EUR", "country": "FR", "created_ms": 0}
    connection.execute(insert(brands).values(brand))
    connection.execute(insert(shows).values(id="sho_1", brand_id="bra_1", slug="s", title="S", created_ms=0))


async def row(db: Database) -> Row[tuple[object, ...]]:
    return await db.read(lambda connection: connection.execute(select(recordings)).one())


async def test_a_recording_is_on_the_books_from_its_first_frame(db: Database) -> None:
    await db.write(lambda connection: note(connection, STARTED))
    seen = await row(db)
    assert (seen.state, seen.path, seen.starts_at_ms, seen.started_ms) == ("recording", STARTED.path, 9_000, 1_000)
    assert (seen.ended_ms, seen.bytes) == (None, 0)


@pytest.mark.parametrize(("event", "state"), [(FINISHED, "finished"), (FAILED, "failed")])
async def test_its_end_is_on_the_books_with_its_size(
    event: RecordingFinished | RecordingFailed, state: str, db: Database
) -> None:
    for told in (STARTED, event, event, STARTED, RecordingBehind("sho_1", 5)):
        await db.write(lambda connection, told=told: note(connection, told))
    seen = await row(db)
    assert (seen.state, seen.ended_ms, seen.bytes) == (state, event.ended_ms, event.bytes)


async def test_an_alarm_before_the_first_file_has_no_row(db: Database) -> None:
    await db.write(lambda connection: note(connection, RecordingFailed(None, "sho_1", "disk_full", 1, 0)))
    assert await db.read(lambda connection: connection.execute(select(recordings)).all()) == []
