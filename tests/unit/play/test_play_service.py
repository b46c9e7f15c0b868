"""Games on a real store: one entry a person, deadlines, results that stay the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from live.clock import SetClock
from live.errors import Conflict, Invalid, NotFound, StoreDown, WrongState
from live.events import Draw, Poll, Quiz, Rain
from live.money import Money
from live.play import draws
from live.play.service import SHOWN_MS, PlayService
from live.store import keys

SHOW = "sho_1"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def play(redis: Redis, clock: SetClock) -> PlayService:
    return PlayService(redis, clock)


async def a_poll(play: PlayService, op: str = "op1", seconds: int = 30) -> Poll:
    return await play.open_poll(SHOW, "Coat or cape?", ["coat", "cape"], seconds, op=op)


async def test_a_vote_counts_once_and_may_change(play: PlayService) -> None:
    poll = await a_poll(play)
    for person, choice in [("per_a", 0), ("per_b", 0), ("per_a", 1), ("per_a", 1)]:
        await play.choose(SHOW, poll.id, person, choice)
    seen = await play.game(SHOW, poll.id, "per_a")
    assert isinstance(seen, Poll)
    assert (seen.counts, seen.mine, seen.closed) == ([1, 1], 1, False)


async def test_a_hundred_votes_at_once_are_a_hundred(play: PlayService) -> None:
    poll = await a_poll(play)
    votes = [play.choose(SHOW, poll.id, f"per_{n % 50}", n // 50 % 2) for n in range(100)]
    await asyncio.gather(*votes)
    closed = await play.close(SHOW, poll.id, early=True)
    assert closed is not None
    assert isinstance(closed.game, Poll)
    assert sum(closed.game.counts) == 50


async def test_a_vote_that_names_no_choice_or_no_poll_is_refused(play: PlayService) -> None:
    poll = await a_poll(play)
    for choice in (-1, 2):
        with pytest.raises(Invalid):
            await play.choose(SHOW, poll.id, "per_a", choice)
    with pytest.raises(NotFound):
        await play.choose(SHOW, "ply_none", "per_a", 0)
    with pytest.raises(NotFound):
        await play.close(SHOW, "ply_none")


async def test_a_late_vote_is_refused_and_changes_nothing(play: PlayService, clock: SetClock) -> None:
    poll = await a_poll(play)
    await play.choose(SHOW, poll.id, "per_a", 0)
    clock.advance(30_001)
    with pytest.raises(WrongState):
        await play.choose(SHOW, poll.id, "per_a", 1, delay_ms=15_000)  # a poll knows no delay
    closed = await play.close(SHOW, poll.id)
    assert closed is not None
    assert isinstance(closed.game, Poll)
    assert closed.game.counts == [1, 0]


async def test_the_same_operation_opens_one_poll(play: PlayService, clock: SetClock) -> None:
    first = await a_poll(play)
    clock.advance(500)
    again, other = await a_poll(play), await a_poll(play, op="op2")
    assert again == first
    assert other.id != first.id
    assert len(await play.shown(SHOW)) == 2


async def test_too_many_games_at_once_are_refused(play: PlayService) -> None:
    for number in range(8):
        await a_poll(play, op=f"op{number}")
    with pytest.raises(Conflict):
        await a_poll(play, op="one more")
    assert len(await play.going_on()) == 8


async def test_closing_says_the_same_however_often(play: PlayService, redis: Redis, clock: SetClock) -> None:
    draw = await play.open_draw(SHOW, "A coat", 2, 30, op="op1")
    for number in range(9):
        await play.enter(SHOW, draw.id, f"per_{number}", f"Name {number}")
    assert await play.close(SHOW, draw.id) is None, "its time is not up"
    clock.advance(30_000)
    first = await play.close(SHOW, draw.id)
    await redis.hdel(keys.play(SHOW, draw.id), "result")  # a worker died before it was kept
    again = await play.close(SHOW, draw.id)
    assert first is not None
    assert again is not None
    assert (first.first, again.first) == (True, False)
    assert first.game == again.game == await play.game(SHOW, draw.id)


async def test_a_quiz_takes_the_answers_of_late_pictures_and_keeps_its_secret(
    play: PlayService, clock: SetClock
) -> None:
    quiz = await play.open_quiz(SHOW, "Which year?", ["2015", "2016", "2017"], 1, 10, op="op1")
    clock.advance(10_000 + 8_000)
    with pytest.raises(WrongState):
        await play.choose(SHOW, quiz.id, "per_live", 1, delay_ms=300)
    with pytest.raises(WrongState):
        await play.choose(SHOW, quiz.id, "per_clumsy", 1, delay_ms=-99)
    await play.choose(SHOW, quiz.id, "per_hls", 1, delay_ms=9_000)
    assert await play.close(SHOW, quiz.id) is None, "somebody's time is not up"
    seen = await play.game(SHOW, quiz.id, "per_hls")
    assert isinstance(seen, Quiz)
    assert (seen.right, seen.counts, seen.answers, seen.mine) == (None, None, 1, 1)

    clock.advance(7_001)
    with pytest.raises(WrongState):
        await play.choose(SHOW, quiz.id, "per_liar", 1, delay_ms=10**9)
    closed = await play.close(SHOW, quiz.id)
    assert closed is not None
    assert isinstance(closed.game, Quiz)
    assert (closed.game.right, closed.game.counts) == (1, [0, 1, 0])


async def test_a_draws_proof_convinces_a_stranger(play: PlayService, clock: SetClock) -> None:
    draw = await play.open_draw(SHOW, "A coat", 3, 30, op="op1")
    for number in range(250):
        await play.enter(SHOW, draw.id, f"per_{number:03}", f"Name {number}")
    await play.enter(SHOW, draw.id, "per_007", "Another name, the same entry")
    with pytest.raises(WrongState):
        await play.proof(SHOW, draw.id, 0)
    before = await play.game(SHOW, draw.id, "per_007")
    assert isinstance(before, Draw)
    assert (before.entries, before.seed, before.mine) == (250, None, True)

    clock.advance(30_000)
    await play.close(SHOW, draw.id)
    entries: list[str] = []
    start: int | None = 0
    while start is not None:
        drawn, page, start = await play.proof(SHOW, draw.id, start)
        entries += page
    assert drawn.commitment == draw.commitment, "what was published before the first entry"
    assert drawn.seed is not None
    assert drawn.entries_digest is not None
    assert draws.verify(
        committed=draw.commitment,
        seed=bytes.fromhex(drawn.seed),
        entries=entries,
        entries_digest=drawn.entries_digest,
        places=3,
        won=[winner.person for winner in drawn.winners],
    )
    assert {winner.name for winner in drawn.winners} == {f"Name {int(w.person[4:])}" for w in drawn.winners}


async def test_rain_falls_on_those_who_stood_in_it(play: PlayService, clock: SetClock) -> None:
    shower = await play.open_rain(SHOW, Money(1_000, "EUR"), 3, 5, op="op1")
    for person in ("per_a", "per_b", "per_c", "per_d", "per_a"):
        await play.enter(SHOW, shower.id, person)
    clock.advance(5_000 + 14_000)
    await play.enter(SHOW, shower.id, "per_hls", delay_ms=14_500)
    clock.advance(1_000)
    closed = await play.close(SHOW, shower.id)
    assert closed is not None
    assert isinstance(closed.game, Rain)
    assert sum(closed.amounts.values()) == 1_000
    assert len(closed.amounts) == closed.game.caught == 3
    for person in ("per_a", "per_b", "per_c", "per_d", "per_hls"):
        seen = await play.game(SHOW, shower.id, person)
        assert isinstance(seen, Rain)
        expected = closed.amounts.get(person)
        assert seen.mine == (None if expected is None else Money(expected, "EUR"))


async def test_a_closed_game_is_shown_for_a_while(play: PlayService, clock: SetClock) -> None:
    poll = await a_poll(play)
    clock.advance(30_000)
    await play.close(SHOW, poll.id)
    clock.advance(SHOWN_MS - 1)
    assert [game.closed for game in await play.shown(SHOW)] == [True]
    clock.advance(2)
    assert await play.shown(SHOW) == []


async def test_a_due_game_is_claimed_by_one_worker_and_again_when_it_died(play: PlayService, clock: SetClock) -> None:
    poll = await a_poll(play)
    assert await play.due() == []
    clock.advance(30_000)
    assert sorted(await asyncio.gather(play.due(), play.due())) == [[], [(SHOW, poll.id)]]
    clock.advance(5_001)
    assert await play.due() == [(SHOW, poll.id)]
    await play.done(SHOW, poll.id)
    clock.advance(60_000)
    assert await play.due() == []


@pytest.mark.parametrize(
    "act",
    [
        lambda play: a_poll(play),
        lambda play: play.choose(SHOW, "ply_x", "per_a", 0),
        lambda play: play.shown(SHOW),
        lambda play: play.due(),
    ],
)
async def test_without_its_store_a_game_fails_closed(act: Callable[[PlayService], Awaitable[object]]) -> None:
    nowhere = Redis.from_url("unix:///nowhere/store.sock")
    try:
        with pytest.raises(StoreDown):
            await act(PlayService(nowhere, SetClock()))
    finally:
        await nowhere.aclose()


async def test_a_draw_that_was_worked_out_while_a_person_was_taken_out_of_it_names_her_no_more(
    play: PlayService, redis: Redis
) -> None:
    draw = await play.open_draw(SHOW, "A coat", 1, 30, op="op1")
    await play.enter(SHOW, draw.id, "per_a", "Ada")
    await play.close(SHOW, draw.id, early=True)
    with_her_name = await redis.hget(keys.play(SHOW, draw.id), "result")
    assert b"Ada" in with_her_name, "the premise"
    assert await play.forget("per_a") == [SHOW]
    await redis.hset(keys.play(SHOW, draw.id), "result", with_her_name)  # by who had read the entries before that
    await play.forget("per_a")
    drawn = await play.game(SHOW, draw.id)
    assert isinstance(drawn, Draw)
    assert [(winner.person, winner.name) for winner in drawn.winners] == [("per_a", "")]
