"""A second publisher with the key: takes over, or is refused while a picture is on. The show's setting says which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from relay_stage import KEY, Stage, stage, until
from test_end_to_end import Camera

from live.relay import show as show_module

SDP = {"Content-Type": "application/sdp", "Authorization": f"Bearer {KEY}"}


@pytest.fixture
async def running(tmp_path: Path, redis_url: str) -> AsyncIterator[Stage]:
    async with stage(tmp_path, redis_url=redis_url) as up:
        yield up


async def on_air(running: Stage) -> Camera:
    camera = Camera()
    await camera.on(running)
    camera.frame(key=True)
    await until(lambda: running.show.state == "live")
    return camera


async def offers(running: Stage, camera: Camera) -> httpx.Response:
    return await running.http.post(f"{running.url}/whip/one", content=camera.caller.offer("sendonly"), headers=SDP)


async def test_she_takes_over_unless_the_show_says_otherwise(running: Stage):
    first, second = await on_air(running), Camera()
    await second.on(running)
    await asyncio.wait_for(first.caller.closed.wait(), 60)
    second.frame(key=True)
    await until(lambda: running.show.state == "live")
    await first.caller.close()
    await second.caller.close()


async def test_she_is_refused_with_a_time_to_come_back_and_the_picture_goes_on(
    running: Stage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)  # this camera sends when told
    running.shows.known["one"].second_publisher = "refused"
    first, second = await on_air(running), Camera()
    answer = await offers(running, second)
    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"
    assert int(answer.headers["retry-after"]) > 0
    assert running.show.state == "live"
    assert not first.caller.closed.is_set()
    await first.caller.close()
    await second.caller.close()


async def test_nobody_is_locked_out_by_a_session_whose_picture_stands_still(running: Stage):
    running.shows.known["one"].second_publisher = "refused"
    first, second = await on_air(running), Camera()
    await until(lambda: running.show.state == "slate")  # her line broke, her session doesn't know yet
    assert running.show.publisher is not None, "the premise: the session is there"
    await second.on(running)
    await asyncio.wait_for(first.caller.closed.wait(), 60)
    await first.caller.close()
    await second.caller.close()


async def test_of_two_that_offer_at_once_the_first_with_a_picture_stays(
    running: Stage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)
    running.shows.known["one"].second_publisher = "refused"
    first, second = Camera(), Camera()
    answers = [await offers(running, first), await offers(running, second)]
    assert [answer.status_code for answer in answers] == [201, 201], "the premise: neither was on yet"
    await first.caller.connect(answers[0].text)
    await until(lambda: "shw_one" in running.relay.shows and running.show.publisher is not None)
    first.frame(key=True)
    await until(lambda: running.show.state == "live")
    await second.caller.connect(answers[1].text)
    await asyncio.wait_for(second.caller.closed.wait(), 60)
    assert not first.caller.closed.is_set()
    await first.caller.close()
    await second.caller.close()
