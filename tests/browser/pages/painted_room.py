"""What is said, asked and played in a painted show's room, and what its moderators are told."""

from __future__ import annotations

from typing import Any

NOW_MS = 1_795_449_600_000

SAID = [
    ("Ines", "", "that coat in look 2, I am not over it"),
    ("Théo", "", "is the column dress lined?"),
    ("Aurel studio", "host", "Fully lined, in silk as well."),
    ("Mara", "", "holding the S, praying my card is in this bag"),
    ("Jun", "", "the knit!! which colour did she walk in"),
    ("Okonkwo", "", "black, I think. bone comes next"),
    ("Livia", "", "sold out in XS already, you people are fast"),
]


def lines() -> list[dict[str, Any]]:
    return [
        {
            "id": f"e.{n}",
            "person": f"per_{n}",
            "name": name,
            "text": text,
            "wall_ms": NOW_MS - (len(SAID) - n) * 9000,
            "badge": badge,
            "at": None,
        }
        for n, (name, badge, text) in enumerate(SAID)
    ]


def cases() -> list[dict[str, Any]]:
    """What waits for a moderator, one of each kind."""
    blank = {"line": None, "reports": 0, "claimed_by": "", "claimed_until_ms": 0}
    said = lines()
    return [
        {**blank, "id": "c1", "kind": "line", "why": "term", "person": "per_2", "name": "Mina", "wall_ms": NOW_MS,
         "text": "will I get a refund if it does not fit?"},
        {**blank, "id": "c2", "kind": "report", "why": "scam", "person": "per_3", "name": "Deals4U", "wall_ms": NOW_MS,
         "text": "asks for card numbers", "line": {**said[0], "text": "cheaper on my page, message me"}, "reports": 3,
         "claimed_by": "Flo", "claimed_until_ms": NOW_MS + 10**9},
        {**blank, "id": "c3", "kind": "appeal", "why": "spam", "person": "per_9", "name": "Loud", "wall_ms": NOW_MS,
         "text": "That was my little brother, sorry!"},
    ]  # fmt: skip


def questions() -> list[dict[str, Any]]:
    asked = {"person": "per_4", "badge": "", "at": None, "by": "", "answered_at": None}
    return [
        {**asked, "id": "e.1", "name": "Ines", "text": "Is the coat lined?", "wall_ms": NOW_MS, "state": "answered",
         "by": "Vera", "answered_at": 754_000},
        {**asked, "id": "e.2", "name": "Jo", "text": "Does it come in petite?", "wall_ms": NOW_MS + 1, "state": "open"},
    ]  # fmt: skip


def person_seen() -> dict[str, Any]:
    """What the moderator's desk is told of somebody."""
    mute = {"until_ms": NOW_MS + 600_000, "reason": "Please no links", "kind": "timeout"}
    note = {"id": "n1", "text": "sells elsewhere, was told twice", "actor_name": "Flo", "wall_ms": NOW_MS}
    act = {"act": "person.timeout", "actor": "stf_1", "reason": "Please no links", "wall_ms": NOW_MS}
    said = [{**one, "person": "per_3"} for one in lines()[3:6]]
    return {
        "person": "per_3", "name": "Deals4U", "names": ["Deals4U", "Deals"], "badge": "",
        "since_ms": NOW_MS - 9 * 86_400_000, "said": 14, "removed": 1, "silence": mute, "notes": [note], "acts": [act],
        "lines": [{"line": one, "removed": n == 1, "shadow": False} for n, one in enumerate(said)],
    }  # fmt: skip


def _euro(minor: int) -> dict[str, Any]:
    return {"minor": minor, "currency": "EUR"}


def played(how: str) -> list[dict[str, Any]]:
    """A game over the picture, and how it went: the events that a page hears."""
    on = {"closes_ms": NOW_MS + 25_000, "closed": False}
    over = {"closes_ms": NOW_MS - 1_000, "closed": True}
    walks = {"question": "Which one walks again?", "choices": ["The coat", "The cape", "Both"]}
    poll = {"game": "poll", "id": "g1", **walks, "counts": [41, 60, 19], "mine": 1}
    since = {"question": "Since when is there a Maison Aurel?", "choices": ["1911", "1954", "2003"]}
    quiz = {"game": "quiz", "id": "g2", **since, "answers": 7}
    told = {"answers": 90, "right": 1, "counts": [20, 60, 10], "mine": 0}
    draw = {"game": "draw", "id": "g3", "prize": "The organza cape of look 8", "places": 1, "entries": 212}
    won = {"winners": [{"person": "per_1", "name": "Ines"}]}
    rain = {"game": "rain", "id": "g4", "budget": _euro(50_000), "portions": 40}
    fell = {"kind": "rain.fallen", "body": {"rain": {**rain, **over, "caught": 38}}}
    return {
        "poll": [{"kind": "poll.opened", "body": {"poll": {**poll, **on}}}],
        "quiz": [{"kind": "quiz.opened", "body": {"quiz": {**quiz, **on}}}],
        "quiz-over": [{"kind": "quiz.closed", "body": {"quiz": {**quiz, **over, **told}}}],
        "draw": [{"kind": "draw.opened", "body": {"draw": {**draw, **on}}}],
        "draw-over": [{"kind": "draw.drawn", "body": {"draw": {**draw, **over, **won}}}],
        "rain": [{"kind": "rain.opened", "body": {"rain": {**rain, **on}}}],
        "rain-caught": [fell, {"kind": "rain.caught", "body": {"rain": "g4", "amount": _euro(1_250)}}],
        "rain-missed": [fell],
    }.get(how, [])
