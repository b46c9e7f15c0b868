"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03), verb by verb, against the whole server: a table of what is sent
and what must come back. Rows leave the sessions as they were; what ends or moves one stands below the table."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from test_end_to_end import CERTIFICATE, Viewer
from whip_house import WhipHouse, whip_house

from live.relay import show as show_module
from live.relay.caller import Caller

SDP, FRAGMENT, JSON = "application/sdp", "application/trickle-ice-sdpfrag", "application/json"
PROBLEM = "application/problem+json"
UNKNOWN_CANDIDATE = "a=candidate:1 1 quic 1 9.9.9.9 9 typ wormhole\r\na=end-of-candidates\r\n"
TURN = {"turn_urls": "stun:s.example,turn:t.example?transport=tcp", "turn_secret": "north"}
EXPOSED = {"location", "etag", "link", "retry-after"}


class Row(NamedTuple):
    says: str
    method: str
    where: str  # whip | whep, /session, /unknown
    status: int
    sent: Mapping[str, str] = MappingProxyType({})
    body: str = ""
    back: Mapping[str, str] = MappingProxyType({})  # header: pattern that its value matches whole


KEY = {"Authorization": "Bearer KEY"}
OTHERS = {"Authorization": "Bearer OTHER"}
OFFER, PATCH = {"Content-Type": SDP}, {"Content-Type": FRAGMENT}
TAG = {"If-Match": "TAG"}
PREFLIGHT = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
TRICKLE = "a=ice-ufrag:UFRAG\r\na=ice-pwd:PWD\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"

TABLE = [
    # ---- WHIP: the endpoint (RFC 9725 section 4.2) ----
    Row("an offer without a key", "POST", "whip", 401, OFFER, "GOOD", {"www-authenticate": "Bearer"}),
    Row("an offer with a key nobody has", "POST", "whip", 401, {**OFFER, "Authorization": "Bearer x"}, "GOOD"),
    Row("an offer with another scheme", "POST", "whip", 401, {**OFFER, "Authorization": "Basic KEY"}, "GOOD"),
    Row("an offer with another show's key", "POST", "whip", 403, OFFER | OTHERS, "GOOD"),
    Row("another content type", "POST", "whip", 415, KEY | {"Content-Type": JSON}, "{}", {"accept-post": SDP}),
    Row("no content type", "POST", "whip", 415, KEY, "GOOD", {"accept-post": SDP}),
    Row("a content type with parameters is refused for its body alone", "POST", "whip", 400,
        KEY | {"Content-Type": "Application/SDP; charset=utf-8"}, "v=0\r\n"),
    Row("no SDP at all", "POST", "whip", 400, OFFER | KEY, "hello"),
    Row("an empty body", "POST", "whip", 400, OFFER | KEY, ""),
    Row("SDP that is no text", "POST", "whip", 400, OFFER | KEY, "BYTES"),
    Row("a body without end", "POST", "whip", 413, OFFER | KEY, "LONG"),
    Row("media we don't forward", "POST", "whip", 422, OFFER | KEY, "ODD"),
    Row("a client that reads JSON alone", "POST", "whip", 406, OFFER | KEY | {"Accept": JSON}, "GOOD"),
    Row("GET", "GET", "whip", 200, {}, "", {"accept-post": SDP}),
    Row("HEAD", "HEAD", "whip", 200, {}, "", {"accept-post": SDP}),
    Row("the preflight needs no key, and carries none", "OPTIONS", "whip", 204, PREFLIGHT, "",
        {"accept-post": SDP, "access-control-allow-methods": ".*POST.*", "link": "NONE",
         "access-control-allow-headers": "(?=.*Authorization)(?=.*Content-Type)(?=.*If-Match).*"}),
    Row("OPTIONS with the key tells the ICE servers", "OPTIONS", "whip", 204, KEY, "",
        {"link": '<stun:s.example>; rel="ice-server", <turn:t.example.transport=tcp>; rel="ice-server"; '
                 'username="[0-9]+:[^"]+"; credential="[^"]+"; credential-type="password"'}),
    Row("OPTIONS with another show's key does not", "OPTIONS", "whip", 204, OTHERS, "", {"link": "NONE"}),
    Row("PUT", "PUT", "whip", 405, KEY),
    Row("a show that isn't", "POST", "whip/unknown-show", 404, OFFER | KEY, "GOOD"),
    # ---- WHIP: the session (sections 4.2 to 4.4) ----
    Row("PATCH without a key", "PATCH", "whip/session", 401, PATCH | TAG, TRICKLE),
    Row("PATCH with another show's key", "PATCH", "whip/session", 403, PATCH | TAG | OTHERS, TRICKLE),
    Row("DELETE without a key", "DELETE", "whip/session", 401),
    Row("DELETE with another show's key", "DELETE", "whip/session", 403, OTHERS),
    Row("PATCH of another type", "PATCH", "whip/session", 415, KEY | TAG | OFFER, "v=0", {"accept-patch": FRAGMENT}),
    Row("PATCH without If-Match", "PATCH", "whip/session", 428, KEY | PATCH, TRICKLE),
    Row("PATCH with a stale tag", "PATCH", "whip/session", 412, KEY | PATCH | {"If-Match": '"old"'}, TRICKLE),
    Row("trickle", "PATCH", "whip/session", 204, KEY | PATCH | TAG, TRICKLE),
    Row("trickle of candidates nobody knows", "PATCH", "whip/session", 204, KEY | PATCH | TAG,
        TRICKLE + UNKNOWN_CANDIDATE),
    Row("a fragment that is none", "PATCH", "whip/session", 400, KEY | PATCH | TAG, "BYTES"),
    Row("OPTIONS", "OPTIONS", "whip/session", 204, PREFLIGHT, "",
        {"accept-patch": FRAGMENT, "access-control-allow-methods": "(?=.*PATCH)(?=.*DELETE).*"}),
    Row("GET of a session", "GET", "whip/session", 405, KEY),
    Row("POST to a session", "POST", "whip/session", 405, KEY | OFFER, "GOOD"),
    Row("PATCH of a session that isn't", "PATCH", "whip/unknown", 404, KEY | PATCH | TAG, TRICKLE),
    Row("DELETE of a session that isn't", "DELETE", "whip/unknown", 404, KEY),
    Row("a viewer's session is no publisher's address", "DELETE", "whip/of-other-show", 404, KEY),
    # ---- WHEP: the endpoint (draft section 4.2) ----
    Row("another content type", "POST", "whep", 415, {"Content-Type": JSON}, "{}", {"accept-post": SDP}),
    Row("no SDP at all", "POST", "whep", 400, OFFER, "hello"),
    Row("media we don't forward", "POST", "whep", 422, OFFER, "ODD-VIEWER"),
    Row("a client that reads HTML alone", "POST", "whep", 406, OFFER | {"Accept": "text/html, */*;q=0"}, "GOOD"),
    Row("GET", "GET", "whep", 200, {}, "", {"accept-post": SDP}),
    Row("HEAD", "HEAD", "whep", 200, {}, "", {"content-type": SDP + ".*"}),
    Row("OPTIONS of a show on air", "OPTIONS", "whep", 204, PREFLIGHT, "",
        {"accept-post": SDP, "link": "<stun:.*credential.*"}),
    Row("a show that is not on air", "POST", "whep/not-live", 409, OFFER, "GOOD", {"retry-after": "[0-9]+"}),
    Row("OPTIONS of a show that is not on air tells no credentials", "OPTIONS", "whep/not-live", 204, {}, "",
        {"link": "NONE"}),
    Row("a show that isn't", "POST", "whep/unknown-show", 404, OFFER, "GOOD"),
    # ---- WHEP: the session ----
    Row("trickle", "PATCH", "whep/session", 204, PATCH | TAG, TRICKLE),
    Row("trickle without If-Match is borne with: whip-whep.js sends none", "PATCH", "whep/session", 204, PATCH,
        TRICKLE),
    Row("a stale tag is not", "PATCH", "whep/session", 412, PATCH | {"If-Match": '"old"'}, TRICKLE),
    Row("another type", "PATCH", "whep/session", 415, OFFER | TAG, "v=0", {"accept-patch": FRAGMENT}),
    Row("candidates nobody knows", "PATCH", "whep/session", 204, PATCH | TAG, TRICKLE + UNKNOWN_CANDIDATE),
    Row("OPTIONS", "OPTIONS", "whep/session", 204, PREFLIGHT, "", {"accept-patch": FRAGMENT}),
    Row("GET of a session", "GET", "whep/session", 405),
    Row("PATCH of a session that isn't", "PATCH", "whep/unknown", 404, PATCH | TAG, TRICKLE),
    Row("DELETE of a session that isn't", "DELETE", "whep/unknown", 404),
]  # fmt: skip


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)  # these cameras send only when told


@pytest.fixture
async def house(tmp_path: Path, redis_url: str) -> AsyncIterator[WhipHouse]:
    async with whip_house(tmp_path, redis_url, **TURN) as up:
        yield up


async def test_the_table(house: WhipHouse) -> None:
    others = await house.site.services.shows.set_publish_key(house.site.house.other.id)
    camera, publishing = await house.on_air()
    viewer, playing = await house.watched()
    addresses = {
        "whip": house.whip,
        "whep": house.whep,
        "whip/session": publishing,
        "whep/session": playing,
        "whip/unknown": f"{house.whip}/relay_1.nobody",
        "whep/unknown": f"{house.whep}/relay_1.nobody",
        "whip/of-other-show": publishing.replace("/whip/aw26", "/whip/ss27"),
        "whip/unknown-show": f"{house.url}/whip/none",
        "whep/unknown-show": f"{house.url}/whep/none",
        "whep/not-live": f"{house.url}/whep/ss27",
    }
    tags = {"whip": _session(house, publishing), "whep": _session(house, playing)}
    wrong = []
    for row in TABLE:
        session = tags[row.where[:4]]
        words = {"KEY": others if row.where == "whip/of-other-show" else house.key, "OTHER": others}
        sent = {name: _filled(value, words | {"TAG": f'"{session.tag}"'}) for name, value in row.sent.items()}
        answer = await house.http.request(
            row.method, addresses[row.where], headers=sent, content=_body(row.body, session.ice.generation.remote_ufrag)
        )
        for complaint in _complaints(row, answer):
            wrong.append(f"{row.where}, {row.says}: {complaint}")
    assert wrong == []
    assert not camera.caller.closed.is_set()
    assert not viewer.caller.closed.is_set()
    camera.frame(key=True)
    await _more(viewer, 6)
    await camera.caller.close()
    await viewer.caller.close()


def _complaints(row: Row, answer: httpx.Response) -> list[str]:
    found = []
    if answer.status_code != row.status:
        found.append(f"{answer.status_code} instead of {row.status}: {answer.text[:120]}")
    for name, pattern in row.back.items():
        value = ", ".join(answer.headers.get_list(name))
        if not (value == "" if pattern == "NONE" else re.fullmatch(pattern, value)):
            found.append(f"{name}: {value!r}")
    if row.status != 405:  # the router's own answer, before anything of ours
        exposed = {name.strip().lower() for name in answer.headers.get("access-control-expose-headers", "").split(",")}
        if answer.headers.get("access-control-allow-origin") != "*" or not exposed >= EXPOSED:
            found.append("no CORS")
    elif "PATCH" not in answer.headers.get("allow", "") and "POST" not in answer.headers.get("allow", ""):
        found.append(f"allow: {answer.headers.get('allow')!r}")
    if row.method != "HEAD" and row.status >= 400 and row.status != 405:
        if answer.headers.get("content-type") != PROBLEM:
            found.append("an error that is no problem document")
        elif answer.json()["status"] != row.status:
            found.append("a problem of another status")
    if row.method == "HEAD" and answer.content:
        found.append("a body")
    return found


# ---- what an answer to an offer holds ------------------------------------------------------------


@pytest.mark.parametrize("way", ["whip", "whep"])
async def test_an_offer_is_answered_with_all_that_the_checklist_asks_for(house: WhipHouse, way: str) -> None:
    camera, _ = await house.on_air()
    answer = await (house.publish if way == "whip" else house.play)(_offer(way))
    assert answer.status_code == 201
    assert answer.headers["content-type"] == SDP
    assert answer.headers["accept-patch"] == FRAGMENT
    assert answer.headers["access-control-allow-origin"] == "*"
    assert re.fullmatch(r'"[^"]+"', answer.headers["etag"]), "a strong one: no W/ (RFC 9110 section 8.8.1)"
    links = answer.headers.get_list("link")
    servers = [link for link in links if 'rel="ice-server"' in link]
    assert [link.partition(">")[0] for link in servers] == ["<stun:s.example", "<turn:t.example?transport=tcp"]
    # Relative to the address that was asked, absolute or from the root: either way it leads to the session.
    location = answer.headers["location"]
    session = urljoin(str(answer.url), location)
    assert urlsplit(session).path.startswith(f"/{way}/aw26/")
    assert (await house.http.options(session)).status_code == 204
    # What the SDP says.
    lines = answer.text.split("\r\n")
    direction = "a=recvonly" if way == "whip" else "a=sendonly"
    assert lines.count(direction) == sum(line.startswith("m=") for line in lines) == 2
    assert "a=ice-lite" in lines
    assert "a=rtcp-mux" in lines
    assert any(line.startswith("a=candidate:") for line in lines)
    assert re.search(r"^a=group:BUNDLE 0 1\r?$", answer.text, re.MULTILINE)
    streams = {line.split()[0] for line in lines if line.startswith("a=msid:")}
    assert len(streams) == (0 if way == "whip" else 1), "one MediaStream"
    await camera.caller.close()


async def test_session_addresses_cannot_be_guessed(house: WhipHouse) -> None:
    camera, _ = await house.on_air()
    ids = set()
    for _ in range(5):
        answer = await house.play(_offer("whep"))
        ids.add(answer.headers["location"].rpartition(".")[2])
    assert len(ids) == 5
    assert all(len(one) >= 32 for one in ids), "24 random bytes"
    assert len({one[:4] for one in ids} | {one[-4:] for one in ids}) == 10, "nothing of them counts up"
    await camera.caller.close()


# ---- restart -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["whip", "whep"])
async def test_an_ice_restart_answers_200_with_a_new_tag_and_the_old_one_is_stale(house: WhipHouse, way: str) -> None:
    camera, publishing = await house.on_air()
    viewer, playing = await house.watched()
    address = publishing if way == "whip" else playing
    session = _session(house, address)
    before = session.tag
    mine = secrets.token_hex(4)
    fragment = f"a=ice-ufrag:{mine}\r\na=ice-pwd:{secrets.token_hex(12)}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    headers = PATCH | {"If-Match": "*", "Authorization": f"Bearer {house.key}"}
    answer = await house.http.patch(address, content=fragment, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FRAGMENT
    assert answer.headers["etag"] != f'"{before}"'
    assert f"a=ice-ufrag:{session.tag}" in answer.text
    assert "a=ice-pwd:" in answer.text
    stale = await house.http.patch(address, content=fragment, headers=headers | {"If-Match": f'"{before}"'})
    assert stale.status_code == 412
    fresh = await house.http.patch(address, content=fragment, headers=headers | {"If-Match": answer.headers["etag"]})
    assert fresh.status_code == 204, "candidates of the new generation"
    await camera.caller.close()
    await viewer.caller.close()


@pytest.mark.parametrize(
    ("fragment", "tag", "status"),
    [
        ("a=ice-ufrag:abcd\r\n", "*", 400),  # no password
        ("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", "TAG", 412),  # a restart says "*"
        ("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", '"another"', 412),
    ],
)
async def test_a_restart_that_fails_keeps_the_session_as_it_was(
    house: WhipHouse, fragment: str, tag: str, status: int
) -> None:
    camera, _ = await house.on_air()
    viewer, playing = await house.watched()
    session = _session(house, playing)
    before = (session.tag, session.ice.generation.remote_ufrag)
    headers = PATCH | {"If-Match": _filled(tag, {"TAG": f'"{session.tag}"'})}
    answer = await house.http.patch(playing, content=fragment, headers=headers)
    assert answer.status_code == status
    assert (session.tag, session.ice.generation.remote_ufrag) == before
    camera.frame(key=True)
    await _more(viewer, 6)
    await camera.caller.close()
    await viewer.caller.close()


# ---- ends and limits -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["whip", "whep"])
async def test_delete_ends_the_session_at_once_and_for_good(house: WhipHouse, way: str) -> None:
    camera, publishing = await house.on_air()
    viewer, playing = await house.watched()
    address, person = (publishing, camera) if way == "whip" else (playing, viewer)
    headers = {"Authorization": f"Bearer {house.key}"}
    assert (await house.http.delete(address, headers=headers)).status_code == 200
    await person.caller.closed.wait()  # close_notify
    assert (await house.http.delete(address, headers=headers)).status_code == 404
    await camera.caller.close()
    await viewer.caller.close()


async def test_a_live_show_without_a_picture_yet_is_409_with_a_time_to_come_back(house: WhipHouse) -> None:
    answer = await house.play(_offer("whep"))
    assert answer.status_code == 409
    assert int(answer.headers["retry-after"]) > 0


async def test_a_show_that_ended_takes_no_publisher(house: WhipHouse) -> None:
    await house.site.services.desk.end_show(house.site.house.show.id, "test")
    assert (await house.publish(_offer("whip"))).status_code == 409


async def test_a_full_relay_is_503_with_a_time_to_come_back(tmp_path: Path, redis_url: str) -> None:
    async with whip_house(tmp_path, redis_url, relay_capacity=1) as house:
        camera, _ = await house.on_air()
        viewer, _ = await house.watched()
        answer = await house.play(_offer("whep"))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["access-control-allow-origin"] == "*"
        await camera.caller.close()
        await viewer.caller.close()


async def test_no_relay_at_all_is_503_with_a_time_to_come_back(house: WhipHouse) -> None:
    await house.site.services.redis.delete("relays")
    answer = await house.publish(_offer("whip"))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def test_too_many_requests_are_429_and_readable_from_elsewhere(house: WhipHouse) -> None:
    """Refused before WHIP's own code: CORS holds there too."""
    browser = await house.site.viewer()
    for _ in range(130):
        answer = await browser.client.get("/whep/aw26")
        if answer.status_code != 200:
            break
    assert answer.status_code == 429
    assert answer.headers["access-control-allow-origin"] == "*"
    assert int(answer.headers["retry-after"]) > 0


# ---- what is sent --------------------------------------------------------------------------------


def _offer(way: str) -> str:
    """Of somebody who doesn't come."""
    caller = Caller(CERTIFICATE)
    caller.socket.close()
    return caller.offer("sendonly" if way == "whip" else "recvonly")


def _body(text: str, ufrag: str) -> bytes:
    good = _offer("whip")
    made = {
        "GOOD": good.encode(),
        "BYTES": b"\xff\xfe\x00v=0",
        "LONG": b"a" * 70_000,
        "ODD": _odd(good),
        "ODD-VIEWER": _odd(_offer("whep")),
    }
    return made.get(text, text.replace("UFRAG", ufrag).replace("PWD", "0" * 22).encode())


def _odd(offer: str) -> bytes:
    return re.sub(r"(a=rtpmap:\d+) (?!rtx)\S+?/", r"\1 wax/", offer).encode()


def _filled(value: str, words: dict[str, str]) -> str:
    for word, meaning in words.items():
        value = value.replace(word, meaning)
    return value


def _session(house: WhipHouse, address: str) -> Any:
    return house.relay.sessions[address.rpartition(".")[2]]


async def _more(viewer: Viewer, least: int) -> None:
    from relay_stage import until

    await until(lambda: len(viewer.order) >= least)
