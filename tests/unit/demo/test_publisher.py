"""`frontrow publish` as a process of its own against a WHIP server that decodes what arrives."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from whip_server import WhipServer, whip_server

from live.demo import feed, timecode
from live.demo.feed import FileFeed, Unplayable, prepare

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def film(path: Path, codec: str, *, sound: str | None = "aac", b_frames: int = 0, seconds: float = 2.0) -> Path:
    """A small film, its frames a brightness that counts up."""
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        if codec == "libx264":
            profile = "main" if b_frames else "baseline"  # aiortc takes no other offer
            video.options = {"g": "25", "bf": str(b_frames), "preset": "veryfast", "profile": profile}
        audio = output.add_stream(sound, rate=44_100, layout="stereo") if sound else None
        for number in range(int(seconds * 25)):
            picture = np.random.default_rng(number).integers(40, 200, (270, 320), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio is not None:
            for number in range(int(seconds * 44_100 / 1024)):
                block = av.AudioFrame.from_ndarray(
                    np.zeros((2, 1024), dtype=np.float32), format="fltp", layout="stereo"
                )
                block.sample_rate, block.pts, block.time_base = 44_100, number * 1024, Fraction(1, 44_100)
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))
    return path


async def until(true: Callable[[], bool], within_s: float = 90.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def publish(url: str, data: Path, *arguments: str, key: str = "a-key") -> asyncio.subprocess.Process:
    env = {**os.environ, "FRONTROW_DATA_DIR": str(data), "FRONTROW_PUBLISH_KEY": key}
    command = [sys.executable, "-m", "live.cli", "publish", *arguments, "--to", url]
    return await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def ended(process: asyncio.subprocess.Process) -> str:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return said.decode()


async def test_the_runway_arrives_with_its_time_and_its_sound(tmp_path: Path) -> None:
    async with whip_server() as (url, whip):
        process = await publish(url, tmp_path)
        try:
            await until(lambda: whip.received.frames > 20 and whip.received.blocks > 20)
            first = _time_of(whip)
            await until(lambda: (_time_of(whip) or 0) > (first or 0))
            assert timecode.age_ms(_time_of(whip) or 0, time.time_ns() // 1_000_000) < 5_000
        finally:
            said = await ended(process)
        assert "on air" in said
        assert process.returncode == 0
        assert whip.received.deleted == 1


def _time_of(whip: WhipServer) -> int | None:
    return None if whip.received.luma is None else timecode.decode_picture(whip.received.luma.tolist())


async def test_a_film_goes_round_without_a_seam(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", "libx264", seconds=1.0)
    async with whip_server() as (url, whip):
        process = await publish(url, tmp_path, str(path))
        try:
            await until(lambda: whip.received.frames > 60, 60)  # more than two turns
        finally:
            await ended(process)
    steps = np.diff(whip.received.pts[5:55])
    assert (steps > 0).all()
    assert np.median(steps) == pytest.approx(3600, abs=2)  # 90 kHz / 25


async def test_a_wrong_key_is_said_and_not_tried_again(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", "libx264")
    async with whip_server() as (url, whip):
        process = await publish(url, tmp_path, str(path), key="another")
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
        assert process.returncode == 1
        assert "the key is not right" in said.decode()
        assert "Traceback" not in said.decode()
        assert len(whip.received.keys) == 1


def test_h264_is_not_touched(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", "libx264")
    ready = prepare(path, tmp_path / "cache", lambda _: None)
    assert ready.video == path
    assert ready.length_s == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("codec", "b_frames", "why"), [("libx264", 2, "B-frames"), ("mpeg4", 0, "not H.264")])
def test_what_webrtc_cannot_show_is_encoded_once(tmp_path: Path, codec: str, b_frames: int, why: str) -> None:
    path = film(tmp_path / "film.mp4", codec, b_frames=b_frames)
    said: list[str] = []
    ready = prepare(path, tmp_path / "cache", said.append)
    assert why in said[0]
    assert feed._look_at(av.open(str(ready.video))).why is None
    again: list[str] = []
    assert prepare(path, tmp_path / "cache", again.append) == ready
    assert again == []


def test_sound_becomes_opus(tmp_path: Path) -> None:
    ready = prepare(film(tmp_path / "film.mp4", "libx264"), tmp_path / "cache", lambda _: None)
    assert ready.sound is not None
    with av.open(str(ready.sound)) as source:
        assert source.streams.audio[0].codec_context.name in ("opus", "libopus")


def test_a_silent_film_stays_silent(tmp_path: Path) -> None:
    assert prepare(film(tmp_path / "f.mp4", "libx264", sound=None), tmp_path / "cache", lambda _: None).sound is None


def test_times_go_on_over_the_seam(tmp_path: Path) -> None:
    ready = prepare(film(tmp_path / "film.mp4", "libx264", seconds=0.4), tmp_path / "cache", lambda _: None)
    turns = FileFeed(ready)
    with av.open(str(tmp_path / "out.mkv"), "w") as output:
        turns.open(output)
        times = []
        for due in turns.packets():
            if due.packet.stream.type == "video":
                times.append(float(due.packet.pts * due.packet.time_base))
            if len(times) == 25:
                break
    assert np.diff(times) == pytest.approx(0.04, abs=0.002)


def test_a_text_file_is_no_film(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a film " * 100)
    with pytest.raises(Unplayable):
        prepare(tmp_path / "notes.txt", tmp_path / "cache", lambda _: None)
