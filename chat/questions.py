"""Questions to the host, apart from the talk: asked by viewers, claimed and answered by those who keep the room.

A question passes the same rules as a line (chat.talk asks for both). What was answered keeps the media time of the
answer: the moment on the recording.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from chat import keys
from chat.envelope import tail
from chat.errors import Blocked, Claimed, NotFound
from chat.history import LOG_KEPT, ROOM_LIFE_S, new_epoch
from chat.intent import Intent
from chat.kinds import QuestionChanged, QuestionMark
from chat.message import Question, QuestionState
from chat.moderation.office import Handlers, Office

MAX_OPEN = 200
MAX_OPEN_OF_ONE = 3
ANSWERED_KEPT = 50


class Questions:
    """`media_ms(room)` stamps the answer."""

    def __init__(self, office: Office, media_ms: Callable[[str], int | None]) -> None:
        self._office = office
        self._media_ms = media_ms
        self._change = office.bus.numbering("question")

    @property
    def handlers(self) -> Handlers:
        return {"question.mark": self.mark}

    async def may_ask(self, room: str, person: str) -> None:
        """Raises: Blocked, when too many wait. Two at once may be one too many: it harms nobody."""
        waiting = [question for _, question in await self._all(room) if question.state in ("open", "claimed")]
        # Of those that she alone sees each stays open: she hears "full" where anybody would.
        waiting += (await self.own_of_each(room, [person]))[0]
        if len(waiting) >= MAX_OPEN or sum(one.person == person for one in waiting) >= MAX_OPEN_OF_ONE:
            raise Blocked("full")

    async def own_of_each(self, room: str, people: list[str]) -> list[list[Question]]:
        """What each of them asked and alone sees."""
        found: Any = await self._office.bus.redis.hmget(keys.asked(room), people)
        return [msgspec.json.decode(asked, type=list[Question]) if asked else [] for asked in found]

    async def mark(self, intent: Intent) -> dict[str, Question]:
        wanted = intent.read(QuestionMark)
        for _ in range(3):
            found: Any = await self._office.bus.redis.hget(keys.questions(intent.room), wanted.question)
            if found is None:
                raise NotFound("question", wanted.question)
            was = msgspec.json.decode(found, type=Question)
            name = intent.member.name or "a moderator"
            if was.state == "claimed" and was.by != name and wanted.state in ("claimed", "answered"):
                raise Claimed(was.by, 0)
            if was.state == wanted.state and was.by == (name if wanted.state in ("claimed", "answered") else ""):
                return {"question": was}
            question = self._next(intent.room, was, wanted.state, name)
            if await self._write(intent.room, found, question):
                await self._prune(intent.room)
                work = self._office.archive.question(intent.room, question)
                await self._office.book(intent, was.id, work, before=was.state, after=question.state)
                return {"question": question}
        raise NotFound("question", wanted.question)

    async def drop_of(self, room: str, person: str, *, also_answered: bool = False) -> None:
        """Whoever was banned asks nothing."""
        for stored, question in await self._all(room):
            if question.person == person and (also_answered or question.state != "answered"):
                gone = msgspec.structs.replace(question, state="dismissed")
                if await self._write(room, stored, gone):
                    await self._office.archive.question(room, gone)

    def _next(self, room: str, was: Question, state: QuestionState, name: str) -> Question:
        is_done = state == "answered"
        return msgspec.structs.replace(
            was,
            state=state,
            by=name if state in ("claimed", "answered") else "",
            answered_at=self._media_ms(room) if is_done else None,
        )

    async def _write(self, room: str, was: bytes, question: Question) -> bool:
        """False: it changed since it was read."""
        # What was dismissed is told without its words.
        shown = msgspec.structs.replace(question, text="", name="") if question.state == "dismissed" else question
        return bool(
            await self._change(
                keys=[keys.head(room), keys.log(room), keys.questions(room)],
                args=[
                    question.id,
                    was,
                    msgspec.json.encode(question),
                    tail("question.changed", QuestionChanged(shown)),
                    LOG_KEPT,
                    keys.channel(room),
                    ROOM_LIFE_S,
                    int(question.state == "dismissed"),
                    new_epoch(),
                ],
            )
        )

    async def _prune(self, room: str) -> None:
        """The oldest answered ones leave the page; the archive has them. Pages keep as many by themselves."""
        done = sorted((one for _, one in await self._all(room) if one.state == "answered"), key=lambda q: q.wall_ms)
        if len(done) > ANSWERED_KEPT:
            await self._office.bus.redis.hdel(keys.questions(room), *(one.id for one in done[:-ANSWERED_KEPT]))

    async def _all(self, room: str) -> list[tuple[bytes, Question]]:
        stored: Any = await self._office.bus.redis.hvals(keys.questions(room))
        return [(one, msgspec.json.decode(one, type=Question)) for one in stored]
