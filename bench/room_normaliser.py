"""What looking at a line of talk costs: the three match keys against 1,000 terms, and the search for links.

    python bench/room_normaliser.py

CPU µs a line over the tests' innocent lines in ten scripts, best of five rounds. The target is 20 µs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit" / "chat")]

from moderation_corpus import TERMS, innocent  # noqa: E402

from chat.moderation import rules  # noqa: E402

ROUNDS, TIMES = 5, 40


def us_a_line(look: Callable[[str], object], lines: list[str]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(TIMES):
            for line in lines:
                look(line)
        best = min(best, time.thread_time() - started)
    return 1e6 * best / TIMES / len(lines)


def main() -> None:
    terms = rules.Terms([*TERMS, *(f"word{n} other{n}" for n in range(rules.MAX_TERMS - len(TERMS)))])
    lines = [line for _, line in innocent()]
    keys, links = us_a_line(terms.hit, lines), us_a_line(rules.has_link, lines)
    print(f"{len(lines)} lines: terms {keys:.1f} µs, links {links:.1f} µs, together {keys + links:.1f} µs a line")


if __name__ == "__main__":
    main()
