"""Many who come at once: the store is asked about them together, and each still gets what is hers."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as StoreLost
from room_process import now_ms
from soon import soon

from chat.arrivals import Arrivals, Found, Missed, Newcomer, Snapshot
from chat.errors import NotAdmitted
from chat.ports import FOREVER_MS, Member, SilenceRecord
from chat.rounds import ASKED_AT_ONCE, Rounds

ROOM = "shw_spring"
CROWD = 60


def newcomer(name: str, had: tuple[str, int] | None = None, asked_ms: int | None = None) -> Newcomer:
    member = Member(f"per_{name}", name, frozenset(), f"dev_{name}", f"ses_{name}")
    return Newcomer(member, now_ms() if asked_ms is None else asked_ms, had)


async def in_one_round(arrivals: Arrivals, *newcomers: Newcomer) -> list[Found | BaseException]:
    """All stand in line before the round begins."""
    async with asyncio.timeout(60):
        return await asyncio.gather(*(arrivals.of(ROOM, one) for one in newcomers), return_exceptions=True)


async def asked_so_far(redis) -> int:
    """Every round looks once at who was signed out."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_zrangebyscore", {}).get("calls", 0))


@pytest.fixture
def arrivals(web, house) -> Arrivals:
    return Arrivals(web.bus, web.hub._talk, house, store_s=5)


async def test_a_crowd_that_comes_back_is_asked_about_in_a_few_rounds(web, house, redis) -> None:
    ann = await web.join(house.person("ann"))
    had = (ann.epoch, ann.seq)
    for card in range(5):
        await web.bus.publish(ROOM, "card.dropped", {"card": card})
    await ann.wait("card.dropped", lambda body: body["card"] == 4)
    before = await asked_so_far(redis)
    crowd = await asyncio.gather(*(web.join(house.person(f"p{n}"), resume_from=had) for n in range(CROWD)))
    for client in crowd:
        assert [e["body"]["card"] for e in client.envelopes if e["kind"] == "card.dropped"] == list(range(5))
        assert (client.welcome, client.seq) == (None, had[1] + 5)
    assert 1 <= await asked_so_far(redis) - before <= CROWD // 2


async def test_each_in_a_round_gets_what_is_hers(web, redis, arrivals) -> None:
    epoch, start = await web.bus.history.position(ROOM)
    envelopes = [await web.bus.publish(ROOM, "card.dropped", {"card": n}) for n in range(4)]
    last, at_ms = envelopes[-1].seq, now_ms()
    ban = SilenceRecord("sil_1", "per_troll", "dev_troll", "troll", "ban", FOREVER_MS, "spam", "per_mod", at_ms)
    await web.hub._talk._office.decisions.silence(ROOM, ban)
    await web.bus.revoke(session="ses_out")

    before = await asked_so_far(redis)
    ann, bob, behind, troll, out, again, other, future, new = await in_one_round(
        arrivals,
        newcomer("ann", (epoch, start)),
        newcomer("bob", (epoch, start)),
        newcomer("behind", (epoch, last - 1)),
        newcomer("troll", (epoch, last)),
        newcomer("out", (epoch, start), asked_ms=at_ms - 1000),
        newcomer("out", (epoch, start), asked_ms=now_ms() + 1000),
        newcomer("other", ("another", start)),
        newcomer("future", (epoch, last + 1)),
        newcomer("new"),
    )
    assert await asked_so_far(redis) - before == 1

    assert ann.brings.frames[0] is bob.brings.frames[0], "what they missed alike is framed once"
    assert [ann.brings.seq, ann.brings.frames[0].payload.count(b'"card"')] == [last, 4]
    assert behind.brings.frames[0].payload.count(b'"card"') == 1
    bags = [one.private for one in (ann, bob, behind)]
    assert bags == [[("cart.changed", {"cart": {"of": f"per_{name}"}})] for name in ("ann", "bob", "behind")]
    assert [one.private for one in (troll, other, new)] == [[], [], []], "a snapshot has what is hers"
    assert isinstance(troll.brings, Snapshot), "who is banned resumes nothing"
    assert [one.kept_out for one in (ann, troll)] == ["", "per_troll"]
    assert [one.silence and one.silence.reason for one in (ann, bob, behind, troll)] == [None, None, None, "spam"]
    assert isinstance(out, NotAdmitted)
    assert out.close_code == 4401
    assert isinstance(again.brings, Missed), "she signed in again after that"
    assert all(isinstance(one.brings, Snapshot) and one.brings.seq == last for one in (other, future, new))


async def test_what_cant_be_told_of_one_costs_her_alone(web, house, arrivals, monkeypatch) -> None:
    epoch, start = await web.bus.history.position(ROOM)
    asked: list[list[str]] = []
    told = house.private

    async def private(room: str, members: list[Member]) -> list[list[tuple[str, object]]]:
        asked.append([member.name for member in members])
        if "bob" in asked[-1]:
            raise ValueError("a bag that nobody can read")
        return await told(room, members)

    monkeypatch.setattr(house, "private", private)
    people = [newcomer(name, (epoch, start)) for name in ("ann", "bob", "cid")]
    ann, bob, cid = await in_one_round(arrivals, *people)
    assert asked[0] == ["ann", "bob", "cid"], "they were asked about together"
    assert isinstance(bob, ValueError)
    assert [one.private[0][1] for one in (ann, cid)] == [{"cart": {"of": "per_ann"}}, {"cart": {"of": "per_cid"}}]


async def test_one_far_behind_makes_nobody_elses_past_longer_nor_void(web, arrivals) -> None:
    epoch, start = await web.bus.history.position(ROOM)
    for n in range(3):
        await web.bus.publish(ROOM, "card.dropped", {"card": n})
    await web.bus.redis.hdel(f"c:{{{ROOM}}}:log", start + 2)  # what the log no longer has
    near, far = await in_one_round(arrivals, newcomer("near", (epoch, start + 2)), newcomer("far", (epoch, start)))
    assert isinstance(near.brings, Missed)
    assert near.brings.frames[0].payload.count(b'"card"') == 1
    assert isinstance(far.brings, Snapshot)


async def test_a_round_that_fails_costs_those_in_it_and_nobody_after_them(arrivals, monkeypatch) -> None:
    async def lost(*_: object, **__: object) -> None:
        raise StoreLost

    with monkeypatch.context() as patch:
        patch.setattr(arrivals._bus.history, "newest", lost)
        failed = await in_one_round(arrivals, newcomer("ann"), newcomer("bob"))
    assert [type(one) for one in failed] == [StoreLost, StoreLost]
    (found,) = await in_one_round(arrivals, newcomer("cid"))
    assert isinstance(found, Found)


async def test_a_store_that_hangs_keeps_nobody_for_longer_the_more_have_come(web, arrivals, monkeypatch) -> None:
    async def hangs(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(arrivals._bus.history, "newest", hangs)
    arrivals._store_s = 0.5
    failed = await soon(in_one_round(arrivals, *(newcomer(f"p{n}") for n in range(6 * ASKED_AT_ONCE))), within_s=2)
    assert {type(one) for one in failed} == {TimeoutError}


async def test_who_leaves_while_a_round_is_under_way_keeps_nobody_else_from_her_answer() -> None:
    asking, go_on = asyncio.Event(), asyncio.Event()
    rounds_asked: list[list[int]] = []

    async def doubled(numbers: list[int]) -> list[int | Exception]:
        rounds_asked.append(numbers)
        asking.set()
        await go_on.wait()
        return [LookupError(number) if number == 3 else 2 * number for number in numbers]

    rounds = Rounds(doubled)
    first = asyncio.ensure_future(rounds.of(1))
    await asking.wait()
    later = [asyncio.ensure_future(rounds.of(number)) for number in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    first.cancel()
    later[2].cancel()
    go_on.set()
    async with asyncio.timeout(60):
        two, three, four, five = await asyncio.gather(*later, return_exceptions=True)
    assert rounds_asked == [[1], [2, 3, 5]]
    assert (two, type(three), type(four), five) == (4, LookupError, asyncio.CancelledError, 10)


async def test_who_waits_when_the_process_stops_does_not_wait_for_good() -> None:
    asking = asyncio.Event()

    async def hangs(numbers: list[int]) -> list[int]:
        asking.set()
        await asyncio.Event().wait()
        return numbers

    rounds = Rounds(hangs)
    first = asyncio.ensure_future(rounds.of(1))
    await asking.wait()
    second = asyncio.ensure_future(rounds.of(2))
    await asyncio.sleep(0)
    rounds._under_way.cancel()  # as the loop does when it ends
    async with asyncio.timeout(60):
        told = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(one) for one in told] == [asyncio.CancelledError, asyncio.CancelledError]
