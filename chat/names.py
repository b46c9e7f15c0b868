"""What people call themselves: not what the terms block, and not what one of those who keep the room is called."""

from __future__ import annotations

from typing import Any

from chat import keys
from chat.errors import Blocked, Silenced, StoreDown
from chat.intent import Intent
from chat.kinds import NameChanged, NameSet
from chat.message import display_name
from chat.moderation import rules
from chat.moderation.office import Handlers, Office, is_crew, rank
from chat.moderation.silences import Silences
from chat.moderation.terms import RoomWords

_NAMES = 5, 60  # so many within seconds, of one person


class Names:
    def __init__(self, office: Office, words: RoomWords, silences: Silences) -> None:
        self._office = office
        self._bus = office.bus
        self._archive = office.archive
        self._words = words
        self._silences = silences
        self._crew: dict[str, frozenset[str]] = {}  # name keys of those who keep the room, by room

    @property
    def handlers(self) -> Handlers:
        return {"name.set": self.set_name}

    def forget(self, room: str) -> None:
        self._crew.pop(room, None)

    async def set_name(self, intent: Intent) -> dict[str, object]:
        name = display_name(intent.read(NameSet).name)
        member, room = intent.member, intent.room
        ban = (await self._words.of(room)).look(name)
        if ban.blocked or ban.held or rules.has_link(name):
            raise Blocked("term")
        silence = await self._silences.of(room, member)
        if silence is not None and not rank(member.roles):
            raise Silenced(silence.until_ms, silence.reason, silence.kind)
        await self._office.spend(room, "name", member.person, *_NAMES)
        if is_crew(member):
            await self._bus.redis.hset(keys.crew(room), member.person, name)
            await self._bus.terms_changed(room)  # other processes read the crew's names again too
            await self.of_crew(room, anew=True)
        elif rules.is_office(name) or not rules.name_keys(name).isdisjoint(await self.of_crew(room, anew=True)):
            raise Blocked("name")
        try:
            await self._archive.named(room, member, name)
        except Exception as error:
            raise StoreDown(store="archive") from error
        await self._bus.renamed(room, member.person, name)
        await self._bus.tell(room, member.person, "name.changed", NameChanged(name))
        return {"name": name}

    async def of_crew(self, room: str, *, anew: bool = False) -> frozenset[str]:
        """Name keys of those who keep the room: who was granted it, and what those present call themselves.

        Fails open on the archive: who is present is known to Redis."""
        if anew or room not in self._crew:
            here: Any = await self._bus.redis.hvals(keys.crew(room))
            names = [name.decode() for name in here]
            try:
                names += await self._archive.crew(room)
            except Exception:
                names += []
            self._crew[room] = frozenset(key for name in names if name for key in rules.name_keys(name))
        return self._crew[room]
