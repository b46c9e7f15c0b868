"""The queue: held lines and questions, viewers' reports, appeals. Each is a case; one moderator decides it, once.

Redis has what waits, within a bound for each kind; the archive keeps it, and decides: of two moderators, of two
processes, before and after Redis lost everything, one is first there. What follows is then carried out in Redis, once.
A held line has no number and is in no log: approving appends it with a new one, in the step that closes the case. A
reported line goes, and an appealed silence ends, before its case is closed: what is left half done still waits, and is
finished by whoever asks again, or by `finish`.
Source: docs/decisions/0157-the-archive-decides-a-case.md
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import msgspec

from chat import keys
from chat.envelope import tail
from chat.errors import Claimed, Decided, Invalid, NotFound, StoreDown
from chat.history import LINES_KEPT, LOG_KEPT, ROOM_LIFE_S, new_epoch, script
from chat.intent import Intent
from chat.kinds import LinePosted, QuestionChanged
from chat.message import Line, Question, reason_text
from chat.moderation.kinds import (
    Case,
    CaseChanged,
    CaseClaim,
    CaseClosed,
    CaseDecide,
    CasesChanged,
    LineReviewed,
    Verdict,
)
from chat.moderation.office import Handlers, Office
from chat.moderation.silences import Silences
from chat.ports import Decision, LineRecord, Member

log = logging.getLogger("chat.moderation.review")

# What may wait, each kind by itself: whatever is reported, there is room for what is held.
MAX_CASES = 500
MAX_APPEALS = 200
MAX_REPORTS = 200
CLAIM_MS = 60_000
FINISH_AFTER_MS = 5_000  # until then whoever decided is at it herself
KEPT_S = 24 * 3600


class Review:
    """`archived` is called with a line that was approved."""

    def __init__(self, office: Office, silences: Silences, archived: Any) -> None:
        self._office = office
        self._silences = silences
        self._archived = archived
        self._decide = office.bus.numbering("decide")
        self._claim = script(office.bus.redis, "claim")

    @property
    def handlers(self) -> Handlers:
        return {"case.claim": self.claim, "case.decide": self.decide}

    async def all(self, room: str) -> CasesChanged:
        await self._office.decisions.load_if_empty(room)
        redis = self._office.bus.redis
        async with redis.pipeline(transaction=False) as pipe:
            for shelf in (keys.cases, keys.reports, keys.appeals):
                pipe.hvals(shelf(room))
            pipe.hgetall(keys.claims(room))
            *stored, claims = await pipe.execute()
        now = self._office.now_ms()
        cases = [msgspec.json.decode(case, type=Case) for shelf in stored for case in shelf]
        cases = [_claimed(case, claims.get(case.id.encode()), now) for case in cases]
        return CasesChanged(sorted(cases, key=lambda case: case.wall_ms))

    async def claim(self, intent: Intent) -> dict[str, Case]:
        office, room, wanted, member = self._office, intent.room, intent.read(CaseClaim), intent.member
        now = office.now_ms()
        until_ms = 0 if wanted.release else now + CLAIM_MS
        answer = await self._claim(
            keys=[_shelf(room, wanted.case), keys.claims(room)],
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
        wanted, member = intent.read(CaseDecide), intent.member
        case = await self._find(intent.room, wanted.case)
        if case is not None:
            await self._not_claimed(intent, case)
            if case.why == "gathered" and case.kind == "report" and wanted.verdict == "refuse":
                raise Invalid("verdict", "each of these reports may be of another line: look at them one by one")
        reason = reason_text(wanted.reason)
        decision = Decision(wanted.case, wanted.verdict, member.person, _name(intent), reason=reason)
        first = decision if case is None else await self._decided(intent.room, case, decision)
        is_hers = (first.by, first.verdict) == (decision.by, decision.verdict)
        # By whoever carries it out, in the name of who decided: that one is told "again", or her process died.
        answer = await self._follow(_in_her_name(intent, first), case, first)
        if not is_hers:
            raise Decided(first.verdict, first.by_name)
        _answered(answer, wanted.case)
        done: dict[str, object] = {"case": wanted.case, "verdict": wanted.verdict}
        if answer[1]:
            done["line"] = answer[1].decode()
        return done

    async def finish(self, room: str) -> None:
        """Carry out what was decided and then left: its process died, or the store failed in between, and nobody asked
        again. Likewise what was taken out of the log and not written down. Raises: StoreDown, RedisError."""
        await self._office.decisions.settle_taken(room, self._office.now_ms() - FINISH_AFTER_MS)
        redis = self._office.bus.redis
        async with redis.pipeline(transaction=False) as pipe:
            for shelf in (keys.cases, keys.reports, keys.appeals):
                pipe.hkeys(shelf(room))
            waiting = [case.decode() for shelf in await pipe.execute() for case in shelf]
        if not waiting:
            return
        try:
            left = await self._office.archive.cases_decided(room, waiting, self._office.now_ms() - FINISH_AFTER_MS)
        except Exception as error:
            raise StoreDown(store="archive") from error
        for decision in left:
            case = await self._find(room, decision.case)
            if case is not None:
                who = Member(decision.by, decision.by_name, frozenset({"moderator"}), "", "")
                intent = Intent(room, who, "", "case.decide", msgspec.Raw(b"{}"), self._office.now_ms())
                await self._follow(intent, case, decision)

    async def drop_of(self, intent: Intent, person: str) -> None:
        """Whoever was banned has nothing waiting, whoever has claimed it: her held lines are refused, reports of them
        settled."""
        for case in (await self.all(intent.room)).cases:
            if case.person == person and case.kind != "appeal":
                decision = Decision(case.id, "refuse", intent.member.person, _name(intent))
                first = decision
                with suppress(StoreDown):  # with the archive down, too: a ban doesn't wait
                    first = await self._decided(intent.room, case, decision)
                answer = await self._carry_out(intent.room, case, first)
                with suppress(Decided, NotFound):
                    _answered(answer, case.id)
                if answer[0] == b"closed":
                    closed = CaseClosed(case.id, first.verdict, first.by_name)
                    await self._office.bus.tell_role(intent.room, "moderator", "case.closed", closed)

    async def keep(self, room: str, case: Case) -> None:
        """In the archive. Fails open: it waits in Redis, and is lost with it."""
        try:
            await self._office.archive.case(room, case)
        except Exception as error:
            log.warning("case %s is not archived: %r", case.id, error)

    async def _not_claimed(self, intent: Intent, case: Case) -> None:
        """Raises: Claimed, by another moderator."""
        claim: Any = await self._office.bus.redis.hget(keys.claims(intent.room), case.id)
        if claim is not None and case.claimed_by:
            until_ms, person, name = claim.decode().split(" ", 2)
            if person != intent.member.person:
                raise Claimed(name, int(until_ms))

    async def _decided(self, room: str, case: Case, decision: Decision) -> Decision:
        """The archive decides: the decision that holds. Raises: StoreDown."""
        try:
            return await self._office.archive.case_decided(room, case, decision, self._office.now_ms())
        except Exception as error:
            raise StoreDown(store="archive") from error

    async def _follow(self, intent: Intent, case: Case | None, decision: Decision) -> list[Any]:
        """What the decision means, then the case is closed, and that is told and written down: decide.lua's answer.
        Also when another has decided: her process may have died before this. Twice is once.

        Raises: StoreDown, RedisError: the case still waits, but for StoreDown with `.applied`."""
        if case is not None:
            await self._before_closing(intent, case, decision.verdict)
        answer = await self._carry_out(intent.room, case, decision)
        if answer[0] == b"closed" and case is not None:
            made = answer[1].decode()
            await self._tell_closed(intent, case, decision.verdict, decision.reason)
            # Of reports that were gathered no words: the act has no target by whose erasure they would go.
            before = case.line.text if case.line and case.person else case.text
            work, after = self._keep_made(intent.room, case, made), f"{decision.verdict} {case.id}"
            await self._office.book(intent, case.person, work, reason=decision.reason, before=before, after=after)
        return answer

    async def _before_closing(self, intent: Intent, case: Case, verdict: Verdict) -> None:
        office, room = self._office, intent.room
        if case.kind == "report" and verdict == "refuse" and case.line is not None:
            number = case.line.id.rpartition(".")[2]
            taken = office.taking(room, intent.member.person, line=case.line.id, person=case.person)
            if lines := await office.take_out(room, number, case.person, "moderator", taken):
                await office.keep_taken(room, msgspec.structs.replace(taken, lines=lines))
        elif case.kind == "appeal" and verdict == "approve":
            found = await office.decisions.in_force(room, case.person, "")
            if found is not None and case.id == f"app_{found.id}":  # else it ran out, or another came since
                with suppress(NotFound):
                    await self._silences.lift(intent, case.person)

    async def _keep_made(self, room: str, case: Case, made: str) -> None:
        """What came of a held line or question, in the archive."""
        if not made or case.line is None:
            return
        with suppress(Exception):  # it is posted; that it came of this case is for a Redis that loses this
            await self._office.archive.case_made(room, case.id, made)
        if case.kind == "line":
            epoch, _, seq = made.rpartition(".")
            self._archived(room, LineRecord(epoch, int(seq), msgspec.structs.replace(case.line, id=made)))
        elif case.kind == "question":
            await self._office.archive.question(room, msgspec.structs.replace(_question(case.line), id=made))

    async def _carry_out(self, room: str, case: Case | None, decision: Decision) -> list[Any]:
        before, after, what = b"", b"", ""
        held = None if case is None or case.kind not in ("line", "question") else case.line
        if held is not None and decision.verdict == "approve":
            if case is not None and case.kind == "line":
                what = "line"
                encoded = tail("line.posted", LinePosted(msgspec.structs.replace(held, id="")), at=held.at)
            else:
                what = "question"
                encoded = tail("question.changed", QuestionChanged(_question(held)), at=held.at)
            before, _, after = encoded.partition(b'"id":""')
        author = case.person if case else ""
        answer: list[Any] = await self._decide(
            keys=[
                keys.head(room),
                keys.log(room),
                keys.lines(room),
                keys.lines_by(room, author),
                _shelf(room, decision.case),
                keys.claims(room),
                keys.decided(room),
                keys.questions(room),
                keys.silences(room),
            ],
            args=[
                new_epoch(),
                before + b'"id":"',
                b'"' + after,
                LOG_KEPT,
                keys.channel(room),
                ROOM_LIFE_S,
                self._office.now_ms(),
                decision.by,
                decision.by_name,
                decision.case,
                decision.verdict,
                what,
                LINES_KEPT,
                KEPT_S,
                author,
            ],
        )
        return answer

    async def _tell_closed(self, intent: Intent, case: Case, verdict: Verdict, reason: str) -> None:
        bus, room = self._office.bus, intent.room
        await bus.tell_role(room, "moderator", "case.closed", CaseClosed(case.id, verdict, _name(intent)))
        if case.kind != "report":
            reviewed = LineReviewed(case.id, case.kind, verdict, reason)
            await bus.tell(room, case.person, "line.reviewed", reviewed)

    async def tell(self, room: str, case: Case) -> None:
        await self._office.bus.tell_role(room, "moderator", "case.changed", CaseChanged(case))

    async def _find(self, room: str, case_id: str) -> Case | None:
        await self._office.decisions.load_if_empty(room)
        redis = self._office.bus.redis
        async with redis.pipeline(transaction=False) as pipe:
            pipe.hget(_shelf(room, case_id), case_id)
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


def _shelf(room: str, case: str) -> str:
    """The key of those of its kind."""
    if case.startswith("rep_"):
        return keys.reports(room)
    if case.startswith("app_"):
        return keys.appeals(room)
    return keys.cases(room)


def _answered(answer: list[Any], case: str) -> list[Any]:
    """Raises: NotFound, Decided."""
    match answer:
        case [b"unloaded"]:
            raise StoreDown()  # it has only just forgotten the room: asked again, this is carried out
        case [b"gone"]:
            raise NotFound("case", case)
        case [b"decided", verdict, name]:
            raise Decided(verdict.decode(), name.decode())
    return answer


def _question(line: Line) -> Question:
    return Question("", line.person, line.name, line.text, line.wall_ms, line.badge, line.at)


def _in_her_name(intent: Intent, decision: Decision) -> Intent:
    """The same, asked for by who decided."""
    member = msgspec.structs.replace(intent.member, person=decision.by, name=decision.by_name)
    return msgspec.structs.replace(intent, member=member)


def _name(intent: Intent) -> str:
    return intent.member.name or "a moderator"
