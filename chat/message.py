"""A line of talk and a name: what they may hold, and how they are cleaned. Pure."""

from __future__ import annotations

import unicodedata
from typing import Literal

import msgspec

from chat.errors import Invalid

MAX_LINE_CHARS = 300
MAX_NAME_CHARS = 32
MAX_REASON_CHARS = 200
MAX_NOTE_CHARS = 500
MAX_MENTIONS = 5
# A letter with more marks than this is zalgo, not a language.
MAX_MARKS_IN_A_ROW = 4

Badge = Literal["", "staff", "host", "moderator", "buyer"]


class Reply(msgspec.Struct, frozen=True):
    """The line that another answers: never its text, which may be removed later."""

    line: str
    person: str
    name: str


class Mention(msgspec.Struct, frozen=True):
    """Somebody whom the text calls `@name`."""

    person: str
    name: str


class Line(msgspec.Struct, frozen=True):
    """One line as everyone sees it. `id` is first: the numbering script writes it (`<epoch>.<seq>`). `at` is the
    media time in ms it was said at, or None; `wall_ms` is server time. `badge`: "staff", "host", "moderator", "buyer"
    or ""."""

    id: str
    person: str
    name: str
    text: str
    wall_ms: int
    badge: str = ""
    at: int | None = None
    reply: Reply | None = None
    mentions: list[Mention] = []


QuestionState = Literal["open", "claimed", "answered", "dismissed"]


class Question(msgspec.Struct, frozen=True):
    """A question to the host, apart from the talk. `by` is the name of who has claimed or answered it; `answered_at`
    the media time in ms at which it was answered, or None: the moment on the recording."""

    id: str
    person: str
    name: str
    text: str
    wall_ms: int
    badge: str = ""
    at: int | None = None
    state: QuestionState = "open"
    by: str = ""
    answered_at: int | None = None


def line_text(raw: str) -> str:
    """The text as kept and shown: NFC, one line, no control characters, no zalgo, trimmed.

    Raises: Invalid when nothing is left or it is longer than 300 characters."""
    text = _clean(raw)
    if not text:
        raise Invalid("text", "empty")
    if len(text) > MAX_LINE_CHARS:
        raise Invalid("text", f"longer than {MAX_LINE_CHARS} characters")
    return text


def display_name(raw: str) -> str:
    """A nickname as shown. Raises: Invalid when nothing visible is left or it is longer than 32 characters."""
    name = _clean(raw)
    if not any(unicodedata.category(char)[0] in "LNS" for char in name):
        raise Invalid("name", "empty")
    if len(name) > MAX_NAME_CHARS:
        raise Invalid("name", f"longer than {MAX_NAME_CHARS} characters")
    return name


def reason_text(raw: str) -> str:
    return _clean(raw)[:MAX_REASON_CHARS]


def note_text(raw: str) -> str:
    """A note's, an appeal's or a report's words. Raises: Invalid when nothing is left or over 500 characters."""
    text = _clean(raw)
    if not text:
        raise Invalid("text", "empty")
    if len(text) > MAX_NOTE_CHARS:
        raise Invalid("text", f"longer than {MAX_NOTE_CHARS} characters")
    return text


def _clean(raw: str) -> str:
    kept: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", raw):
        category = unicodedata.category(char)
        if category in ("Mn", "Me"):
            marks += 1
            if marks > MAX_MARKS_IN_A_ROW:
                continue
        else:
            marks = 0
        if category in ("Cc", "Zl", "Zp"):
            kept.append(" ")
        # Format characters reorder or hide text (bidi overrides, zero-width), but ZWJ and ZWNJ build emoji and words.
        elif category not in ("Cf", "Cs", "Co", "Cn") or char in "\u200c\u200d":
            kept.append(char)
    return " ".join("".join(kept).split())
