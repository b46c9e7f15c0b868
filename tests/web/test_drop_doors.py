"""Drops over HTTP and the socket: the same clock, the same line and the same refusals on both ways in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from house import Web, running, served, settings_for

from live.clock import SetClock
from live.desk.pace import BURST

SLUG = "/api/shows/aw26"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def timed(tmp_path: Path, redis_url: str, clock: SetClock) -> AsyncIterator[Web]:
    async with running(settings_for(tmp_path, redis_url), clock=clock) as web:
        await web.services.desk.open_show(web.house.show.id, "host")
        yield web


async def test_a_countdown_refuses_over_http_with_its_moment_and_lets_the_same_tap_through_after(
    timed: Web, clock: SetClock
):
    host, buyer = await timed.signed_in(timed.house.host), await timed.viewer()
    look = f"{SLUG}/looks/{timed.house.looks[0]}"
    assert (await host.send("POST", f"{look}/drop", {"in_s": 10, "for_s": 60})).status_code == 200
    tap = {"sku": "L1-S", "op": "tap"}
    for path in ("cart", "waitlist"):
        early = await buyer.send("POST", f"{SLUG}/{path}", tap if path == "cart" else {"sku": "L1-S"})
        assert (early.status_code, early.json()["code"]) == (409, "not_open")
        assert early.json()["facts"]["opens_ms"] == clock.now_ms() + 10_000
    clock.advance(10_000)
    assert (await buyer.send("POST", f"{SLUG}/cart", tap)).status_code == 200
    clock.advance(60_000)
    late = await buyer.send("POST", f"{SLUG}/cart", {"sku": "L1-M", "op": "late"})
    assert (late.status_code, late.json()["code"]) == (409, "closed")


async def test_a_hot_drop_over_http_from_its_terms_to_its_proof(timed: Web, clock: SetClock):
    host, buyer = await timed.signed_in(timed.house.host), await timed.viewer()
    look = f"{SLUG}/looks/{timed.house.looks[0]}"
    assert (await host.send("PUT", f"{look}/terms", {"hot": True, "limit": 1})).status_code == 200
    assert (await buyer.send("PUT", f"{look}/terms", {"hot": False})).status_code == 403
    assert (await buyer.send("POST", f"{look}/place", {"op": "1"})).status_code == 404, "its card is not out"
    assert (await host.send("POST", f"{look}/drop")).status_code == 200
    assert (await buyer.send("POST", f"{look}/place", {"op": "1"})).json()["place"]["state"] == "lobby"
    assert (await buyer.client.get(f"{look}/drawn")).status_code == 404
    clock.advance(10_000)
    await timed.services.drops.advance()
    place = (await buyer.client.get(f"{look}/place")).json()["place"]
    assert (place["state"], place["ahead"]) == ("line", 0), "she has no page open: nobody is let in who is not there"
    refused = await buyer.send("POST", f"{SLUG}/cart", {"sku": "L1-S", "op": "2"})
    assert (refused.status_code, refused.json()["code"]) == (409, "in_line")
    proof = (await buyer.client.get(f"{look}/drawn")).json()
    assert (proof["people"], len(proof["entries"]), proof["next"]) == (1, 1, None)
    assert (await buyer.client.get(f"{look}/drawn?start=x")).status_code == 422
    assert (await buyer.send("DELETE", f"{look}/place")).json()["place"]["state"] == "none"
    for bad in ({"in_s": -1}, {"in_s": 3601}, {"for_s": 1}, {"in_s": "soon"}, {"at": 1}):
        assert (await host.send("POST", f"{SLUG}/looks/{timed.house.looks[1]}/drop", bad)).status_code == 422, bad


async def test_only_the_brands_staff_cap_a_product_for_every_show(timed: Web):
    s, house = timed.services, timed.house
    (piece,) = (await s.programmes.of(house.show.id)).pieces[house.looks[0]]
    here = f"/api/catalogue/products/{piece.product}/cap"
    await s.people.grant(house.moderator.id, "staff", show_id=house.show.id)
    for person in (house.host, house.moderator, house.other_host):
        answer = await (await timed.signed_in(person)).send("PUT", here, {"limit": 1})
        assert answer.status_code in (403, 404), person.name
    secret, _ = await s.tokens.make("Run", ["shows:run"], by="test", show_id=house.show.id)
    program = (await timed.stranger()).client
    refused = await program.put(here, json={"limit": 1}, headers={"Authorization": f"Bearer {secret}"})
    assert (refused.status_code, refused.json()["facts"]) == (403, {"need": "catalogue:write"})
    assert "catalogue:write" in refused.json()["detail"]
    assert (await s.programmes.of(house.show.id)).product_caps == {}
    staff = await timed.signed_in(house.staff)
    capped = (await staff.send("PUT", here, {"limit": 2})).json()
    assert (capped["product"], capped["limit"]) == (piece.product, 2)
    assert (await s.programmes.of(house.show.id)).product_caps == {piece.product: 2}
    for bad in (0, 101, "1"):
        assert (await staff.send("PUT", here, {"limit": bad})).status_code == 422
    assert (await staff.send("PUT", here, {"limit": None})).json()["limit"] is None
    assert (await s.programmes.of(house.show.id)).product_caps == {}


async def test_http_and_the_socket_count_the_same_buyers_taps(tmp_path: Path, redis_url: str):
    async with served(settings_for(tmp_path, redis_url), clock=SetClock()) as site:
        await site.house.go_live(1)
        buyer = await site.viewer()
        for n in range(BURST):
            assert (await buyer.send("DELETE", f"{SLUG}/cart/L1-S")).status_code == 200, n
        async with site.room(buyer) as room:
            assert (await room.post("cart.add", {"sku": "L1-S"})).code == "throttled"
        assert (await buyer.send("POST", f"{SLUG}/cart", {"sku": "L1-S", "op": "1"})).status_code == 429
