"""From FFmpeg's WHIP through the relay into a file and its row."""

from __future__ import annotations

import asyncio
from pathlib import Path

from relay_stage import ffmpeg, stage, until
from rtp_made import play
from sqlalchemy import Connection, insert, select, update

from live.store.sql import Database
from live.store.tables import brands, recordings, shows


def a_show(connection: Connection) -> None:
    brand = {"id": "bra_1", "slug": "b", "name": "B", "currency": "EUR", "country": "FR", "created_ms": 0}
    connection.execute(insert(brands).values(brand))
    one = {"id": "shw_one", "brand_id": "bra_1", "slug": "one", "title": "S", "created_ms": 0, "status": "live"}
    connection.execute(insert(shows).values(one))


async def test_a_published_show_is_recorded_and_on_the_books(tmp_path: Path, redis_url: str) -> None:
    async with stage(tmp_path, redis_url=redis_url, record=True) as up:
        db = await Database.open(up.settings)
        await db.write(a_show)
        up.process._db = db

        async def rows() -> list[tuple[str, str, int, int]]:
            found = await db.read(lambda connection: connection.execute(select(recordings)).all())
            return [(row.state, row.path, row.starts_at_ms, row.bytes) for row in found]

        async with ffmpeg(f"{up.url}/whip/one"):
            await until(lambda: up.relay.shows and up.show.state == "live")
            await until(lambda: up.show.media_ms(up.process._clock.now_ms()) > 3_000)
            # A publisher who had to wait for a busy machine has sent less by then.
            await until(lambda: up.show.recorder._recorder.counts.frames > 230)
            ((state, path, starts_at_ms, _),) = await rows()
            assert state == "recording"
            assert starts_at_ms < 1_000
        up.relay.end_show(up.show.name)
        async with asyncio.timeout(60):
            while (await rows())[0][0] == "recording":  # noqa: ASYNC110 - SQL tells nobody
                await asyncio.sleep(0.02)
        ((state, path, _, size),) = await rows()
        assert state == "finished"
        assert size == (tmp_path / path).stat().st_size
        played = await asyncio.to_thread(play, tmp_path / path)
        await db.close()
    assert played.size == (320, 240)
    assert len(played.video_s) > 75
    assert len(played.audio_s) > 120
    # FFmpeg stops with less picture sent than sound; lips are measured in test_recorded_lips.py.
    assert abs(played.video_s[-1] - played.audio_s[-1]) < 1


async def test_a_preview_is_not_recorded(tmp_path: Path, redis_url: str) -> None:
    async with stage(tmp_path, redis_url=redis_url, record=True) as up:
        db = await Database.open(up.settings)
        await db.write(a_show)
        await db.write(lambda connection: connection.execute(update(shows).values(status="scheduled")))
        up.process._db = db
        async with ffmpeg(f"{up.url}/whip/one"):
            await until(lambda: up.relay.shows and up.show.state == "live")
            await until(lambda: up.show.media_ms(up.process._clock.now_ms()) > 2_000)
            assert await db.read(lambda connection: connection.execute(select(recordings)).all()) == []
            opened_ms = up.show.media_ms(up.process._clock.now_ms())
            await db.write(lambda connection: connection.execute(update(shows).values(status="live")))
            async with asyncio.timeout(60):
                while not (rows := await db.read(lambda sql: sql.execute(select(recordings)).all())):  # noqa: ASYNC110 - SQL tells nobody
                    await asyncio.sleep(0.02)
        assert opened_ms - 500 < rows[0].starts_at_ms < opened_ms + 2_500
        up.relay.end_show(up.show.name)
        await up.process._news.settled(5)  # type: ignore[union-attr]
        await db.close()
