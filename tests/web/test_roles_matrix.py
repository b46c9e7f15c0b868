"""Every door against everyone: who gets in is exactly what the table of routes declares."""

from __future__ import annotations

from collections import defaultdict

import pytest
from house import Browser, Web
from starlette.routing import Mount, Route, WebSocketRoute

from live.accounts.roles import LADDER
from live.web.doors import SAFE, Door
from live.web.routes import DOORS

PEOPLE = ["stranger", "viewer", "moderator", "host", "staff", "host of another show"]
# The role each holds in the show that the doors are tried on.
HELD = {
    "stranger": None,
    "viewer": "viewer",
    "moderator": "moderator",
    "host": "host",
    "staff": "staff",
    "host of another show": "viewer",
}
ENDS_THE_SESSION = {"/sign-out"}


def test_every_route_that_is_served_stands_in_the_table(web):
    served = {
        (route.path, frozenset(route.methods or ()) - {"HEAD"}) for route in web.app.routes if isinstance(route, Route)
    }
    assert served == {(door.path, door.methods) for door in DOORS}
    assert {route.path for route in web.app.routes if isinstance(route, Mount)} == {"/static", "/media"}
    assert [route.path for route in web.app.routes if isinstance(route, WebSocketRoute)] == ["/ws/{show}"]


def test_a_door_without_a_guard_for_its_unsafe_methods_is_not_built():
    with pytest.raises(TypeError):
        Door(frozenset({"POST"}), "/x", DOORS[0].endpoint, "viewer", "read", "api")
    with pytest.raises(TypeError):
        Door(frozenset({"GET"}), "/x", DOORS[0].endpoint, "viewer", "csrf", "api")


@pytest.mark.parametrize("who", PEOPLE)
async def test_each_door_opens_to_those_it_names_and_to_nobody_else(web: Web, who: str):
    wrong = []
    for door in DOORS:
        for method in sorted(door.methods - {"OPTIONS"}):
            browser = await _person(web, who)
            status = await _knock(web, browser, door, method)
            if _let_in(status) != _may(door, method, who):
                wrong.append((who, method, door.path, status))
    assert not wrong


@pytest.mark.parametrize("door", [d for d in DOORS if d.guard == "csrf"], ids=lambda d: f"{sorted(d.methods)} {d.path}")
async def test_each_door_that_asks_for_intent_refuses_a_foreign_origin_and_a_wrong_token(web: Web, door: Door):
    (method,) = door.methods
    path = _path(web, door)
    browser = await web.signed_in(web.house.staff)
    good = {"Origin": browser.origin, "X-CSRF": browser.csrf}
    stolen = (await web.signed_in(web.house.staff)).csrf
    for change in (
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://shop.test.evil.example"},
        {"Origin": "http://shop.test:8000"},
        {"Origin": "https://shop.test"},
        {"X-CSRF": None},
        {"X-CSRF": ""},
        {"X-CSRF": stolen},
    ):
        headers = {name: value for name, value in {**good, **change}.items() if value is not None}
        answer = await browser.client.request(method, path, headers=headers, json={})
        assert answer.status_code == 403, (change, answer.status_code)
        if door.kind == "api":
            assert answer.json()["facts"]["need"] in ("origin", "csrf")
    # The premise: with the right ones it isn't the guard that refuses.
    answer = await browser.client.request(method, path, headers=good, json={})
    assert answer.status_code != 403, answer.text


async def test_a_form_may_bring_the_token_as_a_field(web: Web):
    browser = await web.viewer()
    form = {"email": "a@example.org", "password": "wrong"}
    send = browser.client.post
    without = await send("/sign-in", data=form, headers={"Origin": browser.origin})
    assert without.status_code == 403
    good = await send("/sign-in", data={**form, "csrf": browser.csrf}, headers={"Origin": browser.origin})
    assert good.status_code == 401
    assert "do not go together" in good.text


def _may(door: Door, method: str, who: str) -> bool:
    if door.guard == "bearer" and method not in SAFE:
        return False  # none of them brings a publishing key
    if door.guard == "signed":
        return True  # answered with 422 for the missing signature: a session decides nothing here
    if door.least == "anyone":
        return True
    role = HELD[who]
    if role is None:
        return False
    if not door.of_a_show and who == "host of another show":
        role = "host"  # the studio's front door asks for a role in any show
    return LADDER.index(role) >= LADDER.index(door.least)


def _let_in(status: int) -> bool:
    """Whatever else is wrong with the empty body we send, the guards are behind us."""
    return status not in (401, 403, 500) and status < 600


async def _person(web: Web, who: str) -> Browser:
    if who == "stranger":
        return await web.stranger()
    if who == "viewer":
        return await web.viewer()
    house = web.house
    people = {"moderator": house.moderator, "host": house.host, "staff": house.staff}
    return await web.signed_in(people.get(who, house.other_host))


async def _knock(web: Web, browser: Browser, door: Door, method: str) -> int:
    headers = {} if method in SAFE else {"Origin": browser.origin, "X-CSRF": browser.csrf}
    answer = await browser.client.request(
        method, _path(web, door), headers=headers, json=None if method in SAFE else {}, follow_redirects=False
    )
    if answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?"):
        return 401  # a page asks a guest to sign in
    if (
        door.path == "/sign-in"
        and method == "POST"
        and answer.status_code == 401
        and "do not go together" in answer.text
    ):
        return 200  # the door opened; it was the empty password that was wrong
    if door.path == "/sign-in/{token}" and "That link is over" in answer.text:
        return 200
    return answer.status_code


def _path(web: Web, door: Door) -> str:
    known = {"slug": "aw26", "sku": "L1-S", "look": web.house.looks[0], "session": "a.b", "file": "live.m3u8"}
    known |= {"country": "DE", "provider": "sandbox", "number": "FR-NONE-NONE", "person": "per_none"}
    return door.path.format_map(defaultdict(lambda: "none", known))
