"""A look that waits for its drop is seen by nobody but those who make the show, through whichever door they look."""

from __future__ import annotations

import json
import re

from house import Browser, Served
from sqlalchemy import select
from test_catalogue_desk import drawn

from live.shop.pricing import Sale
from live.store.tables import variants
from live.web.doors import Door
from live.web.routes import DOORS

TITLE = "The Unspoken Coat"


async def the_waiting_look(site: Served) -> list[str]:
    """Look 2 with words, a sale and a picture of its own: all that would give it away."""
    s = site.services
    query = select(variants.c.product_id).where(variants.c.sku == "L2-S")
    product = str(await s.db.read(lambda c: c.execute(query).scalar_one()))
    await s.assortment.describe(product, title=TITLE, blurb="Nobody may read this.")

    async def chunks():
        yield drawn((700, 900))

    picture = await s.pictures.add(product, "A coat nobody saw", chunks())
    name = re.search(r"p-[A-Za-z0-9_-]{43}", picture.url)
    assert name
    return [
        TITLE,
        "L2-S",
        "L2-M",
        "Nobody may read",
        "A coat nobody saw",
        name[0],
        product,
        site.house.looks[1],
    ]


async def everything_said_to(browser: Browser, site: Served) -> str:
    """All that the doors answer to a GET, headers too."""
    said = []
    values = {"slug": "aw26", "sku": "L2-S", "look": site.house.looks[1], "file": "live.m3u8", "product": "coat-2"}
    for door in DOORS:
        if "GET" in door.methods:
            answer = await browser.client.get(_path(door, values), headers={"Accept": "*/*"})
            said.append(f"{door.path} {answer.status_code} {answer.headers} {answer.text}")
    for guess in ("coat-2.webp", "coat-2-960.webp", "p-coat-2-960.webp", "", "../feeds/", "look-2.webp"):
        answer = await browser.client.get(f"/media/{guess}")
        assert answer.status_code == 404, guess
        said.append(answer.text)
    return "\n".join(said)


def _path(door: Door, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], "none"), door.path)


async def test_no_door_gives_a_waiting_look_away_before_its_drop_and_every_page_has_it_after(site: Served):
    await site.house.go_live(1)
    secrets = await the_waiting_look(site)
    s, viewer = site.services, await site.viewer()
    async with site.room(viewer) as page:
        await page.wait("welcome")
        # What happens to it meanwhile is told to nobody either.
        now = s.clock.now_ms()
        await s.desk.adjust_stock("L2-S", 3, op="delivery", by="test")
        await s.catalogue.set_price("L2-S", 12_900, sale=Sale(9_900, now - 1, now + 60_000))
        await s.rail.changed(["L2-S", "L2-M"])
        # Asked for by its SKU, it is as unknown as one that does not exist.
        answers = []
        for sku in ("L2-S", "NO-SUCH"):
            held = await viewer.send("POST", "/api/shows/aw26/cart", {"sku": sku, "op": sku})
            waits = await viewer.send("POST", "/api/shows/aw26/waitlist", {"sku": sku})
            gone = await viewer.send("DELETE", f"/api/shows/aw26/cart/{sku}")
            bodies = [{**one.json(), "facts": None, "cart": None} for one in (held, waits, gone)]
            answers.append([held.status_code, waits.status_code, gone.status_code, bodies])
        assert answers[0] == answers[1]
        await s.desk.adjust_stock("L1-S", 1, op="heard", by="test")
        await page.wait("stock.changed", lambda body: "L1-S" in body["stock"])
        heard = json.dumps([envelope for envelope in page.envelopes if envelope["kind"] != "refused"])
        said = heard + await everything_said_to(viewer, site)
        said += await everything_said_to(await site.viewer(), site)
        # The asker's own words come back in a refusal's facts; nothing else may hold them.
        said = re.sub(r'"which": ?"[^"]*"', "", said)
        # `{sku}` and `{look}` of the addresses that were asked are not an answer.
        leaks = [secret for secret in secrets if secret in said]
        assert leaks == []
        assert "Coat 1" in said, "the premise: what is out is found this way"

        staff = await site.signed_in(site.house.staff)
        assert TITLE in await everything_said_to(staff, site), "the premise: those who make the show do see it"

        await s.desk.drop(site.house.show.id, site.house.looks[1], "test")
        dropped = await page.wait("card.dropped", lambda body: body["card"]["look"] == site.house.looks[1])
        assert dropped["card"]["pieces"][0]["title"] == TITLE
    after = await everything_said_to(await site.viewer(), site)
    assert [secret for secret in (TITLE, "L2-S", secrets[5]) if secret not in after] == []


async def test_search_engines_read_the_pieces_that_are_out_with_todays_price_and_stock(site: Served):
    await site.house.go_live(1)
    s = site.services
    await s.catalogue.set_price("L1-M", 12_900, sale=Sale(9_950, s.clock.now_ms() - 1))
    await s.rail.changed(["L1-M"])
    await s.desk.adjust_stock("L1-S", -5, op="gone", by="test")
    page = (await (await site.viewer()).open("/shows/aw26")).text
    found = re.search(r'<script type="application/ld\+json" nonce="[^"]+">(.*?)</script>', page, re.S)
    assert found
    (entry,) = json.loads(found[1])["itemListElement"]
    product = entry["item"]
    assert (product["@type"], product["name"], product["brand"]["name"]) == ("Product", "Coat 1", "Atelier")
    offers = {offer["sku"]: offer for offer in product["offers"]}
    assert (offers["L1-M"]["price"], offers["L1-M"]["priceCurrency"]) == ("99.50", "EUR")
    assert offers["L1-M"]["availability"].endswith("InStock")
    assert offers["L1-S"]["availability"].endswith("SoldOut")


async def test_robots_and_the_sitemap_name_pages_and_no_piece(site: Served):
    browser = await site.viewer()
    robots = (await browser.client.get("/robots.txt")).text
    assert "Disallow: /studio\n" in robots
    sitemap = (await browser.client.get("/sitemap.xml")).text
    assert f"<loc>{site.origin}/shows/aw26</loc>" in sitemap
    assert "coat" not in sitemap
