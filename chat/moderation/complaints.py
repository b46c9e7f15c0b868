"""What viewers put before the moderators: reports of lines, and appeals. Each raises a case, or adds to one; bounded,
so that no flood of reports hides what is real.
Source: docs/decisions/0157-the-archive-decides-a-case.md
"""

from __future__ import annotations

import msgspec

from chat import keys
from chat.errors import Blocked, Decided, Invalid, NotFound, Silenced
from chat.history import script
from chat.intent import Intent
from chat.message import note_text
from chat.moderation.kinds import AppealSend, Case, LineReport
from chat.moderation.office import Handlers, Office
from chat.moderation.review import KEPT_S, MAX_APPEALS, MAX_REPORTS, Review
from chat.moderation.silences import Silences

MAX_REPORTS_FOR_NEW = 50  # of those that wait, when a newcomer would raise another
NEW_FOR_MS = 600_000
# Cases that a person, or all that are new from one network, may raise by reports; the rest is gathered in one.
MAX_RAISED, RAISED_WITHIN_S = 5, 600
GATHERED_FOR_MS = 600_000  # then another such case begins
TOLD_EACH = 10  # reports: beyond these a case is told and written every tenth time
# So many within seconds, of one person.
_REPORTS = 10, 600
_APPEALS = 3, 3600


class Complaints:
    def __init__(self, office: Office, silences: Silences, review: Review) -> None:
        self._office = office
        self._silences = silences
        self._review = review
        self._report = script(office.bus.redis, "report")
        self._appeal = script(office.bus.redis, "appeal")

    @property
    def handlers(self) -> Handlers:
        return {"line.report": self.report, "appeal.send": self.appeal}

    async def report(self, intent: Intent) -> dict[str, object]:
        office, room, member, wanted = self._office, intent.room, intent.member, intent.read(LineReport)
        text = note_text(wanted.text) if wanted.text.strip() else ""
        line = await office.line_seen_by(room, member.person, wanted.line)
        if line is None:
            return {"line": wanted.line}  # it is gone already
        if line.person == member.person:
            raise Invalid("line", "your own")
        silence = await self._silences.of(room, member)
        if silence is not None and silence.kind == "ban":
            raise Silenced(silence.until_ms, silence.reason, silence.kind)
        await office.spend(room, "report", member.person, *_REPORTS)
        if await office.is_shadowed(room, member):
            return {"line": line.id}  # she is answered as anybody is, and counts for nothing
        now = office.now_ms()
        single = Case(f"rep_{line.id}", wanted.why, "report", line.person, line.name, text, now, line, reports=-1)
        gathered = Case(f"rep_many_{now // GATHERED_FOR_MS}", "gathered", "report", "", "", "", now, line, reports=-1)
        (before, _, after), (all_before, _, all_after) = (
            msgspec.json.encode(case).rpartition(b'"reports":-1') for case in (single, gathered)
        )
        is_new = member.since_ms > now - NEW_FOR_MS
        # Sessions are cheap: those that are new count as one for each network.
        who = f"n:{member.network}" if is_new and member.network else member.person
        how, *rest = await self._report(
            keys=[
                keys.reports(room),
                keys.decided(room),
                keys.reporters(room, line.id),
                keys.raised(room, who),
            ],
            args=[
                single.id,
                who,
                before + b'"reports":',
                after,
                MAX_REPORTS_FOR_NEW if is_new else MAX_REPORTS,
                KEPT_S,
                gathered.id,
                all_before + b'"reports":',
                all_after,
                MAX_RAISED,
                RAISED_WITHIN_S,
            ],
        )
        if rest and (int(rest[0]) <= TOLD_EACH or int(rest[0]) % TOLD_EACH == 0):
            case = msgspec.json.decode(rest[1], type=Case)
            await self._review.keep(room, case)
            await self._review.tell(room, case)
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
        await office.spend(room, "appeal", member.person, *_APPEALS)
        # The silence may be her device's, under another person: that one is lifted then.
        case = Case(f"app_{record.id}", record.reason, "appeal", record.person, member.name, text, office.now_ms())
        how = await self._appeal(
            keys=[keys.appeals(room), keys.decided(room)], args=[case.id, msgspec.json.encode(case), MAX_APPEALS]
        )
        if how == b"full":
            raise Blocked("full")
        if how == b"decided":
            raise Decided("refuse", "")
        if how == b"new":
            await self._review.keep(room, case)
            await self._review.tell(room, case)
        return {"case": case.id}
