"""LiveKit as the engine: what it is asked, with which rights, and what the show makes of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from house import Web, running, settings_for
from livekit.protocol.ingress import IngressInput
from livekit_server import KEY, SECRET, LiveKitServer, livekit_server
from pydantic import ValidationError

from live.clock import SetClock
from live.commands.start import Stop, settings_of
from live.errors import Invalid, Overloaded
from live.media.livekit import TOKEN_LIFE, LiveKitEngine
from live.media.port import Channel, Viewer
from live.settings import Settings

SHOW = Channel("shw_one", "one")
SDP = {"Content-Type": "application/sdp"}


def livekit_settings(url: str) -> dict[str, Any]:
    return {"media_engine": "livekit", "livekit_url": url, "livekit_key": KEY, "livekit_secret": SECRET}


@pytest.fixture
async def server() -> AsyncIterator[LiveKitServer]:
    async with livekit_server() as running:
        yield running


@pytest.fixture
async def engine(server: LiveKitServer, tmp_path: Path) -> AsyncIterator[LiveKitEngine]:
    settings = Settings(_env_file=None, data_dir=tmp_path, **livekit_settings(server.url))
    engine = LiveKitEngine(settings, SetClock())
    yield engine
    await engine.close()


@pytest.fixture
async def web(server: LiveKitServer, tmp_path: Path, redis_url: str) -> AsyncIterator[Web]:
    async with running(settings_for(tmp_path, redis_url, **livekit_settings(server.url))) as web:
        yield web


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"], issuer=KEY)
    return found


# ---- what it is asked ------------------------------------------------------------------------------


async def test_the_first_publisher_gets_a_room_and_a_whip_ingress_made(engine: LiveKitEngine, server: LiveKitServer):
    way = await engine.publish_endpoint(SHOW)
    asked = dict(server.asked)
    assert asked["CreateRoom"].name == "shw_one"
    made = asked["CreateIngress"]
    assert (made.input_type, made.room_name) == (IngressInput.WHIP_INPUT, "shw_one")
    assert made.participant_identity == "publisher"
    assert not made.enable_transcoding
    (ingress,) = server.ingresses.values()
    assert way.url == f"{ingress.url}/{ingress.stream_key}"
    assert way.token == ingress.stream_key


async def test_a_key_that_is_rotated_makes_another_ingress(engine: LiveKitEngine, server: LiveKitServer):
    before = await engine.publish_endpoint(SHOW)
    server.publishes(before.url)
    await engine.revoke(SHOW)
    assert server.ingresses == {}
    assert server.people["shw_one"] == {}
    assert (await engine.publish_endpoint(SHOW)).url != before.url


async def test_a_viewers_token_opens_her_show_for_watching_and_for_nothing_else(engine: LiveKitEngine):
    way = await engine.play_endpoint(SHOW, Viewer("per_1", "Ada"))
    assert way is not None
    held = claims(way.token)
    assert held["video"] == {
        "roomJoin": True,
        "room": "shw_one",
        "canPublish": False,
        "canSubscribe": True,
        "canPublishData": False,
        "canUpdateOwnMetadata": False,
    }
    assert held["sub"].startswith("per_1.")
    assert "name" not in held  # everybody in the room would be told
    assert 0 < held["exp"] - time.time() <= TOKEN_LIFE.total_seconds()


async def test_two_pages_of_one_person_do_not_throw_each_other_out(engine: LiveKitEngine, server: LiveKitServer):
    await engine.publish_endpoint(SHOW)
    for _ in range(2):
        way = await engine.play_endpoint(SHOW, Viewer("per_1"))
        assert way is not None
        server.enters(way.token)
    assert (await engine.stats(SHOW)).viewers == 2


async def test_a_viewer_who_is_revoked_goes_with_all_her_pages_and_with_her_tokens(
    engine: LiveKitEngine, server: LiveKitServer
):
    await engine.publish_endpoint(SHOW)
    for person in ("per_1", "per_1", "per_2"):
        way = await engine.play_endpoint(SHOW, Viewer(person))
        assert way is not None
        server.enters(way.token)
    await engine.revoke(SHOW, "per_1")
    assert [identity.partition(".")[0] for identity in server.people["shw_one"]] == ["per_2"]
    removed = [message for method, message in server.asked if method == "RemoveParticipant"]
    assert len(removed) == 2
    assert all(message.revoke_token_ts > 0 for message in removed)


async def test_the_end_deletes_ingress_and_room(engine: LiveKitEngine, server: LiveKitServer):
    await engine.publish_endpoint(SHOW)
    await engine.end(SHOW)
    assert (server.rooms, server.ingresses) == ({}, {})


async def test_a_livekit_that_does_not_answer_is_overloaded_and_not_our_mistake(
    engine: LiveKitEngine, server: LiveKitServer
):
    server.broken = True
    with pytest.raises(Overloaded):
        await engine.publish_endpoint(SHOW)


async def test_a_wrong_secret_is_seen_by_the_server_the_test_has(server: LiveKitServer, tmp_path: Path):
    """The premise of all the others: it checks tokens."""
    wrong = livekit_settings(server.url) | {"livekit_secret": "another secret, also long enough"}
    engine = LiveKitEngine(Settings(_env_file=None, data_dir=tmp_path, **wrong), SetClock())
    with pytest.raises(Overloaded):
        await engine.publish_endpoint(SHOW)
    assert server.asked == []
    await engine.close()


# ---- what it says --------------------------------------------------------------------------------


async def test_an_event_is_a_hint_and_the_room_is_asked(engine: LiveKitEngine, server: LiveKitServer):
    server.publishes((await engine.publish_endpoint(SHOW)).url)
    late = server.event("ingress_ended", "shw_one")  # of the time before she came back
    (heard,) = await engine.events(*late)
    assert (heard.show, heard.state) == ("shw_one", "live")


async def test_what_viewers_do_and_other_rooms_are_no_events_of_ours(engine: LiveKitEngine, server: LiveKitServer):
    assert await engine.events(*server.event("participant_joined", "shw_one", "per_1.x")) == []
    assert await engine.events(*server.event("track_published", "somebody-elses")) == []


@pytest.mark.parametrize("change", ["body", "token", "none"])
async def test_a_forged_event_is_refused(engine: LiveKitEngine, server: LiveKitServer, change: str):
    body, headers = server.event("ingress_started", "shw_one")
    if change == "body":
        body = body.replace(b"shw_one", b"shw_two")
    elif change == "token":
        headers["authorization"] = jwt.encode({"iss": KEY, "exp": 2e9, "sha256": ""}, "not the secret " * 3)
    else:
        del headers["authorization"]
    with pytest.raises(Invalid):
        await engine.events(body, headers)


# ---- through the whole server ----------------------------------------------------------------------


async def test_a_whip_client_with_the_shows_key_is_sent_to_the_ingress(web: Web, server: LiveKitServer):
    key = await web.services.shows.set_publish_key(web.house.show.id)
    client = (await web.stranger()).client
    refused = await client.post("/whip/aw26", content="v=0", headers=SDP)
    assert refused.status_code == 401
    assert server.ingresses == {}
    answer = await client.post("/whip/aw26", content="v=0", headers=SDP | {"Authorization": f"Bearer {key}"})
    (ingress,) = server.ingresses.values()
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{ingress.url}/{ingress.stream_key}"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Location" in answer.headers["access-control-expose-headers"]


async def test_there_is_no_whep_and_the_page_is_told_the_room(web: Web, server: LiveKitServer):
    await web.house.go_live()
    browser = await web.viewer()
    assert (await browser.client.post("/whep/aw26", content="v=0", headers=SDP)).status_code == 404
    (way,) = (await browser.client.get("/api/shows/aw26/picture")).json()["ways"]
    assert (way["kind"], way["url"]) == ("livekit", server.url)
    assert claims(way["token"])["sub"].startswith("per_")


async def test_the_page_may_connect_to_livekit(web: Web, server: LiveKitServer):
    policy = (await (await web.stranger()).client.get("/")).headers["content-security-policy"]
    there = server.url.partition("//")[2]
    assert f"wss://{there}" in policy
    assert f"https://{there}" in policy


async def test_an_event_moves_the_shows_picture_and_its_clock(web: Web, server: LiveKitServer):
    await web.house.go_live()
    show = web.house.show.id
    key = await web.services.shows.set_publish_key(show)
    client = (await web.stranger()).client
    sent = await client.post("/whip/aw26", content="v=0", headers=SDP | {"Authorization": f"Bearer {key}"})
    epoch, seq = await web.services.bus.history.position(show)
    server.publishes(sent.headers["location"])
    for _ in range(2):  # webhooks come twice; the room hears of a change
        body, headers = server.event("track_published", show)
        assert (await client.post("/api/media/events", content=body, headers=headers)).status_code == 204
    assert (await web.services.media.picture(show)).state == "live"
    told = await web.services.bus.history.since(show, epoch, seq)
    assert told is not None
    assert [one.kind for one in told] == ["picture.changed"]
    # She goes, and no event says so: the worker's look finds out, and media time goes on through the slate.
    server.people[show].clear()
    await web.services.desk.look_at_pictures()
    picture = await web.services.media.picture(show)
    assert picture.state == "slate"
    assert picture.media_ms >= 0


async def test_an_event_without_livekits_signature_is_422(web: Web):
    answer = await (await web.stranger()).client.post("/api/media/events", content=b"{}")
    assert answer.status_code == 422


async def test_a_new_publishing_key_and_the_end_reach_livekit(web: Web, server: LiveKitServer):
    await web.house.go_live()
    host = await web.signed_in(web.house.host)
    key = (await host.send("POST", "/api/shows/aw26/publish-key")).json()["key"]
    auth = SDP | {"Authorization": f"Bearer {key}"}
    await host.client.post("/whip/aw26", content="v=0", headers=auth)
    assert len(server.ingresses) == 1
    await host.send("POST", "/api/shows/aw26/publish-key")
    assert server.ingresses == {}
    assert (await host.client.post("/whip/aw26", content="v=0", headers=auth)).status_code == 401
    assert (await host.send("POST", "/api/shows/aw26/end")).status_code == 200
    assert server.rooms == {}


async def test_a_show_ends_though_livekit_does_not_answer(web: Web, server: LiveKitServer):
    await web.house.go_live()
    host = await web.signed_in(web.house.host)
    server.broken = True
    assert (await host.send("POST", "/api/shows/aw26/end")).status_code == 200
    assert (await (await web.viewer()).client.get("/api/shows/aw26/picture")).status_code == 409


def test_a_start_with_half_of_the_settings_says_what_is_missing_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)  # no .env
    monkeypatch.setenv("FRONTROW_MEDIA_ENGINE", "livekit")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "hush")
    with pytest.raises(Stop) as stopped:
        settings_of()
    assert "LIVEKIT_URL" in stopped.value.sentence
    assert "hush" not in stopped.value.sentence


@pytest.mark.parametrize("missing", ["livekit_url", "livekit_key", "livekit_secret"])
def test_settings_that_are_not_whole_are_refused_at_the_start(missing: str, tmp_path: Path):
    given = livekit_settings("wss://livekit.example") | {missing: ""}
    with pytest.raises(ValidationError, match="LIVEKIT_API_SECRET"):
        Settings(_env_file=None, data_dir=tmp_path, **given)
