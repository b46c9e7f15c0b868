"""WHEP's server-sent events: asked for, told in time, ended with the session, and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from relay_stage import until
from soon import soon
from whip_house import WhipHouse, whip_house

from live.desk import audience as audience_module
from live.desk.audience import Facts, Stream
from live.relay import show as show_module
from live.web import whep_events
from live.web.whep_events import REL, link_of, news

ALL = ["active", "inactive", "layers", "viewercount"]
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def house(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WhipHouse]:
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)  # these cameras send only when told
    monkeypatch.setattr(audience_module, "LOOK_EVERY_S", 0.1)
    async with whip_house(tmp_path, redis_url) as up:
        yield up


class Reader:
    """What an EventSource would hear."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.comments = 0
        self.over = asyncio.Event()

    async def read(self, house: WhipHouse, url: str) -> None:
        async with house.http.stream("GET", url) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            kind = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self.told.append((kind, json.loads(line.removeprefix("data: "))))
                self.comments += line.startswith(":")
        self.over.set()

    def of(self, kind: str) -> list[Any]:
        return [data for told, data in self.told if told == kind]


async def _opened(house: WhipHouse, address: str, events: list[str]) -> str:
    """The stream's address, found by the Link of the session's 201."""
    answer = await house.http.post(address, json=events)
    assert answer.status_code == 201, answer.text
    return f"{house.url}{answer.headers['location']}"


async def _linked(house: WhipHouse) -> tuple[Any, str]:
    from test_end_to_end import Viewer

    viewer = Viewer()
    answer = await viewer.on(house)  # type: ignore[arg-type]
    links = [link for link in answer.headers.get_list("link") if REL in link]
    assert len(links) == 1
    found = re.fullmatch(r'<([^>]+)>; rel="[^"]+"; events="active,inactive,layers,viewercount"', links[0])
    assert found is not None
    return viewer, f"{house.url}{found[1]}"


@contextlib.asynccontextmanager
async def reading(house: WhipHouse, url: str) -> AsyncIterator[Reader]:
    reader = Reader()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reader.read(house, url))
        try:
            yield reader
        finally:
            task.cancel()


async def test_a_player_hears_what_happens_to_the_show_and_the_stream_ends_with_her_session(house: WhipHouse) -> None:
    camera, publishing = await house.on_air()
    viewer, events = await _linked(house)
    async with reading(house, await _opened(house, events, ALL)) as reader:
        await until(lambda: reader.of("viewercount") == [{"viewercount": 1}])
        assert reader.told[0] == ("active", {})
        (layers,) = reader.of("layers")
        assert [set(layer) for layer in layers["1"]] == [{"spatialLayerId", "bitrate"}], "video is the second m-line"
        other, _ = await house.watched()
        await until(lambda: reader.of("viewercount")[-1] == {"viewercount": 2})
        await house.http.delete(publishing, headers={"Authorization": f"Bearer {house.key}"})
        await until(lambda: reader.of("inactive") == [{}])
        again, _ = await house.on_air()
        await until(lambda: len(reader.of("active")) == 2)
        assert (await house.http.delete(f"{house.url}{viewer.session}")).status_code == 200
        await asyncio.wait_for(reader.over.wait(), 60)
    for person in (camera, viewer, other, again):
        await person.caller.close()


async def test_only_what_was_asked_for_is_told(house: WhipHouse) -> None:
    camera, _ = await house.on_air()
    viewer, events = await _linked(house)
    async with reading(house, await _opened(house, events, ["viewercount", "scte35"])) as reader:
        other, _ = await house.watched()
        await until(lambda: reader.of("viewercount")[-1:] == [{"viewercount": 2}])
        assert {kind for kind, _ in reader.told} == {"viewercount"}
    for person in (camera, viewer, other):
        await person.caller.close()


async def test_a_silent_stream_is_kept_alive_and_a_deleted_one_is_gone(
    house: WhipHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whep_events, "KEEP_ALIVE_S", 0.1)
    camera, _ = await house.on_air()
    viewer, events = await _linked(house)
    stream = await _opened(house, events, ALL)
    async with reading(house, stream) as reader:
        await until(lambda: reader.comments > 2)
        assert (await house.http.delete(stream)).status_code == 200
        await asyncio.wait_for(reader.over.wait(), 60)
    assert (await house.http.get(stream)).status_code == 404
    assert (await house.http.delete(stream)).status_code == 404
    assert len(house.show.viewers) == 1, "the session goes on"
    await camera.caller.close()
    await viewer.caller.close()


async def test_streams_are_her_sessions_and_bounded(house: WhipHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, _ = await house.on_air()
    viewer, events = await _linked(house)
    other, others_events = await _linked(house)
    stream = await _opened(house, events, ALL)
    name = stream.rpartition("/")[2]
    foreign = f"{others_events.partition('?')[0]}/{name}"
    assert (await house.http.get(foreign)).status_code == 404
    assert (await house.http.delete(foreign)).status_code == 404
    assert (await house.http.post(f"{house.whep}/relay_1.nobody/events", json=ALL)).status_code == 404
    assert (await house.http.post(events, content="no", headers=JSON)).status_code == 400
    assert (
        await house.http.post(events, content="v=0", headers={"Content-Type": "application/sdp"})
    ).status_code == 415
    assert (await house.http.post(events)).status_code == 201, "a body is optional"
    assert (await house.http.options(events)).headers["access-control-allow-methods"] == "OPTIONS, POST"
    monkeypatch.setattr(audience_module, "MOST_OF_A_SESSION", 1)
    async with reading(house, stream) as reader:
        await until(lambda: reader.told)
        refused = await house.http.get(stream)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
    for person in (camera, viewer, other):
        await person.caller.close()


async def test_a_process_that_goes_ends_its_streams_at_once(house: WhipHouse) -> None:
    camera, _ = await house.on_air()
    viewer, events = await _linked(house)
    async with reading(house, await _opened(house, events, ALL)) as reader:
        await until(lambda: reader.told)
        house.site.services.audience.close()
        await soon(reader.over.wait(), within_s=2)
    await camera.caller.close()
    await viewer.caller.close()


def test_who_comes_while_nothing_is_on_hears_no_inactive() -> None:
    stream = Stream("s", "r", "x", tuple(ALL), 0)
    off, on = Facts(False, 1), Facts(True, 1, (("h", 500), ("l", 100)))
    assert news(None, off, stream) == [("viewercount", {"viewercount": 1})]
    assert news(off, on, stream) == [
        ("active", {}),
        ("layers", {"0": [{"rid": "h", "bitrate": 500_000}, {"rid": "l", "bitrate": 100_000}]}),
    ]
    assert news(on, Facts(True, 1, (("h", 900), ("l", 90))), stream) == [], "rates alone are no news"
    assert news(on, off, stream) == [("inactive", {})]


@pytest.mark.parametrize(("media", "place"), [("av", 1), ("va", 0), ("v", 0), ("a", 0), ("", 0)])
def test_the_layers_are_told_by_the_place_of_the_videos_m_line(media: str, place: int) -> None:
    offer = "v=0\r\n" + "".join(f"m={'audio' if kind == 'a' else 'video'} 9 X 1\r\n" for kind in media)
    assert link_of("/whep/a/r.s", offer).startswith(f"</whep/a/r.s/events?video={place}>")
