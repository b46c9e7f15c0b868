"""Bounds of computing time that hold on a slower machine too: a fixed piece of work is timed beside what is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable

# What the work below took where the bounds were set. A faster machine is held to them as they stand.
YARD_S = 0.005
TRIES = 7


def cpu_s(work: Callable[[], object]) -> float:
    """How long `work` computes at its best of several tries, as on the machine where the bounds were set."""
    best, yard = float("inf"), float("inf")
    for _ in range(TRIES):  # in turns, so that a slow moment is both's
        best, yard = min(best, _cpu_s(work)), min(yard, _cpu_s(_yard))
    return best / max(1.0, yard / YARD_S)


def _cpu_s(work: Callable[[], object]) -> float:
    """Not by the wall's clock: what others do meanwhile is not its cost."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _yard() -> None:
    found: dict[str, int] = {}
    for number in range(4_700):
        name, _, value = f"a={number}:{number}".partition(":")
        found[name] = int(value)
