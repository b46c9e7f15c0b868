"""The studio's pages for programs: a secret is seen once, another brand's things never, and every act is one form."""

from __future__ import annotations

import re

import httpx
from house import Browser, Web
from sqlalchemy import select, update

from live.ids import new_id
from live.shop.webhooks import deliveries
from live.store.tables import webhook_deliveries, webhook_endpoints
from live.store.telling import tell

KINDS = ["order.paid", "show.ended"]
SECRET = re.compile(r'data-testid="secret">([^<]+)<')


async def post(browser: Browser, path: str, **form: object) -> httpx.Response:
    given = {"csrf": browser.csrf, **form}
    return await browser.client.post(path, data=given, headers={"Origin": browser.origin}, follow_redirects=False)


async def make(web: Web, staff: Browser, **more: object) -> httpx.Response:
    form = {"name": "Till", "scope": ["stock:write"], "place": f"brand:{web.house.show.brand_id}", "op": new_id("tok")}
    return await post(staff, "/studio/api", **{**form, **more})


async def test_a_token_is_made_shown_once_and_revoked(web: Web):
    staff = await web.signed_in(web.house.staff)
    made = await make(web, staff, days="30")
    assert made.status_code == 200
    (secret,) = SECRET.findall(made.text)
    listed = (await staff.open("/studio/api")).text
    assert secret[:9] in listed
    assert secret not in listed
    till = (await web.stranger()).client
    headers = {"Authorization": f"Bearer {secret}"}
    adjust = {"sku": "L1-S", "op": "1", "change": 1}
    assert (await till.post("/api/stock/adjust", json=adjust, headers=headers)).status_code == 200
    (token,) = await web.services.tokens.list()
    assert (token.created_by, token.scopes) == (web.house.staff.id, ("stock:write",))
    assert "Never used" not in (await staff.open("/studio/api")).text
    assert (await post(staff, f"/studio/api/{token.id}/revoke")).status_code == 303
    assert (await till.post("/api/stock/adjust", json=adjust, headers=headers)).status_code == 401
    assert "Revoked" in (await staff.open("/studio/api")).text


async def test_what_a_token_may_do_and_an_endpoint_hears_is_listed_in_words(web: Web):
    staff = await web.signed_in(web.house.staff)
    await make(web, staff)
    await post(staff, "/studio/webhooks", url="https://erp.example.com/in", brand=web.house.show.brand_id, kind=KINDS)
    (may,) = re.findall(r'data-testid="may">(.*?)</ul>', (await staff.open("/studio/api")).text, re.S)
    assert re.findall("<li>(.*?)</li>", may) == ["Change what is on hand"]
    (hears,) = re.findall(r'data-testid="hears">(.*?)</ul>', (await staff.open("/studio/webhooks")).text, re.S)
    assert re.findall("<li>(.*?)</li>", hears) == ["An order is paid: the units are sold", "A show is over"]


async def test_the_same_form_sent_again_makes_no_second_token(web: Web):
    staff = await web.signed_in(web.house.staff)
    op = new_id("tok")
    assert (await make(web, staff, op=op)).status_code == 200
    again = await make(web, staff, op=op)
    assert again.status_code == 409
    assert "made its token already" in again.text
    assert len(await web.services.tokens.list()) == 1


async def test_what_is_wrong_with_a_token_is_said_and_what_was_typed_stays(web: Web):
    staff = await web.signed_in(web.house.staff)
    for more, said in (
        ({"scope": []}, "at least one"),
        ({"place": f"show:{web.house.show.id}"}, "the brand"),
        ({"days": "0"}, "1 to 3650"),
        ({"days": "soon"}, "is no number"),
        ({"op": "mine"}, "is no id"),
        ({"name": ""}, "1 to 60"),
    ):
        refused = await make(web, staff, **{"name": "Kasse", **more})
        assert refused.status_code == 422, more
        assert said in refused.text
        assert more.get("name") == "" or 'value="Kasse"' in refused.text
        assert "place" not in more or f'value="{more["place"]}" selected' in refused.text
        assert not SECRET.search(refused.text)
    assert await web.services.tokens.list() == []


async def test_what_is_wrong_is_said_beside_the_field_that_it_is_about(web: Web):
    staff = await web.signed_in(web.house.staff)
    for field, more, tag in (
        ("scopes", {"scope": []}, r'<input type="checkbox" name="scope" value="orders:read"[^>]*>'),
        ("name", {"name": ""}, r'<input [^>]*id="name"[^>]*>'),
        ("days", {"days": "0"}, r'<select [^>]*id="days"[^>]*>'),
    ):
        text = (await make(web, staff, **more)).text
        control = re.search(tag, text)
        assert control, field
        assert f'aria-describedby="{field}-says" autofocus' in control[0]
        assert text.count('role="alert"') == 1, "said once"
        assert f'role="alert" id="{field}-says">' in text
        assert 'id="new-error"' not in text
    text = (await make(web, staff, scope=[])).text
    scopes = re.search(r'<fieldset [^>]*aria-describedby="scopes-says">.*?</fieldset>', text, re.S)
    assert scopes
    assert 'id="scopes-says">Choose at least one.' in scopes[0]
    op = new_id("tok")
    await make(web, staff, op=op)
    assert 'id="new-error"' in (await make(web, staff, op=op)).text, "of the form as a whole: above it"


async def test_nobody_makes_sees_or_revokes_tokens_of_another_brand(web: Web):
    staff = await web.signed_in(web.house.staff)
    other = web.house.other
    for place in (f"brand:{other.brand_id}", f"show:{other.id}", "brand:none", "x"):
        assert (await make(web, staff, place=place)).status_code == 404
    _, theirs = await web.services.tokens.make("Theirs", ["orders:read"], by="cli", brand_id=other.brand_id)
    assert "Theirs" not in (await staff.open("/studio/api")).text
    assert (await post(staff, f"/studio/api/{theirs.id}/revoke")).status_code == 404
    assert (await web.services.tokens.by_id(theirs.id)).revoked_ms is None


async def test_staff_of_one_show_sees_and_makes_tokens_of_that_show_alone(web: Web):
    s, house = web.services, web.house
    await s.people.grant(house.moderator.id, "staff", show_id=house.show.id)
    await s.tokens.make("Of the brand", ["orders:read"], by="cli", brand_id=house.show.brand_id)
    of_one = await web.signed_in(house.moderator)
    assert "Of the brand" not in (await of_one.open("/studio/api")).text
    assert (await make(web, of_one)).status_code == 404
    made = await make(web, of_one, scope=["room:moderate"], place=f"show:{house.show.id}")
    assert made.status_code == 200
    assert "staff of single shows" in (await of_one.open("/studio/webhooks")).text


async def add(web: Web, staff: Browser, **more: object) -> httpx.Response:
    return await post(
        staff, "/studio/webhooks", **{"brand": web.house.show.brand_id, "url": "https://erp.example/in", **more}
    )


async def endpoint_of(web: Web) -> str:
    (one,) = await web.services.endpoints.list([web.house.show.brand_id])
    return one.id


async def test_an_endpoint_is_added_changed_turned_off_and_removed(web: Web):
    staff = await web.signed_in(web.house.staff)
    added = await add(web, staff, kind=["order.paid", "drop.opened"])
    (secret,) = SECRET.findall(added.text)
    assert secret.startswith("whsec_")
    here = f"/studio/webhooks/{await endpoint_of(web)}"
    assert secret not in (await staff.open(here)).text
    (rotated,) = SECRET.findall((await post(staff, here, act="rotate")).text)
    assert rotated != secret
    assert (await post(staff, here, act="kinds", kind=["stock.changed"])).status_code == 303
    assert (await post(staff, here, act="off")).status_code == 303
    assert "Turned off by hand" in (await staff.open(here)).text
    off = await post(staff, here, act="test")
    assert (off.status_code, "Turn it on first" in off.text) == (409, True)
    assert (await post(staff, here, act="on")).status_code == 303
    (one,) = await web.services.endpoints.list()
    assert 'data-testid="made-by">Made by Stef' in (await staff.open("/studio/webhooks")).text
    assert (one.disabled_ms, one.kinds) == (None, ("stock.changed",))
    assert (await post(staff, here, act="test")).status_code == 303
    assert "webhook.test" in (await staff.open(here)).text
    assert (await post(staff, here, act="burn")).status_code == 422
    assert (await post(staff, here, act="remove")).headers["location"] == "/studio/webhooks"
    assert (await staff.client.get(here)).status_code == 404


async def test_the_log_is_read_by_what_became_of_it_and_failed_ones_go_again(web: Web):
    s, staff = web.services, await web.signed_in(web.house.staff)
    await add(web, staff)
    endpoint = await endpoint_of(web)
    here, now = f"/studio/webhooks/{endpoint}", s.clock.now_ms()
    for n in range(55):
        body = {"show": web.house.show.id, "look": f"<b>{n}</b>", "number": n, "title": "", "at_ms": 0}
        await s.db.write(lambda c, body=body: tell(c, "drop.opened", body, now))
    for _ in range(2):
        await s.db.write(lambda c: deliveries.fan_out(c, now))
    failed = update(webhook_deliveries).where(webhook_deliveries.c.outbox_id % 2 == 0)
    await s.db.write(
        lambda c: c.execute(failed.values(outcome="failed", done_ms=now, answer="500", reply="<script>")) and None
    )
    first = (await staff.open(here)).text
    assert first.count('class="entry"') == 50
    assert "<script>" not in first.replace("<script type", "")
    assert "&lt;b&gt;54" in first
    (older,) = re.findall(r'href="([^"]+before=\d+)"', first)
    assert (await staff.open(older)).text.count('class="entry"') == 5
    assert (await staff.open(f"{here}?only=failed")).text.count('class="entry"') == 27
    one = await s.db.read(
        lambda c: c.execute(
            select(webhook_deliveries.c.outbox_id).where(webhook_deliveries.c.outcome == "failed")
        ).scalar()
    )
    assert (await post(staff, here, act="replay", delivery=one)).status_code == 303
    again = await post(staff, here, act="replay_failed", since="3600000")
    assert again.headers["location"] == f"{here}?again=26"
    assert "26 on the way again" in (await staff.open(again.headers["location"])).text
    assert (await staff.open(f"{here}?only=failed")).text.count('class="entry"') == 0
    for wrong in ("", "x", "-1", "9" * 30):
        assert (await post(staff, here, act="replay", delivery=wrong)).status_code == 422


async def test_an_endpoint_of_another_brand_is_not_there(web: Web):
    staff = await web.signed_in(web.house.staff)
    theirs, _ = await web.services.endpoints.add(web.house.other.brand_id, "https://theirs.example/")
    assert "theirs.example" not in (await staff.open("/studio/webhooks")).text
    assert (await staff.client.get(f"/studio/webhooks/{theirs}")).status_code == 404
    assert (await post(staff, f"/studio/webhooks/{theirs}", act="remove")).status_code == 404
    assert (await add(web, staff, brand=web.house.other.brand_id)).status_code == 404
    rows = await web.services.db.read(lambda c: c.execute(select(webhook_endpoints.c.id)).scalars().all())
    assert list(rows) == [theirs]


async def test_an_address_that_will_not_do_is_said_and_stays_in_the_form(web: Web):
    staff = await web.signed_in(web.house.staff)
    for url in ("http://erp.example/", "https://10.0.0.1/", "https://a:b@erp.example/"):
        refused = await add(web, staff, url=url)
        assert refused.status_code == 422
        assert f'value="{url}"' in refused.text
        assert "The address:" in refused.text


async def test_the_studios_pages_have_the_same_links_and_say_which_is_open(web: Web):
    staff = await web.signed_in(web.house.staff)
    links = re.compile(r'<a href="(/studio[^"?]*)[^"]*"( aria-current="page")?>')
    pages = ["/studio", "/studio/orders", "/studio/catalogue", "/studio/terms", "/studio/api", "/studio/webhooks"]
    for here in pages:
        head = (await staff.open(here)).text.partition('aria-label="Pages"')[2].partition("</nav>")[0]
        assert links.findall(head) == [(one, ' aria-current="page"' if one == here else "") for one in pages], here
