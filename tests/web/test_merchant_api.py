"""What a merchant's own system reads: its orders, products, stock and shows, page by page, and nobody else's."""

from __future__ import annotations

import re

import httpx
import msgspec
import pytest
from bought import bought
from house import CONTACT, Web
from sqlalchemy import select, update

from live.ids import new_id
from live.shop.webhooks import deliveries
from live.shop.webhooks.kinds import CHOSEN, READ_BY, SHAPES
from live.store.tables import outbox, timeline
from live.store.telling import tell

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


async def test_a_line_names_the_drop_it_was_held_in_wherever_it_is_told(web: Web):
    await web.house.go_live(1)
    s, look = web.services, web.house.looks[0]
    host = await web.signed_in(web.house.host)
    bag = "per_waits"  # holds in the first drop, pays in the second
    await s.desk.add_to_cart(web.house.show.id, bag, "L1-M", 1, op=new_id("op"))
    for act in ("close", "drop"):
        assert (await host.send("POST", f"/api/shows/aw26/looks/{look}/{act}")).status_code == 200
    orders = [await bought(s, web.house.show.id, person=bag), await bought(s, web.house.show.id, ("L1-S", 2))]
    client = await program(web)
    moments = (await client.get("/api/shows/aw26/timeline")).json()["moments"]
    drops = [one["id"] for one in moments if one["kind"] == "card.dropped"]
    assert len(drops) == 2
    assert drops[0] < drops[1]
    told = (await client.get("/api/merchant/orders")).json()["orders"]
    assert [[line["drop"] for line in one["lines"]] for one in told] == [[drops[0]], [drops[1]]]
    for order, drop in zip(orders, drops, strict=True):
        whole = (await client.get(f"/api/staff/orders/{order.number}")).json()
        assert [one["drop"] for one in whole["origins"].values()] == [drop]
    kinds = ("drop.opened", "drop.closed", "order.paid")
    query = select(outbox.c.body).where(outbox.c.kind.in_(kinds)).order_by(outbox.c.id)
    rows = [msgspec.json.decode(body) for body in await s.db.read(lambda c: c.execute(query).scalars().all())]
    assert [one["drop"] for one in rows[:3]] == [drops[0], drops[0], drops[1]]
    pieces = [one["pieces"] for one in rows[3:]]
    assert [[(one["sku"], one["qty"], one["look"], one["drop"]) for one in some] for some in pieces] == [
        [("L1-M", 1, look, drops[0])],
        [("L1-S", 2, look, drops[1])],
    ]
    # Staff read when it came out, which they know, and no id.
    later = update(timeline).where(timeline.c.id == drops[1]).values(at_ms=3_723_000)
    await s.db.write(lambda c: c.execute(later) and None)
    staff = await web.signed_in(web.house.staff)
    csv = (await staff.client.get("/studio/orders.csv")).text.splitlines()
    at = csv[0].split(",").index("drop")
    assert {row.split(",")[at] for row in csv[1:]} == {"0:00:00 into the show", "1:02:03 into the show"}
    page = (await staff.open(f"/studio/orders/{orders[1].number}")).text
    (origin,) = re.findall(r'data-testid="origin">([^<]+)<', page)
    assert re.fullmatch(r"Look 1 · dropped 1:02:03 into the show · bought at \d:\d\d:\d\d", origin), origin


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
        scopes = ["webhooks:write", "orders:read", "stock:read", "shows:read", "room:read"]
        secret, _ = await web.services.tokens.make("ERP", scopes, by="test", brand_id=brand)
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


async def test_an_endpoint_hears_no_more_than_the_token_that_makes_it_may_read(web: Web):
    s, brand, hooks = web.services, web.house.show.brand_id, "/api/merchant/webhooks"

    async def ask(scopes: list[str], method: str, path: str, json: object = None) -> httpx.Response:
        secret, _ = await s.tokens.make("ERP", scopes, by="test", brand_id=brand)
        client = (await web.stranger()).client
        return await client.request(method, path, json=json, headers={"Authorization": f"Bearer {secret}"})

    def url(n: int) -> str:
        return f"https://erp.example/{n}"

    alone = ["webhooks:write"]
    for n, kind in enumerate(CHOSEN):
        refused = await ask(alone, "POST", hooks, {"url": url(n), "kinds": [kind]})
        assert (refused.status_code, refused.json()["facts"]) == (403, {"need": READ_BY[kind]}), kind
        assert READ_BY[kind] in refused.json()["detail"]
    assert await s.endpoints.list([brand]) == []
    every = await ask([*alone, "orders:read", "stock:read", "shows:read"], "POST", hooks, {"url": url(0)})
    assert (every.status_code, every.json()["facts"]) == (403, {"need": "room:read"}), "every kind takes every scope"
    made = await ask([*alone, "orders:write"], "POST", hooks, {"url": url(0), "kinds": ["order.paid"]})
    assert made.status_code == 201, "what writes orders reads them"
    here = f"{hooks}/{made.json()['id']}"
    for kinds in (["order.paid", "order.refunded"], ["stock.changed"], []):
        assert (await ask(alone, "PUT", here, {"kinds": kinds})).status_code == 403, kinds
    assert (await ask(alone, "PUT", here, {"kinds": ["order.paid"]})).status_code == 200, "what it hears it keeps"
    wider = await ask([*alone, "stock:read"], "PUT", here, {"kinds": ["order.paid", "stock.changed"]})
    assert wider.json()["kinds"] == ["order.paid", "stock.changed"]
    # The brand's staff chose all; a program that may read little narrows that, and can't widen it again.
    theirs, _ = await s.endpoints.add(brand, url(1))
    assert (await ask(alone, "PUT", f"{hooks}/{theirs}", {"kinds": ["order.paid"]})).status_code == 200
    assert (await ask(alone, "PUT", f"{hooks}/{theirs}", {"kinds": []})).status_code == 403
    staff = await web.signed_in(web.house.staff)
    assert (await staff.send("PUT", f"{hooks}/{theirs}", {"kinds": []})).json()["kinds"] == []


async def test_the_log_shows_a_token_what_was_told_of_kinds_that_it_may_read(web: Web):
    s, brand = web.services, web.house.show.brand_id
    endpoint, _ = await s.endpoints.add(brand, "https://erp.example/")
    now = s.clock.now_ms()
    for kind in ("order.paid", "drop.opened"):
        await s.db.write(lambda c, kind=kind: tell(c, kind, {"show": web.house.show.id, "number": "7"}, now))
    await s.db.write(lambda c: deliveries.fan_out(c, now))
    seen = {}
    for scope in ("orders:read", "shows:read"):
        secret, _ = await s.tokens.make("ERP", ["webhooks:write", scope], by="test", brand_id=brand)
        client = (await web.stranger()).client
        path = f"/api/merchant/webhooks/{endpoint}/deliveries"
        answer = await client.get(path, headers={"Authorization": f"Bearer {secret}"})
        seen[scope] = {one["kind"]: one["data"] is not None for one in answer.json()["deliveries"]}
    assert seen == {
        "orders:read": {"order.paid": True, "drop.opened": False},
        "shows:read": {"order.paid": False, "drop.opened": True},
    }


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
