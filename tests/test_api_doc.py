"""docs/api.md against the table of routes and the code behind it, both ways."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from chat.kinds import ServiceSet
from live.accounts.scopes import WORDS as WORDS_OF_SCOPES
from live.accounts.scopes import Scope
from live.shop.contact import Address
from live.web import api, catalogue_api, drops, orders_api, room, till
from live.web.doors import Door
from live.web.errors import WORDS
from live.web.routes import DOORS

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
SECTIONS = dict(re.findall(r"^### `([A-Z]+ \S+)`\n(.*?)(?=^#{2,3} |\Z)", PAGE, re.M | re.S))
SERVED: dict[str, Door] = {f"{method} {door.path}": door for door in DOORS for method in door.methods}
BODIES: dict[str, list[type[msgspec.Struct]]] = {
    "POST /api/shows/{slug}/cart": [api.CartAddition],
    "POST /api/shows/{slug}/quote": [till.Ask],
    "POST /api/shows/{slug}/checkout": [till.Purchase, Address],
    "PUT /api/shows/{slug}/publisher-rule": [api.PublisherRule],
    "PUT /api/shows/{slug}/service": [ServiceSet],
    "POST /api/shows/{slug}/room": [room.RoomIntent],
    "POST /api/shows/{slug}/looks/{look}/place": [drops.PlaceWanted],
    "POST /api/shows/{slug}/looks/{look}/drop": [drops.DropTimes],
    "PUT /api/shows/{slug}/looks/{look}/terms": [drops.LookTerms],
    "PUT /api/catalogue/products/{product}/cap": [catalogue_api.ProductCap],
    "POST /api/name": [api.Naming],
    "POST /sandbox/pay/{ref}": [till.SandboxChoice],
    "POST /api/staff/orders/{number}/shipments": [orders_api.Shipping],
    "POST /api/staff/orders/{number}/shipments/{shipment}/void": [orders_api.Undoing],
    "POST /api/staff/orders/{number}/returns": [orders_api.Returning],
    "POST /api/staff/orders/{number}/refunds": [orders_api.Refunding],
    "POST /api/staff/orders/{number}/cancel": [orders_api.Cancelling],
    "POST /api/staff/orders/{number}/notes": [orders_api.Noting],
}


def test_the_page_was_read_at_all():
    assert len(SECTIONS) > 30


def test_every_route_is_described():
    assert sorted(SERVED.keys() - SECTIONS.keys()) == []


def test_nothing_is_described_that_is_not_served():
    assert sorted(SECTIONS.keys() - SERVED.keys()) == []


@pytest.mark.parametrize("route", sorted(SERVED))
def test_who_guard_and_limits_are_the_tables(route: str):
    door = SERVED[route]
    said = re.search(r"^- Who: (.+)$", SECTIONS[route], re.M)
    assert said is not None
    token = f" Token: `{door.scope}`." if door.scope else ""
    assert said[1] == (
        f"{door.least}. Guard: {door.guard}. Limits: {door.a_minute} a minute, {door.body_max // 1024} KiB.{token}"
    )


@pytest.mark.parametrize("route", sorted(SERVED))
def test_every_route_says_what_it_answers_and_only_codes_that_exist(route: str):
    assert re.search(r"^- Answer: \S", SECTIONS[route], re.M)
    errors = re.search(r"^- Errors: (.+)$", SECTIONS[route], re.M)
    assert errors is not None
    codes = re.findall(r"`([a-z_]+)`", errors[1])
    assert set(codes) <= WORDS.keys()
    assert codes or errors[1] == "none."


def test_the_table_of_scopes_is_the_scopes():
    assert dict(re.findall(r"^\| `(\w+:\w+)` \| (.+) \|$", PAGE, re.M)) == WORDS_OF_SCOPES
    assert set(WORDS_OF_SCOPES) == set(get_args(Scope))


def test_the_table_of_codes_is_the_codes():
    said = {code: int(status) for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.M)}
    assert said == {code: status for code, (status, _, _) in WORDS.items()}


@pytest.mark.parametrize("route", sorted(BODIES))
def test_every_field_of_a_body_is_described(route: str):
    body = re.search(r"^- Body: (.+)$", SECTIONS[route], re.M)
    assert body is not None
    for shape in BODIES[route]:
        for field in shape.__struct_fields__:
            assert f'"{field}"' in body[1]
