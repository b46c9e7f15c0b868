"""The pages as a browser without JavaScript reads them: what is in the first paint, and what people typed in it."""

from __future__ import annotations

import json
import re

import pytest
from house import CONTACT, Browser, Web

from live.shop.catalogue import NewVariant
from live.web.pages import own_path

HOSTILE = "</script><img src=x onerror=alert(1)>"


async def test_the_front_leads_with_the_show_on_air_and_lists_what_comes(web: Web):
    await web.house.go_live()
    answer = await (await web.stranger()).open("/")
    lead = re.search(r'<section class="lead".*?</section>', answer.text, re.S)
    assert lead is not None
    assert "On air now" in lead[0]
    assert 'href="/shows/aw26"' in lead[0]
    assert 'href="/shows/ss27"' in answer.text


async def test_first_paint_of_a_live_show_has_the_card_its_price_its_sizes_and_its_stock(web: Web):
    await web.house.go_live(1, 2)
    answer = await (await web.stranger()).open("/shows/aw26")
    card = _testid(answer.text, "pinned-card")
    assert "Look 2" in card
    assert "Coat 2" in card
    assert "€129.00" in card
    assert "5 left in S" in card
    assert 'data-testid="size-L2-S" checked' in card
    assert 'data-testid="size-L2-M"' in card


async def test_the_colour_is_said_in_words_where_a_piece_has_another(web: Web):
    made = [NewVariant(f"K-{colour}", "S", colour, "#112", 12_900, 4) for colour in ("Bone", "Ink")]
    knit = await web.services.catalogue.add_product(web.house.show.brand_id, slug="knit", title="Knit", variants=made)
    look = await web.services.runsheets.add_look(web.house.show.id, 4, "Look 4", [knit])
    await web.house.go_live()
    await web.services.desk.drop(web.house.show.id, look, "test")
    assert "4 left in S, Bone" in _testid((await (await web.stranger()).open("/shows/aw26")).text, "pinned-card")


async def test_a_sold_out_size_is_said_so_and_another_is_chosen(web: Web):
    await web.house.go_live(1)
    for n in range(2):
        person = await web.viewer()
        await person.send("POST", "/api/shows/aw26/cart", {"sku": "L1-S", "qty": 4 if n == 0 else 1, "op": f"op-{n}"})
    card = _testid((await (await web.stranger()).open("/shows/aw26")).text, "pinned-card")
    assert "5 left in M" in card
    assert re.search(r'data-gone="yes"><input[^>]*data-testid="size-L1-S"', card)


async def test_the_state_in_the_page_is_the_one_the_api_answers(web: Web):
    await web.house.go_live(1, 3)
    person = await web.viewer()
    await person.send("POST", "/api/shows/aw26/cart", {"sku": "L3-S", "op": "tap"})
    state = _state((await person.open("/shows/aw26")).text)
    asked = (await person.client.get("/api/shows/aw26")).json()
    assert state["live"]["cart"] == asked["cart"]
    assert state["live"]["cards"] == asked["cards"]
    assert state["live"]["stock"] == asked["stock"]
    assert state["live"]["pinned"] == asked["pinned"]
    assert state["live"]["runsheet"] is None, "what is to come is nobody's business"


async def test_a_show_to_come_counts_down_and_one_that_ended_says_so(web: Web):
    person = await web.viewer()
    before = (await person.open("/shows/aw26")).text
    assert 'data-status="scheduled"' in before
    assert re.search(r'data-testid="countdown" data-until="\d+">', before), "not hidden"
    await web.house.go_live(1)
    await web.services.desk.end_show(web.house.show.id, "test")
    after = (await person.open("/shows/aw26")).text
    assert 'data-status="ended"' in after
    assert "Ended " in after
    assert "Coat 1" in after, "its looks are still there to see"


async def test_viewers_and_host_have_a_place_for_games_and_only_the_host_asks(web: Web):
    await web.house.go_live(1)
    viewers = (await (await web.stranger()).open("/shows/aw26")).text
    desk = (await (await web.signed_in(web.house.host)).open("/studio/shows/aw26")).text
    for text in (viewers, desk):
        assert 'data-testid="game"' in text
        assert '<template id="game-choice-template">' in text
    assert 'data-testid="poll-form"' in desk
    assert 'data-testid="poll-form"' not in viewers


async def test_what_people_typed_is_escaped_in_every_page(web: Web):
    """Premise: the hostile name is really in the page, in its escaped form."""
    person = await web.viewer()
    await person.send("POST", "/api/name", {"name": HOSTILE[:30]})
    s = web.services
    show = await s.shows.create(web.house.show.brand_id, "hostile", HOSTILE, tagline=HOSTILE)
    for path in ("/", f"/shows/{show.slug}", "/studio"):
        reader = await web.signed_in(web.house.staff) if path == "/studio" else person
        text = (await reader.open(path)).text
        assert "&lt;/script&gt;" in text or "\\u003c/script\\u003e" in text, path
        assert HOSTILE not in text
        assert "<img src=x" not in text


async def test_every_script_of_a_page_carries_the_nonce_of_its_policy(web: Web):
    await web.house.go_live(1)
    answer = await (await web.stranger()).open("/shows/aw26")
    nonce = re.search(r"'nonce-([^']+)'", answer.headers["content-security-policy"])
    assert nonce is not None
    scripts = re.findall(r"<script\b[^>]*>", answer.text)
    assert scripts
    assert all(f'nonce="{nonce[1]}"' in script for script in scripts)
    assert " style=" not in answer.text
    assert not re.search(r"\son[a-z]+=", answer.text)


async def test_an_order_page_is_a_receipt_for_whoever_has_its_link_and_nothing_for_a_forged_one(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await buyer.send("POST", "/api/shows/aw26/cart", {"sku": "L1-S", "op": "tap"})
    placed = (await buyer.send("POST", "/api/shows/aw26/checkout", CONTACT, Idempotency_Key="key-1")).json()
    stranger = await web.stranger()
    pending = await stranger.open(f"/orders/{placed['token']}")
    assert placed["number"] in pending.text
    assert "Almost yours." in pending.text
    assert "1 Rue de la Paix" in pending.text
    ref = placed["pay_url"].rpartition("/")[2]
    await web.services.provider.choose(ref, "success")
    await web.services.desk.settle(ref)
    assert "Thank you, Ada." in (await stranger.open(f"/orders/{placed['token']}")).text
    forged = await stranger.open(f"/orders/{placed['token'][:-1]}x")
    assert forged.status_code == 404
    assert 'data-code="not_found"' in forged.text


async def test_an_order_page_is_whole_without_javascript_and_tells_its_moment_to_the_readers_own_clock(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await buyer.send("POST", "/api/shows/aw26/cart", {"sku": "L1-S", "op": "tap"})
    placed = (await buyer.send("POST", "/api/shows/aw26/checkout", CONTACT, Idempotency_Key="key-1")).json()
    pending = (await buyer.open(f"/orders/{placed['token']}")).text
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in pending, "it asks by itself"
    assert re.search(r'<dt>Placed</dt><dd><time datetime="[\dT:-]+Z" data-moment="moment">[^<]+ UTC</time>', pending)
    ref = placed["pay_url"].rpartition("/")[2]
    await web.services.provider.choose(ref, "success")
    await web.services.desk.settle(ref)
    paid = (await buyer.open(f"/orders/{placed['token']}")).text
    assert "http-equiv" not in paid
    assert "<dt>Paid</dt>" in paid


async def test_days_on_the_front_and_in_the_studio_can_be_put_into_the_readers_zone(web: Web):
    await web.house.go_live(1)
    await web.services.desk.end_show(web.house.show.id, "test")
    staff = await web.signed_in(web.house.staff)
    for path in ("/", "/studio"):
        text = (await staff.open(path)).text
        assert re.search(r'Ended <time datetime="[^"]+" data-moment="day">\d+ \w+ \d{4}</time>', text), path


async def test_the_providers_page_may_be_framed_by_ours_and_no_other_page_may_be(web: Web):
    await web.house.go_live(1)
    buyer = await web.viewer()
    await buyer.send("POST", "/api/shows/aw26/cart", {"sku": "L1-S", "op": "tap"})
    placed = (await buyer.send("POST", "/api/shows/aw26/checkout", CONTACT, Idempotency_Key="key-1")).json()
    hosted = await buyer.open(placed["pay_url"].replace(buyer.origin, ""))
    assert "frame-ancestors 'self'" in hosted.headers["content-security-policy"]
    for outcome in ("success", "decline", "funds", "3ds", "timeout", "abandon"):
        assert f'data-testid="pay-{outcome}"' in hosted.text
    shop = await buyer.open("/shows/aw26")
    assert "frame-ancestors 'none'" in shop.headers["content-security-policy"]


async def test_signing_in_with_a_wrong_password_keeps_the_address_and_says_nothing_of_which_was_wrong(web: Web):
    await web.services.staff.add("ines@example.org", "Ines", "correct horse battery")
    known = await _sign_in(await _at_the_door(web), "ines@example.org", "wrong")
    unknown = await _sign_in(await _at_the_door(web), "nobody@example.org", "wrong")
    assert known.status_code == unknown.status_code == 401
    assert 'value="ines@example.org"' in known.text
    assert known.text.count('aria-invalid="true"') == 2
    assert _testless(known.text) == _testless(unknown.text)


async def test_signing_in_leads_where_one_wanted_to_go(web: Web):
    await web.services.staff.add("ines@example.org", "Ines", "correct horse battery")
    answer = await _sign_in(await _at_the_door(web), "ines@example.org", "correct horse battery", next="/studio")
    assert (answer.status_code, answer.headers["location"]) == (303, "/studio")


async def test_a_one_click_link_signs_in_once_it_is_real_and_asks_for_a_password_when_it_is_over(web: Web):
    browser = await web.signed_in(web.house.host)
    assert "AW26" in (await browser.open("/studio")).text
    over = await (await web.stranger()).open("/sign-in/" + "x" * 43)
    assert over.status_code == 401
    assert "That link is over" in over.text
    assert "aria-invalid" not in over.text, "nothing was typed yet"


async def test_what_went_wrong_is_said_with_the_way_on_for_who_reads_it(web: Web):
    lost = (await (await web.viewer()).open("/orders/none")).text
    assert "Look whether the link came whole" in lost
    assert _ways(lost) == ["/"]
    host = await web.signed_in(web.house.host)
    denied = await host.open("/studio/orders")
    assert denied.status_code == 403
    assert "not among yours" in denied.text
    assert _ways(denied.text) == ["/studio", "/sign-in?next=/studio/orders", "/"]
    old = await host.client.post("/sign-out", data={"csrf": "of yesterday"}, headers={"Origin": host.origin})
    assert "load it again" in old.text
    assert _ways(old.text) == ["/studio", "/"]


def _ways(text: str) -> list[str]:
    (ways,) = re.findall(r'<p class="letter__ways">(.*?)</p>', text, re.S)
    return re.findall(r'href="([^"]*)"', ways)


@pytest.mark.parametrize(
    "path", ["https://evil.example/", "//evil.example/", "/\\evil.example", "evil", "", None, "/a\nb"]
)
def test_a_sign_in_leads_nowhere_else(path: str | None):
    assert own_path(path) == "/studio"


async def test_the_host_sees_the_whole_run_and_the_address_but_never_the_key(web: Web):
    key = await web.services.shows.set_publish_key(web.house.show.id)
    text = (await (await web.signed_in(web.house.host)).open("/studio/shows/aw26")).text
    assert [row["number"] for row in _state(text)["live"]["runsheet"]] == [1, 2, 3]
    assert "/whip/aw26" in _testid(text, "whip-url")
    assert key not in text


async def test_the_desk_knows_whether_a_key_is_out_before_it_makes_another(web: Web):
    host = await web.signed_in(web.house.host)
    assert 'data-key="no"' in (await host.open("/studio/shows/aw26")).text
    await web.services.shows.set_publish_key(web.house.show.id)
    assert 'data-key="yes"' in (await host.open("/studio/shows/aw26")).text


async def test_the_moderators_page_tells_no_run_of_show(web: Web):
    text = (await (await web.signed_in(web.house.moderator)).open("/studio/shows/aw26/room")).text
    assert _state(text)["live"]["runsheet"] is None
    assert "How it is kept" in text  # the moderator's desk
    host = (await (await web.signed_in(web.house.host)).open("/studio/shows/aw26")).text
    assert _state(host)["live"]["runsheet"] is not None  # there is one to tell


async def test_the_viewers_page_is_shown_without_stock_while_redis_is_away(web: Web, monkeypatch: pytest.MonkeyPatch):
    await web.house.go_live(1)

    async def away(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(web.services.desk, "snapshot", away)
    answer = await (await web.stranger()).open("/shows/aw26")
    assert answer.status_code == 200
    assert "Coat 1" in _testid(answer.text, "pinned-card")
    assert "left in" not in _testid(answer.text, "pinned-card")


# ---- reading -----------------------------------------------------------------------------------


async def _at_the_door(web: Web) -> Browser:
    browser = await web.stranger()
    await browser.open("/sign-in")
    return browser


async def _sign_in(browser: Browser, email: str, password: str, **more: str):
    form = {"email": email, "password": password, "csrf": browser.csrf, **more}
    return await browser.client.post("/sign-in", data=form, headers={"Origin": browser.origin, "Accept": "text/html"})


async def test_a_picture_that_is_not_there_is_a_404_also_before_there_is_any(web):
    answer = await (await web.viewer()).client.get("/media/nothing.webp")
    assert answer.status_code == 404


def _testid(text: str, name: str) -> str:
    """The element with that data-testid, as text, up to its end tag."""
    found = re.search(rf'<(\w+)[^>]*data-testid="{name}".*?</\1>', text, re.S)
    assert found is not None, name
    return found[0]


def _state(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="state"[^>]*>(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(found[1])


def _testless(text: str) -> str:
    """The page without what differs from one request to the next."""
    text = re.sub(r'nonce="[^"]*"|content="[^"]*"|name="csrf" value="[^"]*"', "", text)
    return re.sub(r'value="[^"]*@[^"]*"', "", text)
