"""What is on the runway when: a function of the wall clock, so that the picture and the host's drops agree unspoken."""

from __future__ import annotations

SLOT_S = 30  # one look a slot; a drop every half minute
WALKS_A_SLOT = 3  # the look is shown in its colours, one walk each
WALK_EVERY_S = SLOT_S / WALKS_A_SLOT
WALK_S = 13.5  # from the back of the runway until she is past us
DROP_AFTER_S = 6.0  # the first model is in good view by then


def look_at(wall_ms: int, looks: int) -> int:
    """The number (1–`looks`) of the look whose slot it is."""
    return wall_ms // (SLOT_S * 1000) % looks + 1


def next_drop_ms(wall_ms: int) -> int:
    """When the next drop is due: always after `wall_ms`."""
    slot = SLOT_S * 1000
    offset = int(DROP_AFTER_S * 1000)
    return (wall_ms - offset) // slot * slot + slot + offset


def walks_at(wall_ms: int, looks: int) -> list[tuple[int, int, int, float]]:
    """Who is on the runway: (walk's number, look's number, colour's index, 0–1 of the way), the furthest first."""
    every = WALK_EVERY_S * 1000
    newest = int(wall_ms // every)
    walking = []
    for walk in (newest, newest - 1):
        way = (wall_ms - walk * every) / (WALK_S * 1000)
        if 0 <= way < 1:
            walking.append((walk, walk // WALKS_A_SLOT % looks + 1, walk % WALKS_A_SLOT, way))
    return walking
