"""The queue: held lines and questions, viewers' reports, appeals. Each is a case; one moderator decides it, once.

A held line has no number and is in no log: approving appends it with a new one, in the step that closes the case.
Cases live in Redis, where the room's limits bound them; what was decided is in the audit log.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chat import keys
from chat.envelope import tail
from chat.errors import Blocked, Claimed, Decided, Invalid, NotFound
from chat.history import LINES_KEPT, LOG_KEPT, ROOM_LIFE_S, new_epoch, script
from chat.intent import Intent
from chat.kinds import LinePosted, QuestionChanged
from chat.message import Line, Question, note_text, reason_text
from chat.moderation.kinds import (
    AppealSend,
    Case,
    CaseChanged,
    CaseClaim,
    CaseClosed,
    CaseDecide,
    CasesChanged,
    LineReport,
    LineReviewed,
    Verdict,
)
from chat.moderation.office import Handlers, Office
from chat.moderation.silences import Silences
from chat.ports import LineRecord

MAX_CASES = 500
CLAIM_MS = 60_000
KEPT_S = 24 * 3600
_REPORTS_S, _REPORTS_BURST = 10 / 600, 10.0
_APPEALS_S, _APPEALS_BURST = 3 / 3600, 3.0


class Review:
    """`archived` is called with a line that was approved."""

    def __init__(self, office: Office, silences: Silences, archived: Any) -> None:
        self._office = office
        self._silences = silences
        self._archived = archived
        self._decide = script(office.bus.redis, "decide")
        self._claim = script(office.bus.redis, "claim")
        self._report = script(office.bus.redis, "report")
        self._appeal = script(office.bus.redis, "appeal")

    @property
    def handlers(self) -> Handlers:
        return {
            "case.claim": self.claim,
            "case.decide": self.decide,
            "line.report": self.report,
            "appeal.send": self.appeal,
        }

    async def all(self, room: str) -> CasesChanged:
        redis = self._office.bus.redis
        async with redis.pipeline(transaction=False) as pipe:
            pipe.hvals(keys.cases(room))
            pipe.hgetall(keys.claims(room))
            stored, claims = await pipe.execute()
        now = self._office.now_ms()
        cases = [msgspec.json.decode(case, type=Case) for case in stored]
        cases = [_claimed(case, claims.get(case.id.encode()), now) for case in cases]
        return CasesChanged(sorted(cases, key=lambda case: case.wall_ms))

    # ---- viewers

    async def report(self, intent: Intent) -> dict[str, object]:
        office, room, wanted = self._office, intent.room, intent.read(LineReport)
        text = note_text(wanted.text) if wanted.text.strip() else ""
        line = await office.line(room, wanted.line)
        if line is None:
            return {"line": wanted.line}  # it is gone already
        if line.person == intent.member.person:
            raise Invalid("line", "your own")
        office.spend("report", intent.member.person, _REPORTS_S, _REPORTS_BURST)
        case = Case(
            f"rep_{line.id}", wanted.why, "report", line.person, line.name, text, office.now_ms(), line, reports=-1
        )
        before, _, after = msgspec.json.encode(case).rpartition(b'"reports":-1')
        how, *rest = await self._report(
            keys=[keys.cases(room), keys.decided(room), keys.reporters(room, line.id)],
            args=[case.id, intent.member.person, before + b'"reports":', after, MAX_CASES, KEPT_S],
        )
        if how == b"full":
            raise Blocked("full")
        if how in (b"new", b"more"):
            await self._tell(room, msgspec.json.decode(rest[1], type=Case))
        if how == b"new":
            facts = {"line": line.id, "person": line.person, "name": line.name, "text": line.text, "why": wanted.why}
            await office.notice(room, "line.reported", **facts)
        return {"line": line.id}

    async def appeal(self, intent: Intent) -> dict[str, object]:
        office, room, member = self._office, intent.room, intent.member
        text = note_text(intent.read(AppealSend).text)
        record = await office.decisions.in_force(room, member.person, member.device)
        if record is None or record.kind == "shadow":
            raise NotFound("silence", member.person)
        office.spend("appeal", member.person, _APPEALS_S, _APPEALS_BURST)
        # The silence may be her device's, under another person: that one is lifted then.
        case = Case(f"app_{record.id}", record.reason, "appeal", record.person, member.name, text, office.now_ms())
        how = await self._appeal(
            keys=[keys.cases(room), keys.decided(room)], args=[case.id, msgspec.json.encode(case), MAX_CASES]
        )
        if how == b"full":
            raise Blocked("full")
        if how == b"decided":
            raise Decided("refuse", "")
        if how == b"new":
            await self._tell(room, case)
        return {"case": case.id}

    # ---- moderators

    async def claim(self, intent: Intent) -> dict[str, Case]:
        office, room, wanted, member = self._office, intent.room, intent.read(CaseClaim), intent.member
        now = office.now_ms()
        until_ms = 0 if wanted.release else now + CLAIM_MS
        answer = await self._claim(
            keys=[keys.cases(room), keys.claims(room)],
            args=[wanted.case, member.person, _name(intent), now, until_ms, KEPT_S],
        )
        if answer[0] == b"gone":
            raise NotFound("case", wanted.case)
        if answer[0] == b"claimed":
            raise Claimed(answer[1].decode(), int(answer[2]))
        case = await self._find(room, wanted.case)
        if case is None:
            raise NotFound("case", wanted.case)
        await office.bus.tell_role(room, "moderator", "case.changed", CaseChanged(case))
        return {"case": case}

    async def decide(self, intent: Intent) -> dict[str, object]:
        wanted = intent.read(CaseDecide)
        case = await self._find(intent.room, wanted.case)
        answer = await self._close(intent, case, wanted.case, wanted.verdict)
        done: dict[str, object] = {"case": wanted.case, "verdict": wanted.verdict}
        if answer[1]:
            done["line"] = answer[1].decode()
        if answer[0] == b"again" or case is None:
            return done
        await self._tell_closed(intent, case, wanted.verdict, reason_text(wanted.reason))
        work = self._follow(intent, case, wanted.verdict, answer[1].decode())
        before = case.line.text if case.line else case.text
        reason, after = reason_text(wanted.reason), f"{wanted.verdict} {case.id}"
        await self._office.book(intent, case.person, work, reason=reason, before=before, after=after)
        return done

    async def drop_of(self, intent: Intent, person: str) -> None:
        """Whoever was banned has nothing waiting: her held lines are refused, reports of hers are settled."""
        for case in (await self.all(intent.room)).cases:
            if case.person == person and case.kind != "appeal":
                try:
                    await self._close(intent, case, case.id, "refuse")
                except (Claimed, Decided, NotFound):
                    continue
                closed = CaseClosed(case.id, "refuse", _name(intent))
                await self._office.bus.tell_role(intent.room, "moderator", "case.closed", closed)

    async def _close(self, intent: Intent, case: Case | None, case_id: str, verdict: Verdict) -> list[Any]:
        """Raises: NotFound, Claimed, Decided."""
        room, office = intent.room, self._office
        before, after, what = b"", b"", ""
        if case is not None and case.line is not None and verdict == "approve" and case.kind in ("line", "question"):
            what = case.kind
            if what == "line":
                encoded = tail("line.posted", LinePosted(msgspec.structs.replace(case.line, id="")), at=case.line.at)
            else:
                encoded = tail("question.changed", QuestionChanged(_question(case.line)), at=case.line.at)
            before, _, after = encoded.partition(b'"id":""')
        answer: list[Any] = await self._decide(
            keys=[
                keys.head(room),
                keys.log(room),
                keys.lines(room),
                keys.lines_by(room, case.person if case else ""),
                keys.cases(room),
                keys.claims(room),
                keys.decided(room),
                keys.questions(room),
            ],
            args=[
                new_epoch(),
                before + b'"id":"',
                b'"' + after,
                LOG_KEPT,
                keys.channel(room),
                ROOM_LIFE_S,
                office.now_ms(),
                intent.member.person,
                _name(intent),
                case_id,
                verdict,
                what,
                LINES_KEPT,
                KEPT_S,
            ],
        )
        match answer:
            case [b"gone"]:
                raise NotFound("case", case_id)
            case [b"claimed", name, until_ms]:
                raise Claimed(name.decode(), int(until_ms))
            case [b"decided", was, name]:
                raise Decided(was.decode(), name.decode())
        return answer

    async def _follow(self, intent: Intent, case: Case, verdict: Verdict, made: str) -> None:
        """What the verdict means beyond the case."""
        office, room = self._office, intent.room
        if case.kind == "line" and made and case.line is not None:
            epoch, _, seq = made.rpartition(".")
            self._archived(room, LineRecord(epoch, int(seq), msgspec.structs.replace(case.line, id=made)))
        elif case.kind == "question" and made and case.line is not None:
            await office.archive.question(room, msgspec.structs.replace(_question(case.line), id=made))
        elif case.kind == "report" and verdict == "refuse" and case.line is not None:
            number = case.line.id.rpartition(".")[2]
            if await office.take_out(room, number, case.person, "moderator"):
                await office.archive.lines_removed(room, [case.line.id], intent.member.person, office.now_ms())
                facts = {"line": case.line.id, "person": case.person, "by": intent.member.person}
                await office.notice(room, "line.removed", **facts)
        elif case.kind == "appeal" and verdict == "approve":
            found = await office.decisions.in_force(room, case.person, "")
            if found is None or case.id != f"app_{found.id}":
                return  # it ran out meanwhile; or another came since, which nobody has appealed against
            try:
                await self._silences.lift(intent, case.person)
            except NotFound:
                return

    async def _tell_closed(self, intent: Intent, case: Case, verdict: Verdict, reason: str) -> None:
        bus, room = self._office.bus, intent.room
        await bus.tell_role(room, "moderator", "case.closed", CaseClosed(case.id, verdict, _name(intent)))
        if case.kind != "report":
            reviewed = LineReviewed(case.id, case.kind, verdict, reason)
            await bus.tell(room, case.person, "line.reviewed", reviewed)

    async def _tell(self, room: str, case: Case) -> None:
        await self._office.bus.tell_role(room, "moderator", "case.changed", CaseChanged(case))

    async def _find(self, room: str, case_id: str) -> Case | None:
        redis = self._office.bus.redis
        async with redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.cases(room), case_id)
            pipe.hget(keys.claims(room), case_id)
            stored, claim = await pipe.execute()
        if stored is None:
            return None
        return _claimed(msgspec.json.decode(stored, type=Case), claim, self._office.now_ms())


def _claimed(case: Case, claim: bytes | None, now_ms: int) -> Case:
    if claim is None:
        return case
    until_ms, _, name = claim.decode().split(" ", 2)
    if int(until_ms) <= now_ms:
        return case
    return msgspec.structs.replace(case, claimed_by=name, claimed_until_ms=int(until_ms))


def _question(line: Line) -> Question:
    return Question("", line.person, line.name, line.text, line.wall_ms, line.badge, line.at)


def _name(intent: Intent) -> str:
    return intent.member.name or "a moderator"
