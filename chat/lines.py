"""Lines and questions: looked at, said by one script, taken back, pinned.

Rules decide on the text (`moderation.rules`); what must not race is decided again inside the script that posts.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from chat import keys
from chat.envelope import tail
from chat.errors import Blocked, Forbidden, NotFound, Silenced, SlowMode, StoreDown, Throttled
from chat.history import LINES_KEPT, LOG_KEPT, ROOM_LIFE_S, new_epoch
from chat.intent import Intent
from chat.kinds import LinePost, LinePosted, LineRemove, QuestionAsk, QuestionChanged
from chat.message import MAX_MENTIONS, Line, Mention, Question, Reply, line_text
from chat.moderation import rules
from chat.moderation.kinds import Case, CaseKind, LinePin
from chat.moderation.office import Handlers, Office, Who, is_crew
from chat.moderation.review import MAX_CASES, Review
from chat.moderation.store import silence_of
from chat.moderation.terms import RoomWords
from chat.names import Names
from chat.outbox import named
from chat.ports import Act, LineRecord
from chat.questions import Questions

OP_LIFE_MS = 600_000
_LINES_REMEMBERED = 6


class Lines:
    """`archived(room, record)` hands over what is kept; `media_ms(room)` stamps what is said."""

    def __init__(
        self,
        office: Office,
        words: RoomWords,
        names: Names,
        questions: Questions,
        review: Review,
        *,
        archived: Callable[[str, LineRecord], None],
        media_ms: Callable[[str], int | None],
    ) -> None:
        self._office = office
        self._bus = office.bus
        self._archive = office.archive
        self._now_ms = office.now_ms
        self._words = words
        self._names = names
        self._questions = questions
        self._review = review
        self._archived = archived
        self._media_ms = media_ms
        self._post = office.bus.numbering("post")
        self._pin = office.bus.numbering("pin")

    @property
    def handlers(self) -> Handlers:
        return {
            "line.post": self.post,
            "line.remove": self.remove,
            "line.pin": self.pin,
            "question.ask": self.ask,
        }

    async def own_of_each(self, room: str, people: list[str]) -> list[list[Line]]:
        """What each of them alone sees of what she said, oldest first."""
        async with self._bus.redis.pipeline(transaction=False) as pipe:
            for person in people:
                pipe.lrange(keys.own(room, person), 0, -1)
            found = await pipe.execute()
        return [[msgspec.json.decode(line, type=Line) for line in reversed(own)] for own in found]

    async def post(self, intent: Intent) -> dict[str, object]:
        said = intent.read(LinePost)
        text = line_text(said.text)
        reply, mentions, recent = await self._context(intent, said, text)
        hold = await self._check(intent, text, recent)
        line = Line(
            id="",
            person=intent.member.person,
            name=intent.member.name,
            text=text,
            wall_ms=self._now_ms(),
            badge=intent.member.badge,
            at=self._media_ms(intent.room),
            reply=reply,
            mentions=mentions,
        )
        is_new, how, one, other = await self._say(intent, "line", line, LinePosted(line), hold)
        if how == "held":
            await self._tell_held(intent, is_new, _case(one, other, "line", line))
            return {"held": one, "why": other, "nonce": said.nonce}
        line_id = f"{one}.{other}"
        if is_new:
            kept = msgspec.structs.replace(line, id=line_id)
            self._archived(intent.room, LineRecord(one, int(other), kept, shadow=how == "shadow"))
        return {"line": line_id, "seq": int(other), "nonce": said.nonce}

    async def ask(self, intent: Intent) -> dict[str, object]:
        text = line_text(intent.read(QuestionAsk).text)
        member = intent.member
        if not is_crew(member):
            await self._questions.may_ask(intent.room, member.person)
        _, _, recent = await self._context(intent, None, text)
        hold = await self._check(intent, text, recent)
        at, now = self._media_ms(intent.room), self._now_ms()
        line = Line("", member.person, member.name, text, now, member.badge, at)
        question = Question("", member.person, member.name, text, now, member.badge, at)
        is_new, how, one, other = await self._say(intent, "question", line, QuestionChanged(question), hold)
        if how == "held":
            await self._tell_held(intent, is_new, _case(one, other, "question", line))
            return {"held": one, "why": other}
        if is_new and how == "asked" and not other:
            await self._keep(intent.room, msgspec.structs.replace(question, id=one))
        return {"question": one}

    async def _keep(self, room: str, question: Question) -> None:
        """Fails open, as lines do: it is asked, and lasts as long as Redis."""
        try:
            await self._archive.question(room, question)
        except Exception:
            return

    async def _context(
        self, intent: Intent, said: LinePost | None, text: str
    ) -> tuple[Reply | None, list[Mention], list[str] | None]:
        """What the line answers, whom it names, and what its author said in the last half minute (None: this very line
        was asked for before), in one look."""
        room, wanted = intent.room, "" if said is None else said.reply
        named = list(dict.fromkeys([] if said is None else said.mentions))[:MAX_MENTIONS] if "@" in text else []
        async with self._bus.redis.pipeline(transaction=False) as pipe:
            pipe.exists(keys.op(room, intent.member.person, intent.op))
            pipe.lrange(keys.said(room, intent.member.person), 0, -1)
            if named:
                pipe.hmget(keys.who(room), named)
            is_again, remembered, *found = await pipe.execute()
        people = dict(zip(named, found[0] if found else [], strict=False))
        mentions = [
            Mention(person, name)
            for person, stored in people.items()
            if stored and (name := msgspec.json.decode(stored, type=Who).name) and f"@{name}" in text
        ]
        reply = None
        if wanted:
            # One that is gone, or older than the log, is no longer named; one that only its author sees, by her alone.
            line = await self._replied(intent, wanted)
            reply = None if line is None else Reply(line.id, line.person, line.name)
        since_ms = self._now_ms() - rules.REPEAT_WITHIN_MS
        recent = [key for at, _, key in (one.decode().partition(" ") for one in remembered) if int(at) > since_ms]
        return reply, mentions, None if is_again else recent

    async def _replied(self, intent: Intent, wanted: str) -> Line | None:
        office, room, member = self._office, intent.room, intent.member
        try:
            return await office.line(room, wanted)
        except NotFound:
            own = await office.own_line(room, member.person, wanted)
            # Whose shadow ban was lifted is heard again: nobody else has the line that she would answer.
            return own[1] if own and await office.is_shadowed(room, member) else None

    async def _check(self, intent: Intent, text: str, recent: list[str] | None) -> str:
        """Why a moderator looks at it first, or "". Raises: Blocked."""
        member, room = intent.member, intent.room
        if is_crew(member) or recent is None:
            return ""  # of what is asked again the script has the first result
        known = await self._words.of(room)
        ban = known.look(text)
        if ban.blocked:
            raise Blocked("term")
        if rules.is_repeat(text, recent):
            raise Blocked("repeat")
        # A name may have been taken before its owner came into this room.
        if not rules.name_keys(member.name).isdisjoint(await self._names.of_crew(room)):
            raise Blocked("name")
        return "term" if ban.held else ""

    async def _say(
        self, intent: Intent, what: CaseKind, line: Line, event: object, hold: str
    ) -> tuple[bool, str, str, str]:
        """(whether this was the first time it was asked, how, and two words of that)."""
        room, member = intent.room, intent.member
        # `id` is the first field of the first field: the script writes it where these two halves meet.
        before, _, after = tail(_kind_of(what), event, at=line.at).partition(b'"id":""')
        case = _case(f"held_{new_epoch()}", "", what, line)
        case_before, _, case_after = msgspec.json.encode(case).partition(b'"why":""')
        exempt = is_crew(member)
        answer: list[Any] = []
        for _ in range(2):
            answer = await self._post(
                keys=[
                    keys.head(room),
                    keys.log(room),
                    keys.lines(room),
                    keys.lines_by(room, member.person),
                    keys.op(room, member.person, intent.op),
                    keys.pace(room, member.person),
                    keys.silences(room),
                    keys.mode(room),
                    keys.who(room),
                    keys.said(room, member.person),
                    keys.own(room, member.person),
                    keys.cases(room),
                    keys.questions(room),
                    keys.asked(room),
                ],
                args=[
                    new_epoch(),
                    before + b'"id":"',
                    b'"' + after,
                    LOG_KEPT,
                    keys.channel(room),
                    ROOM_LIFE_S,
                    self._now_ms(),
                    member.person,
                    member.device,
                    int(exempt),
                    intent.op,
                    rules.FLOOD_LINES,
                    rules.FLOOD_MS,
                    msgspec.json.encode(Who.of(member)),
                    LINES_KEPT,
                    OP_LIFE_MS,
                    " ".join(["!" if exempt else member.person, *named(line.reply, line.mentions)]),
                    what,
                    f"{secrets.randbelow(1_000_000):06}",
                    case.id,
                    case_before + b'"why":"',
                    b'"' + case_after,
                    MAX_CASES,
                    hold,
                    "" if exempt else (await self._words.of(room)).link(line.text),
                    int(member.badge == "buyer"),
                    member.since_ms,
                    int(rules.is_emote(line.text)),
                    member.network,
                    rules.plain_key(line.text),
                    rules.RAID_KNOWN_MS,
                    rules.RAID_SLOW_MS,
                    _LINES_REMEMBERED,
                ],
            )
            if answer[0] != b"unloaded":
                break
            # Redis came back empty: its bans are put back before anyone talks.
            await self._office.decisions.load_if_empty(room)
        return _said(answer)

    async def _tell_held(self, intent: Intent, is_new: bool, case: Case) -> None:
        """It is kept, and other systems may want to decide. Fails open: the moderators have it already."""
        if is_new:
            await self._review.keep(intent.room, case)
            facts = {"case": case.id, "why": case.why, "person": case.person, "name": case.name, "text": case.text}
            try:
                await self._office.notice(intent.room, "line.held", **facts)
            except StoreDown:
                return

    async def remove(self, intent: Intent) -> dict[str, object]:
        office, room, member = self._office, intent.room, intent.member
        wanted = intent.read(LineRemove).line
        await office.decisions.load_if_empty(room)
        try:
            line = await office.line(room, wanted)
        except NotFound:
            if await self._remove_own(room, member.person, wanted):
                return {"line": wanted}
            raise
        if line is None:
            return {"line": wanted}  # someone was faster
        by_author = line.person == member.person
        if not by_author and not member.may("moderator"):
            raise Forbidden("moderator")
        act = Act(room, member.person, intent.kind, wanted, "", line.text, "", self._now_ms())
        taken = office.taking(room, member.person, act, line=wanted, person=line.person)
        number, by = wanted.rpartition(".")[2], "author" if by_author else "moderator"
        if await office.take_out(room, number, line.person, by, taken):
            await office.keep_taken(room, msgspec.structs.replace(taken, lines=[wanted]))
        return {"line": wanted}

    async def _remove_own(self, room: str, person: str, wanted: str) -> bool:
        """A line that only she sees goes from her own tabs, as any other would."""
        own = await self._office.own_line(room, person, wanted)
        if own is None:
            return False
        await self._bus.redis.lrem(keys.own(room, person), 1, own[0])  # type: ignore[arg-type]  # its stub wants a str
        await self._bus.tell(room, person, "line.removed", {"line": wanted, "by": "author"})
        return True

    async def pin(self, intent: Intent) -> dict[str, object]:
        wanted, room = intent.read(LinePin).line, intent.room
        epoch, _, number = wanted.rpartition(".")
        if wanted and not (epoch and number.isascii() and number.isdecimal()):
            raise NotFound("line", wanted[:64])
        await self._office.decisions.load_if_empty(room)
        found = await self._pin(
            keys=[keys.head(room), keys.log(room), keys.pinned(room), keys.pins(room), keys.silences(room)],
            args=[epoch, number, LOG_KEPT, keys.channel(room), ROOM_LIFE_S, new_epoch()],
        )
        if found is None:
            raise NotFound("line", wanted)
        if found[0] == b"unloaded":
            raise StoreDown()  # it has only just forgotten the room: asked again, this is carried out
        acted, seq = found[0].decode(), int(found[1])
        work = self._archive.pinned(room, wanted, acted, seq, self._now_ms())
        await self._office.book(intent, wanted, work)
        return {"line": wanted}


def _case(case_id: str, why: str, what: CaseKind, line: Line) -> Case:
    return Case(case_id, why, what, line.person, line.name, line.text, line.wall_ms, line)


def _kind_of(what: CaseKind) -> str:
    return "line.posted" if what == "line" else "question.changed"


def _said(answer: list[Any]) -> tuple[bool, str, str, str]:
    match answer:
        case [b"new" | b"again" as when, how, one, other]:
            words = [word if isinstance(word, int) else word.decode() for word in (how, one, other)]
            return when == b"new", str(words[0]), str(words[1]), str(words[2])
        case [b"silenced", stored]:
            record = silence_of(stored)[1]
            raise Silenced(record.until_ms, record.reason, record.kind)
        case [b"slow", retry_ms, slow_s]:
            raise SlowMode(int(retry_ms), int(slow_s))
        case [b"flood", retry_ms]:
            raise Throttled(int(retry_ms))
        case [b"blocked", why, until_ms]:
            raise Blocked(why.decode(), **({"until_ms": int(until_ms)} if int(until_ms) else {}))
        case _:
            raise StoreDown()
