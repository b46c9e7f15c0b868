"""Scripts that wait together travel together, and nobody is left behind whoever gives up."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from store_server import StoreServer

from live.errors import StoreDown
from live.settings import Settings
from live.store.redis import BATCH_LIMIT, Script, connect

COUNT = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


async def test_calls_made_together_are_each_answered_with_their_own_result(redis: Redis) -> None:
    script = Script(redis, COUNT)
    answers = await asyncio.gather(*(script(["n"], [1]) for _ in range(3 * BATCH_LIMIT)))
    assert sorted(answers) == list(range(1, 3 * BATCH_LIMIT + 1))


async def test_whoever_is_cancelled_the_others_are_answered(redis: Redis) -> None:
    script = Script(redis, COUNT)
    for turn in range(60):
        calls = [asyncio.create_task(script(["n"], [1])) for _ in range(20)]
        for _ in range(turn % 7):
            await asyncio.sleep(0)
        gone = calls[turn % 20 :: 6]
        for call in gone:
            call.cancel()
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*calls, return_exceptions=True)
        for call, answer in zip(calls, answers, strict=True):
            if call not in gone:
                # Its carrier may have been the one who gave up: then it hears that nothing is known.
                assert isinstance(answer, int | StoreDown), answer
    before = int(await redis.get("n"))
    assert await script(["n"], [1]) == before + 1, "no reply is left over for the next to take"


async def test_a_scripts_own_error_is_its_callers_alone(redis: Redis) -> None:
    script = Script(redis, COUNT)
    await redis.set("text", "x")
    calls = [script(["text" if n == 3 else "n"], [1]) for n in range(6)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[3], StoreDown)
    assert [answer for n, answer in enumerate(answers) if n != 3] == [1, 2, 3, 4, 5]


async def test_many_calls_of_one_caller_are_answered_in_their_order_or_not_at_all(redis: Redis) -> None:
    script = Script(redis, COUNT)
    many = 2 * BATCH_LIMIT + 1
    assert await script.each([(["n"], [1])] * many) == list(range(1, many + 1))
    assert await script.each([]) == []
    await redis.set("text", "x")
    with pytest.raises(StoreDown):
        await script.each([(["n"], [1]), (["text"], [1]), (["n"], [1])])
    assert await script(["n"], [1]) == many + 3, "no reply is left over for the next to take"


async def test_a_store_that_was_killed_is_told_as_down_and_found_again(own_store_server: StoreServer) -> None:
    redis = await connect(Settings(redis_url=own_store_server.url, secret_key="k" * 32))
    try:
        script = Script(redis, COUNT)
        await script(["n"], [1])
        own_store_server.stop(kill=True)
        for _ in range(2):
            answers = await asyncio.gather(*(script(["n"], [1]) for _ in range(5)), return_exceptions=True)
            assert all(isinstance(answer, StoreDown) for answer in answers), answers
        own_store_server.start()
        assert await script(["n"], [1]) >= 1, "the script itself is loaded again"
    finally:
        await redis.aclose()


def test_a_client_needs_an_address() -> None:
    with pytest.raises(StoreDown):
        asyncio.run(connect(Settings(redis_url=None, secret_key="k" * 32)))
