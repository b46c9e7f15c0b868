"""What every `chat.ports.Archive` does. A suite for one is `class TestX(ArchiveContract)` with an `archive` fixture;
`MemoryArchive` is the double of the room's tests, held to the same."""

from __future__ import annotations

import msgspec

from chat.message import Line
from chat.ports import FOREVER_MS, Act, LineRecord, Member, RoomRecord, SilenceRecord

ROOM = "shw_contract"
NOW_MS = 1_750_000_000_000


class MemoryArchive:
    def __init__(self) -> None:
        self.lines: dict[str, LineRecord] = {}
        self.removed: dict[str, str] = {}
        self.silences: dict[tuple[str, str], SilenceRecord] = {}
        self.terms: set[tuple[str, str]] = set()
        self.names: dict[str, str] = {}
        self.acts: list[Act] = []
        self.down = False

    def _check(self) -> None:
        if self.down:
            raise OSError("the archive is down")

    async def lines_posted(self, room: str, lines: list[LineRecord]) -> None:
        self._check()
        for record in lines:
            self.lines.setdefault(record.line.id, record)

    async def lines_removed(self, room: str, lines: list[str], by: str, wall_ms: int) -> None:
        self._check()
        self.removed.update(dict.fromkeys(lines, by))

    async def silenced(self, room: str, silence: SilenceRecord) -> None:
        self._check()
        self.silences[room, silence.person] = silence

    async def lifted(self, room: str, person: str, wall_ms: int) -> None:
        self._check()
        self.silences.pop((room, person), None)

    async def term(self, room: str, term: str, *, blocked: bool, actor: str, wall_ms: int) -> None:
        self._check()
        (self.terms.add if blocked else self.terms.discard)((room, term))

    async def named(self, room: str, member: Member, name: str) -> None:
        self._check()
        self.names[member.person] = name

    async def act(self, act: Act) -> None:
        self._check()
        self.acts.append(act)

    async def load(self, room: str, now_ms: int) -> RoomRecord:
        self._check()
        silences = [s for (r, _), s in self.silences.items() if r == room and s.until_ms > now_ms]
        return RoomRecord(silences, sorted(term for r, term in self.terms if r == room))


def silence(person: str = "per_1", **more: object) -> SilenceRecord:
    record = SilenceRecord(f"sil_{person}_1", person, "dev_1", "Ann", "ban", FOREVER_MS, "spam", "per_mod", NOW_MS)
    return msgspec.structs.replace(record, **more)


def line(number: int, text: str = "hello") -> LineRecord:
    return LineRecord("e1", number, Line(f"e1.{number}", "per_1", "Ann", text, NOW_MS + number))


class ArchiveContract:
    async def test_a_ban_is_loaded_again(self, archive) -> None:
        await archive.silenced(ROOM, silence())
        record = await archive.load(ROOM, NOW_MS + 1)
        assert [(s.person, s.device, s.kind, s.until_ms, s.reason) for s in record.silences] == [
            ("per_1", "dev_1", "ban", FOREVER_MS, "spam")
        ]

    async def test_a_timeout_that_ran_out_is_not_loaded(self, archive) -> None:
        await archive.silenced(ROOM, silence(kind="timeout", until_ms=NOW_MS + 1000))
        assert len((await archive.load(ROOM, NOW_MS)).silences) == 1
        assert (await archive.load(ROOM, NOW_MS + 1001)).silences == []

    async def test_a_lifted_ban_is_not_loaded(self, archive) -> None:
        await archive.silenced(ROOM, silence())
        await archive.lifted(ROOM, "per_1", NOW_MS + 1)
        assert (await archive.load(ROOM, NOW_MS + 2)).silences == []

    async def test_a_later_silence_replaces_the_earlier(self, archive) -> None:
        await archive.silenced(ROOM, silence(id="sil_a", kind="timeout", until_ms=NOW_MS + 10_000))
        await archive.silenced(ROOM, silence(id="sil_b", wall_ms=NOW_MS + 1))
        assert [s.kind for s in (await archive.load(ROOM, NOW_MS + 2)).silences] == ["ban"]

    async def test_a_silence_is_of_one_room(self, archive) -> None:
        await archive.silenced(ROOM, silence())
        assert (await archive.load("shw_other", NOW_MS)).silences == []

    async def test_terms_are_loaded_and_freed(self, archive) -> None:
        for term in ("one", "two", "two"):
            await archive.term(ROOM, term, blocked=True, actor="per_mod", wall_ms=NOW_MS)
        await archive.term(ROOM, "one", blocked=False, actor="per_mod", wall_ms=NOW_MS)
        assert (await archive.load(ROOM, NOW_MS)).terms == ["two"]

    async def test_a_line_that_is_known_is_no_error(self, archive) -> None:
        await archive.lines_posted(ROOM, [line(1)])
        await archive.lines_posted(ROOM, [line(1), line(2)])

    async def test_a_line_that_never_arrived_can_be_removed(self, archive) -> None:
        await archive.lines_posted(ROOM, [line(1)])
        await archive.lines_removed(ROOM, ["e1.1", "e1.999"], "per_mod", NOW_MS)

    async def test_acts_are_written(self, archive) -> None:
        for _ in range(2):
            await archive.act(Act(ROOM, "per_mod", "person.ban", "per_1", "spam", "", "{}", NOW_MS))
