"""Lips through the whole relay: FFmpeg flashes and beeps each second over WHIP, and the file is looked at."""

from __future__ import annotations

import asyncio
from pathlib import Path

from relay_stage import ffmpeg, stage, until
from rtp_made import Played, play

# White for 100 ms at each whole second, and a 1 kHz tone with it.
FLASHES = "color=black:size=320x240:rate=30,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.1)'"
BEEPS = "aevalsrc='0.5*sin(2000*PI*t)*lt(mod(t,1),0.1)':s=48000"
LIPS_MS = 40  # what a viewer may see or hear out of step
H264 = ("-c:v", "libx264", "-profile:v", "baseline", "-tune", "zerolatency", "-preset", "ultrafast", "-g", "30")


async def recorded(tmp_path: Path, redis_url: str, *arguments: str, times: int = 1) -> Played:
    """The file of a show that FFmpeg published for 4 s, `times` times over."""
    async with stage(tmp_path, redis_url=redis_url, record=True) as up:
        for turn in range(times):
            async with ffmpeg(
                f"{up.url}/whip/one", *H264, "-b:v", "600k", "-pix_fmt", "yuv420p", *arguments,
                picture=FLASHES, sound=BEEPS,
            ):  # fmt: skip
                await until(lambda: up.relay.shows and up.show.state == "live")
                begun_ms = up.show.media_ms(up.process._clock.now_ms())
                await until(lambda: up.show.media_ms(up.process._clock.now_ms()) > begun_ms + 4_000)  # noqa: B023
            if turn + 1 < times:
                await until(lambda: up.show.state == "slate")
        recorder = up.show.recorder._recorder
        up.relay.end_show(up.show.name)
        await asyncio.to_thread(recorder._thread.join, 60)
    (path,) = (tmp_path / "recordings").rglob("*.mp4")
    return await asyncio.to_thread(play, path)


def out_of_step_ms(played: Played) -> list[int]:
    """For each flash that has its beep within half a second: how much later that beep is heard."""
    nearest = [(min(played.beeps_s, key=lambda beep: abs(beep - flash)), flash) for flash in played.flashes_s]
    return [round((beep - flash) * 1000) for beep, flash in nearest if abs(beep - flash) < 0.5]


async def test_lips_are_in_step_in_the_recording_of_a_published_show(tmp_path: Path, redis_url: str) -> None:
    apart_ms = out_of_step_ms(await recorded(tmp_path, redis_url))
    assert len(apart_ms) >= 3
    assert all(abs(ms) <= LIPS_MS for ms in apart_ms), apart_ms


async def test_lips_stay_in_step_when_the_publisher_came_back(tmp_path: Path, redis_url: str) -> None:
    apart_ms = out_of_step_ms(await recorded(tmp_path, redis_url, times=2))
    assert len(apart_ms) >= 6
    assert all(abs(ms) <= LIPS_MS for ms in apart_ms), apart_ms
