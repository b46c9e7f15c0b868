"""The picture desk's doors; what relays say is tests/relay/test_figures.py's."""

from __future__ import annotations

import asyncio
import re

import msgspec
import pytest
import uvicorn
from house import Web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from live.media.seen import LayerSeen, LineSeen, LinesSeen, PictureSeen, ShowSeen
from live.relay.server import _listen
from live.store import keys

LINES = [LineSeen(f"v{n}", "n", 9, 20 + n, n / 100, 2500, "full", 2400, n) for n in range(30, 0, -1)]
LAYERS = [LayerSeen("video", "H264", "h", 2400, 0.001, 3.0, True, True)]


async def _heard(web: Web, said: list[str], serving: list[uvicorn.Server]) -> None:
    """Something at a relay's control address that answers as a relay does (live/relay/control.py)."""

    async def seen(request: Request) -> Response:
        said.append(str(request.url.query))
        if request.path_params["show"] != web.house.show.id:
            return JSONResponse({"of": "another version"})
        part = ShowSeen(0.4, 1000, 0.3, 1.0, "", "live", 9000, True, LAYERS, 800, {"full": 30}, 25, "recording")
        part.lines = LINES[:8]
        return Response(msgspec.json.encode(part), media_type="application/json")

    async def viewers(request: Request) -> Response:
        said.append(str(request.url.query))
        most = int(request.query_params["most"])
        return Response(msgspec.json.encode(LinesSeen(30, LINES[:most])), media_type="application/json")

    routes = [Route("/shows/{show}/seen", seen), Route("/shows/{show}/viewers", viewers)]
    sock = _listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off", ws="none"))
    serving.append(server)
    entry = {"control": f"http://127.0.0.1:{sock.getsockname()[1]}", "load": "0.4", "capacity": "1000"}
    await web.services.redis.hset(keys.relay("relay_one"), mapping=entry)  # type: ignore[arg-type]
    await web.services.redis.sadd(keys.RELAYS, "relay_one")
    await server.serve(sockets=[sock])


@pytest.fixture
async def said(web: Web):
    """What the relay was asked, while it is there."""
    asked: list[str] = []
    serving: list[uvicorn.Server] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_heard(web, asked, serving))
        while not serving or not serving[0].started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        yield asked
        serving[0].should_exit = True


async def test_a_host_sees_her_picture_by_page_and_by_json(web: Web, said: list[str]):
    host = await web.signed_in(web.house.host)
    answer = await host.client.get("/api/shows/aw26/picture/seen")
    assert answer.headers["Cache-Control"] == "no-store"
    seen = msgspec.json.decode(answer.content, type=PictureSeen)
    assert (seen.viewers, seen.losing, seen.recording) == (30, 25, "recording")
    assert [line.id for line in seen.worst] == [f"v{n}" for n in range(30, 22, -1)]
    page = await host.open("/studio/shows/aw26/picture")
    state = re.search(r'id="state"[^>]*>(.*?)</script>', page.text, re.S)
    assert state is not None
    assert msgspec.json.decode(state[1], type=PictureSeen).layers == LAYERS, "drawn at once, not after a first answer"
    assert "/studio/shows/aw26/picture" in (await host.open("/studio/shows/aw26")).text, "the desk leads there"


async def test_viewers_come_by_pages_the_worst_first(web: Web, said: list[str]):
    host = await web.signed_in(web.house.host)
    first = (await host.client.get("/api/shows/aw26/viewers?limit=20")).json()
    second = (await host.client.get("/api/shows/aw26/viewers?offset=20&limit=20")).json()
    assert first["total"] == second["total"] == 30
    assert [line["id"] for line in first["lines"] + second["lines"]] == [f"v{n}" for n in range(30, 0, -1)]
    for wrong in ("limit=201", "limit=-1", "offset=2001", "offset=x", "limit=٣", "limit=1e2", "offset=99999999999"):
        assert (await host.client.get(f"/api/shows/aw26/viewers?{wrong}")).status_code == 422, wrong


async def test_without_a_relay_the_desk_is_empty_and_not_broken(web: Web):
    host = await web.signed_in(web.house.host)
    seen = (await host.client.get("/api/shows/aw26/picture/seen")).json()
    assert (seen["state"], seen["relays"], seen["viewers"]) == ("waiting", [], 0)
    assert (await host.open("/studio/shows/aw26/picture")).status_code == 200


async def test_a_relay_of_another_version_is_left_out(web: Web, said: list[str]):
    other_host = await web.signed_in(web.house.other_host)
    assert (await other_host.client.get("/api/shows/ss27/picture/seen")).json()["relays"] == []
    assert said, "it was asked"
