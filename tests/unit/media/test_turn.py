"""TURN credentials by coturn's scheme, and what a browser and a WHIP client are told of the servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from live.media.port import IceServer
from live.media.turn import LIFE_S, ice_servers, links
from live.settings import Settings

NOW_MS = 1_700_000_000_000


def settings(**more: Any) -> Settings:
    return Settings(_env_file=None, data_dir=Path("unused"), **more)


def test_without_servers_there_are_none():
    assert ice_servers(settings(), "per_1", NOW_MS) == []


def test_the_credential_is_what_coturn_computes_from_the_shared_secret():
    # Expected: printf %s 1700021600:per_1 | openssl dgst -sha1 -hmac north -binary | base64
    (one,) = ice_servers(settings(turn_urls="turn:t.example:3478?transport=tcp", turn_secret="north"), "per_1", NOW_MS)
    assert one.urls == ["turn:t.example:3478?transport=tcp"]
    assert one.username == f"{1_700_000_000 + LIFE_S}:per_1"
    assert one.credential == "d7mgeEm2XbGTwQAbWJTyWXlOxEI="


def test_it_names_the_person_and_nothing_that_could_leave_its_header():
    given = settings(turn_urls="turn:a", turn_secret="s")
    assert ice_servers(given, 'x";y', NOW_MS)[0].username.endswith(":xy")
    assert ice_servers(given, "", NOW_MS)[0].username.endswith(":guest")


def test_stun_needs_no_credential_and_several_servers_share_one():
    found = ice_servers(settings(turn_urls="stun:s.example, turn:a, turns:b", turn_secret="s"), "p", NOW_MS)
    assert [one.urls for one in found] == [["stun:s.example"], ["turn:a", "turns:b"]]
    assert found[0].credential == ""


def test_each_address_is_a_link_header_of_its_own():
    found = links([IceServer(["stun:s"]), IceServer(["turn:a", "turns:b"], "u", "c=")])
    login = '; username="u"; credential="c="; credential-type="password"'
    assert found == [
        '<stun:s>; rel="ice-server"',
        f'<turn:a>; rel="ice-server"{login}',
        f'<turns:b>; rel="ice-server"{login}',
    ]
