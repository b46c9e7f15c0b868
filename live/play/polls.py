"""Polls: a question to the room, one vote a person, changeable until it closes. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from live.errors import Invalid

CHOICES = range(2, 7)
SECONDS = range(10, 601)
QUESTION_MAX = 140  # characters
CHOICE_MAX = 60


def check(question: str, choices: list[str], seconds: int, *, allowed: range = SECONDS) -> tuple[str, list[str]]:
    """The question and its choices as they will be shown. Raises: Invalid."""
    question = " ".join(question.split())
    choices = [" ".join(choice.split()) for choice in choices]
    if not 1 <= len(question) <= QUESTION_MAX:
        raise Invalid("question", f"1 to {QUESTION_MAX} characters")
    if len(choices) not in CHOICES:
        raise Invalid("choices", f"{CHOICES.start} to {CHOICES.stop - 1}")
    if not all(1 <= len(choice) <= CHOICE_MAX for choice in choices):
        raise Invalid("choices", f"1 to {CHOICE_MAX} characters each")
    if len({choice.casefold() for choice in choices}) < len(choices):
        raise Invalid("choices", "two are the same")
    if seconds not in allowed:
        raise Invalid("seconds", f"{allowed.start} to {allowed.stop - 1}")
    return question, choices


def counted(votes: Iterable[int], choices: int) -> list[int]:
    """Votes a choice."""
    counts = [0] * choices
    for vote in votes:
        counts[vote] += 1
    return counts
