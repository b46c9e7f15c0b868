"""What every `chat.ports.Archive` does. A suite for one is `class TestX(ArchiveContract)` with an `archive` fixture;
`MemoryArchive` is the double of the room's tests, held to the same."""

from __future__ import annotations

import msgspec
from sqlalchemy import select

from chat.message import Line, Mention, Question, Reply
from chat.moderation.kinds import Case, FoundLine, Mode, Note, PastAct, PersonFacts, TermKind
from chat.ports import FOREVER_MS, Act, Decision, LineRecord, Member, Notice, RoomRecord, SilenceRecord, Taken
from live.store.tables import audit, outbox

ROOM = "shw_contract"
NOW_MS = 1_750_000_000_000


class MemoryArchive:
    def __init__(self) -> None:
        self.lines: dict[str, LineRecord] = {}
        self.said_in: dict[str, str] = {}  # line -> room
        self.removed: dict[str, str] = {}
        self.taken: set[str] = set()
        self.pins: dict[str, tuple[str, str, int]] = {}
        self.silences: dict[tuple[str, str], SilenceRecord] = {}
        self.terms: dict[tuple[str, str], TermKind] = {}
        self.modes: dict[str, Mode] = {}
        self.questions: dict[str, tuple[str, Question]] = {}
        self.cases: dict[tuple[str, str], Case] = {}
        self.decided: dict[tuple[str, str], tuple[int, Decision]] = {}
        self.notes: list[Note] = []
        self.notices: list[Notice] = []
        self.crews: dict[str, list[str]] = {}
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
            self.said_in.setdefault(record.line.id, room)

    async def lines_removed(self, room: str, lines: list[str], by: str, wall_ms: int) -> None:
        self._check()
        self.removed.update(dict.fromkeys(lines, by))

    async def taken_out(self, room: str, taken: Taken) -> None:
        self._check()
        if taken.id not in self.taken:
            self.taken.add(taken.id)
            self.removed.update(dict.fromkeys(taken.lines, taken.by))
            self.acts += [taken.act] if taken.act else []
            self.notices += [taken.notice] if taken.notice else []

    async def pinned(self, room: str, line: str, epoch: str, seq: int, wall_ms: int) -> None:
        self._check()
        _, before, had = self.pins.get(room, ("", "", 0))
        if epoch != before or seq >= had:
            self.pins[room] = line, epoch, seq

    async def silenced(self, room: str, silence: SilenceRecord) -> None:
        self._check()
        self.silences[room, silence.person] = silence

    async def lifted(self, room: str, person: str, wall_ms: int) -> None:
        self._check()
        self.silences.pop((room, person), None)

    async def term(self, room: str, term: str, kind: TermKind | None, *, actor: str, wall_ms: int) -> None:
        self._check()
        self.terms.pop((room, term), None)
        if kind is not None:
            self.terms[room, term] = kind

    async def mode(self, room: str, mode: Mode) -> None:
        self._check()
        self.modes[room] = mode

    async def question(self, room: str, question: Question) -> None:
        self._check()
        self.questions[question.id] = (room, question)

    async def case(self, room: str, case: Case) -> None:
        self._check()
        self.cases[room, case.id] = case

    async def case_decided(self, room: str, case: Case, decision: Decision, wall_ms: int) -> Decision:
        self._check()
        first = self.decided.setdefault((room, case.id), (wall_ms, decision))[1]
        if case.kind == "report" and first.verdict == "refuse" and case.line is not None:
            self.removed.setdefault(case.line.id, first.by)
        return first

    async def cases_decided(self, room: str, cases: list[str], before_ms: int) -> list[Decision]:
        self._check()
        found = [self.decided[room, case] for case in cases if (room, case) in self.decided]
        return [decision for wall_ms, decision in found if before_ms - 86_400_000 <= wall_ms <= before_ms]

    async def case_made(self, room: str, case: str, made: str) -> None:
        self._check()
        wall_ms, decision = self.decided[room, case]
        self.decided[room, case] = wall_ms, msgspec.structs.replace(decision, made=made)

    async def note(self, room: str, note: Note) -> None:
        self._check()
        self.notes.append(note)

    async def notice(self, notice: Notice) -> None:
        self._check()
        self.notices.append(notice)

    async def crew(self, room: str) -> list[str]:
        self._check()
        return self.crews.get(room, [])

    async def find(self, room: str, *, person: str = "", words: str = "", most: int = 100) -> list[FoundLine]:
        self._check()
        found = [
            FoundLine(one.line, one.line.id in self.removed, one.shadow)
            for one in self.lines.values()
            if self.said_in.get(one.line.id, room) == room
            if person in ("", one.line.person) and words.lower() in one.line.text.lower()
        ]
        return sorted(found, key=lambda one: one.line.wall_ms, reverse=True)[:most]

    async def person(self, room: str, person: str, lines: int) -> PersonFacts:
        self._check()
        said = await self.find(room, person=person, most=10_000)
        names = list(dict.fromkeys(one.line.name for one in said))
        return PersonFacts(
            person=person,
            name=names[0] if names else "",
            names=names,
            badge="",
            since_ms=0,
            said=len(said),
            removed=sum(one.removed for one in said),
            silence=None,
            lines=said[:lines],
            notes=[note for note in reversed(self.notes) if note.person == person],
            acts=[PastAct(a.act, a.actor, a.reason, a.wall_ms) for a in reversed(self.acts) if a.target == person],
        )

    async def named(self, room: str, member: Member, name: str) -> None:
        self._check()
        self.names[member.person] = name

    async def act(self, act: Act) -> None:
        self._check()
        self.acts.append(act)

    async def load(self, room: str, now_ms: int) -> RoomRecord:
        self._check()
        silences = [s for (r, _), s in self.silences.items() if r == room and s.until_ms > now_ms]
        terms = {term: kind for (r, term), kind in self.terms.items() if r == room}
        asked = [question for r, question in self.questions.values() if r == room and question.state != "dismissed"]
        waiting = [case for at, case in self.cases.items() if at[0] == room and at not in self.decided]
        decided = [one for (r, _), (ms, one) in self.decided.items() if r == room and ms > now_ms - 86_400_000]
        pin = self.pins.get(room, ("", "", 0))[0]
        pinned = self.lines[pin].line if pin in self.lines and pin not in self.removed else None
        return RoomRecord(silences, terms, self.modes.get(room), asked, waiting, decided, pinned)


def silence(person: str = "per_1", **more: object) -> SilenceRecord:
    record = SilenceRecord(f"sil_{person}_1", person, "dev_1", "Ann", "ban", FOREVER_MS, "spam", "per_mod", NOW_MS)
    return msgspec.structs.replace(record, **more)


def line(number: int, text: str = "hello") -> LineRecord:
    return LineRecord("e1", number, Line(f"e1.{number}", "per_1", "Ann", text, NOW_MS + number))


async def told_and_written(archive) -> tuple[list[str], list[str]]:
    """Kinds of the notices, and the acts."""
    if isinstance(archive, MemoryArchive):
        return [one.kind for one in archive.notices], [one.act for one in archive.acts]
    return await archive._db.read(
        lambda sql: (
            list(sql.execute(select(outbox.c.kind).order_by(outbox.c.id)).scalars()),
            list(sql.execute(select(audit.c.act).order_by(audit.c.id)).scalars()),
        )
    )


class ArchiveContract:
    async def test_what_was_taken_out_is_written_once_with_its_act_and_notice(self, archive) -> None:
        await archive.lines_posted(ROOM, [line(1), line(2)])
        act = Act(ROOM, "per_mod", "line.remove", "e1.1", "", "hello", "", NOW_MS)
        notice = Notice(ROOM, "line.removed", {"line": "e1.1"}, NOW_MS)
        taken = Taken(["e1.1"], "tkn_1", "per_mod", NOW_MS, act, notice)
        for _ in range(2):
            await archive.taken_out(ROOM, taken)
        assert await told_and_written(archive) == (["line.removed"], ["line.remove"])
        await archive.taken_out(ROOM, Taken(["e1.2"], "tkn_2", "per_mod", NOW_MS))
        assert [one.removed for one in await archive.find(ROOM)] == [True, True]
        assert await told_and_written(archive) == (["line.removed"], ["line.remove"])

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
            await archive.term(ROOM, term, "blocked", actor="per_mod", wall_ms=NOW_MS)
        await archive.term(ROOM, "one", None, actor="per_mod", wall_ms=NOW_MS)
        await archive.term(ROOM, "two", "held", actor="per_mod", wall_ms=NOW_MS)
        assert (await archive.load(ROOM, NOW_MS)).terms == {"two": "held"}

    async def test_a_ban_keeps_its_network_and_until_when(self, archive) -> None:
        await archive.silenced(ROOM, silence(network="net_1", network_until_ms=NOW_MS + 5))
        loaded = (await archive.load(ROOM, NOW_MS + 1)).silences[0]
        assert (loaded.network, loaded.network_until_ms) == ("net_1", NOW_MS + 5)

    async def test_the_mode_set_last_is_loaded(self, archive) -> None:
        assert (await archive.load(ROOM, NOW_MS)).mode is None
        for mode in (Mode(slow_s=5), Mode(buyers=True, links="held", raid_until_ms=NOW_MS)):
            await archive.mode(ROOM, mode)
        assert (await archive.load(ROOM, NOW_MS)).mode == mode

    async def test_questions_come_back_as_they_last_were_but_for_dismissed_ones(self, archive) -> None:
        for number, state in enumerate(("open", "answered", "dismissed")):
            asked = Question(f"e1.{number}", "per_1", "Ann", "wool?", NOW_MS + number, at=7)
            await archive.question(ROOM, asked)
            await archive.question(ROOM, msgspec.structs.replace(asked, state=state, by="Mo", answered_at=9))
        loaded = (await archive.load(ROOM, NOW_MS)).questions
        assert [(one.id, one.state, one.by, one.answered_at) for one in loaded] == [
            ("e1.0", "open", "Mo", 9),
            ("e1.1", "answered", "Mo", 9),
        ]

    async def test_a_line_is_found_as_it_was_said(self, archive) -> None:
        reply, mentions = Reply("e1.1", "per_2", "Bo"), [Mention("per_2", "Bo"), Mention("per_3", 'Flo "F"')]
        said = Line("e1.2", "per_1", "Ann", '@Bo @Flo "F"', NOW_MS, "buyer", 7, reply, mentions)
        await archive.lines_posted(ROOM, [line(1), LineRecord("e1", 2, said)])
        assert {one.line.id: one.line for one in await archive.find(ROOM)} == {"e1.1": line(1).line, "e1.2": said}
        await archive.pinned(ROOM, "e1.2", "e1", 3, NOW_MS)
        assert (await archive.load(ROOM, NOW_MS)).pinned == said

    async def test_the_line_that_was_pinned_last_is_loaded_while_it_is_there(self, archive) -> None:
        async def pinned() -> str:
            found = (await archive.load(ROOM, NOW_MS)).pinned
            return "" if found is None else found.id

        assert await pinned() == ""
        await archive.pinned(ROOM, "e1.1", "e1", 4, NOW_MS)
        assert await pinned() == "", "the line is still on its way"
        await archive.lines_posted(ROOM, [line(1), line(2)])
        assert await pinned() == "e1.1"
        await archive.pinned("shw_other", "", "e1", 9, NOW_MS)
        assert await pinned() == "e1.1", "of one room"
        await archive.pinned(ROOM, "e1.2", "e1", 6, NOW_MS)
        await archive.pinned(ROOM, "", "e1", 5, NOW_MS)
        assert await pinned() == "e1.2", "of two at once the later stands, whichever is written first"
        await archive.pinned(ROOM, "", "e1", 6, NOW_MS)
        assert await pinned() == "", "taken down when nothing else had happened"
        await archive.pinned(ROOM, "e1.2", "e2", 1, NOW_MS)
        assert await pinned() == "e1.2", "numbers of another epoch say nothing"
        await archive.lines_removed(ROOM, ["e1.2"], "per_mod", NOW_MS)
        assert await pinned() == ""

    async def test_a_case_waits_until_it_is_decided_and_is_decided_once(self, archive) -> None:
        held = Case("held_1", "hold", "line", "per_1", "Ann", "hello", NOW_MS, line(1).line)
        report = Case("rep_e1.1", "spam", "report", "per_1", "Ann", "", NOW_MS + 1, line(1).line, reports=1)
        for case in (held, report, msgspec.structs.replace(report, reports=2)):
            await archive.case(ROOM, case)
        loaded = await archive.load(ROOM, NOW_MS)
        assert [(case.id, case.reports) for case in loaded.cases] == [("held_1", 0), ("rep_e1.1", 2)]
        assert loaded.cases[0].line == line(1).line
        assert (await archive.load("shw_other", NOW_MS)).cases == []

        mine, theirs = Decision("held_1", "approve", "per_mo", "Mo"), Decision("held_1", "refuse", "per_flo", "Flo")
        assert await archive.case_decided(ROOM, held, mine, NOW_MS) == mine
        assert await archive.case_decided(ROOM, held, theirs, NOW_MS) == mine
        assert await archive.case_decided(ROOM, held, mine, NOW_MS) == mine
        known = ["held_1", "rep_e1.1", "held_none"]
        assert await archive.cases_decided(ROOM, known, NOW_MS) == [mine]
        assert await archive.cases_decided(ROOM, ["rep_e1.1"], NOW_MS) == []
        assert await archive.cases_decided(ROOM, known, NOW_MS - 1) == [], "it is decided only just now"
        assert await archive.cases_decided(ROOM, known, NOW_MS + 86_400_001) == []
        await archive.case_made(ROOM, "held_1", "e1.7")
        await archive.case(ROOM, held)
        loaded = await archive.load(ROOM, NOW_MS + 5)
        assert [case.id for case in loaded.cases] == ["rep_e1.1"]
        assert loaded.decided == [msgspec.structs.replace(mine, made="e1.7")]
        assert (await archive.load(ROOM, NOW_MS + 86_400_001)).decided == []

    async def test_a_reported_line_is_removed_with_the_decision_also_one_still_on_its_way(self, archive) -> None:
        await archive.lines_posted(ROOM, [line(1), line(2)])
        for number, verdict in ((1, "refuse"), (2, "approve"), (3, "refuse")):
            case = Case(f"rep_e1.{number}", "spam", "report", "per_1", "Ann", "", NOW_MS, line(number).line, reports=1)
            await archive.case(ROOM, case)
            await archive.case_decided(ROOM, case, Decision(case.id, verdict, "per_mo", "Mo"), NOW_MS)
        await archive.lines_posted(ROOM, [line(3)])
        assert [one.line.id for one in await archive.find(ROOM, words="hello") if not one.removed] == ["e1.2"]

    async def test_a_case_that_never_arrived_can_be_decided_and_stays_decided(self, archive) -> None:
        held = Case("held_1", "hold", "line", "per_1", "Ann", "hello", NOW_MS, line(1).line)
        refused = Decision("held_1", "refuse", "per_mo", "Mo", reason="a scam")
        assert await archive.case_decided(ROOM, held, refused, NOW_MS) == refused
        await archive.case(ROOM, held)
        loaded = await archive.load(ROOM, NOW_MS)
        assert (loaded.cases, loaded.decided) == ([], [refused])

    async def test_a_persons_lines_notes_and_acts_are_found_together(self, archive) -> None:
        other = LineRecord("e1", 3, Line("e1.3", "per_2", "Bo", "Hello 100%", NOW_MS))
        shadowed = LineRecord("e1", 4, Line("e1.4", "per_1", "Anna", "psst", NOW_MS + 9), shadow=True)
        await archive.lines_posted(ROOM, [line(1), line(2), other, shadowed])
        await archive.lines_removed(ROOM, ["e1.1"], "per_mod", NOW_MS)
        await archive.note(ROOM, Note("not_1", "per_1", "asked nicely", "per_mod", "Mo", NOW_MS))
        await archive.act(Act(ROOM, "per_mod", "person.ban", "per_1", "spam", "", "{}", NOW_MS))
        facts = await archive.person(ROOM, "per_1", 2)
        assert (facts.names, facts.said, facts.removed) == (["Anna", "Ann"], 3, 1)
        assert [(one.line.id, one.removed, one.shadow) for one in facts.lines] == [
            ("e1.4", False, True),
            ("e1.2", False, False),
        ]
        assert [(note.text, note.actor_name) for note in facts.notes] == [("asked nicely", "Mo")]
        assert [(one.act, one.reason) for one in facts.acts] == [("person.ban", "spam")]
        assert [one.line.id for one in await archive.find(ROOM, words="hello")] == ["e1.2", "e1.1", "e1.3"]
        assert [one.line.id for one in await archive.find(ROOM, words="100%")] == ["e1.3"]
        assert [one.line.id for one in await archive.find(ROOM, words="1__%")] == []

    async def test_notices_are_taken(self, archive) -> None:
        await archive.notice(Notice(ROOM, "line.held", {"case": "c", "text": "x"}, NOW_MS))

    async def test_a_line_that_is_known_is_no_error(self, archive) -> None:
        await archive.lines_posted(ROOM, [line(1)])
        await archive.lines_posted(ROOM, [line(1), line(2)])

    async def test_a_line_that_never_arrived_can_be_removed(self, archive) -> None:
        await archive.lines_posted(ROOM, [line(1)])
        await archive.lines_removed(ROOM, ["e1.1", "e1.999"], "per_mod", NOW_MS)

    async def test_acts_are_written(self, archive) -> None:
        for _ in range(2):
            await archive.act(Act(ROOM, "per_mod", "person.ban", "per_1", "spam", "", "{}", NOW_MS))
