"""Who waits, who goes in, and who is told to come back."""

from __future__ import annotations

import asyncio

import pytest

from live.errors import Overloaded
from live.web.turnstile import Turnstile


async def test_no_more_go_in_than_there_are_places_and_they_go_in_order() -> None:
    turnstile = Turnstile(inside=2)
    order: list[int] = []
    inside = most = 0

    async def visit(number: int) -> None:
        nonlocal inside, most
        async with turnstile.inside():
            order.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit(number) for number in range(20)))
    assert most == 2
    assert order == list(range(20))
    assert turnstile.waiting == 0


async def test_who_finds_the_line_full_or_waits_too_long_is_told_to_come_back() -> None:
    turnstile = Turnstile(inside=1, line=1, line_s=0.05)
    async with turnstile.inside():
        standing = asyncio.create_task(_visit(turnstile))
        while not turnstile.waiting:  # noqa: ASYNC110 - one turn of the loop
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await _visit(turnstile)
        with pytest.raises(Overloaded) as told:
            await standing
    assert told.value.facts["retry_after_s"] > 0
    await _visit(turnstile)


async def test_who_leaves_the_line_leaves_no_gap() -> None:
    turnstile = Turnstile(inside=1)
    async with turnstile.inside():
        standing = asyncio.create_task(_visit(turnstile))
        while not turnstile.waiting:  # noqa: ASYNC110 - one turn of the loop
            await asyncio.sleep(0)
        standing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await standing
        assert turnstile.waiting == 0
    await _visit(turnstile)


async def _visit(turnstile: Turnstile) -> None:
    async with turnstile.inside():
        pass
