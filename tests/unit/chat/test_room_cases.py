"""What waits for a moderator: over a loss of Redis, and when somebody wants the queue full."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from room_process import now_ms, until

from chat import keys
from chat.client import RoomClient
from chat.moderation import complaints, review
from chat.moderation.kinds import Case
from chat.ports import Decision

ROOM = "shw_spring"


async def said(client, text: str):
    return await client.post("line.post", {"text": text})


async def held(web, house, moderator, text: str, name: str = "ann") -> str:
    assert (await moderator.post("mode.set", {"hold": True})).ok
    author = await web.join(house.person(name))
    return (await said(author, text)).body["held"]


async def test_what_waits_outlives_an_empty_store_and_of_two_who_race_one_decides(
    two_webs, house, archive, redis
) -> None:
    one, two = two_webs
    mo, flo = await one.join(house.person("mo", "moderator")), await two.join(house.person("flo", "moderator"))
    bob = await two.join(house.person("bob"))
    line = (await said(bob, "reported")).body["line"]
    assert (await (await one.join(house.person("eve"))).post("line.report", {"line": line, "why": "scam"})).ok
    case = await held(one, house, mo, "about my order")
    await redis.flushall()
    late = await two.join(house.person("late", "moderator"))
    waiting = (await late.wait("cases.changed"))["cases"]
    assert {(one["kind"], one["line"]["text"]) for one in waiting} == {
        ("line", "about my order"),
        ("report", "reported"),
    }

    answers = await asyncio.gather(
        mo.post("case.decide", {"case": case, "verdict": "approve"}),
        flo.post("case.decide", {"case": case, "verdict": "refuse"}),
    )
    won, lost = sorted(answers, key=lambda answer: not answer.ok)
    assert won.ok
    assert (lost.code, lost.facts["verdict"]) == ("decided", won.body["verdict"])
    await redis.flushall()
    loser = mo if lost is answers[0] else flo
    again = await loser.post("case.decide", {"case": case, "verdict": lost.facts["verdict"]})
    assert again.code == "decided", "also after another loss"
    said_it = [record.line.text for record in archive.lines.values()].count("about my order")
    assert said_it == (won.body["verdict"] == "approve")


async def test_a_line_approved_before_a_loss_is_not_said_again_after_it(web, house, archive, redis) -> None:
    mo, flo = await web.join(house.person("mo", "moderator")), await web.join(house.person("flo", "moderator"))
    case = await held(web, house, mo, "once")
    line = (await mo.post("case.decide", {"case": case, "verdict": "approve"})).body["line"]
    await redis.flushall()
    assert (await mo.post("case.decide", {"case": case, "verdict": "approve"})).body["line"] == line
    assert (await flo.post("case.decide", {"case": case, "verdict": "approve"})).facts == {
        "verdict": "approve",
        "by": "mo",
    }
    assert (await web.join(house.person("late"))).welcome["room"]["lines"] == []


async def test_a_decision_whose_process_died_before_carrying_it_out_is_carried_out_by_the_next(
    web, house, archive
) -> None:
    mo = await web.join(house.person("mo", "moderator"))
    case = await held(web, house, mo, "left hanging")
    waiting = archive.cases[ROOM, case]
    await archive.case_decided(ROOM, waiting, Decision(case, "approve", "per_flo", "flo"), now_ms())
    answer = await mo.post("case.decide", {"case": case, "verdict": "refuse"})
    assert (answer.code, answer.facts) == ("decided", {"verdict": "approve", "by": "flo"})
    assert (await mo.wait("line.posted"))["line"]["text"] == "left hanging"
    await until(lambda: [record.line.text for record in archive.lines.values()] == ["left hanging"])
    assert archive.acts[-1].actor == "per_flo", "in whose name it is done"


async def test_a_reported_line_goes_also_when_the_other_moderator_carried_the_decision_out(web, house, archive) -> None:
    mo, flo = await web.join(house.person("mo", "moderator")), await web.join(house.person("flo", "moderator"))
    bob = await web.join(house.person("bob"))
    line = (await said(bob, "reported")).body["line"]
    assert (await (await web.join(house.person("eve"))).post("line.report", {"line": line, "why": "scam"})).ok
    case = f"rep_{line}"
    await mo.wait("case.changed")
    decided, carried_out = archive.case_decided, asyncio.Event()

    async def flo_is_slow(room, waiting, decision, wall_ms):
        first = await decided(room, waiting, decision, wall_ms)
        if decision.by == "per_flo":
            at_the_archive.set()
            await carried_out.wait()
        return first

    at_the_archive = asyncio.Event()
    archive.case_decided = flo_is_slow
    asked = asyncio.ensure_future(flo.post("case.decide", {"case": case, "verdict": "refuse"}))
    async with asyncio.timeout(60):
        await at_the_archive.wait()
    answer = await mo.post("case.decide", {"case": case, "verdict": "approve"})
    carried_out.set()
    assert (answer.code, answer.facts) == ("decided", {"verdict": "refuse", "by": "flo"})
    assert (await asked).ok
    assert (await bob.wait("line.removed"))["line"] == line
    assert (await mo.wait("case.closed"))["by"] == "flo"


async def reported(web, house, name: str) -> tuple[RoomClient, str]:
    """Who said it, and the line."""
    author = await web.join(house.person(name))
    line = (await said(author, "reported")).body["line"]
    assert (await (await web.join(house.person("eve"))).post("line.report", {"line": line, "why": "scam"})).ok
    return author, line


def fails_once(thing: object, name: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    true = getattr(thing, name)

    async def failing(*args: object, **more: object) -> object:
        monkeypatch.setattr(thing, name, true)
        raise error

    monkeypatch.setattr(thing, name, failing)


async def test_what_a_decision_means_is_done_by_asking_again_when_the_store_failed_in_between(
    web, house, archive, monkeypatch
) -> None:
    mo = await web.join(house.person("mo", "moderator"))
    bob, line = await reported(web, house, "bob")
    refuse = {"case": f"rep_{line}", "verdict": "refuse"}
    fails_once(web.hub._talk._office, "take_out", RedisConnectionError("gone"), monkeypatch)
    assert (await mo.post("case.decide", refuse)).code == "store_down"
    assert bob.seen("line.removed") == []
    again = [await mo.post("case.decide", refuse) for _ in range(2)]
    assert all(answer.ok for answer in again)
    assert (await bob.wait("line.removed"))["line"] == line
    assert [notice.kind for notice in archive.notices] == ["line.reported", "line.removed"]
    assert [act.act for act in archive.acts] == ["case.decide"]

    assert (await mo.post("person.timeout", {"person": "per_bob", "seconds": 60})).ok
    appeal = (await bob.post("appeal.send", {"text": "sorry"})).body["case"]
    fails_once(web.hub._talk._silences, "lift", RedisConnectionError("gone"), monkeypatch)
    assert (await mo.post("case.decide", {"case": appeal, "verdict": "approve"})).code == "store_down"
    assert (await mo.post("case.decide", {"case": appeal, "verdict": "approve"})).ok
    await bob.wait("person.silenced", lambda body: body["silence"] is None)


async def test_what_was_decided_and_left_is_carried_out_though_nobody_asks_again(
    two_webs, house, archive, monkeypatch
) -> None:
    monkeypatch.setattr(review, "FINISH_AFTER_MS", 200)
    one, two = two_webs
    mo = await one.join(house.person("mo", "moderator"))
    bob, line = await reported(two, house, "bob")
    case = await held(one, house, mo, "left hanging")
    decision = Decision(case, "approve", "per_flo", "flo", reason="not our house's words")
    await archive.case_decided(ROOM, archive.cases[ROOM, case], decision, now_ms())
    fails_once(one.hub._talk._office, "take_out", RedisConnectionError("gone"), monkeypatch)
    removal = {"case": f"rep_{line}", "verdict": "refuse", "reason": "a scam that we know"}
    assert (await mo.post("case.decide", removal)).code == "store_down"
    assert (await bob.wait("line.removed"))["line"] == line
    await bob.wait("line.posted", lambda body: body["line"]["text"] == "left hanging")
    await until(lambda: len(archive.acts) == 3)
    assert [(act.act, act.actor, act.reason) for act in archive.acts if act.act != "mode.set"] == [
        ("case.decide", "per_flo", "not our house's words"),
        ("case.decide", "per_mo", "a scam that we know"),
    ]
    assert len(mo.seen("case.closed")) == 2


def dies_once(thing: object, name: str, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The process gets no further than that: nothing of it comes to an end. Set when it is there."""
    true, there = getattr(thing, name), asyncio.Event()

    async def dying(*args: object, **more: object) -> object:
        monkeypatch.setattr(thing, name, true)
        there.set()
        return await asyncio.Event().wait()

    monkeypatch.setattr(thing, name, dying)
    return there


@pytest.mark.parametrize("how", ["line.remove", "case.decide", "person.ban"])
async def test_what_was_taken_out_is_told_and_written_down_though_who_did_it_died(
    two_webs, house, archive, monkeypatch, how: str
) -> None:
    monkeypatch.setattr(review, "FINISH_AFTER_MS", 200)
    one, two = two_webs
    mo = await one.join(house.person("mo", "moderator"))
    _, line = await reported(two, house, "bob")
    await until(lambda: line in archive.lines)
    before = [notice.kind for notice in archive.notices]
    at_the_archive = dies_once(archive, "taken_out", monkeypatch)
    body = {
        "line.remove": {"line": line},
        "case.decide": {"case": f"rep_{line}", "verdict": "refuse", "reason": "scam"},
        "person.ban": {"person": "per_bob"},
    }[how]
    await mo.send({"kind": how, "op": "op1", "body": body})
    async with asyncio.timeout(60):
        await at_the_archive.wait()
    async with asyncio.timeout(30):
        while await two.bus.redis.exists(keys.taken(ROOM)):  # noqa: ASYNC110 - nothing to subscribe to
            await asyncio.sleep(0.02)
    assert archive.removed == {line: "per_mo"}
    told = [notice for notice in archive.notices if notice.kind not in before]
    wanted = {"line": line, "person": "per_bob", "by": "per_mo"}
    assert [notice.facts for notice in told] == ([] if how == "person.ban" else [wanted])
    if how == "line.remove":
        assert [(act.act, act.actor, act.target, act.before) for act in archive.acts] == [
            ("line.remove", "per_mo", line, "reported")
        ]


async def test_a_line_that_goes_while_the_archive_is_down_is_written_down_later_and_not_put_back(
    web, house, archive, redis, monkeypatch
) -> None:
    monkeypatch.setattr(review, "FINISH_AFTER_MS", 1000 * 3600)  # what puts back looks itself
    mo, bob = await web.join(house.person("mo", "moderator")), await web.join(house.person("bob"))
    line, kept = (await said(bob, "rude")).body["line"], (await said(bob, "kind")).body["line"]
    await until(lambda: {line, kept} <= archive.lines.keys())
    archive.down = True
    refused = await mo.post("line.remove", {"line": line})
    assert (refused.code, refused.facts["applied"]) == ("store_down", True)
    archive.down = False
    await redis.hdel(keys.silences(ROOM), "loaded")  # as a store that may have lost its last second
    await redis.delete(keys.log(ROOM), keys.lines(ROOM))
    late = await web.join(house.person("late"))
    assert [one["text"] for one in late.welcome["room"]["lines"]] == ["kind"]
    assert archive.removed == {line: "per_mo"}
    assert [notice.kind for notice in archive.notices] == ["line.removed"]


async def test_what_another_process_read_before_a_decision_does_not_bring_back_what_was_settled(
    two_webs, house, archive, redis
) -> None:
    one, two = two_webs
    mo = await one.join(house.person("mo", "moderator"))
    case = await held(one, house, mo, "once")
    assert (await mo.post("person.ban", {"person": "per_bob"})).ok
    await redis.flushall()
    load, has_read, go_on = archive.load, asyncio.Event(), asyncio.Event()

    async def slowly(room, at_ms):
        record = await load(room, at_ms)
        if not has_read.is_set():
            has_read.set()
            await go_on.wait()
        return record

    archive.load = slowly
    loading = asyncio.ensure_future(two.hub._talk.put_back(ROOM))
    async with asyncio.timeout(60):
        await has_read.wait()
    assert (await mo.post("case.decide", {"case": case, "verdict": "approve"})).ok
    assert (await mo.post("person.unban", {"person": "per_bob"})).ok
    go_on.set()
    await loading
    assert await redis.hlen(keys.cases(ROOM)) == 0
    assert not await redis.hexists(keys.silences(ROOM), "p:per_bob")


async def test_with_the_archive_down_nothing_is_decided_and_it_can_be_asked_again(web, house, archive) -> None:
    mo = await web.join(house.person("mo", "moderator"))
    case = await held(web, house, mo, "later")
    archive.down = True
    refused = await mo.post("case.decide", {"case": case, "verdict": "approve"})
    assert (refused.code, refused.facts.get("applied")) == ("store_down", None)
    archive.down = False
    assert (await mo.post("case.decide", {"case": case, "verdict": "approve"})).body["line"]


async def test_500_throwaway_sessions_fill_no_queue_and_staff_see_how_many_there_were(web, house, redis) -> None:
    mo = await web.join(house.person("mo", "moderator"))
    ann, old = await web.join(house.person("ann")), await web.join(house.person("old", since_ms=1))
    lines = [(await said(mo, f"line {chr(97 + n // 26) * 3} {chr(97 + n % 26) * 9}")).body["line"] for n in range(40)]
    new = now_ms() - 1000
    hub = web.hub
    body = [msgspec.Raw(msgspec.json.encode({"line": line, "why": "abuse"})) for line in lines]
    for n in range(500):
        name = f"throwaway{n}"
        house.person(name, network=f"net_{n // 40 % 2}", since_ms=new)
        await hub.ask(ROOM, house.members[name], f"op{n}", "line.report", body[n % 40])
    cases = {case.id: case for case in map(decoded, await redis.hvals(keys.reports(ROOM)))}
    gathered = [case for case in cases.values() if case.why == "gathered"]
    assert len(cases) == 2 * complaints.MAX_RAISED + 1
    assert len(gathered) == 1
    assert sum(case.reports for case in cases.values()) == 2 * 40, "each line once from each network"
    last = gathered[0].reports // 10 * 10
    await mo.wait("case.changed", lambda body: (body["case"]["why"], body["case"]["reports"]) == ("gathered", last))
    assert (await mo.post("case.decide", {"case": gathered[0].id, "verdict": "refuse"})).code == "invalid"
    assert (await mo.post("case.decide", {"case": gathered[0].id, "verdict": "approve"})).ok
    house.person("neighbour", network="net_0", since_ms=new)
    real = (await said(mo, "what a neighbour of theirs reports")).body["line"]
    report = msgspec.Raw(msgspec.json.encode({"line": real, "why": "abuse"}))
    await hub.ask(ROOM, house.members["neighbour"], "op", "line.report", report)
    next_one = [case for case in map(decoded, await redis.hvals(keys.reports(ROOM))) if case.why == "gathered"]
    assert [(case.line.id, case.reports) for case in next_one] == [(real, 1)], "no look at others' reports settles hers"

    unreported = (await said(mo, "a real abuse, said by a moderator")).body["line"]
    assert (await old.post("line.report", {"line": unreported, "why": "abuse"})).ok
    await mo.wait("case.changed", lambda body: body["case"]["id"] == f"rep_{unreported}")
    assert (await mo.post("mode.set", {"hold": True})).ok
    assert (await said(ann, "held all the same")).body["why"] == "hold"


async def test_a_queue_full_of_reports_blocks_no_held_line_and_no_appeal(web, house, redis) -> None:
    mo, ann = await web.join(house.person("mo", "moderator")), await web.join(house.person("ann"))
    waiting = msgspec.json.encode(Case("x", "spam", "report", "per_x", "X", "", 1, reports=1))
    await redis.hset(keys.reports(ROOM), mapping={f"rep_{n}": waiting for n in range(review.MAX_REPORTS)})
    line = (await said(mo, "reported by someone we know")).body["line"]
    assert (await ann.post("line.report", {"line": line})).ok
    assert (await mo.wait("case.changed"))["case"]["why"] == "gathered"
    assert (await mo.post("mode.set", {"hold": True})).ok
    assert (await said(ann, "held")).body["why"] == "hold"
    assert (await mo.post("person.timeout", {"person": "per_ann", "seconds": 60})).ok
    assert (await ann.post("appeal.send", {"text": "why?"})).ok


async def test_what_one_person_may_do_is_counted_over_all_processes(two_webs, house) -> None:
    cookie = house.person("ann")
    tabs = [await web.join(cookie) for web in two_webs]
    answers = [await tabs[n % 2].post("name.set", {"name": f"Ann {chr(97 + n)}"}) for n in range(6)]
    assert [answer.ok for answer in answers] == [True] * 5 + [False]
    assert answers[-1].code == "throttled"
    assert 0 < answers[-1].facts["retry_after_ms"] <= 60_000


def decoded(case: bytes) -> Case:
    return msgspec.json.decode(case, type=Case)
