"""Every kind that the room itself sends or takes, typed. `docs/protocol.md` lists the same; a test compares.

Four catalogues: EVENTS go to everyone in a room and are numbered, VOLATILE go to everyone and are not, PRIVATE go to
one person or to a role, INTENTS come from a page and name the least role that may send them. CONTROL are the frames
of the connection itself. Moderators' kinds are in `chat/moderation/kinds.py`, live's own in `live/events.py`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from chat.message import Line, Question, QuestionState
from chat.moderation import kinds as moderation
from chat.moderation.kinds import Mode, Silence
from chat.service import Service, Setting

# ---- the connection ----------------------------------------------------------------------------


class You(msgspec.Struct, frozen=True):
    """Who the server says you are. `silenced` says why you can't talk, or null."""

    person: str
    name: str
    roles: list[str]
    silenced: Silence | None = None


class RoomFacts(msgspec.Struct, frozen=True):
    """The room's part of a snapshot: people watching, the newest 50 lines (oldest first), how it is kept. `pinned` is a
    line or null. `questions` are those that wait and the newest that were answered, oldest first."""

    viewers: int
    lines: list[Line]
    mode: Mode
    pinned: Line | None = None
    questions: list[Question] = []


class Welcome(msgspec.Struct, frozen=True):
    """The whole state at `seq` of `epoch`. `now_ms` is the server's clock. `live` is the show's part."""

    epoch: str
    seq: int
    now_ms: int
    you: You
    room: RoomFacts
    live: Any


class Resumed(msgspec.Struct, frozen=True):
    """What was missed has been sent before this; the private state follows."""

    epoch: str
    seq: int
    now_ms: int
    you: You


class Going(msgspec.Struct, frozen=True):
    """This process stops: connect again after `retry_ms`, to whichever answers."""

    retry_ms: int


class Refusal(msgspec.Struct, frozen=True):
    """Why not: `code`, and the `facts` that go with it."""

    code: str
    facts: dict[str, Any]


CONTROL: dict[str, type[msgspec.Struct]] = {
    "welcome": Welcome,
    "reset": Welcome,
    "resumed": Resumed,
    "going": Going,
    "refused": Refusal,
}


# ---- events: past tense ------------------------------------------------------------------------


class LinePosted(msgspec.Struct, frozen=True):
    line: Line


class LineRemoved(msgspec.Struct, frozen=True):
    """Take the line off the screen, the pinned one too. Also what a removed line has become in the log: its number,
    without its text."""

    line: str
    by: Literal["moderator", "author"]


class LinesRemoved(msgspec.Struct, frozen=True):
    """Several at once: a banned person's."""

    lines: list[str]
    by: Literal["moderator", "author"]


class LinePinned(msgspec.Struct, frozen=True):
    """The line to keep above the others, or null."""

    line: Line | None


class ModeChanged(msgspec.Struct, frozen=True):
    mode: Mode


class QuestionChanged(msgspec.Struct, frozen=True):
    """Asked, claimed, answered; a dismissed one is taken off the list."""

    question: Question


EVENTS: dict[str, type[msgspec.Struct]] = {
    "line.posted": LinePosted,
    "line.removed": LineRemoved,
    "lines.removed": LinesRemoved,
    "line.pinned": LinePinned,
    "mode.changed": ModeChanged,
    "question.changed": QuestionChanged,
}


class PresenceCounted(msgspec.Struct, frozen=True):
    """People watching, each once however many tabs she has."""

    viewers: int


class HeartsCounted(msgspec.Struct, frozen=True):
    """Hearts since the last of these. A shadow-banned person's are told to her own tabs alone."""

    n: int


class ServiceChanged(msgspec.Struct, frozen=True):
    """What is served here now: under load, or when staff say so, decoration is given up first (chat.service). Told by
    each process to its own sockets, and after a welcome when anything is off. `read_only`: the store is away."""

    service: Service


class EventsSkipped(msgspec.Struct, frozen=True):
    """To a reader who fell behind: the numbers from `from_seq` to `to_seq` are not coming. Only lines of talk, and
    events that a later one replaces, are ever skipped."""

    from_seq: int
    to_seq: int


VOLATILE: dict[str, type[msgspec.Struct]] = {
    "presence.counted": PresenceCounted,
    "hearts.counted": HeartsCounted,
    "service.changed": ServiceChanged,
    "events.skipped": EventsSkipped,
}


class NameChanged(msgspec.Struct, frozen=True):
    """To the person's own tabs."""

    name: str


PRIVATE: dict[str, type[msgspec.Struct]] = {"name.changed": NameChanged} | moderation.PRIVATE


# ---- intents: imperative -----------------------------------------------------------------------


class LinePost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say something; `nonce` comes back in the answer. `reply` is the id of the line it answers; of `mentions`, ids of
    persons, those count whose name the text has after an @. Answer: {"line": id, "seq", "nonce"} or, when a moderator
    looks first, {"held": case, "why", "nonce"}. Refused: invalid, silenced, slow_mode, throttled, blocked,
    store_down."""

    text: str
    nonce: str = ""
    reply: str = ""
    mentions: list[str] = []


class LineRemove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A moderator removes anyone's line, an author her own. Answer: {"line": id}. Refused: forbidden, not_found,
    store_down."""

    line: str


class QuestionAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask the host something; at most 3 open ones a person. Answer: {"question": id} or, when it is reviewed first,
    {"held": case, "why"}. Refused: as line.post."""

    text: str


class QuestionMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Claim a question, answer it (the media time is kept), dismiss it, or open it again. Answer: {"question":
    Question}. Refused: not_found, claimed (another answers it), store_down."""

    question: str
    state: QuestionState


class NameSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Call yourself something else, but not what a moderator, host or member of staff is called, or what looks like it
    (blocked, why "name"). Answer: {"name"}. Refused: invalid, blocked, silenced, throttled, store_down."""

    name: str


class ServiceSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flip what is named, on every process: "on" and "off" hold whatever the load, "auto" leaves it to load. Answer:
    {"chosen"}. Refused: invalid, store_down."""

    animations: Setting | None = None
    hearts: Setting | None = None
    presence: Setting | None = None
    every_line: Setting | None = None
    history: Setting | None = None


class HeartSend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """1 to 20 hearts; they are counted together and sent at most 4 times a second. Answer: {}. Refused: invalid,
    throttled."""

    n: int = 1


class ClockAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What time is it, and is anybody there? A client that heard nothing for 15 s asks, for a connection may die
    without a word. Answer: {"now_ms"}."""


_INTENTS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "line.post": (LinePost, "viewer"),
    "line.remove": (LineRemove, "viewer"),
    "question.ask": (QuestionAsk, "viewer"),
    "question.mark": (QuestionMark, "moderator"),
    "name.set": (NameSet, "viewer"),
    "service.set": (ServiceSet, "host"),
    "heart.send": (HeartSend, "viewer"),
    "clock.ask": (ClockAsk, "viewer"),
}
INTENTS = _INTENTS | moderation.INTENTS
