"""What the room needs from whoever runs it. `live` fits these; the tests' doubles are held to `tests/contract/chat`."""

from __future__ import annotations

from typing import Protocol

import msgspec
from starlette.websockets import WebSocket

from chat.message import Line, Question
from chat.moderation.kinds import Case, FoundLine, Mode, Note, PersonFacts, SilenceKind, TermKind, Verdict

# A ban has no end: the last millisecond of the year 9999, so that every reader can compare numbers.
FOREVER_MS = 253_402_300_799_999


class Member(msgspec.Struct, frozen=True):
    """Who holds a socket, as the server knows her: nothing here came from the socket itself.

    `roles` is complete (a host's holds "moderator" too). `device` outlives names and sessions. `network` is a keyed
    hash of the address, "" to exempt it from the per-network cap (this machine's own). `since_ms` is when she was first
    seen, 0 when that was always. A viewer whose `badge` is "buyer" has bought."""

    person: str
    name: str
    roles: frozenset[str]
    device: str
    session: str
    badge: str = ""
    network: str = ""
    since_ms: int = 0

    def may(self, role: str) -> bool:
        return role == "viewer" or role in self.roles


class Gate(Protocol):
    """Who is at the door."""

    async def admit(self, ws: WebSocket, room_name: str) -> tuple[str, Member]:
        """The room's id and who comes in. Checks Origin and session.

        Raises: NotAdmitted."""
        ...


class Scene(Protocol):
    """What else is in the room."""

    async def snapshot(self, room: str, member: Member) -> object:
        """`welcome`'s `live`, encodable by msgspec. Read after the room's position: it may be newer than that, so every
        event must say what is, not what changed."""
        ...

    async def private(self, room: str, members: list[Member]) -> list[list[tuple[str, object]]]:
        """Of each, (kind, body) of her private state, sent again after a resume: asked for many at once."""
        ...


class SilenceRecord(msgspec.Struct, frozen=True):
    """A timeout, ban or shadow ban. It matches `person` or, when not "", `device`. `network` silences nobody, since
    neighbours share it: who first comes from there after the ban, until `network_until_ms`, is reviewed first."""

    id: str
    person: str
    device: str
    name: str
    kind: SilenceKind
    until_ms: int
    reason: str
    actor: str
    wall_ms: int
    network: str = ""
    network_until_ms: int = 0


class LineRecord(msgspec.Struct, frozen=True):
    """A line as it is kept. `shadow`: only its author has seen it, and nothing that leaves the house may hold it."""

    epoch: str
    seq: int
    line: Line
    shadow: bool = False


class Act(msgspec.Struct, frozen=True):
    """One moderator's act, for the audit log."""

    room: str
    actor: str
    act: str
    target: str
    reason: str
    before: str
    after: str
    wall_ms: int


class Decision(msgspec.Struct, frozen=True):
    """How a case was decided by the person `by`, the reason given, and which line or question came of it ("": none)."""

    case: str
    verdict: Verdict
    by: str
    by_name: str
    made: str = ""
    reason: str = ""


class RoomRecord(msgspec.Struct, frozen=True):
    """What must hold again when Redis starts empty: silences in force, terms, mode (None: never set), questions, cases
    that wait, what was decided of others in the last day, and the line that was pinned last, if it is still there."""

    silences: list[SilenceRecord]
    terms: dict[str, TermKind]
    mode: Mode | None = None
    questions: list[Question] = []
    cases: list[Case] = []
    decided: list[Decision] = []
    pinned: Line | None = None


class Notice(msgspec.Struct, frozen=True):
    """Something of the room that other systems may want to hear of (webhooks): `line.held`, `line.reported`, …"""

    room: str
    kind: str
    facts: dict[str, object]
    wall_ms: int


class Taken(msgspec.Struct, frozen=True):
    """Lines that somebody took out of a room's log, on their way to the archive: what is to be written of it. `id`
    names this taking; without an `act` that is written elsewhere, with what it was part of."""

    lines: list[str]
    id: str
    by: str
    wall_ms: int
    act: Act | None = None
    notice: Notice | None = None


class Archive(Protocol):
    """The lasting part of the room. Lines fail open (a lost one is logged); an act of moderation that could not be
    written is told to the moderator. Every method may raise anything when its store is down."""

    async def lines_posted(self, room: str, lines: list[LineRecord]) -> None:
        """Keep lines; one that is known already (same `line.id`) is left as it is."""
        ...

    async def lines_removed(self, room: str, lines: list[str], by: str, wall_ms: int) -> None:
        """Mark lines as removed by the person `by`. Lines that never arrived are no error."""
        ...

    async def taken_out(self, room: str, taken: Taken) -> None:
        """As `lines_removed`, with the act and the notice, all of it or nothing. Twice is once."""
        ...

    async def pinned(self, room: str, line: str, epoch: str, seq: int, wall_ms: int) -> None:
        """The line of that id is pinned from now on; with "" nothing is. The act has number `seq` of `epoch`: of two
        in one epoch the later stands, whichever arrives first."""
        ...

    async def silenced(self, room: str, silence: SilenceRecord) -> None:
        """A later silence of the same person replaces the earlier."""
        ...

    async def lifted(self, room: str, person: str, wall_ms: int) -> None: ...

    async def term(self, room: str, term: str, kind: TermKind | None, *, actor: str, wall_ms: int) -> None:
        """A term is of that kind from now on; None: no more."""
        ...

    async def mode(self, room: str, mode: Mode) -> None:
        """The room is kept so from now on."""
        ...

    async def question(self, room: str, question: Question) -> None:
        """A question was asked, or has another state."""
        ...

    async def case(self, room: str, case: Case) -> None:
        """A case came up, or was reported again. One that is decided stays so."""
        ...

    async def case_decided(self, room: str, case: Case, decision: Decision, wall_ms: int) -> Decision:
        """Decides it, unless it was decided before: how it is decided. Of two who ask at once one is first. A reported
        line that is refused is marked as removed with it."""
        ...

    async def cases_decided(self, room: str, cases: list[str], before_ms: int) -> list[Decision]:
        """Those of `cases` that were decided in the day before `before_ms`, and how."""
        ...

    async def case_made(self, room: str, case: str, made: str) -> None:
        """The line or question that came of a decided case."""
        ...

    async def note(self, room: str, note: Note) -> None: ...

    async def person(self, room: str, person: str, lines: int) -> PersonFacts:
        """Her names, counts, newest lines, notes and the acts on her; `silence`, `badge` and `since_ms` are the
        room's to fill in."""
        ...

    async def find(self, room: str, *, person: str = "", words: str = "", most: int = 100) -> list[FoundLine]:
        """Newest first. `words` are looked for as they stand, in any case of letters."""
        ...

    async def crew(self, room: str) -> list[str]:
        """What the people are called who keep this room, present or not: nobody else may look like them."""
        ...

    async def notice(self, notice: Notice) -> None: ...

    async def named(self, room: str, member: Member, name: str) -> None:
        """The person calls herself `name` from now on: keep it with her session."""
        ...

    async def act(self, act: Act) -> None: ...

    async def load(self, room: str, now_ms: int) -> RoomRecord:
        """What holds at `now_ms`."""
        ...
