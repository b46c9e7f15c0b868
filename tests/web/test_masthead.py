"""The head of every page: whose name stands there, and which of its links is the page that is open."""

from __future__ import annotations

import asyncio
import re

import pytest
from bought import bought
from house import Web

from live.errors import StoreDown
from live.stage.show import Show
from live.web import house

NAME = re.compile(r'<a class="wordmark" href="/">([^<]*)</a>')
HERE = re.compile(r'<a href="([^"]*)" aria-current="([^"]*)">')


async def test_a_page_carries_its_brands_name_and_never_what_it_is_for(web: Web):
    await web.house.go_live(1)
    order = await bought(web.services, web.house.show.id, ("L1-S", 1))
    endpoint, _ = await web.services.endpoints.add(web.house.show.brand_id, "https://erp.example.com/in", [], by="cli")
    await web.services.people.grant(web.house.staff.id, "host", show_id=web.house.show.id)
    staff = await web.signed_in(web.house.staff)
    of_machines = ["/studio/api", "/studio/webhooks", f"/studio/webhooks/{endpoint}"]
    of_the_show = ["/studio/shows/aw26", "/studio/shows/aw26/room", "/studio/shows/aw26/picture"]
    of_the_shop = ["/studio/orders", f"/studio/orders/{order.number}", "/studio/packing", "/studio/catalogue"]
    for path in ["/studio", *of_the_shop, "/studio/catalogue/import", "/studio/terms", *of_machines, *of_the_show]:
        answer = await staff.open(path)
        assert (answer.status_code, NAME.findall(answer.text)) == (200, ["Atelier"]), path


async def test_where_brands_share_a_server_a_page_of_none_carries_the_servers_name(web: Web):
    guest = await web.viewer()
    for path in ("/", "/sign-in", "/nowhere", "/orders/none", "/shows/none"):
        assert NAME.findall((await guest.open(path)).text) == ["Frontrow"], path
    await web.services.people.grant(web.house.staff.id, "moderator", show_id=web.house.other.id)
    staff = await web.signed_in(web.house.staff)
    assert NAME.findall((await staff.open("/studio/api")).text) == ["Frontrow"], "she works for two"
    assert NAME.findall((await staff.open("/studio/terms")).text) == ["Atelier"]


@pytest.mark.parametrize(
    ("path", "marked"),
    [
        ("/studio", ("/studio", "page")),
        ("/studio/orders", ("/studio/orders", "page")),
        ("/studio/orders/{order}", ("/studio/orders", "true")),
        ("/studio/packing", ("/studio/orders", "true")),
        ("/studio/catalogue", ("/studio/catalogue", "page")),
        ("/studio/catalogue/import", ("/studio/catalogue", "true")),
        ("/studio/shows/aw26", ("/studio/shows/aw26", "page")),
        ("/studio/shows/aw26/room", ("/studio/shows/aw26/room", "page")),
        ("/studio/shows/aw26/picture", ("/studio/shows/aw26/picture", "page")),
    ],
)
async def test_the_link_of_the_page_or_of_its_part_is_marked(web: Web, path: str, marked: tuple[str, str]):
    await web.house.go_live(1)
    order = await bought(web.services, web.house.show.id, ("L1-S", 1))
    staff = await web.signed_in(web.house.staff)
    text = (await staff.open(path.format(order=order.number))).text
    assert [(href.partition("?")[0], how) for href, how in HERE.findall(text)] == [marked]


async def test_a_moderators_links_lead_to_no_page_that_is_the_hosts(web: Web):
    text = (await (await web.signed_in(web.house.moderator)).open("/studio/shows/aw26/room")).text
    nav = re.search(r'<nav class="masthead__links".*?</nav>', text, re.S)
    assert nav
    assert re.findall(r'href="([^"]*)"', nav[0]) == ["/studio", "/studio/shows/aw26/room", "/shows/aw26"]


async def test_the_only_brands_name_also_stands_over_what_went_wrong(web: Web, monkeypatch: pytest.MonkeyPatch):
    async def one_brands() -> list[Show]:
        return [web.house.show]

    async def away() -> list[Show]:
        raise StoreDown("sql")

    guest = await web.viewer()
    monkeypatch.setattr(house, "KEPT_S", 0, raising=False)
    monkeypatch.setattr(web.services.shows, "list", one_brands)
    assert NAME.findall((await guest.open("/nowhere")).text) == ["Atelier"]
    monkeypatch.setattr(web.services.shows, "list", away)
    answer = await guest.open("/nowhere")
    assert (answer.status_code, NAME.findall(answer.text)) == (404, ["Frontrow"]), "and no second error"


async def test_a_page_of_what_went_wrong_waits_for_no_store_that_hangs(web: Web, monkeypatch: pytest.MonkeyPatch):
    over = asyncio.Event()

    async def hangs() -> list[Show]:
        await over.wait()
        return [web.house.show]

    guest = await web.viewer()
    monkeypatch.setattr(house, "WITHIN_S", 0.05, raising=False)
    monkeypatch.setattr(web.services.shows, "list", hangs)
    try:
        async with asyncio.timeout(30):
            answer = await guest.open("/nowhere")
    finally:
        over.set()
    assert (answer.status_code, NAME.findall(answer.text)) == (404, ["Frontrow"])


async def test_any_number_of_requests_for_what_is_not_there_look_into_sql_once(
    web: Web, monkeypatch: pytest.MonkeyPatch
):
    asked = 0

    async def counted() -> list[Show]:
        nonlocal asked
        asked += 1
        return [web.house.show]

    guest = await web.viewer()
    monkeypatch.setattr(house, "KEPT_S", 3600, raising=False)
    monkeypatch.setattr(web.services.shows, "list", counted)
    names = [NAME.findall((await guest.open(f"/nowhere/{n}")).text) for n in range(5)]
    assert (names, asked) == ([["Atelier"]] * 5, 1)
