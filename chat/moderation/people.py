"""What moderators know of a person: what she said, what was done, and what they tell each other of her."""

from __future__ import annotations

import msgspec

from chat.errors import Invalid, StoreDown
from chat.history import new_epoch
from chat.intent import Intent
from chat.message import note_text
from chat.moderation.kinds import FoundLine, LinesFind, Note, PersonFacts, PersonLook, PersonNote
from chat.moderation.office import Handlers, Office
from chat.moderation.store import public

LINES_SHOWN = 50
LINES_FOUND = 100


class Records:
    def __init__(self, office: Office) -> None:
        self._office = office

    @property
    def handlers(self) -> Handlers:
        return {"person.look": self.look, "person.note": self.note, "lines.find": self.find}

    async def look(self, intent: Intent) -> dict[str, PersonFacts]:
        office, person = self._office, intent.read(PersonLook).person
        who = await office.who(intent.room, person)
        record = await office.decisions.in_force(intent.room, person, who.device)
        try:
            facts = await office.archive.person(intent.room, person, LINES_SHOWN)
        except Exception as error:
            raise StoreDown(store="archive") from error
        return {
            "facts": msgspec.structs.replace(
                facts,
                name=who.name or facts.name,
                badge=who.badge,
                since_ms=who.since_ms,
                silence=None if record is None else public(record),
            )
        }

    async def note(self, intent: Intent) -> dict[str, Note]:
        office, wanted = self._office, intent.read(PersonNote)
        if not wanted.person:
            raise Invalid("person", "empty")
        note = Note(
            id=f"not_{new_epoch()}",
            person=wanted.person,
            text=note_text(wanted.text),
            actor=intent.member.person,
            actor_name=intent.member.name,
            wall_ms=office.now_ms(),
        )
        await office.book(intent, note.person, office.archive.note(intent.room, note), after=note.text)
        return {"note": note}

    async def find(self, intent: Intent) -> dict[str, list[FoundLine]]:
        wanted = intent.read(LinesFind)
        words = " ".join(wanted.words.split())
        if not (wanted.person or words) or len(words) > LINES_FOUND:
            raise Invalid("words", "say whose lines, or up to 100 characters of what they hold")
        try:
            found = await self._office.archive.find(intent.room, person=wanted.person, words=words, most=LINES_FOUND)
        except Exception as error:
            raise StoreDown(store="archive") from error
        return {"lines": found}
