"""Hold, pay and own through the JSON API, and what is refused on the way."""

from __future__ import annotations

import asyncio

import msgspec
from house import CONTACT, Browser, Web

SLUG = "/api/shows/aw26"


async def add(browser: Browser, sku: str, op: str, qty: int = 1):
    return await browser.send("POST", f"{SLUG}/cart", {"sku": sku, "op": op, "qty": qty})


async def checkout(browser: Browser, key: str, contact: object = CONTACT):
    return await browser.send("POST", f"{SLUG}/checkout", contact, Idempotency_Key=key)


async def pay(web: Web, browser: Browser, pay_url: str, outcome: str = "success") -> str:
    """Choose on the provider's page, then the provider tells us, as its signed message does."""
    path = pay_url.removeprefix("http://shop.test")
    assert (await browser.send("POST", path, {"outcome": outcome})).status_code == 200
    ref = path.rpartition("/")[2]
    body = msgspec.json.encode({"id": f"evt-{ref}", "kind": "charge.changed", "ref": ref})
    provider = await web.stranger()
    answer = await provider.client.post(
        "/api/payments/sandbox/events", content=body, headers=web.services.provider.signed_headers(body)
    )
    assert answer.status_code == 204, answer.text
    return ref


async def test_a_viewer_holds_pays_and_owns(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    held = await add(buyer, "L1-S", "1", qty=2)
    assert held.json()["cart"]["total"] == {"minor": 25_800, "currency": "EUR"}
    placed = await checkout(buyer, "k1")
    assert placed.status_code == 201
    order = placed.json()
    assert order["total"] == {"minor": 25_800, "currency": "EUR"}
    assert placed.headers["location"] == f"/orders/{order['token']}"
    path = f"/api/orders/{order['token']}"
    assert (await buyer.client.get(path)).json()["status"] == "pending"
    await pay(web, buyer, order["pay_url"])
    stranger = await web.stranger()
    assert (await stranger.client.get(path)).json()["status"] == "paid"
    snapshot = (await buyer.client.get(SLUG)).json()
    assert snapshot["stock"]["L1-S"]["left"] == 3
    assert snapshot["cart"]["lines"] == []
    assert (await buyer.open(f"/orders/{order['token']}")).status_code == 200


async def test_the_same_key_is_the_same_order_and_another_body_is_refused(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await add(buyer, "L1-S", "1")
    first, second = (await checkout(buyer, "k1")).json(), (await checkout(buyer, "k1")).json()
    assert first == second
    other = await checkout(buyer, "k1", {**CONTACT, "name": "Someone Else"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_a_checkout_names_what_is_wrong_with_it(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    empty = await checkout(buyer, "k1")
    assert (empty.status_code, empty.json()["code"]) == (409, "empty_bag")
    await add(buyer, "L1-S", "1")
    without_key = await buyer.send("POST", f"{SLUG}/checkout", CONTACT)
    assert (without_key.status_code, without_key.json()["facts"]["field"]) == (422, "Idempotency-Key")
    bad = await checkout(buyer, "k2", {**CONTACT, "email": "nowhere"})
    assert (bad.status_code, bad.json()["facts"]["field"]) == (422, "email")
    missing = await checkout(buyer, "k2", {"name": "A", "email": "a@b.org"})
    assert missing.status_code == 422
    assert "address" in str(missing.json()["facts"])


async def test_a_body_that_is_no_json_or_has_other_fields_is_refused_by_name(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    price = await buyer.send("POST", f"{SLUG}/cart", {"sku": "L1-S", "op": "1", "price": 1})
    assert price.status_code == 422
    assert "price" in price.json()["facts"]["why"]
    qty = await add(buyer, "L1-S", "1", qty=0)
    assert (qty.status_code, qty.json()["facts"]["field"]) == (422, "qty")
    headers = {"Origin": buyer.origin, "X-CSRF": buyer.csrf}
    form = await buyer.client.post(f"{SLUG}/cart", data={"sku": "L1-S", "op": "1"}, headers=headers)
    assert form.status_code == 415
    headers |= {"Content-Type": "application/json", "Idempotency-Key": "k"}
    for broken in (b"{", b'{"address":{"line9":' + b"[" * 7000 + b"]" * 7000 + b"}}"):
        answer = await buyer.client.post(f"{SLUG}/checkout", content=broken, headers=headers)
        assert answer.status_code == 400, answer.text


async def test_a_piece_can_be_held_only_while_its_card_is_out_and_the_show_on_air(web: Web):
    buyer = await web.viewer()

    async def said(sku: str, op: str) -> tuple[int, str]:
        answer = await add(buyer, sku, op)
        return answer.status_code, answer.json().get("code", "ok")

    assert await said("L1-S", "1") == (404, "not_found")  # not even dropped, let alone live
    await web.house.go_live(1)
    assert await said("L1-S", "2") == (200, "ok")
    assert await said("L2-S", "3") == (404, "not_found")
    assert await said("HAT", "4") == (404, "not_found")
    assert await said("nothing", "5") == (404, "not_found")
    host = await web.signed_in(web.house.host)
    await host.send("POST", f"{SLUG}/looks/{web.house.looks[0]}/withdraw")
    assert await said("L1-S", "6") == (409, "wrong_state")
    await host.send("POST", f"{SLUG}/looks/{web.house.looks[0]}/drop")
    assert await said("L1-S", "7") == (200, "ok")
    await host.send("POST", f"{SLUG}/end")
    assert await said("L1-S", "8") == (409, "not_live")


async def test_what_is_held_when_the_show_ends_may_still_be_paid(web: Web):
    await web.house.go_live(1)
    buyer, host = await web.viewer(), await web.signed_in(web.house.host)
    await add(buyer, "L1-S", "1")
    assert (await host.send("POST", f"{SLUG}/end")).json()["show"]["status"] == "ended"
    placed = await checkout(buyer, "k1")
    assert placed.status_code == 201
    await pay(web, buyer, placed.json()["pay_url"])
    assert (await buyer.client.get(f"/api/orders/{placed.json()['token']}")).json()["status"] == "paid"


async def test_the_last_unit_goes_to_one_and_the_others_are_told_sold_out(web: Web):
    await web.house.go_live(1)
    buyers = [await web.viewer() for _ in range(12)]
    answers = await asyncio.gather(*(add(buyer, "L1-S", "1") for buyer in buyers))
    outcomes = sorted(answer.json().get("code", "held") for answer in answers)
    assert outcomes == ["held"] * 5 + ["sold_out"] * 7
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["facts"] == {"sku": "L1-S", "left": 0}
    assert refused.json()["title"] == "Sold out"


async def test_more_than_one_person_may_take_is_refused_with_the_limit(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await add(buyer, "L1-S", "1", qty=4)
    more = await add(buyer, "L1-S", "2")
    assert (more.status_code, more.json()["code"], more.json()["facts"]["limit"]) == (409, "over_limit", 4)


async def test_a_line_given_back_is_in_stock_again(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await add(buyer, "L1-S", "1", qty=3)
    assert (await buyer.send("DELETE", f"{SLUG}/cart/L1-S")).json()["cart"]["lines"] == []
    assert (await buyer.client.get(SLUG)).json()["stock"]["L1-S"]["left"] == 5


async def test_a_declined_payment_sells_nothing(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await add(buyer, "L1-S", "1")
    placed = (await checkout(buyer, "k1")).json()
    await pay(web, buyer, placed["pay_url"], "decline")
    assert (await buyer.client.get(f"/api/orders/{placed['token']}")).json()["status"] == "cancelled"


async def test_an_event_that_the_provider_did_not_sign_settles_nothing(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await add(buyer, "L1-S", "1")
    placed = (await checkout(buyer, "k1")).json()
    path = placed["pay_url"].removeprefix("http://shop.test")
    await buyer.send("POST", path, {"outcome": "success"})
    body = msgspec.json.encode({"id": "evt", "kind": "charge.captured", "ref": path.rpartition("/")[2]})
    for headers in ({}, {"sandbox-signature": "t=1,v1=00"}):
        answer = await buyer.client.post("/api/payments/sandbox/events", content=body, headers=headers)
        assert answer.status_code == 422
    assert (await buyer.client.get(f"/api/orders/{placed['token']}")).json()["status"] == "pending"


async def test_an_order_opens_to_its_token_and_to_no_guess(web: Web):
    stranger = await web.stranger()
    for token in ("ord_1", "ord_1." + "0" * 32, "x" * 300):
        assert (await stranger.client.get(f"/api/orders/{token}")).status_code == 404


async def test_the_host_runs_the_show_by_the_api(web: Web):
    host = await web.signed_in(web.house.host)
    early = await host.send("POST", f"{SLUG}/next")
    assert (early.status_code, early.json()["code"], early.headers["retry-after"]) == (409, "not_live", "2")
    assert (await host.send("POST", f"{SLUG}/open")).json()["show"]["status"] == "live"
    assert (await host.send("POST", f"{SLUG}/open")).json()["code"] == "wrong_state"
    for look in web.house.looks:
        assert (await host.send("POST", f"{SLUG}/next")).json() == {"look": look}
    assert (await host.send("POST", f"{SLUG}/next")).status_code == 404
    snapshot = (await host.client.get(SLUG)).json()
    assert snapshot["pinned"] == web.house.looks[2]
    assert [row["state"] for row in snapshot["runsheet"]] == ["dropped"] * 3


async def test_a_publishing_key_is_shown_once_and_the_one_before_is_void(web: Web):
    host = await web.signed_in(web.house.host)
    first = (await host.send("POST", f"{SLUG}/publish-key")).json()
    assert first["whip_url"] == "http://shop.test/whip/aw26"
    shows = web.services.shows
    assert await shows.check_publish_key(first["key"]) == web.house.show.id
    second = (await host.send("POST", f"{SLUG}/publish-key")).json()
    assert await shows.check_publish_key(first["key"]) is None
    assert await shows.check_publish_key(second["key"]) == web.house.show.id


async def test_staff_read_the_figures(web: Web):
    await web.house.go_live(1)
    buyer, staff = await web.viewer(), await web.signed_in(web.house.staff)
    await add(buyer, "L1-S", "1")
    await pay(web, buyer, (await checkout(buyer, "k1")).json()["pay_url"])
    await add(buyer, "L1-M", "2", qty=2)
    tally = (await staff.client.get(f"{SLUG}/stats")).json()["tally"]
    assert tally == {"viewers": 0, "held": 2, "orders": 1, "revenue": {"minor": 12_900, "currency": "EUR"}}


async def test_a_name_is_cleaned_and_kept(web: Web):
    viewer = await web.viewer()
    assert (await viewer.send("POST", "/api/name", {"name": "  Ve​ra  "})).json() == {"name": "Vera"}
    blank = await viewer.send("POST", "/api/name", {"name": " ​ "})
    assert (blank.status_code, blank.json()["facts"]["field"]) == (422, "name")
    office = await viewer.send("POST", "/api/name", {"name": "Moderator"})
    assert (office.status_code, office.json()["code"]) == (422, "blocked")
    assert (await viewer.send("POST", "/api/name", {"name": "Modesty"})).status_code == 200, "it only looks like one"
    link = await viewer.send("POST", "/api/name", {"name": "buy at evil.com"})
    assert (link.status_code, link.json()["code"]) == (422, "blocked")
