"""Staff and tills change what is on hand; everyone sees it."""

from __future__ import annotations

import asyncio

import msgspec
from house import Browser, Web
from sqlalchemy import select

from live.shop import invariants
from live.shop.catalogue import NewVariant
from live.store.tables import outbox, variants

SLUG = "/api/shows/aw26"


async def adjust(browser: Browser, change: int, op: str, sku: str = "L1-S"):
    return await browser.send("POST", "/api/stock/adjust", {"sku": sku, "change": change, "op": op})


async def test_a_change_is_made_once_an_operation_and_told_to_all(web: Web):
    await web.house.go_live(1)
    show = web.house.show.id
    viewer, staff = await web.viewer(), await web.signed_in(web.house.staff)
    assert (await viewer.send("POST", f"{SLUG}/cart", {"sku": "L1-S", "op": "1"})).status_code == 200
    _, seq = await web.services.bus.history.position(show)
    answers = await asyncio.gather(*(adjust(staff, 3, "delivery") for _ in range(5)))
    assert [(a.status_code, a.json()) for a in answers] == [(200, {"sku": "L1-S", "on_hand": 8, "sold": 0})] * 5
    assert (await viewer.client.get(SLUG)).json()["stock"]["L1-S"]["left"] == 7
    history = web.services.bus.history
    epoch, _ = await history.position(show)
    told = [entry for entry in await history.since(show, epoch, seq) or [] if entry.kind == "stock.changed"]
    assert told, "pages hear at once, not when the worker looks"
    assert msgspec.json.decode(msgspec.json.encode(told[-1].body))["stock"]["L1-S"]["left"] == 7
    rows = await web.services.db.read(
        lambda c: list(c.execute(select(outbox.c.body).where(outbox.c.kind == "stock.changed")).scalars())
    )
    assert [msgspec.json.decode(body)["on_hand"] for body in rows] == [8], "the merchant's system hears once"
    assert await invariants.check(web.services.db, web.services.redis, show) == []


async def test_stock_never_goes_below_what_was_sold(web: Web):
    await web.house.go_live(1)
    await web.services.db.write(lambda c: c.execute(variants.update().where(variants.c.sku == "L1-S").values(sold=2)))
    staff = await web.signed_in(web.house.staff)
    refused = await adjust(staff, -4, "damaged")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert refused.json()["facts"] == {"why": "below_sold", "sku": "L1-S", "on_hand": 5, "sold": 2}
    assert (await adjust(staff, -3, "damaged")).json() == {"sku": "L1-S", "on_hand": 2, "sold": 2}


async def test_units_that_are_held_are_not_taken_from_their_holders(web: Web):
    await web.house.go_live(1)
    viewer, staff = await web.viewer(), await web.signed_in(web.house.staff)
    await viewer.send("POST", f"{SLUG}/cart", {"sku": "L1-S", "op": "1", "qty": 4})
    assert (await adjust(staff, -3, "till")).status_code == 200
    snapshot = (await viewer.client.get(SLUG)).json()
    assert snapshot["stock"]["L1-S"]["left"] == 0, "two are left for four holds: nobody can hold another"
    assert snapshot["cart"]["lines"][0]["state"] == "held"


async def test_another_brands_piece_and_one_that_is_not_there_are_not_found(web: Web):
    await web.house.go_live(1)
    catalogue = web.services.catalogue
    other = await catalogue.add_brand(slug="other", name="Other", currency="EUR", country="DE")
    new = NewVariant("OTHER-1", "S", "Ink", "#111122", 12900, 3)
    await catalogue.add_product(other, slug="other", title="Other", variants=[new])
    staff = await web.signed_in(web.house.staff)
    for sku in ("OTHER-1", "NONE"):
        assert (await adjust(staff, 1, "x", sku)).status_code == 404
    host = await web.signed_in(web.house.host)
    assert (await adjust(host, 1, "x")).status_code == 403
