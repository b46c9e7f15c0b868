"""The room for programs: a token with `room:moderate` does what the moderators' page does. And a person's own data."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from house import Served, served, settings_for
from sqlalchemy import select, update
from typer.testing import CliRunner

from chat.client import RoomClient
from chat.kinds import INTENTS
from chat.message import Line
from chat.moderation.kinds import Case
from chat.ports import Act, LineRecord, Notice
from live import cli
from live.desk.person_data import retire
from live.desk.wiring import Services, services
from live.events import DrawDrawn
from live.play.service import PlayService
from live.settings import Settings
from live.store.tables import audit, cases, chat_lines, orders, outbox, questions, room_pins, silences


@pytest.fixture
async def room(tmp_path: Path, redis_url: str):
    async with served(settings_for(tmp_path, redis_url)) as web:
        yield web


async def bot(web: Served, *scopes: str, show: str | None = None) -> str:
    place = {"show_id": show} if show else {"brand_id": web.house.show.brand_id}
    secret, _ = await web.services.tokens.make("Bot", scopes, by="test", **place)
    return secret


async def act(web: Served, secret: str, kind: str, body: object, slug: str = "aw26"):
    browser = await web.viewer()
    return await browser.client.post(
        f"/api/shows/{slug}/room",
        json={"kind": kind, "body": body},
        headers={"Authorization": f"Bearer {secret}", "Cookie": ""},
    )


async def until(true) -> None:
    async with asyncio.timeout(60):
        while not await true():  # noqa: ASYNC110 - what is waited for is in a database
            await asyncio.sleep(0.02)


async def named(web: Served, name: str) -> tuple[object, RoomClient]:
    browser = await web.viewer()
    client = await RoomClient.connect(f"{web.ws}/ws/aw26", browser.cookie, origin=web.origin)
    assert (await client.post("name.set", {"name": name})).ok
    await client.wait("name.changed")
    return browser, client


async def test_a_bot_holds_approves_deletes_and_times_out(room: Served):
    secret = await bot(room, "room:moderate", show=room.house.show.id)
    _, ann = await named(room, "Ann")
    person = ann.welcome["you"]["person"]
    try:
        answer = await act(room, secret, "terms.add", {"term": "refund", "kind": "held"})
        assert answer.json() == {"terms": [], "held": ["refund"], "allowed": []}
        suffix = (await act(room, secret, "terms.add", {"term": "co.uk", "kind": "allowed"})).json()
        assert (suffix["code"], suffix["facts"]["field"]) == ("invalid", "term")
        assert "under co.uk" in suffix["facts"]["why"]
        async with asyncio.timeout(60):
            while "held" not in (held := await ann.post("line.post", {"text": "my refund?"})).body:
                pass
        desk = await (await room.viewer()).client.get(
            "/api/shows/aw26/room", headers={"Authorization": f"Bearer {secret}", "Cookie": ""}
        )
        assert [case["line"]["text"] for case in desk.json()["cases"]] == ["my refund?"]
        assert desk.json()["terms"]["held"] == ["refund"]

        case = held.body["held"]
        assert (await act(room, secret, "case.claim", {"case": case})).json()["case"]["claimed_by"] == "Bot"
        decided = await act(room, secret, "case.decide", {"case": case, "verdict": "approve"})
        line = decided.json()["line"]
        await ann.wait("line.posted", lambda body: body["line"]["id"] == line)
        assert (await act(room, secret, "line.remove", {"line": line})).status_code == 200
        await ann.wait("line.removed")
        timeout = await act(room, secret, "person.timeout", {"person": person, "seconds": 60, "reason": "caps"})
        assert timeout.json()["person"] == person
        assert (await ann.post("line.post", {"text": "hey"})).code == "silenced"
        assert (await act(room, secret, "line.post", {"text": "Please be kind."})).status_code == 200
        await ann.wait("line.posted", lambda body: body["line"]["text"] == "Please be kind.")
        gone = await act(room, secret, "case.decide", {"case": "held_none", "verdict": "approve"})
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
        assert (await act(room, secret, "card.drop", {"look": "x"})).json()["facts"]["field"] == "kind"

        kinds = await room.services.db.read(lambda sql: list(sql.execute(select(outbox.c.kind, outbox.c.body))))
        assert [row.kind for row in kinds] == ["line.held", "line.removed", "person.timed_out"]
        assert msgspec.json.decode(kinds[0].body)["show"] == room.house.show.id
        actors = await room.services.db.read(lambda sql: set(sql.execute(select(audit.c.actor)).scalars()))
        assert {actor[:4] for actor in actors} == {"tok_"}
    finally:
        await ann.aclose()


async def test_a_token_without_the_scope_or_of_another_show_moderates_nothing(room: Served):
    reader = await bot(room, "room:read")
    elsewhere = await bot(room, "room:moderate", show=room.house.show.id)
    for secret, slug in ((reader, "aw26"), (elsewhere, "ss27")):
        for kind in INTENTS:
            assert (await act(room, secret, kind, {}, slug)).status_code == 403, kind


async def test_a_moderator_of_one_show_is_a_viewer_in_another(room: Served):
    mo = await room.signed_in(room.house.moderator)
    async with room.room(mo) as here, room.room(mo, "ss27") as there:
        assert (await here.post("mode.set", {"slow_s": 5})).ok
        assert (await there.post("mode.set", {"slow_s": 5})).facts == {"need": "moderator"}


async def test_who_has_bought_wears_it_and_may_talk_among_buyers(room: Served):
    buyer, guest = await room.viewer(), await room.viewer()
    async with room.room(buyer) as client:
        person = client.welcome["you"]["person"]
    await sold_to(room.services, room.house, person)
    mo = await room.signed_in(room.house.moderator)
    async with room.room(buyer) as hers, room.room(guest) as others, room.room(mo) as mod:
        assert (await mod.post("mode.set", {"buyers": True})).ok
        assert (await hers.post("line.post", {"text": "it arrived"})).ok
        assert (await others.wait("line.posted"))["line"]["badge"] == "buyer"
        assert (await others.post("line.post", {"text": "me too"})).facts == {"why": "buyers"}


async def sold_to(s: Services, house, person: str) -> None:
    """An order that was paid, as rows: how it came about is the shop's own tests' business."""
    row = {
        "id": f"ord_{person}", "number": f"FR-{person}", "show_id": house.show.id, "buyer": person, "cart": person,
        "idempotency_key": "k", "request_digest": "d", "status": "paid", "email": "a@example.org", "name": "Ann",
        "address": "{}", "currency": "EUR", "total_minor": 100, "created_ms": 1, "paid_ms": 2, "settle_after_ms": 1,
    }  # fmt: skip
    await s.db.write(lambda sql: sql.execute(orders.insert().values(row)) and None)


async def test_a_person_is_exported_and_erased_and_the_record_of_acts_stays_whole(room: Served):
    s = room.services
    _, ann = await named(room, "Ann")
    person = ann.welcome["you"]["person"]
    mo, stef = await room.signed_in(room.house.moderator), await room.signed_in(room.house.staff)
    async with room.room(mo) as mod:
        lines = [(await ann.post("line.post", {"text": text})).body["line"] for text in ("my secret", "goodbye")]
        assert (await ann.post("question.ask", {"text": "my secret question"})).ok
        _, bob = await named(room, "Bob")
        answer = {"text": "@Ann I saw that", "reply": lines[1], "mentions": [person]}
        assert (await bob.post("line.post", answer)).ok
        # Reports of many lines at once are gathered in a case that is nobody's, and holds the first of the lines.
        body = msgspec.json.encode(Case("x", "spam", "report", "per_x", "X", "", 1, reports=1))
        await s.redis.hset(f"c:{{{room.house.show.id}}}:reports", mapping={f"rep_{n}": body for n in range(200)})
        assert (await bob.post("line.report", {"line": lines[0], "why": "abuse"})).ok
        gathered = (await mod.wait("case.changed", lambda told: told["case"]["why"] == "gathered"))["case"]["id"]
        assert (await mod.post("case.decide", {"case": gathered, "verdict": "approve"})).ok
        assert (await bob.post("line.report", {"line": lines[1], "why": "abuse"})).ok
        await bob.aclose()
        assert (await mod.post("line.remove", {"line": lines[0]})).ok
        assert (await mod.post("person.note", {"person": person, "text": "secret note"})).ok
        assert (await mod.post("person.ban", {"person": person, "reason": "her secret"})).ok
        await sold_to(s, room.house, person)
        await until(lambda: s.db.read(lambda sql: len(sql.execute(select(chat_lines)).all()) == 3))

        foreign = await room.signed_in(room.house.other_host)
        assert (await foreign.client.get(f"/api/people/{person}")).status_code == 403
        export = (await stef.client.get(f"/api/people/{person}")).json()
        assert {row["text"] for row in export["lines"]} == {"my secret", "goodbye"}
        counts = {name: len(rows) for name, rows in export.items() if name != "person"}
        room_has = {"lines": 2, "questions": 1, "silences": 1, "notes": 1, "cases": 0, "acts": 2}
        assert counts == {**room_has, "orders": 1, "coupons": 0, "saved": 0}

        done = (await stef.send("DELETE", f"/api/people/{person}")).json()
        assert (done["lines"], done["questions"], done["silences"], done["notes"]) == (2, 1, 1, 1)
        assert done["orders_kept"] == 1
        assert "accounting" in done["kept"][0]
        everything = ""
        for table in (chat_lines, questions, silences, audit, outbox, cases):
            everything += str(await s.db.read(lambda sql, table=table: sql.execute(select(table)).all()))
        assert not [word for word in ("secret", "goodbye", "Ann") if word in everything]
        assert [key for key in await s.redis.keys("c:*") if person.encode() in key and b":op:" not in key] == []
        kept = await s.redis.hvals(f"c:{{{room.house.show.id}}}:log")
        waiting = await s.redis.hvals(f"c:{{{room.house.show.id}}}:reports")
        assert not any(b"secret" in case or b"goodbye" in case or b"Ann" in case for case in waiting)
        assert kept
        assert not any(b"secret" in value or b"goodbye" in value for value in kept)
        (reply,) = [value for value in kept if b"I saw that" in value]
        assert "@… I saw that" in reply.decode(), "his words stay, her name goes"
        assert not any(b"Ann" in value for value in kept)
        room_id = room.house.show.id
        assert await s.archive.verify(room_id) is None
        acts, erased = await s.archive.acts(room_id)
        assert (acts, erased) == (5, 3), "with the look at gathered reports, which has no words of hers"
        left = (await stef.client.get(f"/api/people/{person}")).json()
        assert [act["act"] for act in left["acts"]] == ["person.note", "person.ban", "person.erase"]
        assert len(left["orders"]) == 1
    await ann.aclose()


async def test_an_erased_person_is_named_in_no_game(room: Served):
    """Also who only played, and said nothing: a draw that came out, a draw and a poll that are open, and another's
    game, which keeps what it had."""
    s, show = room.services, room.house.show.id
    games = PlayService(s.redis, s.clock)
    _, ann = await named(room, "Annabel")
    _, bob = await named(room, "Bob")
    people = {name: page.welcome["you"]["person"] for name, page in (("Annabel", ann), ("Bob", bob))}
    drawn = await games.open_draw(show, "A coat", 2, 10, op="op1")
    poll = await games.open_poll(show, "Coat or cape?", ["coat", "cape"], 30, op="op2")
    for name, person in people.items():
        await games.enter(show, drawn.id, person, name)
        await games.choose(show, poll.id, person, 0)
    closed = await games.close(show, drawn.id, early=True)
    assert sorted(winner.name for winner in closed.game.winners) == ["Annabel", "Bob"], "the premise"
    await s.bus.publish(show, "draw.drawn", DrawDrawn(closed.game))
    waiting = await games.open_draw(show, "A cape", 1, 30, op="op3")
    await games.enter(show, waiting.id, people["Annabel"], "Annabel")
    foreign = await games.open_draw(room.house.other.id, "A hat", 1, 30, op="op4")
    await games.enter(room.house.other.id, foreign.id, people["Annabel"], "Annabel")

    stef = await room.signed_in(room.house.staff)
    assert (await stef.send("DELETE", f"/api/people/{people['Annabel']}")).status_code == 200
    for key in await s.redis.keys("*"):
        if show.encode() in key and await s.redis.type(key) == b"hash":
            assert b"Annabel" not in b" ".join([key, *(await s.redis.hvals(key))]), key
    kept = await games.game(show, drawn.id)
    assert {winner.person: winner.name for winner in kept.winners} == {people["Annabel"]: "", people["Bob"]: "Bob"}
    assert kept.entries_digest == closed.game.entries_digest, "it is proven as before"
    assert (await games.game(show, poll.id)).counts == [2, 0]
    assert (await games.game(show, waiting.id)).entries == 0
    assert (await games.game(room.house.other.id, foreign.id)).entries == 1
    again = await stef.send("DELETE", f"/api/people/{people['Annabel']}")
    assert again.status_code in (200, 404), "and twice is once"
    for page in (ann, bob):
        await page.aclose()


async def test_a_brands_staff_erase_nothing_of_anothers(room: Served):
    s, now = room.services, room.services.clock.now_ms()
    ours, theirs = room.house.show.id, room.house.other.id
    for show in (ours, theirs):
        line = Line(f"{show}.1", "per_x", "Ann", "hello", now)
        await s.archive.lines_posted(show, [LineRecord(show, 1, line)])
        await s.archive.act(Act(show, "per_mod", "person.ban", "per_x", "her reason", "", "", now))
        await s.archive.notice(Notice(show, "person.banned", {"person": "per_x"}, now))
    stef = await room.signed_in(room.house.staff)
    assert (await stef.send("DELETE", "/api/people/per_x")).status_code == 200
    assert await s.archive.acts(ours) == (2, 1)
    assert await s.archive.acts(theirs) == (1, 0), "nothing is written into another brand's audit log"
    told = select(outbox.c.body).where(outbox.c.kind == "person.banned")
    left = await s.db.read(lambda sql: [msgspec.json.decode(body)["show"] for body in sql.execute(told).scalars()])
    assert left == [theirs], "nor taken from what their systems are told"
    assert await s.archive.verify(ours) is await s.archive.verify(theirs) is None


async def test_words_that_were_put_back_under_an_erased_act_show(room: Served):
    s, room_id = room.services, room.house.show.id
    mo = await room.signed_in(room.house.moderator)
    async with room.room(mo) as mod:
        for number in range(3):
            assert (await mod.post("person.note", {"person": "per_x", "text": f"note {number}"})).ok
    change = update(audit).where(audit.c.room == room_id, audit.c.after == "note 1").values(after="other words")
    await s.db.write(lambda sql: sql.execute(change) and None)
    assert await s.archive.verify(room_id) is not None


async def test_what_is_older_than_the_rooms_memory_goes(room: Served):
    s = room.services
    _, ann = await named(room, "Ann")
    mo = await room.signed_in(room.house.moderator)
    async with room.room(mo) as mod:
        line = (await ann.post("line.post", {"text": "long ago"})).body["line"]
        assert (await mod.post("line.pin", {"line": line})).ok
        assert (await mod.post("line.remove", {"line": line})).ok
        assert (await mod.post("person.ban", {"person": "per_gone", "reason": "still in force"})).ok
    now = s.clock.now_ms()
    assert await s.db.write(lambda sql: retire(sql, 1, now)) == 0, "the premise: it is kept while it is young"
    assert await s.db.write(lambda sql: retire(sql, now + 1, now)) >= 2
    texts = await s.db.read(lambda sql: list(sql.execute(select(chat_lines.c.text)).scalars()))
    assert texts == []
    assert await s.db.read(lambda sql: len(sql.execute(select(room_pins)).all())) == 0
    assert await s.db.read(lambda sql: len(sql.execute(select(silences)).all())) == 1, "a ban outlives it"
    assert await s.archive.verify(room.house.show.id) is None
    await ann.aclose()


def test_the_command_exports_and_erases(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch):
    settings = Settings(data_dir=tmp_path, redis_url=redis_url, _env_file=None)

    async def fill() -> None:
        async with services(settings) as s:
            await s.archive.lines_posted("shw_1", [LineRecord("e", 1, Line("e.1", "per_1", "Ann", "my words", 5))])

    asyncio.run(fill())
    monkeypatch.setenv("FRONTROW_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", redis_url)
    file = tmp_path / "ann.json"
    run = CliRunner().invoke
    assert run(cli.app, ["person", "export", "per_1", "--to", str(file)]).exit_code == 0
    assert msgspec.json.decode(file.read_bytes())["lines"][0]["text"] == "my words"
    assert run(cli.app, ["person", "erase", "per_1"], input="n\n").exit_code == 1
    answer = run(cli.app, ["person", "erase", "per_1", "--yes"])
    assert answer.exit_code == 0, answer.output
    assert "Erased: 1 lines" in answer.output
    assert "my words" not in run(cli.app, ["person", "export", "per_1"]).output
