"""Who waits between offer and handshake, and who makes room when too many do. Pure.

An offer costs its sender one POST and us some 60 KiB until the handshake is through or timed out. So the foyer has a
bound, and one network has half of it at most. When it is full a newcomer does not find it shut by those who never
meant to come in: whoever has not sent a check within a second goes first, then the eldest of the network that has
most in it. Somebody who means it has sent her first check a round trip after the answer.
Source: docs/decisions/0088-a-relay-measures-itself.md
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

MOST = 200  # unfinished handshakes of viewers at a time
OF_A_NETWORK = 100
SILENT_MS = 1_000  # from the answer to the first check; a second is four round trips of a bad line
SLOW_MS = 2_500  # from the answer to the end of the handshake, before a heavier network's may be pushed out


class Waiting(NamedTuple):
    """One unfinished session. `checked`: an authenticated check of hers came, so she read our answer."""

    name: str
    network: str
    checked: bool
    age_ms: int


def who_goes(waiting: Sequence[Waiting], network: str) -> str | None:
    """Whom a newcomer of `network` pushes out of a full foyer; None: she has to come again."""
    silent = [one for one in waiting if not one.checked and one.age_ms > SILENT_MS]
    if silent:
        return max(silent, key=lambda one: one.age_ms).name
    by_network = Counter(one.network for one in waiting)
    slow = [
        one
        for one in waiting
        # One more than hers, or two networks would push each other out in turns.
        if one.age_ms > SLOW_MS and by_network[one.network] > by_network[network] + 1
    ]
    return max(slow, key=lambda one: (by_network[one.network], one.age_ms)).name if slow else None
