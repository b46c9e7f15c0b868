"""Quizzes: a poll with a right answer, and a deadline that is as late as each viewer's picture. Pure.

Source: docs/decisions/0062-late-pictures-lose-nothing.md
"""

from __future__ import annotations

from live.errors import Invalid
from live.play import polls

SECONDS = range(5, 121)
DELAY_MAX_MS = 15_000  # HLS at its latest; WebRTC is below 500


def check(question: str, choices: list[str], right: int, seconds: int) -> tuple[str, list[str]]:
    """As polls.check. Raises: Invalid."""
    if right not in range(len(choices)):
        raise Invalid("right", "not one of the choices")
    return polls.check(question, choices, seconds, allowed=SECONDS)


def deadline_ms(closes_ms: int, delay_ms: int) -> int:
    """Until when the answer of somebody whose picture is `delay_ms` late counts. Her word for it is taken up to
    `DELAY_MAX_MS`: nothing is revealed before that for anyone, so a lie gains only time to think."""
    return closes_ms + min(max(delay_ms, 0), DELAY_MAX_MS)


def reveal_ms(closes_ms: int) -> int:
    """When the last viewer's time is up."""
    return closes_ms + DELAY_MAX_MS
