"""What a device asked us to remember, through the API: it pays in one request, and opens to that device only."""

from __future__ import annotations

from house import CONTACT, Browser, Web
from sqlalchemy import select, update

from live.shop.promotions import Promotions
from live.store.tables import orders, saved_buyers
from live.store.tables import sandbox_methods as methods

SLUG = "/api/shows/aw26"


async def hold(browser: Browser, sku: str, op: str = "1") -> None:
    assert (await browser.send("POST", f"{SLUG}/cart", {"sku": sku, "op": op})).status_code == 200


async def order(browser: Browser, key: str, wanted: object):  # type: ignore[no-untyped-def]
    return await browser.send("POST", f"{SLUG}/checkout", wanted, Idempotency_Key=key)


async def buy_and_be_remembered(web: Web, browser: Browser, *, outcome: str = "success") -> None:
    await hold(browser, "L1-S")
    placed = await order(browser, "first", CONTACT | {"remember": True})
    assert placed.status_code == 201, placed.text
    ref = placed.json()["pay_url"].rpartition("/")[2]
    await browser.send("POST", f"/sandbox/pay/{ref}", {"outcome": outcome, "last4": "4242"})
    if outcome == "three_d_secure":
        await browser.send("POST", f"/sandbox/pay/{ref}", {"outcome": outcome, "code": "123456", "last4": "3184"})
    await web.services.desk.settle(ref)


async def test_a_remembered_buyer_pays_in_one_request(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await buy_and_be_remembered(web, buyer)
    kept = (await buyer.client.get("/api/me/saved")).json()
    assert kept["method"] == "Card ·· 4242"
    assert kept["contact"]["address"]["city"] == "Paris"
    await hold(buyer, "L1-M", "2")
    quote = (await buyer.send("POST", f"{SLUG}/quote", {"country": "FR"})).json()
    placed = await order(buyer, "second", {"saved": True, "total": quote["total"]})
    assert placed.status_code == 201
    token = placed.json()["token"]
    assert (await buyer.client.get(f"/api/orders/{token}")).json()["status"] == "paid"
    assert (await order(buyer, "second", {"saved": True, "total": quote["total"]})).json() == placed.json()
    assert (await buyer.client.get(f"/api/orders/{token}/pay")).json()["kind"] == "none"


async def test_a_bank_that_asks_leaves_the_order_to_be_answered_on_the_providers_page(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await buy_and_be_remembered(web, buyer, outcome="three_d_secure")
    await hold(buyer, "L1-M", "2")
    placed = (await order(buyer, "second", {"saved": True})).json()
    page = (await buyer.client.get(f"/api/orders/{placed['token']}/pay")).json()
    assert page["kind"] == "frame"
    shown = await buyer.open(f"/sandbox/pay/{page['url'].rpartition('/')[2]}")
    assert 'data-asks="yes"' in shown.text
    assert (await buyer.client.get(f"/api/orders/{placed['token']}")).json()["status"] == "pending"


async def test_another_device_sees_and_pays_nothing_of_it(web: Web):
    await web.house.go_live(1)
    await buy_and_be_remembered(web, await web.viewer())
    other = await web.viewer()
    assert (await other.client.get("/api/me/saved")).json() == {"contact": None, "method": None}
    await hold(other, "L1-M")
    refused = await order(other, "k", {"saved": True})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


async def test_a_device_is_known_again_when_its_session_is_lost_and_a_forged_one_is_not(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await buy_and_be_remembered(web, buyer)
    cookie = buyer.client.cookies["frontrow-device"]
    await web.services.redis.flushall()
    for value, known in (
        (cookie, True),
        (f"{cookie[:-1]}{'0' if cookie[-1] != '0' else '1'}", False),
        ("dev_x.00", False),
    ):
        stranger = await web.stranger()
        stranger.client.cookies.set("frontrow-device", value)
        await stranger.open("/shows/aw26")
        kept = (await stranger.client.get("/api/me/saved")).json()
        assert (kept["contact"] is not None) == known


async def test_erasing_a_person_forgets_what_her_device_was_asked_to_remember(web: Web):
    await web.house.go_live(1)
    s, buyer = web.services, await web.viewer()
    await buy_and_be_remembered(web, buyer)
    method = (await s.db.read(lambda c: c.execute(select(saved_buyers)).one())).method
    person = await s.db.read(lambda c: c.execute(select(orders.c.buyer)).scalar_one())
    gone = select(methods.c.gone_ms).where(methods.c.ref == method)
    assert await s.db.read(lambda c: c.execute(gone).scalar_one()) is None, "the premise: the provider keeps it"
    assert (await s.person_data.erase(person, by="cli")).orders_kept == 1
    assert await s.db.read(lambda c: c.execute(select(saved_buyers)).all()) == []
    assert await s.db.read(lambda c: c.execute(gone).scalar_one()) is not None


async def on_the_same_device(web: Web, buyer: Browser) -> Browser:
    """Whoever sits there once the session is lost: another person to us."""
    other = await web.stranger()
    other.client.cookies.set("frontrow-device", buyer.client.cookies["frontrow-device"])
    await other.open("/shows/aw26")
    return other


async def test_a_persons_export_has_what_her_device_was_asked_to_remember_and_no_brands_has(web: Web):
    await web.house.go_live(1)
    s, buyer = web.services, await web.viewer()
    await buy_and_be_remembered(web, buyer)
    person = await s.db.read(lambda c: c.execute(select(orders.c.buyer)).scalar_one())
    (kept,) = (await s.person_data.export(person)).saved
    assert kept["contact"] == CONTACT | {"address": kept["contact"]["address"]}
    assert kept["contact"]["address"]["city"] == "Paris"
    assert (kept["provider"], kept["method_label"]) == ("sandbox", "Card ·· 4242")
    staff = await web.signed_in(web.house.staff)
    theirs = (await staff.client.get(f"/api/people/{person}")).json()
    assert (len(theirs["orders"]), theirs["saved"]) == (1, [])
    assert (await s.person_data.export("per_nobody")).is_empty


async def test_what_a_device_remembers_is_its_persons_also_when_her_session_is_over(web: Web):
    await web.house.go_live(1)
    s, buyer = web.services, await web.viewer()
    await buy_and_be_remembered(web, buyer)
    person = await s.db.read(lambda c: c.execute(select(orders.c.buyer)).scalar_one())
    await s.redis.flushall()
    assert [one["method_label"] for one in (await s.person_data.export(person)).saved] == ["Card ·· 4242"]
    await s.person_data.erase(person, by="cli")
    assert await s.db.read(lambda c: c.execute(select(saved_buyers)).all()) == []
    assert await s.db.read(lambda c: c.execute(select(methods.c.gone_ms)).scalar_one()) is not None


async def test_whoever_paid_by_what_a_device_remembers_is_known_by_that(web: Web):
    """Her session was lost, so she is another person on the same device, and asked it to remember nothing anew."""
    await web.house.go_live(1)
    s, buyer = web.services, await web.viewer()
    await buy_and_be_remembered(web, buyer)
    other = await on_the_same_device(web, buyer)
    await hold(other, "L1-M", "2")
    assert (await order(other, "second", {"saved": True})).status_code == 201
    of = select(orders.c.buyer).order_by(orders.c.id)
    first, second = await s.db.read(lambda c: c.execute(of).scalars().all())
    assert first != second, "the premise"
    await s.redis.flushall()
    for person in (first, second):
        assert len((await s.person_data.export(person)).saved) == 1


async def test_a_shared_device_that_remembers_another_by_now_keeps_and_tells_nothing_of_her(web: Web):
    await web.house.go_live(1)
    s, buyer = web.services, await web.viewer()
    await buy_and_be_remembered(web, buyer)
    person = await s.db.read(lambda c: c.execute(select(orders.c.buyer)).scalar_one())
    other = await on_the_same_device(web, buyer)
    await hold(other, "L1-M", "2")
    bea = CONTACT | {"name": "Bea", "email": "bea@example.org", "remember": True}
    assert (await order(other, "hers", bea)).status_code == 201
    assert (await s.person_data.export(person)).saved == []
    await s.person_data.erase(person, by="cli")
    assert (await other.client.get("/api/me/saved")).json()["contact"]["email"] == "bea@example.org"


async def test_forget_me_leaves_nothing_here_or_at_the_provider(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await buy_and_be_remembered(web, buyer)
    rows = await web.services.db.read(lambda c: c.execute(select(saved_buyers)).all())
    method = rows[0].method
    assert "Paris" not in rows[0].sealed
    assert (await buyer.send("DELETE", "/api/me/saved")).status_code == 204
    assert (await buyer.client.get("/api/me/saved")).json() == {"contact": None, "method": None}
    assert "frontrow-device" not in buyer.client.cookies
    assert await web.services.db.read(lambda c: c.execute(select(saved_buyers)).all()) == []
    await hold(buyer, "L1-M", "2")
    placed = await web.services.desk.place(
        web.house.show.id, (await _person(web, buyer)), _contact(), idempotency_key="x", method=method
    )
    assert (await web.services.orders.by_id(placed.order_id)).status == "cancelled", "the provider keeps it no more"


async def test_what_was_sealed_by_another_key_is_nothing_and_who_stays_away_a_year_is_forgotten(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await buy_and_be_remembered(web, buyer)
    await web.services.db.write(lambda c: c.execute(update(saved_buyers).values(updated_ms=1)).rowcount)
    assert await web.services.saved.prune() == 1
    await buy_again(web, buyer)
    await web.services.db.write(lambda c: c.execute(update(saved_buyers).values(sealed="gAAAA")).rowcount)
    assert (await buyer.client.get("/api/me/saved")).json() == {"contact": None, "method": None}


async def buy_again(web: Web, browser: Browser) -> None:
    await hold(browser, "L1-M", "again")
    assert (await order(browser, "again", CONTACT | {"remember": True})).status_code == 201


async def test_who_guesses_codes_is_slowed_down_and_still_buys(web: Web):
    await web.house.go_live(1)
    promotions: Promotions = web.services.promotions
    await promotions.add(web.house.show.brand_id, "RIGHT", "percent", 1_000)
    buyer = await web.viewer()
    await hold(buyer, "L1-S")
    for n in range(10):
        refused = await buyer.send("POST", f"{SLUG}/quote", {"codes": [f"GUESS{n}"]})
        assert refused.json()["facts"]["why"] == "unknown"
    for wanted in (
        buyer.send("POST", f"{SLUG}/quote", {"codes": ["RIGHT"]}),
        order(buyer, "k", CONTACT | {"codes": ["RIGHT"]}),
    ):
        assert (await wanted).status_code == 429, "also the right one, or guessing would go on"
    assert (await order(buyer, "k2", CONTACT)).status_code == 201
    neighbour = await web.viewer()
    await hold(neighbour, "L1-S")
    quote = await neighbour.send("POST", f"{SLUG}/quote", {"codes": ["right"]})
    assert quote.json()["discount"]["minor"] == 1_290


def _contact():  # type: ignore[no-untyped-def]
    from live.shop.contact import Address, Contact

    return Contact("Ada", "ada@example.org", Address("1 Rue", "Paris", "FR", "75002"))


async def _person(web: Web, browser: Browser) -> str:
    session = await web.services.sessions.get(browser.client.cookies["frontrow"])
    assert session is not None
    return session.person
