"""Sessions, headers, sizes and rates."""

from __future__ import annotations

import re

import pytest
from house import ORIGIN, PASSWORD, Web, running, settings_for

from live.ids import digest
from live.store import keys


async def test_the_first_page_brings_a_session_and_an_api_call_does_not(web: Web):
    stranger = await web.stranger()
    assert "set-cookie" not in (await stranger.client.get("/api/shows/aw26")).headers
    cookie = (await stranger.open("/")).headers["set-cookie"]
    assert re.match(r"frontrow=[\w-]{43}; HttpOnly; Max-Age=2592000; Path=/; SameSite=lax", cookie)
    assert (await stranger.client.get("/api/shows/aw26")).status_code == 200


async def test_the_store_knows_a_session_by_its_digest_alone(web: Web):
    viewer = await web.viewer()
    token = viewer.client.cookies["frontrow"]
    everything = [key async for key in web.services.redis.scan_iter("*")]
    assert keys.session(digest(token)).encode() in everything
    assert not [key for key in everything if token.encode() in key]


async def test_over_https_the_cookie_is_tied_to_the_host(tmp_path, redis_url):
    async with running(settings_for(tmp_path, redis_url, public_url="https://shop.test")) as web:
        stranger = await web.stranger(origin="https://shop.test")
        answer = await stranger.open("/")
        assert answer.headers["set-cookie"].startswith("__Host-frontrow=")
        assert "; Secure" in answer.headers["set-cookie"]
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


async def test_signing_in_changes_the_token_so_that_one_planted_before_is_worth_nothing(web: Web):
    await web.services.staff.set_password(web.house.host.id, PASSWORD)
    browser = await web.viewer()
    planted, csrf = browser.client.cookies["frontrow"], browser.csrf
    form = {"email": "host@example.org", "password": PASSWORD, "csrf": csrf, "next": "/studio"}
    answer = await browser.client.post("/sign-in", data=form, headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/studio")
    assert browser.client.cookies["frontrow"] != planted
    await browser.open("/studio")
    assert browser.csrf not in ("", csrf)
    attacker = await web.stranger()
    attacker.client.cookies.set("frontrow", planted)
    assert (await attacker.client.get("/api/shows/aw26")).status_code == 401


async def test_a_guest_who_signs_in_keeps_her_bag(web: Web):
    await web.house.go_live(1)
    browser = await web.viewer()
    await browser.send("POST", "/api/shows/aw26/cart", {"sku": "L1-S", "op": "1"})
    await web.services.staff.set_password(web.house.host.id, PASSWORD)
    form = {"email": "host@example.org", "password": PASSWORD, "csrf": browser.csrf}
    await browser.client.post("/sign-in", data=form, headers={"Origin": ORIGIN})
    cart = (await browser.client.get("/api/shows/aw26")).json()["cart"]
    assert [line["sku"] for line in cart["lines"]] == ["L1-S"]


async def test_signing_out_ends_the_session_and_makes_another_person(web: Web):
    browser = await web.signed_in(web.house.host)
    before = browser.client.cookies["frontrow"]
    person = (await web.services.sessions.get(before)).person
    await browser.client.post("/sign-out", data={"csrf": browser.csrf}, headers={"Origin": ORIGIN})
    assert await web.services.sessions.get(before) is None
    after = await web.services.sessions.get(browser.client.cookies["frontrow"])
    assert (after.staff_id, after.person != person) == ("", True)
    assert (await browser.client.get("/studio")).status_code == 303


async def test_wrong_address_and_wrong_password_look_the_same(web: Web):
    await web.services.staff.set_password(web.house.host.id, PASSWORD)
    pages = []
    for email in ("host@example.org", "nobody@example.org"):
        browser = await web.viewer()
        form = {"email": email, "password": "not the password", "csrf": browser.csrf}
        answer = await browser.client.post("/sign-in", data=form, headers={"Origin": ORIGIN})
        assert answer.status_code == 401
        text = answer.text.replace(email, "").replace(browser.csrf, "")
        pages.append(re.sub(r'nonce="[^"]*"', "", text))
    assert pages[0] == pages[1]


async def test_guessing_at_an_account_gets_slow_also_for_one_that_does_not_exist(web: Web):
    for email in ("host@example.org", "nobody@example.org"):
        statuses = []
        for _ in range(11):
            browser = await web.viewer()  # a fresh session each time: it is the account that is counted
            form = {"email": email, "password": "guess", "csrf": browser.csrf}
            answer = await browser.client.post("/sign-in", data=form, headers={"Origin": ORIGIN})
            statuses.append(answer.status_code)
        assert statuses == [401] * 10 + [429]


async def test_a_one_click_link_lets_in_often_until_it_is_over(web: Web):
    token = await web.services.signin.issue_link(staff_id=web.house.host.id, ttl_s=60)
    for _ in range(2):
        browser = await web.stranger()
        assert (await browser.open(f"/sign-in/{token}?next=/studio")).url.path == "/studio"
    assert not [key async for key in web.services.redis.scan_iter(f"*{token}*")]
    await web.services.signin.cancel_link(token)
    assert (await (await web.stranger()).open(f"/sign-in/{token}")).status_code == 401


async def test_a_link_of_someone_dismissed_lets_nobody_in(web: Web):
    token = await web.services.signin.issue_link(staff_id=web.house.host.id, ttl_s=60)
    await web.services.people.dismiss(web.house.host.id)
    assert (await (await web.stranger()).open(f"/sign-in/{token}")).status_code == 401


async def test_sign_in_never_sends_people_to_another_site(web: Web):
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        token = await web.services.signin.issue_link(staff_id=web.house.host.id, ttl_s=60)
        stranger = await web.stranger()
        answer = await stranger.client.get(f"/sign-in/{token}", params={"next": elsewhere})
        assert answer.headers["location"] == "/studio"


async def test_every_answer_carries_the_security_headers(web: Web):
    browser = await web.viewer()
    for path in (
        "/",
        "/nowhere",
        "/shows/nope",
        "/api/shows/aw26",
        "/api/shows/nope",
        "/healthz",
        "/static/css/base.css",
    ):
        headers = (await browser.client.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY"
        assert "camera=(self)" in headers["permissions-policy"]


async def test_each_page_has_a_nonce_of_its_own_and_every_script_carries_it(web: Web):
    browser = await web.viewer()
    nonces = set()
    for _ in range(2):
        answer = await browser.open("/shows/aw26")
        (nonce,) = re.findall(r"script-src 'self' 'nonce-([^']+)'", answer.headers["content-security-policy"])
        nonces.add(nonce)
        scripts = re.findall(r"<script\b[^>]*>", answer.text)
        assert scripts
        assert all(f'nonce="{nonce}"' in script or "application/json" in script for script in scripts)
        assert not re.search(r'<[^>]+\son\w+=|<[^>]+\sstyle="', answer.text)
    assert len(nonces) == 2


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_doors_limit_is_refused(web: Web, chunked: bool):
    browser = await web.viewer()

    async def pieces():
        for _ in range(20):
            yield b"x" * 1024

    content = pieces() if chunked else b"x" * 20_480
    headers = {"Origin": ORIGIN, "X-CSRF": browser.csrf, "Content-Type": "application/json"}
    answer = await browser.client.post("/api/name", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_one_person_cannot_keep_a_door_busy_and_her_neighbour_does_not_notice(web: Web):
    browser, neighbour = await web.viewer(), await web.viewer()
    statuses = [(await browser.send("POST", "/api/name", {"name": "Vera"})).status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]
    assert (await neighbour.send("POST", "/api/name", {"name": "Nina"})).status_code == 200


async def test_peoples_text_is_escaped_on_every_page(web: Web):
    await web.house.go_live(1)
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    viewer = await web.viewer()
    name = "<script>alert(1)</script>"
    assert (await viewer.send("POST", "/api/name", {"name": name})).json() == {"name": name}
    host = await web.signed_in(web.house.host)
    session = await web.services.sessions.get(host.client.cookies["frontrow"])
    await web.services.sessions.rename(session.id, evil)
    for browser in (viewer, host):
        for path in ("/", "/shows/aw26", "/studio", "/studio/shows/aw26", "/studio/shows/aw26/room", "/sign-in"):
            text = (await browser.open(path)).text
            assert "<script>alert" not in text, path
            assert "<img src=x" not in text, path
    assert "alert(1)" in (await viewer.open("/shows/aw26")).text  # the premise: the name is on the page


async def test_a_page_of_a_show_that_is_not_there_is_a_page(web: Web):
    answer = await (await web.viewer()).open("/shows/nope")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


async def test_a_problem_says_what_when_and_why_in_one_shape(web: Web):
    answer = await (await web.viewer()).client.get("/api/shows/nope")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "title": "Not found",
        "status": 404,
        "detail": "There is nothing at this address.",
        "code": "not_found",
        "facts": {"what": "show", "which": "nope"},
        "type": "about:blank",
    }


async def test_the_log_names_doors_and_never_their_paths(web: Web, caplog):
    import structlog

    with structlog.testing.capture_logs() as lines:
        await (await web.viewer()).client.get("/orders/secret-token?key=secret-key")
    text = str(lines)
    assert "pages.order" in text
    assert "secret" not in text
