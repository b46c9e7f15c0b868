"""What is read again because it changed."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import RedisError

from chat.bus import RedisBus
from chat.floor import Room
from chat.limits import Limits
from chat.mending import Mending


@pytest.mark.parametrize("error", [None, RedisError("away")], ids=["read", "not read"])
async def test_rules_that_change_while_they_are_read_are_read_again(redis, error: Exception | None) -> None:
    room = Room("show", fall_behind=lambda room: None)
    room.opened.set()
    told: list[str] = []
    now = "first"

    async def reread(room: Room) -> None:
        nonlocal now
        read = now
        if now == "first":
            now = "second"
            mending.rules_are_stale(room)  # the bus tells of it
            await asyncio.sleep(0)
            if error is not None:
                raise error
        told.append(read)

    mending = Mending(
        RedisBus(redis, now_ms=lambda: 0),
        rooms={room.name: room},
        joining=None,  # type: ignore[arg-type]  # nobody comes in
        limits=Limits(pulse_s=0.001),
        reread=reread,
    )
    run = asyncio.create_task(mending.run())
    mending.rules_are_stale(room)
    try:
        async with asyncio.timeout(60):
            while told[-1:] != ["second"]:  # noqa: ASYNC110 - it has no other sign
                await asyncio.sleep(0.001)
    finally:
        run.cancel()


async def test_a_room_whose_node_hangs_keeps_no_other_waiting_whenever_that_one_has_to_be_mended(redis) -> None:
    hung, other = (Room(name, fall_behind=lambda room: None) for name in ("hung", "other"))
    hangs, read = asyncio.Event(), asyncio.Event()
    for room in (hung, other):
        room.opened.set()

    async def reread(room: Room) -> None:
        if room is hung:
            hangs.set()
            await asyncio.Event().wait()
        read.set()

    mending = Mending(
        RedisBus(redis, now_ms=lambda: 0),
        rooms={room.name: room for room in (hung, other)},
        joining=None,  # type: ignore[arg-type]  # nobody comes in
        limits=Limits(),
        reread=reread,
    )
    run = asyncio.create_task(mending.run())
    try:
        async with asyncio.timeout(20):
            mending.rules_are_stale(hung)
            await hangs.wait()
            mending.rules_are_stale(other)
            await read.wait()
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
