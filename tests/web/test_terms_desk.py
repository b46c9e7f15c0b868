"""The page of the terms of sale: what is typed holds for the next order, what is wrong is said beside its field and
loses nothing, and what is switched off comes back at a word."""

from __future__ import annotations

import asyncio
import re

import httpx
from house import CONTACT, Browser, Web
from sqlalchemy import select, update

from live.desk.people import HOUSE
from live.desk.person_data import retire
from live.ids import new_id
from live.shop.terms import METHODS_LIMIT
from live.store.tables import audit, promotions
from live.web.terms_desk import ACTS

HERE = "/studio/terms"
WAY = {
    "act": "ways.save", "name": "Post", "places": "FR, de", "price": "4,90", "free_above": "150",
    "days_min": "2", "days_max": "4",
}  # fmt: skip
CODE = {"act": "codes.add", "code": "autumn", "kind": "percent", "percent": "12.5"}


async def post(browser: Browser, path: str = HERE, **form: object) -> httpx.Response:
    given = {"csrf": browser.csrf, **form}
    return await browser.client.post(path, data=given, headers={"Origin": browser.origin}, follow_redirects=False)


async def done(browser: Browser, **form: object) -> str:
    """Post a form that is taken; the page it leads to."""
    answer = await post(browser, **form)
    assert answer.status_code == 303, answer.text
    return (await browser.open(answer.headers["location"])).text


def field(page: str, name: str) -> tuple[str, str]:
    """(what stands in the field that is marked wrong, what is said of it)."""
    found = re.search(
        rf'<input [^>]*name="{name}"[^>]*value="([^"]*)"[^>]*aria-invalid="true"[^>]*>\s*<p[^>]*>([^<]*)', page
    )
    assert found, f"{name} is not marked"
    return found[1], found[2]


async def test_a_way_of_sending_is_added_changed_and_taken_back(web: Web):
    staff, s, brand = await web.signed_in(web.house.staff), web.services, web.house.show.brand_id
    assert "anywhere in the world, for nothing" in (await staff.open(HERE)).text
    op = new_id("shm")
    page = await done(staff, **WAY, op=op)
    assert "Post is offered so" in page
    assert "€4.90, free from €150.00 · 2 to 4 days" in page
    assert "To France, Germany" in page
    await done(staff, **WAY, op=op)  # the same form, sent twice
    (way,) = (await s.terms.of_brand(brand)).methods
    assert (way.id, way.price_minor, way.free_above_minor, way.places) == (op, 490, 15_000, ("FR", "DE"))
    await done(staff, **{**WAY, "name": "Courier", "price": "9"}, op=op)  # the browser's way back, and another typed
    another = (await s.terms.of_brand(brand)).methods[1]
    assert (another.name, another.price_minor) == ("Courier", 900)
    await done(staff, act="ways.off", way=another.id)
    await done(staff, **{**WAY, "price": "0", "free_above": "", "days_max": "2"}, way=op)
    (way,) = (await s.terms.of_brand(brand)).methods
    assert (way.price_minor, way.free_above_minor, way.days_max) == (0, None, 2)
    assert "It is the last one" in (await staff.open(HERE)).text
    page = await done(staff, act="ways.off", way=op)
    assert (await s.terms.of_brand(brand)).methods == []
    undo = dict(re.findall(r'name="(act|way)" value="([^"]+)"', page[: page.index("Undo")]))
    assert undo == {"act": "ways.on", "way": op}
    await done(staff, **undo)
    assert [one.id for one in (await s.terms.of_brand(brand)).methods] == [op]
    for act in ("ways.off", "ways.on", "ways.save"):
        assert (await post(staff, **{**WAY, "act": act, "way": "shm_none"})).status_code == 404


async def test_what_is_wrong_is_said_beside_each_field_and_what_was_typed_stays(web: Web):
    staff = await web.signed_in(web.house.staff)
    wrong = {**WAY, "price": "1,000.5", "free_above": "lots", "days_max": "soon", "op": new_id("shm")}
    answer = await post(staff, **wrong)
    assert answer.status_code == 422
    assert field(answer.text, "price") == ("1,000.5", "Price is not a number like 4.90.")
    assert field(answer.text, "free_above")[0] == "lots"
    assert field(answer.text, "days_max") == ("soon", "Days is not a whole number.")
    assert 'value="FR, de"' in answer.text
    assert wrong["op"] in answer.text
    assert answer.text.count("autofocus") == 1
    for change, name, said in (
        ({"places": "FR, XX"}, "places", "XX"),
        ({"name": " "}, "name", "1 to 60"),
        ({"price": ""}, "price", "is missing"),
        ({"price": "1.005"}, "price", "decimals"),
        ({"price": "-1"}, "price", "0 or more"),
        ({"price": "100000.01"}, "price", "at most €100,000.00"),
        ({"days_min": ""}, "days_min", "is missing"),
        ({"price": "1e999999"}, "price", "number"),
        ({"days_min": "9"}, "days_max", "like 2-5"),
    ):
        assert said in field((await post(staff, **{**WAY, **change})).text, name)[1], change
    for change, name, said in (
        ({"code": "a"}, "code", "3 to 32"),
        ({"percent": "101"}, "percent", "100 percent"),
        ({"percent": ""}, "percent", "missing"),
        ({"kind": "amount", "amount": "0"}, "amount", "above 0"),
        ({"cap": "0"}, "cap", "1 or more"),
        ({"min": "x"}, "min", "number"),
        ({"starts": "2026-02-01T10:00", "ends": "2026-02-01T09:00"}, "ends", "after"),
        ({"starts": "tomorrow"}, "starts", "moment"),
    ):
        answer = await post(staff, **{**CODE, **change})
        assert (answer.status_code, said in field(answer.text, name)[1]) == (422, True), change
        assert change.get("code") or 'value="autumn"' in answer.text
    for change, name in (
        ({"place": "Germany"}, "place"),
        ({"place": "Germany", "rate": ""}, "place"),
        ({"place": "EU"}, "place"),
        ({"place": "UK"}, "place"),
        ({"rate": "51"}, "rate"),
        ({"rate": "a"}, "rate"),
    ):
        assert field((await post(staff, **{"act": "tax.set", "place": "DE", "rate": "19", **change})).text, name)
    assert (await post(staff, act="burn")).status_code == 422
    assert await web.services.promotions.of_brand(web.house.show.brand_id) == []


async def test_a_code_takes_off_what_the_page_says_until_it_is_switched_off_and_again_after(web: Web):
    staff, buyer = await web.signed_in(web.house.staff), await web.viewer()
    await web.house.go_live(1)
    await buyer.send("POST", "/api/shows/aw26/cart", {"sku": "L1-S", "op": "1"})

    async def quoted() -> object:
        answer = await buyer.send("POST", "/api/shows/aw26/quote", {"country": "FR", "codes": ["AUTUMN"]})
        return answer.json().get("discount", answer.json().get("code"))

    page = await done(staff, **CODE, cap="3", ends="2099-01-01T00:00")
    assert "12.5 % off" in page
    assert "used 0 of 3" in page
    assert await quoted() == {"minor": 1613, "currency": "EUR"}
    taken = await post(staff, **CODE)
    assert "is there already" in field(taken.text, "code")[1]
    placed = await buyer.send("POST", "/api/shows/aw26/checkout", {**CONTACT, "codes": ["autumn"]}, Idempotency_Key="k")
    assert placed.status_code == 201, placed.text
    page = await done(staff, act="codes.off", code="AUTUMN")
    assert "Orders that used it keep" in page
    assert await quoted() == "code_refused"
    assert 'value="codes.on"' in page[: page.index("Undo")]
    assert "used 1 of 3" in await done(staff, act="codes.on", code="AUTUMN")
    assert await quoted() == {"minor": 1613, "currency": "EUR"}
    assert "switched on already" in stale(await post(staff, act="codes.on", code="AUTUMN"))
    assert (await post(staff, act="codes.on", code="NOBODYS")).status_code == 404


async def test_tax_is_shown_by_country_set_taken_back_and_switched(web: Web):
    staff, s, brand = await web.signed_in(web.house.staff), web.services, web.house.show.brand_id
    page = (await staff.open(HERE)).text
    assert "Prices contain the tax" in page
    assert re.search(r'rate-FR">.*?France.*?20 %.*?€16\.67 in it', page, re.S)
    page = await done(staff, act="tax.set", place="fr", rate="10")
    assert (await s.terms.of_brand(brand)).tax.rates["FR"] == 1_000
    assert (await s.terms.of_brand(brand)).tax.rates["DE"] == 1_900, "the others stay"
    undo = dict(re.findall(r'name="(act|place|rate)" value="([^"]+)"', page[: page.index("Undo")]))
    assert undo == {"act": "tax.set", "place": "FR", "rate": "20"}
    forged = await staff.open(f"{HERE}?done=tax.set&what=DE&undo=DE&was=50")
    assert 'data-testid="done"' not in forged.text, "an Undo that nobody's act leads to"
    await done(staff, act="tax.set", place="FR", rate="")
    assert "FR" not in (await s.terms.of_brand(brand)).tax.rates
    page = await done(staff, act="tax.how", how="added")
    assert re.search(r'rate-DE">.*?€119\.00 to pay', page, re.S)
    await done(staff, act="tax.reset")
    assert (await s.terms.of_brand(brand)).tax.included
    # Two of the staff at once: each changes what she named.
    await asyncio.gather(
        *(post(staff, act="tax.set", place=place, rate="7") for place in ("FR", "DE", "IT", "ES", "CA-ON"))
    )
    rates = (await s.terms.of_brand(brand)).tax.rates
    assert [rates[place] for place in ("FR", "DE", "IT", "ES", "CA-ON")] == [700] * 5


async def test_the_terms_are_the_brands_and_nobody_elses(web: Web):
    s, house = web.services, web.house
    staff = await web.signed_in(house.staff)
    theirs = await s.terms.add_method(house.other.brand_id, name="Theirs", places="GB", price_minor=100)
    await s.promotions.add(house.other.brand_id, "THEIRS", "percent", 100)
    assert "Theirs" not in (await staff.open(HERE)).text
    assert (await staff.open(f"{HERE}?brand=elsewhere")).status_code == 404
    assert (await post(staff, f"{HERE}?brand=elsewhere", **WAY)).status_code == 404
    for form in ({"act": "ways.off", "way": theirs}, {**WAY, "way": theirs}, {"act": "codes.off", "code": "THEIRS"}):
        assert (await post(staff, **form)).status_code == 404, form
    await s.people.grant(house.moderator.id, "staff", show_id=house.show.id)
    assert (await (await web.signed_in(house.moderator)).open(HERE)).status_code == 403, "of one show alone"


async def test_ways_are_not_endless_and_coming_back_counts(web: Web):
    staff, s, brand = await web.signed_in(web.house.staff), web.services, web.house.show.brand_id
    first = await s.terms.add_method(brand, name="First", places="FR", price_minor=1)
    await s.terms.retire_method(brand, first)
    for n in range(METHODS_LIMIT):
        await s.terms.add_method(brand, name=f"W{n}", places="FR", price_minor=n)
    full = await post(staff, **WAY, op=new_id("shm"))
    assert str(METHODS_LIMIT) in field(full.text, "name")[1]
    assert (await post(staff, act="ways.on", way=first)).status_code == 422


# ---- two tabs ----------------------------------------------------------------------------------


def edition(page: str, form: str) -> str:
    """Of which edition a form of the page was made: `form` is the id of a way, or a code's name."""
    found = re.search(
        rf'name="(?:way|code)" value="{form}">(?:<input type="hidden" name="edition" value="(\w+)">)', page
    )
    found = found or re.search(rf'name="edition" value="(\w+)"><input type="hidden" name="code" value="{form}"', page)
    assert found, form
    return found[1]


def stale(answer: httpx.Response) -> str:
    assert answer.status_code == 409, answer.text
    found = re.findall(r'data-testid="stale">([^<]+)', answer.text)
    assert len(found) == 1
    return str(found[0])


async def test_a_stale_tab_overwrites_no_way_says_what_it_is_now_and_keeps_what_was_typed(web: Web):
    staff, s, brand = await web.signed_in(web.house.staff), web.services, web.house.show.brand_id
    op = new_id("shm")
    page = await done(staff, **WAY, op=op)
    old = {**WAY, "way": op, "edition": edition(page, op)}
    await done(staff, **{**old, "price": "7"})
    answer = await post(staff, **{**old, "name": "Our post", "price": "8"})
    assert "It is now Post: €7.00, free from €150.00, 2 to 4 days, to France, Germany." in stale(answer)
    assert 'value="Our post"' in answer.text
    assert (await s.terms.of_brand(brand)).methods[0].price_minor == 700
    await done(staff, **{**old, "name": "Our post", "price": "8", "edition": edition(answer.text, op)})
    (way,) = (await s.terms.of_brand(brand)).methods
    assert (way.name, way.price_minor) == ("Our post", 800)
    await done(staff, act="ways.off", way=op)
    assert stale(await post(staff, act="ways.off", way=op)) == "Our post was offered no more already."
    answer = await post(staff, **{**old, "name": "Typed for long"})
    assert "as a new way" in stale(answer)
    assert 'id="ways.save-name" name="name" type="text" value="Typed for long"' in answer.text
    await done(staff, act="ways.on", way=op)
    assert "already" in stale(await post(staff, act="ways.on", way=op))


async def test_a_codes_window_caps_and_company_are_changed_by_one_and_told_to_the_other_tab(web: Web):
    staff, s, brand = await web.signed_in(web.house.staff), web.services, web.house.show.brand_id
    await s.promotions.add(brand, "AUTUMN", "percent", 1_250, starts_ms=1_790_000_000_123, cap=5)
    page = (await staff.open(HERE)).text
    form = {"act": "codes.save", "code": "AUTUMN", "edition": edition(page, "AUTUMN"), "starts": "2026-09-21T14:13"}
    assert f'value="{form["starts"]}"' in page
    page = await done(staff, **form, cap="7", cap_each="1", min="20", ends="2099-01-01T00:00", stacks="yes")
    assert "AUTUMN holds so" in page
    (now,) = await s.promotions.of_brand(brand)
    assert (now.kind, now.value, now.starts_ms, now.ends_ms) == ("percent", 1_250, 1_790_000_000_123, 4_070_908_800_000)
    assert (now.min_minor, now.cap, now.cap_each, now.stacks) == (2_000, 7, 1, True)
    rows = await s.db.read(lambda c: c.execute(select(audit).where(audit.c.act == "promotion.change")).all())
    assert [(row.actor, row.target, row.reason) for row in rows] == [(web.house.staff.id, now.id, "AUTUMN")]
    assert ('"cap":5' in rows[0].before, '"cap":7' in rows[0].after) == (True, True)
    answer = await post(staff, **form, cap="9")
    assert "saved elsewhere" in stale(answer)
    assert 'value="9"' in answer.text
    assert (await s.promotions.of_brand(brand))[0].cap == 7
    form["edition"] = edition(answer.text, "AUTUMN")
    assert field((await post(staff, **form, cap="x")).text, "cap")[0] == "x"
    assert "after" in field((await post(staff, **form, ends="2020-01-01T00:00")).text, "ends")[1]
    await s.db.write(lambda c: c.execute(update(promotions).values(used=4)))
    assert "must be 4 or more" in field((await post(staff, **form, cap="3")).text, "cap")[1]
    await done(staff, act="codes.off", code="AUTUMN")
    assert stale(await post(staff, act="codes.off", code="AUTUMN")) == "AUTUMN was switched off already."
    assert "Switch it on" in stale(await post(staff, **form, cap="9"))
    assert (await post(staff, **{**form, "code": "NOBODYS"})).status_code == 404


async def test_every_change_on_the_page_is_in_the_houses_audit_log_with_what_was_and_what_is(web: Web):
    staff, s, op = await web.signed_in(web.house.staff), web.services, new_id("shm")
    brand = web.house.show.brand_id
    booked: list[tuple[str, str]] = []

    async def acts() -> list[tuple[str, str, str, str]]:
        rows = await s.db.read(lambda c: c.execute(select(audit).order_by(audit.c.id)).all())
        assert {(row.room, row.actor) for row in rows} <= {(HOUSE, web.house.staff.id)}
        return [(row.act, row.reason, row.before, row.after) for row in rows]

    async def books(act: str, name: str, before: str, after: str, /, **form: str) -> None:
        await done(staff, **form)
        booked.append((form["act"], act))
        *_, (what, whose, was, now) = found = await acts()
        assert (len(found), what, whose) == (len(booked), act, name)
        for part, whole in ((before, was), (after, now)):
            assert (part in whole) if part else whole == "", (act, part, whole)

    await books("shipping.add", "Post", "", '"price_minor":490', **WAY, op=op)
    edition_now = edition((await staff.open(HERE)).text, op)
    dearer = {**WAY, "price": "7", "way": op, "edition": edition_now}
    await books("shipping.change", "Post", '"price_minor":490', '"price_minor":700', **dearer)
    await books("shipping.retire", "Post", '"price_minor":700', "", act="ways.off", way=op)
    await books("shipping.restore", "Post", "", '"price_minor":700', act="ways.on", way=op)
    await books("promotion.add", "AUTUMN", "", '"value":1250', **CODE)
    form = {"act": "codes.save", "code": "AUTUMN", "edition": edition((await staff.open(HERE)).text, "AUTUMN")}
    await books("promotion.change", "AUTUMN", '"cap":null', '"cap":7', **form, cap="7")
    await books("promotion.retire", "AUTUMN", '"cap":7', "", act="codes.off", code="AUTUMN")
    await books("promotion.restore", "AUTUMN", "", '"cap":7', act="codes.on", code="AUTUMN")
    await books("tax.set", "tax", "rates", '"DE":500', act="tax.set", place="DE", rate="5")
    await books("tax.set", "tax", '"included":true', '"included":false', act="tax.how", how="added")
    await books("tax.reset", "tax", '"DE":500', '"DE":1900', act="tax.reset")
    assert {form_act for form_act, _ in booked} == set(ACTS), "none is forgotten here"
    before = len(booked)
    await done(staff, act="tax.reset")
    await done(staff, **{**WAY, "price": "7"}, op=op)  # the same form once more
    assert len(await acts()) == before, "what changes nothing is no change"
    assert (await s.terms.of_brand(brand)).methods[0].price_minor == 700
    now = s.clock.now_ms()
    booked_acts = await acts()
    await s.db.write(lambda c: retire(c, now + 1, now))
    assert await acts() == booked_acts, "they are longer of use than what was said in a room"
    assert await s.archive.verify(HOUSE) is None
