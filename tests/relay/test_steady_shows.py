"""What must not take a show away from its publisher and its viewers: questions before the first key frame, a lost
request for one, a show that is forgotten during a handshake, a fault of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from relay_stage import Stage, stage, until
from test_end_to_end import Camera, Viewer

from live.relay import mirror


@pytest.fixture
async def running(tmp_path: Path, redis_url: str) -> AsyncIterator[Stage]:
    async with stage(tmp_path, redis_url=redis_url) as up:
        yield up


async def test_who_asks_before_the_first_key_frame_costs_the_publisher_nothing(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "READY_WITHIN_S", 0.1)
    monkeypatch.setattr(mirror, "KEPT_S", 0.1)
    camera, viewer = Camera(), Viewer()
    await camera.on(running)
    await until(lambda: running.show.publisher is not None)
    assert (await running.play(viewer.caller.offer("recvonly"))).status_code == 409, "the premise: nothing to see yet"
    # Longer than a mirror that nobody watches is kept.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(camera.caller.closed.wait(), 1)
    assert running.show.publisher is not None
    await camera.caller.close()
    await viewer.caller.close()
