"""The intents of talk and moderation, put together: what the hub hands over, and what it asks of a room."""

from __future__ import annotations

from collections.abc import Callable

from chat.bus import RedisBus
from chat.errors import Invalid
from chat.intent import Intent
from chat.kinds import ClockAsk, HeartSend
from chat.lines import Lines
from chat.message import Line, Question
from chat.moderation.complaints import Complaints
from chat.moderation.kinds import SilencesChanged
from chat.moderation.modes import Modes
from chat.moderation.office import Handlers, Office, Who, is_crew
from chat.moderation.people import Records
from chat.moderation.review import Review
from chat.moderation.silences import Silences
from chat.moderation.store import Decisions
from chat.moderation.terms import RoomWords, changed_of
from chat.names import Names
from chat.ports import Archive, LineRecord, Member, SilenceRecord
from chat.questions import Questions

HEARTS_A_SEND = 20
_HEARTS_S, _HEARTS_BURST = 20.0, 60.0


class Talk:
    """`hearts(room, member, n)` and `archived(room, record)` hand over what the hub sends and keeps later."""

    def __init__(
        self,
        bus: RedisBus,
        decisions: Decisions,
        archive: Archive,
        now_ms: Callable[[], int],
        *,
        hearts: Callable[[str, Member, int], None],
        archived: Callable[[str, LineRecord], None],
        media_ms: Callable[[str], int | None],
    ) -> None:
        self._now_ms = now_ms
        self._hearts = hearts
        self._office = office = Office(bus, decisions, archive, now_ms)
        self._words = RoomWords(office)
        self._modes = Modes(office)
        self._silences = Silences(office)
        self._names = Names(office, self._words, self._silences)
        self._review = Review(office, self._silences, archived)
        self._complaints = Complaints(office, self._silences, self._review)
        self._records = Records(office)
        self._questions = Questions(office, media_ms)
        self._lines = Lines(
            office, self._words, self._names, self._questions, self._review, archived=archived, media_ms=media_ms
        )
        self._silences.dropped = self._drop_of

    @property
    def handlers(self) -> Handlers:
        handlers: Handlers = {"heart.send": self.heart, "clock.ask": self.clock}
        for part in (
            self._lines,
            self._names,
            self._questions,
            self._words,
            self._modes,
            self._silences,
            self._review,
            self._complaints,
            self._records,
        ):
            handlers |= part.handlers
        return handlers

    # ---- what the hub tells us of a room, and asks

    async def refresh(self, room: str) -> None:
        """Read the room's words and the names of its crew again."""
        await self._words.refresh(room)
        await self._names.of_crew(room, anew=True)

    async def put_back(self, room: str) -> None:
        """What the archive has of a room that the store forgot. Raises: StoreDown."""
        await self._office.decisions.load_if_empty(room)

    async def finish(self, room: str) -> None:
        """Carry out what was decided and left half done. Raises: StoreDown, RedisError."""
        await self._review.finish(room)

    def forget(self, room: str) -> None:
        self._words.forget(room)
        self._names.forget(room)

    async def private(self, room: str, member: Member) -> list[tuple[str, object]]:
        """What a moderator's page starts with."""
        if not member.may("moderator"):
            return []
        return [
            ("terms.changed", changed_of(await self._words.of(room))),
            ("silences.changed", SilencesChanged(await self._silences.all(room))),
            ("cases.changed", await self._review.all(room)),
        ]

    async def silences_of(self, room: str, members: list[Member]) -> list[SilenceRecord | None]:
        """What each may know of her own silence. Raises: StoreDown."""
        return await self._silences.of_each(room, members)

    async def bans(self, room: str) -> dict[str, SilenceRecord]:
        """Bans and shadow bans in force, by `p:<person>` and `d:<device>`. Raises: StoreDown."""
        return await self._office.decisions.bans(room)

    async def own_lines(self, room: str, people: list[str]) -> list[list[Line]]:
        """What each of them alone sees of what she said, oldest first."""
        return await self._lines.own_of_each(room, people)

    async def own_questions(self, room: str, people: list[str]) -> list[list[Question]]:
        """What each of them asked and alone sees."""
        return await self._questions.own_of_each(room, people)

    # ---- small intents

    async def clock(self, intent: Intent) -> dict[str, object]:
        intent.read(ClockAsk)
        return {"now_ms": self._now_ms()}

    async def heart(self, intent: Intent) -> dict[str, object]:
        n = intent.read(HeartSend).n
        if not 1 <= n <= HEARTS_A_SEND:
            raise Invalid("n", f"1 to {HEARTS_A_SEND}")
        self._office.spend_here("heart", intent.member.person, _HEARTS_S, _HEARTS_BURST, n)
        self._hearts(intent.room, intent.member, n)
        return {}

    async def _drop_of(self, intent: Intent, person: str) -> None:
        await self._review.drop_of(intent, person)
        await self._questions.drop_of(intent.room, person)


__all__ = ["Talk", "Who", "is_crew"]
