"""Where a page is told to find the picture."""

from __future__ import annotations

from pathlib import Path

from house import Web, running, settings_for

PICTURE = "/api/shows/aw26/picture"


async def test_a_show_that_is_not_on_air_is_409_with_a_time_to_come_back(web: Web):
    answer = await (await web.viewer()).client.get(PICTURE)
    assert answer.status_code == 409
    assert answer.json()["code"] == "not_live"
    assert int(answer.headers["retry-after"]) > 0


async def test_those_who_make_the_show_are_told_before_it_is_on_air(web: Web):
    for person in (web.house.host, web.house.moderator, web.house.staff):
        assert (await (await web.signed_in(person)).client.get(PICTURE)).status_code == 200
    assert (await (await web.signed_in(web.house.other_host)).client.get(PICTURE)).status_code == 409


async def test_on_air_webrtc_comes_first_and_hls_for_those_it_cannot_reach(web: Web):
    await web.house.go_live()
    answer = await (await web.stranger()).client.get(PICTURE)
    assert answer.json() == {
        "ways": [{"kind": "whep", "url": "/whep/aw26"}, {"kind": "llhls", "url": "/hls/aw26/live.m3u8"}]
    }
    assert answer.headers["cache-control"] == "no-store"


async def test_turn_credentials_are_the_askers_own(tmp_path: Path, redis_url: str):
    turn = {"turn_urls": "stun:s.example,turn:t.example?transport=tcp", "turn_secret": "north"}
    async with running(settings_for(tmp_path, redis_url, **turn)) as web:
        await web.house.go_live()
        told = [(await (await web.viewer()).client.get(PICTURE)).json()["ways"][0]["ice_servers"] for _ in range(2)]
    for servers in told:
        assert servers[0] == {"urls": ["stun:s.example"]}
        assert servers[1]["urls"] == ["turn:t.example?transport=tcp"]
        assert ":per_" in servers[1]["username"]
    assert told[0][1]["credential"] != told[1][1]["credential"]


async def test_an_unknown_show_is_404(web: Web):
    assert (await (await web.viewer()).client.get("/api/shows/nope/picture")).status_code == 404
