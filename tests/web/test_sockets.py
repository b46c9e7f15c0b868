"""The room's door and the desk's intents, over real sockets."""

import asyncio
import logging
from pathlib import Path

import pytest
from house import Browser, served, settings_for
from soon import soon
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chat.client import RoomClient
from chat.expulsion import BANNED
from live.desk import pace
from live.logs import CHATTY
from live.web import gate


async def test_a_viewer_is_welcomed_with_the_show_as_it_is(site):
    await site.house.go_live(1)
    viewer = await site.viewer()
    async with site.room(viewer) as room:
        live = room.welcome["live"]
    assert live["show"]["status"] == "live"
    assert [card["number"] for card in live["cards"]] == [1]
    assert live["pinned"] == site.house.looks[0]
    assert live["stock"] == {"L1-S": live["stock"]["L1-S"], "L1-M": live["stock"]["L1-M"]}
    assert live["stock"]["L1-S"]["left"] == 5
    assert (live["runsheet"], live["tally"]) == (None, None)
    assert room.welcome["you"]["roles"] == ["viewer"]


async def test_a_socket_leaves_no_address_in_the_log(site, caplog):
    with caplog.at_level(logging.INFO):
        async with site.room(await site.viewer()):
            pass
        with pytest.raises(InvalidStatus):
            await connect(f"{site.ws}/ws/aw26", origin="http://evil.example")
    assert caplog.records, "the premise: something is logged"
    told = [record.getMessage() for record in caplog.records if record.name not in CHATTY]
    assert not [line for line in told if "127.0.0.1:" in line]


async def test_looks_that_wait_are_nobodys_business_but_the_hosts(site):
    await site.house.go_live(1)
    viewer, host = await site.viewer(), await site.signed_in(site.house.host)
    async with site.room(viewer) as seen, site.room(host) as desk:
        assert "Look 2" not in str(seen.welcome)
        assert [row["state"] for row in desk.welcome["live"]["runsheet"]] == ["dropped", "waiting", "waiting"]
        assert "L3-S" in desk.welcome["live"]["stock"]
        assert desk.welcome["live"]["tally"]["orders"] == 0


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "http://evil.example",
        "{origin}.evil.example",
        "http://evil.example/?{origin}",
        "{origin}0",
        "http://127.0.0.1",
        "{https}",
        "{origin}/",
    ],
)
async def test_a_socket_from_any_other_origin_is_refused_before_the_handshake(site, origin):
    browser = await site.viewer()
    url = f"{site.ws}/ws/aw26"
    async with site.room(browser):
        pass  # the premise: with our own Origin it opens
    given = origin and origin.format(origin=site.origin, https=site.origin.replace("http", "https"))
    with pytest.raises(InvalidStatus) as refused:
        await RoomClient.connect(url, browser.cookie, given)
    assert refused.value.response.status_code == 403


async def test_a_socket_without_a_session_is_told_to_open_a_page_first(site):
    for cookie in ("", "frontrow=forged-and-long-enough-to-be-looked-up"):
        with pytest.raises(ConnectionError, match="4401"):
            await RoomClient.connect(f"{site.ws}/ws/aw26", cookie, site.origin)


async def test_a_socket_to_no_show_is_told_so(site):
    browser = await site.viewer()
    with pytest.raises(ConnectionError, match="4404"):
        await RoomClient.connect(f"{site.ws}/ws/nope", browser.cookie, site.origin)


async def test_a_drop_reaches_every_page_with_its_stock_and_media_time(site):
    await site.house.go_live()
    viewer, host = await site.viewer(), await site.signed_in(site.house.host)
    async with site.room(viewer) as seen, site.room(host) as desk:
        answer = await desk.post("card.drop", {"look": site.house.looks[1]})
        assert answer.ok, answer
        body = await seen.wait("card.dropped")
        assert body["card"]["number"] == 2
        assert body["card"]["pieces"][0]["variants"][0]["price"] == {"minor": 12_900, "currency": "EUR"}
        assert set(body["stock"]) == {"L2-S", "L2-M"}
        sheet = await desk.wait("runsheet.changed")
        assert [row["state"] for row in sheet["runsheet"]] == ["waiting", "dropped", "waiting"]


async def test_two_hosts_who_press_drop_at_once_get_one_drop(site):
    await site.house.go_live()
    host = await site.signed_in(site.house.host)
    staff = await site.signed_in(site.house.staff)
    async with site.room(host) as one, site.room(staff) as two:
        look = {"look": site.house.looks[0]}
        answers = await asyncio.gather(*(desk.post("card.drop", look) for desk in (one, two, one, two)))
        assert sorted(answer.code for answer in answers) == ["", "wrong_state", "wrong_state", "wrong_state"]
        await one.wait("card.dropped")
    moments = await site.services.timeline.of(site.house.show.id)
    assert [moment.kind for moment in moments] == ["show.opened", "card.dropped"]


@pytest.mark.parametrize("kind", ["card.drop", "card.withdraw", "look.next", "show.open", "show.end"])
async def test_the_hosts_intents_are_refused_to_viewers_moderators_and_other_shows_hosts(site, kind):
    await site.house.go_live()
    for who in (None, site.house.moderator, site.house.other_host):
        browser = await (site.signed_in(who) if who else site.viewer())
        async with site.room(browser) as room:
            answer = await room.post(kind, {"look": site.house.looks[0]} if kind.startswith("card") else {})
            assert (answer.code, answer.facts) == ("forbidden", {"need": "host"})


async def test_a_hold_lowers_everyones_stock_and_fills_every_tab_of_the_buyer(site):
    await site.house.go_live(1)
    buyer, other = await site.viewer(), await site.viewer()
    async with site.room(buyer) as tab, site.room(buyer) as second, site.room(other) as seen:
        answer = await tab.post("cart.add", {"sku": "L1-S", "qty": 2}, op="tap-1")
        assert answer.body["cart"]["total"] == {"minor": 25_800, "currency": "EUR"}
        assert (await seen.wait("stock.changed"))["stock"]["L1-S"]["left"] == 3
        assert (await second.wait("cart.changed"))["cart"]["lines"][0]["qty"] == 2
        again = await tab.post("cart.add", {"sku": "L1-S", "qty": 2}, op="tap-1")
        assert again.body["cart"]["lines"][0]["qty"] == 2
        assert (await tab.post("cart.remove", {"sku": "L1-S"})).body["cart"]["lines"] == []
        assert not [e for e in seen.envelopes if e["kind"] == "cart.changed"]


async def test_who_takes_and_gives_back_without_end_is_told_to_wait_on_every_tab(site, monkeypatch):
    monkeypatch.setattr(pace, "BURST", 3)
    monkeypatch.setattr(pace, "EVERY_MS", 3_600_000)  # no slow machine gives her another
    await site.house.go_live(1)
    viewer, neighbour = await site.viewer(), await site.viewer()
    async with site.room(viewer) as one, site.room(viewer) as tab, site.room(neighbour) as other:
        for kind in ("cart.add", "cart.remove", "cart.add"):
            assert (await one.post(kind, {"sku": "L1-S"})).ok
        told = await tab.post("cart.remove", {"sku": "L1-S"})
        assert (told.code, told.facts["retry_after_s"] > 0) == ("throttled", True)
        assert (await other.post("cart.add", {"sku": "L1-S"})).ok


async def test_sign_out_closes_the_live_sockets_of_that_browser_and_of_no_other(site):
    await site.house.go_live(1)
    host, viewer = await site.signed_in(site.house.host), await site.viewer()
    async with site.room(host) as desk, site.room(viewer) as seen:
        answer = await _sign_out(host)
        assert answer.status_code == 303
        await soon(desk.wait_closed())
        assert desk.close_code == 4401
        assert seen.close_code is None


async def test_taking_a_role_away_closes_the_sockets_that_were_let_in_with_it(site):
    await site.house.go_live()
    host = await site.signed_in(site.house.host)
    async with site.room(host) as desk:
        (grant,) = await site.services.staff.grants(site.house.host.id)
        await site.services.people.withdraw(site.house.host.id, grant)
        await soon(desk.wait_closed())
    async with site.room(host) as room:
        assert room.welcome["you"]["roles"] == ["viewer"]
        assert (await room.post("show.end")).code == "forbidden"


async def test_a_dismissed_member_of_staff_is_a_stranger_at_once(site):
    host = await site.signed_in(site.house.host)
    async with site.room(host) as desk:
        await site.services.people.dismiss(site.house.host.id)
        await soon(desk.wait_closed())
    with pytest.raises(ConnectionError, match="4401"):
        await RoomClient.connect(f"{site.ws}/ws/aw26", host.cookie, site.origin)


async def test_hosts_hear_their_figures_and_viewers_do_not(site):
    await site.house.go_live(1)
    host, viewer = await site.signed_in(site.house.host), await site.viewer()
    async with site.room(host) as desk, site.room(viewer) as seen:
        await seen.post("cart.add", {"sku": "L1-S"})
        tally = await desk.wait("tally.changed", lambda body: body["tally"]["held"] == 1)
        assert tally["tally"]["revenue"] == {"minor": 0, "currency": "EUR"}
        assert not [e for e in seen.envelopes if e["kind"] in ("tally.changed", "runsheet.changed")]


async def test_a_name_taken_in_the_room_is_kept_with_the_session(site):
    viewer = await site.viewer()
    async with site.room(viewer) as room:
        assert (await room.post("name.set", {"name": "Vera"})).ok
    async with site.room(viewer) as room:
        assert room.welcome["you"]["name"] == "Vera"


async def _sign_out(browser: Browser):
    return await browser.client.post("/sign-out", data={"csrf": browser.csrf}, headers={"Origin": browser.origin})


async def test_a_socket_that_was_let_in_but_says_hello_after_its_owner_was_dismissed_is_closed(site):
    host = await site.signed_in(site.house.host)
    async with site.room(host) as room:
        assert "host" in room.welcome["you"]["roles"]  # the premise
    cookie = {"Cookie": host.cookie}
    async with connect(f"{site.ws}/ws/aw26", origin=site.origin, additional_headers=cookie, proxy=None) as waiting:
        await site.services.people.dismiss(site.house.host.id)
        await waiting.send('{"kind":"hello","body":{"epoch":null,"seq":null}}')
        with pytest.raises(ConnectionClosed) as closed:
            await waiting.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


async def test_a_session_that_opens_sockets_without_end_is_told_to_wait(site, monkeypatch):
    monkeypatch.setattr(gate, "OPENED_A_MINUTE", 3)
    eager, other = await site.viewer(), await site.viewer()
    for _ in range(3):
        async with site.room(eager):
            pass
    with pytest.raises(ConnectionError, match="4429"):
        await RoomClient.connect(f"{site.ws}/ws/aw26", eager.cookie, site.origin)
    async with site.room(other) as room:
        assert room.welcome


async def test_a_host_flips_a_switch_by_the_api_and_open_pages_obey(site):
    viewer, host = await site.viewer(), await site.signed_in(site.house.host)
    async with site.room(viewer) as room:
        answer = await host.send("PUT", "/api/shows/aw26/service", {"animations": "off"})
        assert answer.json()["chosen"]["animations"] == "off"
        told = await room.wait("service.changed")
        assert (told["service"]["animations"], told["service"]["hearts"]) == (False, True)
        read = (await host.client.get("/api/shows/aw26/service")).json()
        assert (read["chosen"]["animations"], read["now"]["animations"]) == ("off", False)
        assert (await host.send("PUT", "/api/shows/aw26/service", {"checkout": "off"})).status_code == 422
    assert (await viewer.send("PUT", "/api/shows/aw26/service", {"animations": "on"})).status_code == 403
    assert await site.services.archive.acts(site.house.show.id) == (1, 0), "who flipped it is on record"


@pytest.mark.parametrize("by", ["bot", "logout", "role"])
async def test_two_servers_of_one_house_cut_within_a_second_whoever_asks(
    tmp_path: Path, redis_url: str, by: str
) -> None:
    """The whole application twice, on one Redis and one database: what one is asked, the other's sockets feel."""
    settings = settings_for(tmp_path, redis_url)
    async with served(settings) as one, served(settings, seeded=one.house) as two:
        browser = await (two.signed_in(one.house.host) if by == "role" else two.viewer())
        async with two.room(browser) as client:
            person = client.welcome["you"]["person"]
            if by == "bot":
                brand = one.house.show.brand_id
                secret, _ = await one.services.tokens.make("Bot", ("room:moderate",), by="test", brand_id=brand)
                answer = await (await one.viewer()).client.post(
                    "/api/shows/aw26/room",
                    json={"kind": "person.ban", "body": {"person": person, "reason": "spam"}},
                    headers={"Authorization": f"Bearer {secret}", "Cookie": ""},
                )
                assert answer.status_code == 200, answer.text
            elif by == "role":
                (grant,) = await one.services.staff.grants(one.house.host.id)
                await one.services.people.withdraw(one.house.host.id, grant)
            else:
                data = {"csrf": browser.csrf}
                url = f"{one.origin}/sign-out"
                left = await browser.client.post(url, data=data, headers={"Origin": one.origin})
                assert left.status_code == 303
            assert await soon(client.wait_closed()) == (BANNED if by == "bot" else 4401)
        if by == "bot":
            back = await RoomClient.connect(f"{two.ws}/ws/aw26", browser.cookie, two.origin)
            try:
                assert back.welcome["you"]["silenced"]["reason"] == "spam"
                assert back.welcome["live"]["show"]["slug"] == "aw26"
            finally:
                await back.aclose()
