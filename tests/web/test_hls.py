"""HLS through web: who may, what may be kept, and one question to the tail for many players."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from house import Web

from live.store import keys
from live.tail.window import Part

sys.path += [str(Path(__file__).parents[1] / "tail"), str(Path(__file__).parents[1] / "relay")]

from hls_rules import read
from tail_stage import TailStage, made, tail_stage

FOR_EVER = "public, max-age=31536000, immutable"


async def on_tail(stage: TailStage) -> None:
    """Five seconds of the show are packaged."""
    for one in made(5):
        stage.send(one)
    async with asyncio.timeout(60):
        while stage.tail.shelf.window.position < (5002, 2):  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0.01)


@asynccontextmanager
async def packaging(web: Web) -> AsyncIterator[TailStage]:
    redis, key = web.house.services.redis, web.house.services.settings.key
    async with tail_stage(redis, key, web.house.show.id) as stage:
        await on_tail(stage)
        yield stage


@pytest.fixture
async def packaged(web: Web) -> AsyncIterator[TailStage]:
    """What came from the publisher before the show was opened."""
    async with packaging(web) as stage:
        yield stage


@pytest.fixture
async def aired(web: Web) -> AsyncIterator[TailStage]:
    """What came once the show was open: all of it is for everyone, however slow the machine."""
    await web.house.go_live()
    async with packaging(web) as stage:
        yield stage


async def get(web: Web, file: str, **query: object) -> httpx.Response:
    browser = await web.stranger()
    return await browser.client.get(f"/hls/aw26/{file}", params=query)


async def test_a_live_show_is_open_to_all_and_its_files_say_how_long_they_may_be_kept(web: Web, aired: TailStage):
    master = await get(web, "live.m3u8")
    assert master.status_code == 200
    assert master.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert "media.m3u8" in master.text
    expected = {
        "live.m3u8": "public, max-age=1",
        "media.m3u8": "public, max-age=1",
        "init-5000.mp4": FOR_EVER,
        "5000.m4s": FOR_EVER,
        "5001.0.m4s": FOR_EVER,
    }
    for file, kept in expected.items():
        answer = await get(web, file)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, kept), file
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "set-cookie" not in answer.headers
    waited = await get(web, "media.m3u8", _HLS_msn=5001, _HLS_part=0)
    assert (waited.status_code, waited.headers["cache-control"]) == (200, "public, max-age=12")


async def test_refusals_are_never_kept(web: Web, aired: TailStage):
    wrong = {
        "4000.m4s": 404,
        "5000.99.m4s": 404,
        "init-1.mp4": 404,
        "../../etc": 404,
        "x.m3u8": 404,
        "media.m3u8?_HLS_msn=9999": 400,
        "media.m3u8?_HLS_part=1": 400,
        "media.m3u8?_HLS_msn=soon": 400,
        # The same by another address would be asked for and kept again, and fill the places of all players.
        "media.m3u8?_HLS_msn=05001": 400,
        "media.m3u8?_HLS_msn=%D9%A5%D9%A0%D9%A0%D9%A1": 400,
        "media.m3u8?_HLS_msn=5001&_HLS_skip=1": 400,
        "05000.m4s": 404,
        "5000.00.m4s": 404,
        "%D9%A5%D9%A0%D9%A0%D9%A0.m4s": 404,
        "init-05000.mp4": 404,
    }
    for file, status in wrong.items():
        answer = await (await web.stranger()).client.get(f"/hls/aw26/{file}")
        if file.startswith(".."):
            assert answer.status_code == status
            continue
        assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store"), file


async def test_before_the_show_only_those_of_the_house_look_and_nothing_may_be_kept(web: Web, packaged: TailStage):
    assert (await get(web, "live.m3u8")).status_code == 409
    assert (await get(web, "5000.0.m4s")).status_code == 409
    viewer = await web.viewer()
    assert (await viewer.client.get("/hls/aw26/live.m3u8")).status_code == 409
    for staff in (web.house.host, web.house.moderator):
        browser = await web.signed_in(staff)
        for file in ("live.m3u8", "5000.0.m4s"):
            answer = await browser.client.get(f"/hls/aw26/{file}")
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
    other = await web.signed_in(web.house.other_host)
    assert (await other.client.get("/hls/aw26/live.m3u8")).status_code == 409


async def test_nobody_goes_back_to_before_the_show_was_opened(
    web: Web, packaged: TailStage, monkeypatch: pytest.MonkeyPatch
):
    """The tail packages the preview too, for those who may see it."""
    first = next(packaged.tail.shelf.window.listed)
    over_ms = int(first.wall_ms + first.ticks / 90) + 1
    monkeypatch.setattr(web.house.services.clock, "now_ms", lambda: over_ms, raising=False)
    await web.house.go_live()
    for file in ("5000.m4s", "5000.0.m4s"):
        assert (await get(web, file)).status_code == 404
    for query in ({}, {"_HLS_msn": 5001, "_HLS_part": 0, "_HLS_skip": "YES"}):
        told = read((await get(web, "media.m3u8", **query)).text)
        assert (told.first_msn, told.first_break) == (5001, 5001), "the break before the preview left with it"
    assert (await get(web, "5001.0.m4s")).status_code == 200
    assert (await get(web, "init-5000.mp4")).status_code == 200


async def test_a_hundred_players_cost_the_tail_one_question(
    web: Web, aired: TailStage, monkeypatch: pytest.MonkeyPatch
):
    msn, part = aired.tail.shelf.window.position
    tails, came = web.app.state.tails, 0
    get_from = tails.get

    async def counted(*asked: str) -> object:
        nonlocal came
        came += 1
        return await get_from(*asked)

    monkeypatch.setattr(tails, "get", counted)
    asking = [
        asyncio.create_task(get(web, "media.m3u8", _HLS_msn=msn, _HLS_part=part, _HLS_skip="YES")) for _ in range(50)
    ]
    asking += [asyncio.create_task(get(web, f"{msn}.{part}.m4s")) for _ in range(50)]
    async with asyncio.timeout(60):
        while aired.tail.shelf.waiting < 2 or came < 100:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    asking[0].cancel()  # who asked first may leave
    # The publisher was away: the segment ends before the hinted part, and the next one begins.
    newest = aired.tail.shelf.window.newest
    assert newest is not None
    init = aired.tail.shelf.window.inits[newest.init]
    aired.tail.shelf.finish()
    aired.tail.shelf.begin(wall_ms=newest.wall_ms + 9000, breaks=True, init=init)
    aired.tail.shelf.add(Part(b"part", 30_000, True))
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {answer.status_code for answer in answers[1:50] if isinstance(answer, httpx.Response)} == {200}
    assert {answer.status_code for answer in answers[50:] if isinstance(answer, httpx.Response)} == {404}
    asked = {path: count for path, count in aired.asked.items() if f"{msn}" in path}
    assert set(asked.values()) == {1}, asked


async def test_questions_that_no_player_asks_do_not_reach_the_tail(web: Web, aired: TailStage):
    for number in range(5):
        assert (await get(web, "5000.0.m4s", bust=number)).status_code == 200
        assert (await get(web, "media.m3u8", _HLS_msn=5000, bust=number)).status_code == 200
    assert sum(count for path, count in aired.asked.items() if "bust" in path) == 0
    assert [count for path, count in aired.asked.items() if "/5000.0.m4s" in path] == [1]


async def test_a_dead_tail_is_forgotten_at_the_first_try(web: Web):
    await web.house.go_live()
    redis, show = web.house.services.redis, web.house.show.id
    assert (await get(web, "live.m3u8")).status_code == 409
    await redis.set(keys.tail("tail_dead"), "http://127.0.0.1:9")
    await redis.set(keys.tail_of_show(show), "tail_dead")
    answer = await get(web, "live.m3u8")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert await redis.get(keys.tail_of_show(show)) is None


async def test_the_tail_itself_answers_nobody_without_the_token(web: Web, packaged: TailStage):
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"}):
            answer = await http.get(f"{packaged.address}/shows/{packaged.show}/live.m3u8", headers=headers)
            assert answer.status_code == 401
