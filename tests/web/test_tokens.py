"""Programs with tokens: every scope at every door of the table, and what a token can't do."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from typing import get_args

import httpx
import pytest
from house import Web, running, settings_for
from sqlalchemy import select, update

from live.accounts.scopes import OF_A_BRAND, Scope, opens
from live.accounts.tokens import MARK, SHOWN
from live.clock import SetClock
from live.errors import Invalid, NotFound, OverLimit
from live.ids import digest
from live.store.tables import api_tokens
from live.web import security
from live.web.doors import SAFE, Door
from live.web.pages import home
from live.web.routes import DOORS

ADJUST = {"sku": "L1-S", "op": "1", "change": 1}
API = [door for door in DOORS if door.kind == "api"]


async def make(
    web: Web, *scopes: str, brand: str | None = None, show: str | None = None, days: int | None = None
) -> str:
    if brand is None and show is None:
        brand = web.house.show.brand_id
    secret, _ = await web.services.tokens.make("Till", scopes, by="test", brand_id=brand, show_id=show, days=days)
    return secret


async def ask(web: Web, secret: str, method: str, path: str, json: object = None, **headers: str) -> httpx.Response:
    program = (await web.stranger()).client
    return await program.request(
        method, path, json=json, headers={"Authorization": f"Bearer {secret}", **headers}, follow_redirects=False
    )


def path_of(web: Web, door: Door, slug: str = "aw26") -> str:
    class Anything(dict[str, str]):
        def __missing__(self, name: str) -> str:
            return "none"

    return door.path.format_map(Anything(slug=slug, sku="L1-S", look=web.house.looks[0]))


async def knock(web: Web, secret: str, door: Door, slug: str = "aw26") -> list[httpx.Response]:
    return [
        await ask(web, secret, method, path_of(web, door, slug), None if method in SAFE else {})
        for method in sorted(door.methods - {"OPTIONS"})
    ]


async def test_each_scope_opens_the_doors_that_name_it_and_no_other(web: Web):
    wrong = []
    secrets = {scope: await make(web, scope) for scope in get_args(Scope)}
    asking = [door for door in API if door.guard in ("read", "csrf") and door.least != "anyone"]
    for (scope, secret), door in itertools.product(secrets.items(), asking):
        for answer in await knock(web, secret, door):
            let_in = answer.status_code not in (401, 403)
            if let_in != (door.scope is not None and opens([scope], door.scope)) or answer.status_code >= 500:
                wrong.append((door.path, answer.status_code, answer.text))
            elif not let_in:
                assert answer.json()["facts"] == {"need": door.scope or "session"}
    assert not wrong


async def test_all_scopes_together_open_nothing_of_another_brand_or_show(web: Web):
    every = get_args(Scope)
    elsewhere = await make(web, *every, brand=web.house.other.brand_id)
    of_the_other_show = await make(web, *(set(every) - OF_A_BRAND), show=web.house.other.id)
    of_this_show = await make(web, *(set(every) - OF_A_BRAND), show=web.house.show.id)
    tried = 0
    for door in API:
        if door.scope is None or not door.of_a_show:
            continue
        for secret in (elsewhere, of_the_other_show):
            for answer in await knock(web, secret, door):
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), door.path
        if door.scope not in OF_A_BRAND:
            for answer in await knock(web, of_this_show, door):
                assert answer.status_code not in (401, 403), (door.path, answer.text)
        tried += 1
    assert tried > 5
    answer = await ask(web, elsewhere, "POST", "/api/stock/adjust", ADJUST)
    assert answer.status_code == 404, "another brand's piece is not theirs to know of"


async def test_pages_and_publishing_are_deaf_to_tokens(web: Web):
    secret = await make(web, *get_args(Scope))
    for door in DOORS:
        if door.kind == "page" and door.least in ("moderator", "host", "staff"):
            for answer in await knock(web, secret, door):
                assert answer.status_code in (303, 401, 403), door.path
                if answer.status_code == 303:
                    assert answer.headers["location"].startswith("/sign-in")
    assert (await ask(web, secret, "POST", "/whip/aw26", {})).status_code in (401, 415)


async def test_a_token_needs_no_origin_and_does_what_the_page_does(web: Web):
    await web.house.go_live(1)
    secret = await make(web, "stock:write")
    done = await ask(web, secret, "POST", "/api/stock/adjust", ADJUST)
    assert (done.status_code, done.json()["on_hand"]) == (200, 6)
    evil = await ask(web, secret, "POST", "/api/stock/adjust", {**ADJUST, "op": "2"}, Origin="http://evil.example")
    assert evil.status_code == 200, "a page elsewhere that has the token is a program like any other"


async def test_a_cookie_beside_a_token_counts_for_nothing(web: Web):
    browser = await web.signed_in(web.house.staff)
    secret = await make(web, "orders:read")
    headers = {"Origin": browser.origin, "X-CSRF": browser.csrf}
    send = browser.client.post
    assert (await send("/api/stock/adjust", json=ADJUST, headers=headers)).status_code == 200, "the premise"
    for bearer, status in ((secret, 403), (f"{MARK}{'x' * 43}", 401)):
        answer = await send("/api/stock/adjust", json=ADJUST, headers={**headers, "Authorization": f"Bearer {bearer}"})
        assert answer.status_code == status


async def test_one_that_was_revoked_or_is_over_or_was_never_issued_is_refused_alike(tmp_path, redis_url: str):
    clock = SetClock()
    async with running(settings_for(tmp_path, redis_url), clock=clock) as web:
        tokens = web.services.tokens
        lasting, short = await make(web, "stock:write"), await make(web, "stock:write", days=1)
        never = MARK + "A" * 43
        answers = [await ask(web, secret, "POST", "/api/stock/adjust", ADJUST) for secret in (lasting, short)]
        assert [answer.status_code for answer in answers] == [200, 200]
        clock.advance(86_400_000)
        found = await tokens.by_secret(lasting)
        assert found is not None
        await tokens.revoke(found.id)
        refused = [await ask(web, secret, "POST", "/api/stock/adjust", ADJUST) for secret in (lasting, short, never)]
        assert [answer.status_code for answer in refused] == [401] * 3
        assert len({answer.content for answer in refused}) == 1
        assert refused[0].json()["code"] == "bad_token"
        assert refused[0].headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_request_under_way_and_one_after_a_revocation_are_told_apart(web: Web):
    secret = await make(web, "stock:write")
    found = await web.services.tokens.by_secret(secret)
    assert found is not None
    await asyncio.gather(*(web.services.tokens.revoke(found.id) for _ in range(3)))
    assert (await ask(web, secret, "POST", "/api/stock/adjust", ADJUST)).status_code == 401


async def test_the_store_and_the_logs_hold_nothing_that_opens_a_door(web: Web, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    secret = await make(web, "stock:write")
    await ask(web, secret, "POST", "/api/stock/adjust", ADJUST)
    await ask(web, secret, "POST", "/api/shows/aw26/open", {})
    row = await web.services.db.read(lambda c: c.execute(select(api_tokens)).one())
    assert (row.prefix, row.digest) == (secret[:SHOWN], digest(secret))
    assert secret[SHOWN:] not in "".join(str(value) for value in row)
    said = caplog.text + "".join(capsys.readouterr())
    assert secret[SHOWN:] not in said


async def test_its_last_use_is_written_to_the_hour(tmp_path, redis_url: str):
    clock = SetClock()
    async with running(settings_for(tmp_path, redis_url), clock=clock) as web:
        secret = await make(web, "stock:write")
        used = []
        for wait_s in (0, 1, 3600):
            clock.advance(wait_s * 1000)
            await ask(web, secret, "POST", "/api/stock/adjust", ADJUST)
            (token,) = await web.services.tokens.list()
            used.append(token.last_used_ms)
        assert used[0] == used[1] != used[2]
        assert all(ms is not None and ms % 3_600_000 == 0 for ms in used)


async def test_one_token_is_limited_and_another_is_not(web: Web, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(security, "TOKEN_A_MINUTE", 3)
    busy, calm = await make(web, "stock:write"), await make(web, "stock:write")
    answers = [await ask(web, busy, "POST", "/api/stock/adjust", ADJUST) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert (await ask(web, calm, "POST", "/api/stock/adjust", ADJUST)).status_code == 200


async def test_guesses_from_one_network_are_slowed(web: Web, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(security, "BAD_TOKENS_A_MINUTE", 2)
    guesser = (await web.stranger(client_host="203.0.113.9")).client
    headers = {"Authorization": f"Bearer {MARK}{'x' * 43}"}
    answers = [await guesser.post("/api/stock/adjust", json=ADJUST, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]


@pytest.mark.parametrize(
    ("scopes", "of_show", "field"),
    [
        ([], False, "scopes"),
        (["orders:everything"], False, "scopes"),
        (["stock:write"], True, "scopes"),
        (["orders:read", "catalogue:read"], True, "scopes"),
    ],
)
async def test_a_token_that_could_not_be_meant_is_not_made(web: Web, scopes: Sequence[str], of_show: bool, field: str):
    with pytest.raises(Invalid) as refused:
        await make(web, *scopes, **({"show": web.house.show.id} if of_show else {}))
    assert refused.value.facts["field"] == field


async def test_a_token_is_of_one_brand_or_show_that_exists_and_they_are_not_endless(web: Web, monkeypatch):
    tokens = web.services.tokens
    brand, show = web.house.show.brand_id, web.house.show.id
    for place in ({}, {"brand_id": brand, "show_id": show}):
        with pytest.raises(Invalid):
            await tokens.make("Till", ["shows:read"], by="test", **place)
    with pytest.raises(NotFound):
        await tokens.make("Till", ["shows:read"], by="test", show_id="none")
    for name in ("", " ", "x" * 61, "a\x00b"):
        with pytest.raises(Invalid):
            await tokens.make(name, ["shows:read"], by="test", brand_id=brand)
    monkeypatch.setattr("live.accounts.tokens.MOST", 2)
    await make(web, "shows:read")
    secret = await make(web, "shows:read", show=show)
    with pytest.raises(OverLimit):
        await make(web, "shows:read")
    await web.services.db.write(
        lambda c: c.execute(update(api_tokens).where(api_tokens.c.digest == digest(secret)).values(revoked_ms=1))
    )
    await make(web, "shows:read")


def test_a_scope_is_for_doors_of_the_api_that_ask_who_comes():
    for least, guard, kind in (("anyone", "read", "api"), ("staff", "read", "page"), ("staff", "bearer", "api")):
        method = "GET" if guard == "read" else "POST"
        with pytest.raises(TypeError):
            Door(frozenset({method}), "/x", home, least, guard, kind, scope="orders:read")  # type: ignore[arg-type]
