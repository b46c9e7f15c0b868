"""What moderators ask for and are told, typed: the half of `chat/kinds.py` that a viewer's page never needs. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from chat.message import Line

SilenceKind = Literal["timeout", "ban", "shadow"]
Links = Literal["off", "listed", "held", "buyers", "on"]
TermKind = Literal["blocked", "held", "allowed"]
CaseKind = Literal["line", "question", "report", "appeal"]
Verdict = Literal["approve", "refuse"]
ReportWhy = Literal["abuse", "spam", "scam", "other"]


class Silence(msgspec.Struct, frozen=True):
    """Why a person may not talk. `until_ms` is server time; a ban runs until it is lifted (end of the year 9999).
    `shadow`: only moderators know of it, she alone sees what she says."""

    until_ms: int
    reason: str
    kind: SilenceKind


class Mode(msgspec.Struct, frozen=True):
    """How the room is kept. `slow_s`: seconds between a viewer's lines, 0 is off. `links`: `off`, `listed` (to the
    allowed addresses), `held` (reviewed first), `buyers`, `on`. `buyers`: only who has bought may talk. `age_s`: only
    who has been known for so long. `emote`: nothing but emoji. `hold`: every line is reviewed first. `raid_until_ms`:
    until then who was first seen later than ten minutes before `raid_from_ms` may not talk, and the others slowly and
    without links; it ends by itself. Moderators are exempt."""

    slow_s: int = 0
    links: Links = "off"
    buyers: bool = False
    age_s: int = 0
    emote: bool = False
    hold: bool = False
    raid_until_ms: int = 0
    raid_from_ms: int = 0


class SilencedPerson(msgspec.Struct, frozen=True):
    person: str
    name: str
    silence: Silence


class Case(msgspec.Struct, frozen=True):
    """Something that waits for a moderator. `kind`: a held `line` or `question`, a `report` of a line, an `appeal`
    against a silence. `why`: `term`, `link`, `hold` or `evasion` for what is held; what the first reporter says; the
    silence's reason; `gathered`: reports of many lines, by more people than may each raise a case, of which `line` is
    the first and `reports` the number. `text` is the appeal's or the reporter's own words. `claimed_by` is a
    moderator's name, until `claimed_until_ms`."""

    id: str
    why: str
    kind: CaseKind
    person: str
    name: str
    text: str
    wall_ms: int
    line: Line | None = None
    reports: int = 0
    claimed_by: str = ""
    claimed_until_ms: int = 0


class Note(msgspec.Struct, frozen=True):
    """What a moderator wants the next one to know of a person."""

    id: str
    person: str
    text: str
    actor: str
    actor_name: str
    wall_ms: int


class FoundLine(msgspec.Struct, frozen=True):
    """A line as the archive has it. `removed`: taken out. `shadow`: only its author saw it."""

    line: Line
    removed: bool
    shadow: bool


class PastAct(msgspec.Struct, frozen=True):
    """An act on a person, from the audit log."""

    act: str
    actor: str
    reason: str
    wall_ms: int


class PersonFacts(msgspec.Struct, frozen=True):
    """All that a moderator may know of a person. `names` she used, newest first; `said` and `removed` count her lines;
    `lines` are the newest of them, newest first. `since_ms`: when she was first seen, 0 if that isn't known."""

    person: str
    name: str
    names: list[str]
    badge: str
    since_ms: int
    said: int
    removed: int
    silence: Silence | None
    lines: list[FoundLine]
    notes: list[Note]
    acts: list[PastAct]


# ---- private events ----------------------------------------------------------------------------


class PersonSilenced(msgspec.Struct, frozen=True):
    """To the person. `silence` is null when it was lifted. `appeal` is the intent by which she may ask for it to be
    lifted. After a ban her socket is closed (4423); it may come back, and has the show without the talk."""

    person: str
    silence: Silence | None
    appeal: str = "appeal.send"


class TermsChanged(msgspec.Struct, frozen=True):
    """To moderators: the blocked terms, those that hold a line for review, and what is allowed whatever the others say
    (words, and addresses for the link rule `listed`), as typed."""

    terms: list[str]
    held: list[str] = []
    allowed: list[str] = []


class SilencesChanged(msgspec.Struct, frozen=True):
    """To moderators: everyone who may not talk now."""

    silences: list[SilencedPerson]


class CasesChanged(msgspec.Struct, frozen=True):
    """To moderators, on joining: all that waits, oldest first."""

    cases: list[Case]


class CaseChanged(msgspec.Struct, frozen=True):
    """To moderators: a case came up, was reported again, claimed or let go."""

    case: Case


class CaseClosed(msgspec.Struct, frozen=True):
    """To moderators: decided, by `by`."""

    case: str
    verdict: Verdict
    by: str


class LineShadowed(msgspec.Struct, frozen=True):
    """To moderators: what somebody said whom nobody else hears."""

    line: Line


class LineReviewed(msgspec.Struct, frozen=True):
    """To the author of a held line or question, or of an appeal: what came of it, and why."""

    case: str
    kind: CaseKind
    verdict: Verdict
    reason: str


PRIVATE: dict[str, type[msgspec.Struct]] = {
    "person.silenced": PersonSilenced,
    "line.reviewed": LineReviewed,
    "terms.changed": TermsChanged,
    "silences.changed": SilencesChanged,
    "cases.changed": CasesChanged,
    "case.changed": CaseChanged,
    "case.closed": CaseClosed,
    "line.shadowed": LineShadowed,
}


# ---- intents -----------------------------------------------------------------------------------


class PersonTimeout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Silence for 10 seconds to 28 days. Answer: {"person", "until_ms"}. Refused: invalid, forbidden (she keeps the
    room too), store_down."""

    person: str
    seconds: int
    reason: str = ""


class PersonBan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Silence until lifted; her lines are removed, her sockets cut. With `shadow` she isn't told and goes on talking,
    heard by nobody; her earlier lines stay. Answer: {"person", "until_ms", "lines"}. Refused: invalid, forbidden,
    store_down."""

    person: str
    reason: str = ""
    shadow: bool = False


class PersonUnban(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lift a ban or a timeout. Answer: {"person"}. Refused: not_found, store_down."""

    person: str


class PersonLook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is this? Answer: {"facts": PersonFacts}. Refused: store_down."""

    person: str


class PersonNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Leave a note on a person, 1 to 500 characters, for moderators only. Answer: {"note": Note}. Refused: invalid,
    store_down."""

    person: str
    text: str


class LinesFind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Look for lines by person, by what they hold, or both; at most 100, newest first. Answer: {"lines": list of
    FoundLine}. Refused: invalid (neither is given), store_down."""

    person: str = ""
    words: str = ""


class TermIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word or phrase, however it is dressed up: `blocked` may not be said, `held` is reviewed first, `allowed` wins
    over both. An address that is allowed is one that links may lead to, and so is what is below it: "example.co.uk"
    takes "shop.example.co.uk" along, and "co.uk" is refused. At most 1,000 a room in all. Answer: {"terms", "held",
    "allowed"}. Refused: invalid, store_down."""

    term: str
    kind: TermKind = "blocked"


class TermTry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What would this term have caught of the room's last 5,000 lines? Nothing changes. Answer: {"lines": how many were
    looked at, "hits", "examples": at most 5 FoundLine}. Refused: invalid, store_down."""

    term: str


class ModeSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Only what is named changes. `slow_s` 0 to 3,600, `age_s` 0 to 31 days, `raid_s` 0 (over) to 3,600: how long from
    now. Answer: {"mode"}. Refused: invalid, store_down."""

    slow_s: int | None = None
    links: Links | None = None
    buyers: bool | None = None
    age_s: int | None = None
    emote: bool | None = None
    hold: bool | None = None
    raid_s: int | None = None


class CaseClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take a case for a minute, so that no other moderator decides it; again: for another minute. `release` lets it go.
    Answer: {"case": Case}. Refused: not_found, claimed, store_down."""

    case: str
    release: bool = False


class CaseDecide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`approve` posts a held line or question (with a new number), leaves a reported line, lifts an appealed silence;
    `refuse` drops, removes, lets stand. Reports that were `gathered` can only be approved: each may be of another line.
    The author is told, with `reason`. Answer: {"case", "verdict", "line"?}. Refused: invalid, not_found, claimed (by
    another), decided (by another, with her `verdict`), store_down (not decided)."""

    case: str
    verdict: Verdict
    reason: str = ""


class LineReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tell the moderators of a line; twice is once. Answer: {"line"}. Refused: invalid, not_found, silenced (banned),
    throttled, store_down."""

    line: str
    why: ReportWhy = "other"
    text: str = ""


class AppealSend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for a ban or timeout to be lifted, once each; 1 to 500 characters. Answer: {"case"}. Refused: invalid,
    not_found (nothing to appeal against), decided, throttled, store_down."""

    text: str


class LinePin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep a line above the others; "" takes it down. Answer: {"line"}. Refused: not_found, store_down."""

    line: str


INTENTS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "person.timeout": (PersonTimeout, "moderator"),
    "person.ban": (PersonBan, "moderator"),
    "person.unban": (PersonUnban, "moderator"),
    "person.look": (PersonLook, "moderator"),
    "person.note": (PersonNote, "moderator"),
    "lines.find": (LinesFind, "moderator"),
    "line.pin": (LinePin, "moderator"),
    "line.report": (LineReport, "viewer"),
    "appeal.send": (AppealSend, "viewer"),
    "case.claim": (CaseClaim, "moderator"),
    "case.decide": (CaseDecide, "moderator"),
    "terms.add": (TermIntent, "moderator"),
    "terms.remove": (TermIntent, "moderator"),
    "terms.try": (TermTry, "moderator"),
    "mode.set": (ModeSet, "moderator"),
}
