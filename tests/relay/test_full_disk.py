"""A disk that is full, slow or stuck stops or thins the recording, and never the show."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from relay_stage import ffmpeg, stage, until
from rtp_made import Numbering, pictures, play, video_rtp

from live.relay import fragments
from live.relay.recorder import Recorder
from live.relay.recording_events import (
    RecordingBehind,
    RecordingCaughtUp,
    RecordingEvent,
    RecordingFailed,
    RecordingStarted,
)

CHILD = Path(__file__).with_name("fill_a_disk.py")
MOUNTED = 'mount -t tmpfs -o size=4m frontrow "$1" && exec "$2" "$3" "$1" "$4" tmpfs'


def may_mount(folder: Path) -> bool:
    """Whether a file system can be mounted in a namespace of its own."""
    tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "frontrow", str(folder)]
    return shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True).returncode == 0


def test_a_full_disk_stops_the_recording_and_room_begins_another(tmp_path: Path) -> None:
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    inner = [str(disk), sys.executable, str(CHILD), str(out)]
    if may_mount(disk):
        command = ["unshare", "-rm", "sh", "-c", MOUNTED, "sh", *inner]
    else:
        print("nothing may be mounted here: the kernel's limit of a file's size stands in for a full disk")
        command = [sys.executable, str(CHILD), str(disk), str(out), "limit"]
    child = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)

    told = re.findall(r"^(Recording\w+)\((?:recording='(\w+)')?.*?(why='\w+')?[^)]*\)$", child.stdout, re.M)
    assert [kind for kind, _, _ in told] == [
        "RecordingStarted", "RecordingFailed", "RecordingStarted", "RecordingFinished",
    ], child.stdout  # fmt: skip
    assert "why='disk_full'" in child.stdout
    first, second = (out / "sho_1" / f"{told[number][1]}.mp4" for number in (0, 2))
    before, after = play(first, torn=True), play(second)
    assert len(before.video_s) > 30, "what was written before plays"
    starts_s = int(re.findall(r"starts_at_ms=(\d+)", child.stdout)[1]) / 1000
    assert 9.0 <= starts_s <= 12.0, "the next key frame after there was room"
    assert len(after.video_s) == pytest.approx((20.0 - starts_s) * 30, abs=1)
    assert "asked for a key frame" in child.stdout


class Stuck:
    """A disk that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.reached, self.let_go = threading.Event(), threading.Event()


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    """The write that a slow disk holds up, held up: everything around it is real."""
    disk, write = Stuck(), fragments._Sink.write

    def held_up(sink: Any, chunk: bytes) -> int:
        disk.reached.set()
        disk.let_go.wait(300)
        return write(sink, chunk)

    monkeypatch.setattr(fragments._Sink, "write", held_up)
    yield disk
    disk.let_go.set()


def test_a_stuck_disk_costs_bounded_memory_and_nobody_waits_for_it(tmp_path: Path, stuck: Stuck) -> None:
    told: list[RecordingEvent] = []
    caught_up = threading.Event()

    def hear(event: RecordingEvent) -> None:
        told.append(event)
        if isinstance(event, RecordingCaughtUp):
            caught_up.set()

    film = pictures("h264", 4.0)
    recorder = Recorder(
        tmp_path, "sho_1", video="h264", audio=False, reserve_bytes=0, on_event=hear, queue_packets_max=500
    )
    try:
        numbering, slowest_s = Numbering(), 0.0
        for packet in video_rtp("h264", film[:30], numbering):
            recorder.packet("video", packet.rtp, at_ms=packet.at_s * 1000)
        assert stuck.reached.wait(120)
        tracemalloc.start()
        for start_s in range(1, 31):  # half a minute of the show while the disk hangs
            for packet in video_rtp("h264", film[:30], numbering, start_s=start_s):
                began = time.perf_counter()
                recorder.packet("video", packet.rtp, at_ms=packet.at_s * 1000)
                slowest_s = max(slowest_s, time.perf_counter() - began)
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        stuck.let_go.set()
        assert caught_up.wait(120)
        for packet in video_rtp("h264", film[:60], numbering, start_s=40.0):
            recorder.packet("video", packet.rtp, at_ms=packet.at_s * 1000)
    finally:
        stuck.let_go.set()
        recorder.close(60)
    assert kept < 2 << 20, "500 packets, not thirty seconds of them"
    assert slowest_s < 5, "handing over a packet waits for no disk, which hangs for longer than any machine pauses"
    assert any(isinstance(event, RecordingBehind) for event in told)
    assert not any(isinstance(event, RecordingFailed) for event in told)
    (started,) = (event for event in told if isinstance(event, RecordingStarted))
    after = [at for at in play(tmp_path / started.path).video_s if at >= 39.9]
    assert after == pytest.approx([40 + number / 30 for number in range(60)], abs=0.002)


async def test_the_show_goes_on_while_its_recordings_disk_is_stuck(
    tmp_path: Path, redis_url: str, stuck: Stuck
) -> None:
    async with stage(tmp_path, redis_url=redis_url, record=True) as up, ffmpeg(f"{up.url}/whip/one"):
        await until(lambda: up.relay.shows and up.show.state == "live")
        await until(stuck.reached.is_set)
        before = up.show.tracks["video"].packets
        longest_s, last = 0.0, time.monotonic()
        while up.show.tracks["video"].packets < before + 150:
            await asyncio.sleep(0.005)
            longest_s, last = max(longest_s, time.monotonic() - last), time.monotonic()
        assert longest_s < 5, "the relay's loop stood still with the disk; a machine's pause is shorter"
        assert up.show.state == "live"
        stuck.let_go.set()


async def test_a_failed_recording_is_told_to_the_hosts_and_counted_and_the_show_goes_on(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recordings").write_text("in the way")
    heard: list[tuple[str, str, object]] = []
    async with stage(tmp_path, redis_url=redis_url, record=True) as up:
        tell_role = up.process._bus.tell_role

        async def listen(room: str, role: str, kind: str, body: Any) -> None:
            heard.append((role, kind, (body.state, body.why)))
            await tell_role(room, role, kind, body)

        monkeypatch.setattr(up.process._bus, "tell_role", listen)
        async with ffmpeg(f"{up.url}/whip/one"):
            await until(lambda: heard)
            assert heard == [("host", "recording.changed", ("failed", "file"))]
            packets = up.show.tracks["video"].packets
            await until(lambda: up.show.tracks["video"].packets > packets + 60)
            assert up.show.state == "live"
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                figures = (await client.get(f"{up.process.control}/metrics")).text
    assert "frontrow_relay_recordings_failed_total 1.0" in figures
    assert "frontrow_relay_recordings 0.0" in figures
