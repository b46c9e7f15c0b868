"""A shadow ban: only she sees what she says, nothing else tells of it, and nothing tells her."""

from __future__ import annotations

import msgspec
from room_process import QUICK, until, web_process

from chat.keys import asked, cases, head, log, own, reports

ROOM = "shw_spring"


async def said(client, text: str, **more):
    return await client.post("line.post", {"text": text, **more})


def texts(client) -> list[str]:
    return [body["line"]["text"] for body in client.seen("line.posted")]


async def shadowed(web, house):
    """Troll, whose shadow ban a moderator has just begun, and the moderator."""
    troll, mod = await web.join(house.person("troll")), await web.join(house.person("mod", "moderator"))
    assert (await mod.post("person.ban", {"person": "per_troll", "shadow": True})).ok
    return troll, mod


async def test_only_the_author_sees_what_a_shadow_banned_person_says(two_webs, house, archive, redis) -> None:
    one, two = two_webs
    cookie = house.person("troll")
    troll, tab = await one.join(cookie), await two.join(cookie)
    bob, mod = await two.join(house.person("bob")), await one.join(house.person("mod", "moderator"))
    assert (await said(troll, "before")).ok
    assert (await mod.post("person.ban", {"person": "per_troll", "shadow": True})).ok
    answer = await said(troll, "psst")
    assert answer.ok
    assert set(answer.body) == {"line", "seq", "nonce"}, "the answer is like any other"
    for mine in (troll, tab):
        await mine.wait("line.posted", lambda body: body["line"]["text"] == "psst")
    assert (await mod.wait("line.shadowed"))["line"]["text"] == "psst"
    assert (await said(mod, "after")).ok
    await bob.wait("line.posted", lambda body: body["line"]["text"] == "after")
    assert texts(bob) == ["before", "after"]
    assert [e["seq"] for e in bob.envelopes if "seq" in e] == [1, 2], "and no number is missing"

    assert troll.seen("person.silenced") == []
    back = await one.join(cookie)
    assert back.welcome["you"]["silenced"] is None
    assert [line["text"] for line in back.welcome["room"]["lines"]] == ["before", "psst", "after"]
    late = await two.join(house.person("late"))
    assert [line["text"] for line in late.welcome["room"]["lines"]] == ["before", "after"]
    assert not any(b"psst" in entry for entry in await redis.hvals("c:{shw_spring}:log"))
    await until(lambda: len(archive.lines) == 3)
    assert [record.line.text for record in archive.lines.values() if record.shadow] == ["psst"]

    assert (await troll.post("line.remove", {"line": answer.body["line"]})).ok
    assert (await tab.wait("line.removed"))["line"] == answer.body["line"]
    assert (await mod.post("person.unban", {"person": "per_troll"})).ok
    assert (await said(troll, "heard again")).ok
    await bob.wait("line.posted", lambda body: body["line"]["text"] == "heard again")


async def test_who_is_shadow_banned_is_told_that_her_line_waits_as_anybody_is(web, house, archive, redis) -> None:
    troll, mod = await web.join(house.person("troll")), await web.join(house.person("mod", "moderator"))
    bob = await web.join(house.person("bob"))
    assert (await mod.post("person.ban", {"person": "per_troll", "shadow": True})).ok
    assert (await mod.post("mode.set", {"hold": True})).ok
    for text in ("psst", "psst again"):
        mine, his = await said(troll, text), await said(bob, f"hello, {text}")
        assert set(mine.body) == set(his.body)
        assert mine.body["why"] == his.body["why"] == "hold"
    assert (await mod.wait("line.shadowed"))["line"]["text"] == "psst"
    assert {case["person"] for case in map(msgspec.json.decode, await redis.hvals(cases(ROOM)))} == {"per_bob"}, (
        "nobody has to decide on hers"
    )
    assert [notice.facts["person"] for notice in archive.notices if notice.kind == "line.held"] == ["per_bob"] * 2
    assert texts(troll) == []


async def test_a_shadow_banned_person_sees_no_more_history_than_others(web, house) -> None:
    cookie = house.person("troll")
    troll = await web.join(cookie)
    mod, host = await web.join(house.person("mod", "moderator")), await web.join(house.person("hana", "host"))
    assert (await mod.post("person.ban", {"person": "per_troll", "shadow": True})).ok
    assert (await said(troll, "psst")).ok
    assert len((await web.join(cookie)).welcome["room"]["lines"]) == 1, "the premise"
    assert (await host.post("service.set", {"history": "off"})).ok
    await troll.wait("service.changed", lambda body: not body["service"]["history"])
    assert (await web.join(cookie)).welcome["room"]["lines"] == []


async def test_nothing_of_hers_is_counted_replayed_or_told(two_webs, house, archive, redis) -> None:
    one, two = two_webs
    bob_cookie = house.person("bob")
    bob = await two.join(bob_cookie)
    theirs = (await said(bob, "hello")).body["line"]
    await bob.wait("line.posted")
    troll, mod = await shadowed(one, house)
    stood = (bob.epoch, bob.seq)
    await bob.aclose()
    line = (await said(troll, "psst")).body["line"]
    assert (await troll.post("question.ask", {"text": "psst?"})).ok
    assert (await said(troll, "psst, bob", reply=theirs)).ok
    assert (await troll.post("line.report", {"line": theirs, "why": "abuse"})).body == {"line": theirs}
    assert (await said(mod, "@troll no", reply=line, mentions=["per_troll"])).ok, "who moderates knows her line's id"
    await until(lambda: len(archive.lines) == 4)

    back = await two.join(bob_cookie, resume_from=stood)
    await back.wait("line.posted", lambda body: body["line"]["text"] == "@troll no")
    late = await two.join(house.person("late"))
    for other in (back, late):
        assert not any("psst" in str(envelope) for envelope in [*other.envelopes, other.welcome])
    assert [e["body"]["line"]["reply"] for e in back.envelopes if "seq" in e] == [None]
    assert (late.welcome["room"]["questions"], late.seq) == ([], int(await redis.hget(head(ROOM), "seq")))
    assert not any(b"psst" in entry for entry in await redis.hvals(log(ROOM)))
    assert (await redis.hgetall(reports(ROOM)), archive.questions) == ({}, {})
    assert (await late.post("line.report", {"line": theirs, "why": "abuse"})).ok
    assert len(await redis.hvals(reports(ROOM))) == 1, "the premise: another's report counts"
    assert [notice.kind for notice in archive.notices] == ["person.banned", "line.reported"]
    found = (await mod.post("lines.find", {"words": "psst"})).body["lines"]
    assert [(one["line"]["text"], one["shadow"]) for one in found] == [("psst, bob", True), ("psst", True)]


async def test_her_questions_stay_hers_and_she_has_three_open_as_anybody(web, house, archive, redis) -> None:
    troll, mod = await shadowed(web, house)
    for text in ("who cares?", "who else?", '"anybody"?'):
        assert (await troll.post("question.ask", {"text": text})).ok
        await troll.wait("question.changed", lambda body, text=text: body["question"]["text"] == text)
    assert (await troll.post("question.ask", {"text": "hello?"})).facts == {"why": "full"}
    told = [body["question"] for body in troll.seen("question.changed")]
    back = await web.join(house.person("troll"))
    assert back.welcome["room"]["questions"] == told
    assert (await web.join(house.person("late"))).welcome["room"]["questions"] == []
    assert (await web.join(house.person("mod", "moderator"))).welcome["room"]["questions"] == []
    assert archive.questions == {}
    assert (await mod.post("person.unban", {"person": "per_troll"})).ok
    assert (await back.post("question.ask", {"text": "is it wool?"})).ok, "no phantom keeps her from asking"
    assert await redis.exists(asked(ROOM)) == 0


async def test_her_own_line_answers_her_as_any_line_would(web, house, redis) -> None:
    troll, mod = await shadowed(web, house)
    bob = await web.join(house.person("bob"))
    line = (await said(troll, "psst")).body["line"]
    answer = (await said(troll, "and", reply=line)).body["line"]
    mine = await troll.wait("line.posted", lambda body: body["line"]["id"] == answer)
    assert mine["line"]["reply"] == {"line": line, "person": "per_troll", "name": "troll"}
    theirs = (await said(bob, "hello")).body["line"]
    for reporter, reported in ((troll, line), (bob, theirs)):
        refused = await reporter.post("line.report", {"line": reported, "why": "spam"})
        assert (refused.code, refused.facts) == ("invalid", {"field": "line", "why": "your own"})
    assert (await bob.post("line.report", {"line": line, "why": "spam"})).code == "not_found"

    assert (await mod.post("person.unban", {"person": "per_troll"})).ok
    assert await redis.exists(own(ROOM, "per_troll")), "the premise: she has it still"
    assert (await said(troll, "heard", reply=line)).ok
    heard = await bob.wait("line.posted", lambda body: body["line"]["text"] == "heard")
    assert heard["line"]["reply"] is None, "nobody else has the line that it answers"


async def test_every_process_is_told_at_once_whom_nobody_hears(redis_url, house, archive) -> None:
    """Nobody looks by himself here: what no process was told, it never learns."""
    never = msgspec.structs.replace(QUICK, watch_s=3600.0)
    async with (
        web_process(redis_url, house, archive, limits=never) as one,
        web_process(redis_url, house, archive, limits=never) as two,
    ):
        troll, mod = await two.join(house.person("troll")), await one.join(house.person("mod", "moderator"))
        bob = await two.join(house.person("bob"))
        assert (await mod.post("person.ban", {"person": "per_troll", "shadow": True})).ok
        await until(lambda: "p:per_troll" in two.hub._rooms[ROOM].unheard, within_s=30)
        assert (await troll.post("heart.send", {"n": 5})).ok
        await troll.wait("hearts.counted", lambda body: body["n"] == 5, timeout=30)
        assert bob.seen("hearts.counted") == []
        assert (await mod.post("person.unban", {"person": "per_troll"})).ok
        await until(lambda: not two.hub._rooms[ROOM].unheard, within_s=30)
        assert (await troll.post("heart.send", {"n": 4})).ok
        await bob.wait("hearts.counted", lambda body: body["n"] == 4, timeout=30)


async def test_a_shadow_banned_persons_hearts_are_told_to_her_own_tabs_and_count_for_nobody_else(
    two_webs, house
) -> None:
    one, two = two_webs
    troll, mod = await shadowed(one, house)
    tab = await two.join(house.person("troll"))
    ann, bob = await one.join(house.person("ann")), await two.join(house.person("bob"))

    def hearts(client) -> int:
        return sum(body["n"] for body in client.seen("hearts.counted"))

    def unheard() -> list[bool]:
        return [bool(web.hub._rooms[ROOM].unheard) for web in two_webs]

    await until(lambda: unheard() == [True, True])
    assert (await troll.post("heart.send", {"n": 5})).ok
    assert (await tab.post("heart.send", {"n": 2})).ok
    await until(lambda: hearts(troll) == hearts(tab) == 7)
    assert (await ann.post("heart.send", {"n": 3})).ok
    await until(lambda: [hearts(client) for client in (troll, tab, ann, bob, mod)] == [10, 10, 3, 3, 3])

    assert (await mod.post("person.unban", {"person": "per_troll"})).ok
    await until(lambda: unheard() == [False, False])
    assert (await troll.post("heart.send", {"n": 4})).ok
    await until(lambda: [hearts(client) for client in (troll, tab, ann, bob, mod)] == [14, 14, 7, 7, 7])
