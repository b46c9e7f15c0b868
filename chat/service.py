"""What a room serves beside what it must: the switches that staff and load flip, and in which order. Pure.

There is no switch for drops, stock, bags or the checkout: they are what the others are given up for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Setting = Literal["auto", "on", "off"]
# The least missed goes first. With all of them off, an own line, staff's, a deletion and every sale still arrive.
SHED_ORDER = ("animations", "hearts", "presence", "every_line", "history")
AS_SET: tuple[Setting, ...] = ("auto", "on", "off")

# How long it has to be too much, or quiet, before a level is changed: a gust flips nothing.
BUSY_FOR_S = 2.0
QUIET_FOR_S = 10.0
QUIET_SHARE = 0.7  # of what is too busy


class Service(msgspec.Struct, frozen=True):
    """What holds now, here. `animations`: pages may move. `hearts`, `presence`: are counted and sent. `every_line`:
    talk is left out, and announced as skipped, only above 120 lines a second, which nobody reads (off: above a few a
    tick). `history`: who joins gets the newest lines. `read_only`: the store is away: nobody can talk or buy, the
    picture goes on."""

    animations: bool = True
    hearts: bool = True
    presence: bool = True
    every_line: bool = True
    history: bool = True
    read_only: bool = False


def in_force(chosen: Mapping[str, Setting], level: int, *, read_only: bool = False) -> Service:
    """Staff's choice where there is one; where there is none ("auto") the first `level` of SHED_ORDER are off."""
    on = {
        name: chosen.get(name, "auto") == "on" or (chosen.get(name, "auto") == "auto" and place >= level)
        for place, name in enumerate(SHED_ORDER)
    }
    return Service(**on, read_only=read_only)


class Load:
    """How much a process has to shed: a level from 0 to all of SHED_ORDER, up one at a time and down one at a time."""

    def __init__(self, busy_share: float) -> None:
        self.level = 0
        self._busy_share = busy_share
        self._since: float | None = None  # when it began to be too busy or quiet enough
        self._was_busy = False

    def note(self, now: float, share: float) -> bool:
        """`share` of the time since the last note was work. True when the level changed."""
        if self._busy_share <= 0:
            return False
        busy = share > self._busy_share
        quiet = share < self._busy_share * QUIET_SHARE
        if not busy and not quiet:
            self._since = None
            return False
        if self._since is None or busy != self._was_busy:
            self._since, self._was_busy = now, busy
            return False
        if now - self._since < (BUSY_FOR_S if busy else QUIET_FOR_S):
            return False
        self._since = now
        before = self.level
        self.level = min(len(SHED_ORDER), self.level + 1) if busy else max(0, self.level - 1)
        return self.level != before
