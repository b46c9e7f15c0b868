"""How often a room is told how many are in it."""

from __future__ import annotations

import pytest

from chat.bus import RedisBus
from chat.floor import Room
from chat.limits import Limits
from chat.pulse import Pulse


async def _let_go(room: Room) -> None:
    raise AssertionError(f"{room.name} is not empty")


class Counted(Pulse):
    """Notes when a count goes out instead of telling the store."""

    def __init__(self, redis, room: Room) -> None:
        super().__init__(
            RedisBus(redis, now_ms=lambda: 0),
            process="w1",
            rooms={room.name: room},
            limits=Limits(pulse_s=0.001),
            empty=_let_go,
        )
        self.beats = 0

    async def beat(self, room: Room, *, nobody: bool = False) -> None:
        room.attendance.take_changes()
        self.beats += 1


@pytest.mark.parametrize(("viewers", "counts"), [(1, 40), (500, 40), (2_500, 10), (5_000, 5), (100_000, 5)])
async def test_the_more_are_here_the_seldomer_they_are_told_how_many(redis, viewers: int, counts: int) -> None:
    room = Room("show", fall_behind=lambda room: None)
    pulse = Counted(redis, room)
    room.viewers = viewers
    for n in range(40):  # ten seconds of four looks, in each of which somebody comes
        room.attendance.enter(f"per_{n}")
        await pulse.beat_of(room, 100 + n / 4)
    assert abs(pulse.beats - counts) <= 1
