"""Staff, sessions and throttles on both SQL stores."""

from __future__ import annotations

import asyncio

import pytest
from house import House, settings_for
from sqlalchemy import select

from live.accounts.roles import Grant
from live.desk.people import HOUSE
from live.desk.wiring import services
from live.errors import Conflict, Forbidden, Invalid, NotFound
from live.ids import digest
from live.store import keys
from live.store.tables import audit
from live.store.tables import staff as staff_rows


async def test_an_address_is_one_person_however_it_is_typed(s):
    await s.staff.add("Ada@Example.org ", "Ada")
    with pytest.raises(Conflict):
        await s.staff.add("ada@example.ORG", "Ada again")
    assert (await s.staff.by_email("ADA@example.org")).name == "Ada"


@pytest.mark.parametrize("email", ["", "ada", "@example.org", "ada@", "ada@nowhere", "a b@example.org"])
async def test_what_is_no_address_is_refused(s, email):
    with pytest.raises(Invalid):
        await s.staff.add(email, "Ada")


async def test_a_password_is_kept_as_argon2id_and_never_itself(s):
    ada = await s.staff.add("ada@example.org", "Ada", "correct horse battery")
    hashed = await s.db.read(lambda sql: sql.execute(staff_rows.select()).one().password_hash)
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await s.staff.check_password("ada@example.org", "correct horse battery") == ada
    assert await s.staff.check_password("ada@example.org", "correct horse batterx") is None


async def test_a_short_password_and_a_megabyte_of_it_are_refused(s):
    for password in ("short", "x" * 300):
        with pytest.raises(Invalid):
            await s.staff.add("ada@example.org", "Ada", password)
    assert await s.staff.check_password("ada@example.org", "x" * 1_000_000) is None


async def test_someone_without_a_password_cannot_sign_in_with_an_empty_one(s):
    await s.staff.add("ada@example.org", "Ada")
    assert await s.staff.check_password("ada@example.org", "") is None


async def test_a_grant_given_twice_is_one_and_taken_once_is_gone(s):
    house = await House(s).seed()
    host = house.host.id
    for _ in range(2):
        await s.staff.grant(host, "moderator", show_id=house.show.id)
    assert len(await s.staff.grants(host)) == 2
    await s.staff.withdraw(host, Grant("moderator", show_id=house.show.id))
    assert await s.staff.grants(host) == [Grant("host", show_id=house.show.id)]


async def test_a_grant_has_one_scope_a_known_role_and_somebody_to_hold_it(s):
    house = await House(s).seed()
    with pytest.raises(Invalid):
        await s.staff.grant(house.host.id, "host")
    with pytest.raises(Invalid):
        await s.staff.grant(house.host.id, "host", show_id=house.show.id, brand_id=house.show.brand_id)
    with pytest.raises(Invalid):
        await s.staff.grant(house.host.id, "owner", show_id=house.show.id)
    with pytest.raises(NotFound):
        await s.staff.grant("stf_nobody", "host", show_id=house.show.id)


async def test_the_dismissed_hold_nothing(s):
    house = await House(s).seed()
    await s.people.dismiss(house.host.id)
    assert await s.staff.grants(house.host.id) == []
    assert (await s.staff.by_id(house.host.id)).disabled
    assert house.host.email not in [person.email for person in await s.staff.list()]


async def test_what_the_dismissed_made_opens_nothing_and_what_others_made_does(s):
    house = await House(s).seed()
    brand = house.show.brand_id
    hers, _ = await s.tokens.make("Till", ["stock:write"], by=house.staff.id, brand_id=brand)
    others, _ = await s.tokens.make("Bot", ["stock:write"], by=house.host.id, brand_id=brand)
    assert await s.tokens.by_secret(hers) is not None
    ended = await s.people.dismiss(house.staff.id, by=house.host.id)
    ended = ended.tokens
    assert [token.name for token in ended] == ["Till"]
    assert await s.tokens.by_secret(hers) is None
    assert await s.tokens.by_secret(others) is not None
    with pytest.raises(Forbidden):  # a form of hers that is still on its way
        await s.tokens.make("Late", ["stock:write"], by=house.staff.id, brand_id=brand)
    rows = await s.db.read(lambda c: c.execute(select(audit).where(audit.c.room == HOUSE).order_by(audit.c.id)).all())
    assert [(row.actor, row.act, row.target) for row in rows] == [
        (house.host.id, "staff.dismiss", house.staff.id),
        (house.host.id, "token.revoke", ended[0].id),
    ]
    assert await s.archive.verify(HOUSE) is None


@pytest.mark.parametrize("what", ["keep", "stop", "hand over"])
async def test_the_endpoints_of_the_dismissed_are_named_and_kept_stopped_or_handed_over(s, what):
    house = await House(s).seed()
    brand = house.show.brand_id
    _, token = await s.tokens.make("ERP", ["webhooks:write"], by=house.staff.id, brand_id=brand)
    hers = [(await s.endpoints.add(brand, f"https://{by}.example.org/", by=by))[0] for by in (house.staff.id, token.id)]
    others, _ = await s.endpoints.add(brand, "https://other.example.org/", by=house.host.id)
    left = await s.people.dismiss(
        house.staff.id, stop_webhooks=what == "stop", webhooks_to=house.host.id if what == "hand over" else ""
    )
    assert [one.id for one in left.endpoints] == hers
    now = {one.id: one for one in await s.endpoints.list()}
    assert [now[one].disabled_ms is None for one in (*hers, others)] == [what != "stop", what != "stop", True]
    owner = [house.host.id] * 2 if what == "hand over" else [house.staff.id, token.id]
    assert [now[one].made_by for one in hers] == owner
    acts = await s.db.read(lambda c: list(c.execute(select(audit.c.act).where(audit.c.target.in_(hers))).scalars()))
    assert acts == [f"webhook.{what.replace(' ', '_')}"] * 2
    assert await s.archive.verify(HOUSE) is None


async def test_a_token_made_while_its_maker_is_dismissed_opens_nothing_either_way(s):
    house = await House(s).seed()
    for turn in range(5):
        person = await s.staff.add(f"p{turn}@example.org", "P")
        made, _ = await asyncio.gather(
            s.tokens.make("Till", ["stock:write"], by=person.id, brand_id=house.show.brand_id),
            s.people.dismiss(person.id),
            return_exceptions=True,
        )
        if not isinstance(made, Forbidden):
            assert await s.tokens.by_secret(made[0]) is None


async def test_a_role_takes_the_dismissed_back_with_that_role_alone(s):
    house = await House(s).seed()
    await s.people.dismiss(house.host.id)
    await s.people.grant(house.host.id, "moderator", show_id=house.show.id)
    assert await s.staff.grants(house.host.id) == [Grant("moderator", show_id=house.show.id)]
    assert not (await s.staff.by_id(house.host.id)).disabled


async def test_a_session_is_found_by_its_token_and_ends_at_once(s):
    token, session = await s.sessions.open(name="Vera")
    assert await s.sessions.get(token) == session
    assert await s.redis.ttl(keys.session(digest(token))) > 29 * 86_400
    await s.sessions.end(session.id)
    assert await s.sessions.get(token) is None


async def test_renaming_does_not_bring_an_ended_session_back(s):
    token, session = await s.sessions.open(name="Vera")
    await s.sessions.rename(session.id, "Nina")
    assert (await s.sessions.get(token)).name == "Nina"
    await s.sessions.end(session.id)
    await s.sessions.rename(session.id, "Ghost")
    assert await s.sessions.get(token) is None
    assert not await s.redis.exists(keys.session(session.id))


@pytest.mark.parametrize("token", ["", "x", "x" * 5_000])
async def test_what_cannot_be_a_token_is_not_even_looked_up(s, token):
    assert await s.sessions.get(token) is None


async def test_the_window_of_a_throttle_closes_and_opens_again(s):
    waits = [await s.throttle.hit("door", "ada", limit=2, window_s=60) for _ in range(3)]
    assert waits[:2] == [0, 0]
    assert 0 < waits[2] <= 60
    assert await s.throttle.hit("door", "bob", limit=2, window_s=60) == 0
    await s.throttle.clear("door", "ada")
    assert await s.throttle.hit("door", "ada", limit=2, window_s=60) == 0


async def test_a_throttle_without_its_store_lets_in(tmp_path, own_store_server):
    async with services(settings_for(tmp_path, own_store_server.url)) as s:
        assert await s.throttle.hit("door", "ada", limit=0, window_s=60) > 0
        own_store_server.stop(kill=True)
        assert await s.throttle.hit("door", "ada", limit=0, window_s=60) == 0
