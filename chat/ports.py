"""What the room needs from whoever runs it. `live` fits these; the tests' doubles are held to `tests/contract/chat`."""

from __future__ import annotations

from typing import Protocol

import msgspec
from starlette.websockets import WebSocket

from chat.kinds import SilenceKind
from chat.message import Line

# A ban has no end: the last millisecond of the year 9999, so that every reader can compare numbers.
FOREVER_MS = 253_402_300_799_999


class Member(msgspec.Struct, frozen=True):
    """Who holds a socket, as the server knows her: nothing here came from the socket itself.

    `roles` is complete (a host's holds "moderator" too). `device` outlives names and sessions. `network` is a keyed
    hash of the address, "" to exempt it from the per-network cap (this machine's own)."""

    person: str
    name: str
    roles: frozenset[str]
    device: str
    session: str
    badge: str = ""
    network: str = ""

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

    async def private(self, room: str, member: Member) -> list[tuple[str, object]]:
        """(kind, body) of the private state, sent again after a resume."""
        ...


class SilenceRecord(msgspec.Struct, frozen=True):
    """A timeout or ban. It matches `person` or, when not "", `device`: never the network, which neighbours share."""

    id: str
    person: str
    device: str
    name: str
    kind: SilenceKind
    until_ms: int
    reason: str
    actor: str
    wall_ms: int


class LineRecord(msgspec.Struct, frozen=True):
    """A line as it is kept."""

    epoch: str
    seq: int
    line: Line


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


class RoomRecord(msgspec.Struct, frozen=True):
    """What must hold again when Redis starts empty: silences in force, blocked terms."""

    silences: list[SilenceRecord]
    terms: list[str]


class Archive(Protocol):
    """The lasting part of the room. Lines fail open (a lost one is logged); an act of moderation that could not be
    written is told to the moderator. Every method may raise anything when its store is down."""

    async def lines_posted(self, room: str, lines: list[LineRecord]) -> None:
        """Keep lines; one that is known already (same `line.id`) is left as it is."""
        ...

    async def lines_removed(self, room: str, lines: list[str], by: str, wall_ms: int) -> None:
        """Mark lines as removed by the person `by`. Lines that never arrived are no error."""
        ...

    async def silenced(self, room: str, silence: SilenceRecord) -> None:
        """A later silence of the same person replaces the earlier."""
        ...

    async def lifted(self, room: str, person: str, wall_ms: int) -> None: ...

    async def term(self, room: str, term: str, *, blocked: bool, actor: str, wall_ms: int) -> None:
        """A term was blocked or freed."""
        ...

    async def named(self, room: str, member: Member, name: str) -> None:
        """The person calls herself `name` from now on: keep it with her session."""
        ...

    async def act(self, act: Act) -> None: ...

    async def load(self, room: str, now_ms: int) -> RoomRecord:
        """Silences in force at `now_ms` and the blocked terms."""
        ...
