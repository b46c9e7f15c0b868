"""kill -9 on a real relay process while a real publisher sends: what is left plays up to two seconds before."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import av
import pytest
from relay_stage import ffmpeg, front, relay_child
from sqlalchemy import Connection, insert, select

from live.clock import SetClock
from live.settings import Settings
from live.store import keys
from live.store.sql import Database
from live.store.tables import brands, recordings, shows
from live.worker.recordings import QUIET_MS, Reels

LOST_MS = 2_000
H264 = ("-c:v", "libx264", "-profile:v", "baseline", "-tune", "zerolatency", "-preset", "ultrafast", "-g", "30")


def a_show(connection: Connection) -> None:
    brand = {"id": "bra_1", "slug": "b", "name": "B", "currency": "EUR", "country": "FR", "created_ms": 0}
    connection.execute(insert(brands).values(brand))
    one = {"id": "shw_one", "brand_id": "bra_1", "slug": "one", "title": "S", "created_ms": 0, "status": "live"}
    connection.execute(insert(shows).values(one))


async def media_ms(redis: Any) -> int:
    """The show's media time now, by the relay's clock in the registry; 0 before the first frame."""
    state, at_ms, wall_ms = await redis.hmget(keys.media("shw_one"), ["state", "media_ms", "wall_ms"])
    return int(at_ms) + round(time.time() * 1000) - int(wall_ms) if state == b"live" else 0


def ends_ms(path: Path) -> dict[str, float]:
    """Where each stream of the file ends, as far as it can be read."""
    ends: dict[str, float] = {}
    with av.open(str(path)) as file:
        try:
            for packet in file.demux():
                if packet.pts is not None and not packet.is_corrupt:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base * 1000)
                    ends[packet.stream.type] = max(end, ends.get(packet.stream.type, 0.0))
        except av.error.InvalidDataError:
            pass  # torn in the middle of a packet
    return ends


async def test_kill_9_of_a_relay_loses_less_than_two_seconds_and_the_rest_is_brought_home(
    tmp_path: Path, redis_url: str
) -> None:
    db = await Database.open(Settings(_env_file=None, data_dir=tmp_path))
    await db.write(a_show)
    async with (
        front(tmp_path, redis_url) as running,
        relay_child(running, redis_url, FRONTROW_RECORD="true") as relay,
        ffmpeg(f"{running.url}/whip/one", *H264, "-b:v", "600k", "-pix_fmt", "yuv420p"),
    ):
        async with asyncio.timeout(60):
            while await media_ms(running.redis) < 4_500:  # noqa: ASYNC110 - the registry is beaten, not told
                await asyncio.sleep(0.02)
        # When it died, between two looks: this process, too, may have to wait for its turn.
        alive_ms = await media_ms(running.redis)
        os.kill(relay.pid, signal.SIGKILL)
        killed_ms = await media_ms(running.redis)
        await relay.wait()

    (row,) = await db.read(lambda sql: sql.execute(select(recordings)).all())
    assert (row.state, row.show_id) == ("recording", "shw_one")
    ends = ends_ms(tmp_path / row.path)
    lost_ms = {kind: round(alive_ms - row.starts_at_ms - ends[kind]) for kind in ("video", "audio")}
    print(f"lost: {lost_ms} ms")
    assert all(alive_ms - killed_ms - 300 < ms <= LOST_MS for ms in lost_ms.values()), lost_ms

    # A minute later a worker ends the row, gives the file its index, and it is whole again.
    clock = SetClock(round(time.time() * 1000) + QUIET_MS + 1_000)
    reels = Reels(db, clock, Settings(_env_file=None, data_dir=tmp_path))
    assert await reels.close() == 1
    assert await reels.index() == 1
    (row,) = await db.read(lambda sql: sql.execute(select(recordings)).all())
    assert row.state == "finished"
    assert row.duration_ms == pytest.approx(max(ends.values()), abs=50)
    with av.open(str(tmp_path / row.path)) as file:
        frames = sum(1 for _ in file.decode(video=0))
    assert frames >= (alive_ms - LOST_MS) * 30 / 1000 - 15
    await db.close()
