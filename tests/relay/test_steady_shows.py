"""What must not take a show away from its publisher and its viewers: questions before the first key frame, a lost
request for one, a show that is forgotten during a handshake, a fault of ours."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from relay_stage import Stage, stage, until
from test_end_to_end import Camera, Viewer

from live.media.relays import Entry
from live.relay import mirror, rtcp
from live.relay import relay as relay_module
from live.relay import show as show_module
from live.relay.piped import PipedPacket, PipedTrack, StreamInfo
from live.store import keys


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


async def test_after_a_silence_a_key_frame_is_asked_for_until_it_comes(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)
    camera = Camera()
    await camera.on(running)
    camera.frame(key=True)
    await until(lambda: running.show.state == "live")
    monkeypatch.setattr(show_module, "SILENCE_MS", 200)
    # Her line is away both ways, so that the request made at once is lost with it. She lost no packet: they waited.
    camera.caller.on_rtcp = lambda compound: None
    await until(lambda: running.show.state == "slate")
    camera.caller.on_rtcp = camera._heard
    camera.heard = rtcp.Feedback()

    def asked() -> list[int]:
        camera.frame()
        return camera.heard.keyframe

    await until(asked)
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)
    camera.frame(key=True)
    await until(lambda: running.show.state == "live")
    await camera.caller.close()


async def test_a_fault_of_ours_when_a_session_is_through_ends_that_session_alone(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera()
    await camera.on(running)
    camera.frame(key=True)
    await until(lambda: running.show.state == "live")

    def broken(watching: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(running.show, "start", broken)
    unlucky = Viewer()
    await unlucky.on(running)
    await asyncio.wait_for(unlucky.caller.closed.wait(), 60)
    monkeypatch.undo()
    viewer = Viewer()
    await viewer.on(running)
    await until(lambda: viewer.order)
    for person in (unlucky, viewer, camera):
        await person.caller.close()


async def test_a_show_that_is_forgotten_during_its_publishers_handshake_is_there_all_the_same(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, viewer = Camera(), Viewer()
    answer = await running.publish(camera.caller.offer("sendonly"))
    monkeypatch.setattr(relay_module, "SHOW_KEPT_MS", 0)
    running.relay._sweep(running.relay.now_ms() + 10_000)  # it had no publisher for so long
    await camera.caller.connect(answer.text)
    await until(lambda: "shw_one" in running.relay.shows and running.show.publisher is not None)
    camera.frame(key=True)
    await until(lambda: running.show.state == "live")
    await viewer.on(running)
    for person in (viewer, camera):
        await person.caller.close()


async def test_a_publisher_who_came_while_redis_was_away_is_claimed_later_and_not_sent_away(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.redis.set(keys.relay_of_show("shw_one"), "relay_that_was", ex=60)
    registry = running.process._registry
    tried = asyncio.Event()

    async def away(show: str) -> None:
        tried.set()
        raise ConnectionError

    monkeypatch.setattr(registry, "claim", away)
    camera = Camera()
    await camera.on(running)
    await asyncio.wait_for(tried.wait(), 60)
    monkeypatch.undo()
    await running.process._beat()
    assert await running.redis.get(keys.relay_of_show("shw_one")) == registry.id.encode()
    assert running.show.publisher is not None
    assert not running.show.mirrored
    await camera.caller.close()


async def test_a_publisher_who_comes_during_a_beat_is_not_sent_away_by_its_older_answer(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Camera(), Camera()
    await first.on(running)
    await until(lambda: running.show.publisher is not None)
    before = running.show.publisher

    async def slow(*told: object) -> list[str]:
        monkeypatch.undo()
        await second.on(running)
        await until(lambda: running.show.publisher is not before)
        return ["shw_one"]  # what Redis said before she came

    monkeypatch.setattr(running.process._registry, "beat", slow)
    await running.process._beat()
    assert running.show.publisher is not None
    assert not running.show.mirrored
    for camera in (first, second):
        await camera.caller.close()


async def test_a_mirror_that_cannot_reach_its_origin_tries_again() -> None:
    tried: list[str] = []
    ended: list[str] = []

    class Unlucky(mirror.Mirror):
        async def _origin(self) -> Entry | None:
            return Entry("relay_far", "http://far:1", 0.0, 9, "", frozenset(), frozenset(), 0)

        async def _feed(self, origin: Entry) -> str:
            tried.append(origin.id)
            if len(tried) == 1:
                raise OSError(errno.ENETUNREACH, "no way there just now")
            return "ended"

    here: Any = SimpleNamespace(shows={}, sessions={}, end_show=ended.append)
    nobody: Any = None
    await asyncio.wait_for(Unlucky("shw_one", here, nobody, "relay_here", "", None, nobody).run(), 60)
    assert len(tried) == 2
    assert ended == ["shw_one"]


async def test_a_mirror_of_nothing_that_nobody_watches_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "KEPT_S", 0.2)
    ended: list[str] = []

    class Waiting(mirror.Mirror):
        async def _origin(self) -> Entry | None:
            return Entry("relay_far", "http://far:1", 0.0, 9, "", frozenset(), frozenset(), 0)

        async def _feed(self, origin: Entry) -> str:
            return "waiting"  # its publisher is on, and sends nothing

    here: Any = SimpleNamespace(shows={}, sessions={}, end_show=ended.append)
    nobody: Any = None
    await asyncio.wait_for(Waiting("shw_one", here, nobody, "relay_here", "", None, nobody).run(), 60)
    assert ended == ["shw_one"]


async def test_a_pipe_that_lets_in_too_late_does_not_take_the_show_from_its_publisher(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera()
    await camera.on(running)
    camera.frame(key=True)
    await until(lambda: running.show.state == "live")
    source = running.show.source

    class Late:
        """A pipe whose origin answers when this relay's own publisher is on already."""

        def __init__(self, *given: object, on_start: Any, on_gone: Any, **more: object) -> None:
            self.on_start, self.on_gone = on_start, on_gone

        async def follow(self, path: str) -> str:
            tracks = [PipedTrack("video", *form) for form in source.formats.values() if form.codec == "H264"]
            self.on_start(StreamInfo("shw_one", "live", 1, tracks))
            self.on_gone("going")
            return "going"

    monkeypatch.setattr(mirror, "PipeClient", Late)
    relays: Any = running.process._relays
    late = mirror.Mirror("shw_one", running.relay, relays, "relay_here", "", None, lambda show: None)
    origin = Entry("relay_far", "", 0.0, 9, "/pipe", frozenset(), frozenset(), 0)
    await late._from_pipe(origin, running.settings.data_dir)
    assert running.show.source is source
    assert not running.show.mirrored
    assert running.show.first_wall_ms != 1
    assert running.show.state == "live"
    await camera.caller.close()


def test_a_mirror_that_gets_no_key_frame_asks_for_one() -> None:
    asked: list[str] = []
    client: Any = SimpleNamespace(want_key=asked.append)
    source = mirror.PipeSource(client)
    source.described(StreamInfo("shw_one", "live", 1, [PipedTrack("video", "VP8", 90000, {})]), 0)
    forwarded: list[bool] = []
    source.forward = lambda layer, header, key, switched: forwarded.append(key)
    # A browser's last key frame is minutes old: the origin's ring has it no more.
    for seq in range(10):
        source.packets([PipedPacket(0, seq, 3000 * seq, True, False, b"\x10\x01", 0)], 33 * seq)
    assert asked == ["", ""], "five times a second at most"
    source.packets([PipedPacket(0, 10, 30_000, True, True, b"\x10\x00", 0)], 400)
    assert forwarded == [True]
