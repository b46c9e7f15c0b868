"""What a merchant's own system reads: its orders, products, stock and shows, page by page, and nobody else's."""

from __future__ import annotations

import httpx
import msgspec
import pytest
from house import CONTACT, Web
from sqlalchemy import select

from live.shop.webhooks.kinds import SHAPES
from live.store.tables import outbox

SCOPES = ("orders:read", "catalogue:read", "stock:read", "shows:read")


async def program(web: Web, **place: str) -> httpx.AsyncClient:
    bound = place or {"brand_id": web.house.show.brand_id}
    scopes = [scope for scope in SCOPES if "show_id" not in bound or scope in ("orders:read", "shows:read")]
    secret, _ = await web.services.tokens.make("Warehouse", scopes, by="test", **bound)
    client = (await web.stranger()).client
    client.headers["Authorization"] = f"Bearer {secret}"
    return client


async def ordered(web: Web, sku: str = "L1-S") -> str:
    buyer = await web.viewer()
    await buyer.send("POST", "/api/shows/aw26/cart", {"sku": sku, "op": "1"})
    placed = await buyer.send("POST", "/api/shows/aw26/checkout", CONTACT, Idempotency_Key="k")
    assert placed.status_code == 201, placed.text
    return placed.json()["order"]


async def pages(client: httpx.AsyncClient, path: str, what: str, key: str, **asked: object) -> list[list[str]]:
    found, after = [], ""
    for _ in range(20):
        answer = await client.get(path, params={**asked, "after": after})
        assert answer.status_code == 200, answer.text
        found.append([one[key] for one in answer.json()[what]])
        after = answer.json()["next"]
        if not after:
            return found
    raise AssertionError("no end of pages")


async def test_orders_come_page_by_page_each_once(web: Web):
    await web.house.go_live(1)
    orders = [await ordered(web) for _ in range(3)]
    client = await program(web)
    found = await pages(client, "/api/merchant/orders", "orders", "id", limit=2)
    assert found == [orders[:2], orders[2:]]
    assert await pages(client, "/api/merchant/orders", "orders", "id", limit=1) == [*([one] for one in orders), []]
    one = (await client.get(f"/api/merchant/orders/{orders[0]}")).json()
    assert (one["email"], one["lines"][0]["sku"], one["show_slug"]) == (CONTACT["email"], "L1-S", "aw26")
    assert await pages(client, "/api/merchant/orders", "orders", "id", status="paid") == [[]]
    later = one["created_ms"] + 60_000
    assert await pages(client, "/api/merchant/orders", "orders", "id", since_ms=later) == [[]]
    of_the_show = await program(web, show_id=web.house.show.id)
    assert await pages(of_the_show, "/api/merchant/orders", "orders", "id") == [orders]


async def test_products_and_stock_are_the_brands_own(web: Web):
    client = await program(web)
    products = (await client.get("/api/merchant/products", params={"limit": 2})).json()
    assert [one["title"] for one in products["products"]] == ["Coat 1", "Coat 2"]
    assert products["products"][0]["variants"][0] == {
        "sku": "L1-S", "size": "S", "colour": "Ink", "gtin": "", "price": {"minor": 12900, "currency": "EUR"},
    }  # fmt: skip
    found = await pages(client, "/api/merchant/stock", "stock", "sku", limit=4)
    assert found == [["L1-M", "L1-S", "L2-M", "L2-S"], ["L3-M", "L3-S"]]
    some = (await client.get("/api/merchant/stock", params={"skus": "L1-S,HAT,none"})).json()["stock"]
    assert some == [{"sku": "L1-S", "on_hand": 5, "sold": 0, "left": 5}], "another brand's hat is not told"


async def test_shows_their_run_and_their_timeline(web: Web):
    await web.house.go_live(1)
    client = await program(web)
    assert [one["slug"] for one in (await client.get("/api/merchant/shows")).json()["shows"]] == ["aw26"]
    looks = (await client.get("/api/shows/aw26/run")).json()["looks"]
    assert [(one["number"], one["state"]) for one in looks] == [(1, "dropped"), (2, "waiting"), (3, "waiting")]
    moments = (await client.get("/api/shows/aw26/timeline")).json()["moments"]
    assert [one["kind"] for one in moments] == ["show.opened", "card.dropped"]


async def test_another_brands_program_reads_nothing_of_it(web: Web):
    await web.house.go_live(1)
    order = await ordered(web)
    elsewhere = await program(web, brand_id=web.house.other.brand_id)
    assert await pages(elsewhere, "/api/merchant/orders", "orders", "id") == [[]]
    assert (await elsewhere.get(f"/api/merchant/orders/{order}")).status_code == 404
    of_the_other = await program(web, show_id=web.house.other.id)
    assert (await of_the_other.get(f"/api/merchant/orders/{order}")).status_code == 404
    assert await pages(elsewhere, "/api/merchant/stock", "stock", "sku") == [["HAT"]]
    assert [one["slug"] for one in (await elsewhere.get("/api/merchant/shows")).json()["shows"]] == ["ss27"]


async def test_staff_read_the_same_with_their_session(web: Web):
    staff = (await web.signed_in(web.house.staff)).client
    assert len((await staff.get("/api/merchant/products")).json()["products"]) == 3
    host = (await web.signed_in(web.house.host)).client
    assert (await host.get("/api/merchant/products")).status_code == 403


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "since_ms=-1", "status=lost", "after=x", "after=1", "after=%00", "more=1",
     "after=99999999999999999999.x"],
)  # fmt: skip
async def test_a_query_that_is_not_understood_is_said(web: Web, query: str):
    client = await program(web)
    answer = await client.get(f"/api/merchant/orders?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text


async def test_a_program_looks_after_its_own_webhooks(web: Web):
    async def holder(brand: str) -> httpx.AsyncClient:
        secret, _ = await web.services.tokens.make("ERP", ["webhooks:write"], by="test", brand_id=brand)
        client = (await web.stranger()).client
        client.headers["Authorization"] = f"Bearer {secret}"
        return client

    ours, theirs = await holder(web.house.show.brand_id), await holder(web.house.other.brand_id)
    hooks = "/api/merchant/webhooks"
    made = await ours.post(hooks, json={"url": "https://erp.example/in", "kinds": ["order.paid"]})
    assert made.status_code == 201, made.text
    here = f"{hooks}/{made.json()['id']}"
    assert [one["url"] for one in (await ours.get(hooks)).json()["endpoints"]] == ["https://erp.example/in"]
    assert (await theirs.get(hooks)).json() == {"endpoints": []}
    sent = await ours.post(f"{here}/test")
    entries = (await ours.get(f"{here}/deliveries")).json()["deliveries"]
    assert [(one["id"], one["kind"], one["outcome"]) for one in entries] == [
        (sent.json()["delivery"], "webhook.test", "waiting")
    ]
    assert (await ours.post(f"{here}/replay", json={"delivery": entries[0]["id"]})).json() == {"again": 1}
    assert (await ours.post(f"{here}/replay", json={"failed_since_ms": 0})).json() == {"again": 0}
    for wrong in ({}, {"delivery": 1, "failed_since_ms": 1}):
        assert (await ours.post(f"{here}/replay", json=wrong)).status_code == 422
    off = (await ours.put(here, json={"on": False, "kinds": []})).json()
    assert (off["on"], off["why"], off["kinds"]) == (False, "hand", [])
    assert (await ours.post(f"{here}/test")).json()["code"] == "wrong_state"
    assert (await ours.post(f"{here}/secret")).json()["secret"] != made.json()["secret"]
    for method, path in (
        ("PUT", here), ("DELETE", here), ("POST", f"{here}/secret"), ("POST", f"{here}/test"),
        ("POST", f"{here}/replay"), ("GET", f"{here}/deliveries"),
    ):  # fmt: skip
        answer = await theirs.request(method, path, json=None if method == "GET" else {})
        assert answer.status_code == 404, path
    other = await theirs.post(hooks, json={"url": "https://x.example/", "brand": web.house.show.brand_id})
    assert other.status_code == 404
    assert (await ours.delete(here)).status_code == 204
    assert (await ours.get(hooks)).json() == {"endpoints": []}


async def test_what_happens_is_told_in_the_shape_that_is_documented(web: Web):
    s, house = web.services, web.house
    await house.go_live(1)
    host = await web.signed_in(house.host)
    looks = [f"/api/shows/aw26/looks/{look}" for look in house.looks]
    assert (await host.send("POST", f"{looks[1]}/drop", {"in_s": 5, "for_s": 60})).status_code == 200
    assert (await host.send("POST", f"{looks[1]}/close")).status_code == 200
    assert (await host.send("POST", f"{looks[0]}/withdraw")).status_code == 200
    await s.desk.adjust_stock("L1-S", 2, op="delivery", by="test")
    assert (await host.send("POST", "/api/shows/aw26/end")).status_code == 200
    rows = await s.db.read(lambda c: c.execute(select(outbox.c.kind, outbox.c.body).order_by(outbox.c.id)).all())
    assert [row.kind for row in rows] == [
        "show.opened", "drop.opened", "drop.opened", "drop.closed", "drop.withdrawn", "stock.changed", "show.ended",
    ]  # fmt: skip
    for kind, body in rows:
        shape = SHAPES[kind]
        assert set(msgspec.json.decode(body)) <= set(shape.__struct_fields__), kind
        msgspec.json.decode(body, type=shape)
    armed = msgspec.json.decode(rows[2].body)
    assert armed["closes_ms"] - armed["opens_ms"] == 60_000
