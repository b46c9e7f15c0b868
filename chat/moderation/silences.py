"""Who may not talk: timeouts, bans, and bans that only moderators know of.

Source: docs/decisions/0013-a-silence-matches-person-or-device.md, 0135-a-network-is-only-looked-at-twice.md
"""

from __future__ import annotations

import msgspec

from chat import keys
from chat.errors import Forbidden, Invalid, NotFound
from chat.history import new_epoch
from chat.intent import Intent
from chat.message import reason_text
from chat.moderation import rules
from chat.moderation.kinds import (
    PersonBan,
    PersonSilenced,
    PersonTimeout,
    PersonUnban,
    SilencedPerson,
    SilenceKind,
    SilencesChanged,
)
from chat.moderation.office import RANKS, Handlers, Office, as_json, rank
from chat.moderation.store import public
from chat.ports import FOREVER_MS, Member, SilenceRecord, Taken

NETWORK_LIFE_MS = 24 * 3600_000  # addresses are given to others


class Silences:
    """`dropped(room, person)` is called when a banned person's other words have to go: what she has waiting."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.dropped = _nothing_else

    @property
    def handlers(self) -> Handlers:
        return {"person.timeout": self.timeout, "person.ban": self.ban, "person.unban": self.unban}

    async def timeout(self, intent: Intent) -> dict[str, object]:
        wanted = intent.read(PersonTimeout)
        shortest, longest = rules.TIMEOUT_S
        if not shortest <= wanted.seconds <= longest:
            raise Invalid("seconds", f"{shortest} to {longest}")
        until_ms = self._office.now_ms() + 1000 * wanted.seconds
        record = await self._silence(intent, wanted.person, "timeout", until_ms, wanted.reason)
        await self._book(intent, record)
        return {"person": record.person, "until_ms": until_ms}

    async def ban(self, intent: Intent) -> dict[str, object]:
        wanted = intent.read(PersonBan)
        kind: SilenceKind = "shadow" if wanted.shadow else "ban"
        record = await self._silence(intent, wanted.person, kind, FOREVER_MS, wanted.reason)
        lines: list[str] = []
        taken = self._office.taking(intent.room, intent.member.person)
        if kind == "ban":
            lines = await self._office.take_out(intent.room, "*", record.person, "moderator", taken)
            await self.dropped(intent, record.person)
        await self._book(intent, record, msgspec.structs.replace(taken, lines=lines))
        return {"person": record.person, "until_ms": record.until_ms, "lines": lines}

    async def unban(self, intent: Intent) -> dict[str, object]:
        person = intent.read(PersonUnban).person
        await self.lift(intent, person)
        return {"person": person}

    async def lift(self, intent: Intent, person: str) -> None:
        """Raises: NotFound, StoreDown."""
        office, room = self._office, intent.room
        await office.decisions.load_if_empty(room)
        was = await office.decisions.lift(room, person)
        if was is None:
            raise NotFound("silence", person)
        # Nobody can answer what she alone sees, and it counts among the open ones that she may have.
        await office.bus.redis.hdel(keys.asked(room), person)
        await self._over(room, was)
        if was.kind == "shadow":
            await office.bus.bans_changed(room)
        await self.tell(room)
        work = office.archive.lifted(room, person, office.now_ms())
        await office.book(intent, person, work, before=as_json(public(was)))

    async def of(self, room: str, member: Member) -> SilenceRecord | None:
        """What the person may know of her own silence. Raises: StoreDown."""
        return (await self.of_each(room, [member]))[0]

    async def of_each(self, room: str, members: list[Member]) -> list[SilenceRecord | None]:
        people = [(member.person, member.device) for member in members]
        records = await self._office.decisions.in_force_of_each(room, people)
        return [None if record is None or record.kind == "shadow" else record for record in records]

    async def tell(self, room: str) -> None:
        await self._office.bus.tell_role(room, "moderator", "silences.changed", SilencesChanged(await self.all(room)))

    async def all(self, room: str) -> list[SilencedPerson]:
        return await self._office.decisions.silences_in_force(room)

    async def _silence(
        self, intent: Intent, person: str, kind: SilenceKind, until_ms: int, reason: str
    ) -> SilenceRecord:
        room, actor, office = intent.room, intent.member, self._office
        if person == actor.person or not person or len(person) > 64 or " " in person:
            raise Invalid("person", "not yourself" if person == actor.person else "no person")
        who = await office.who(room, person)
        if rank(who.roles) and rank(who.roles) >= rank(actor.roles):
            raise Forbidden(RANKS[min(rank(who.roles), len(RANKS) - 1)])
        await office.decisions.load_if_empty(room)
        now = office.now_ms()
        record = SilenceRecord(
            id=f"sil_{new_epoch()}",
            person=person,
            # A device that its owner shares with the moderator must not silence the moderator.
            device="" if who.device == actor.device else who.device,
            name=who.name,
            kind=kind,
            until_ms=until_ms,
            reason=reason_text(reason),
            actor=actor.person,
            wall_ms=now,
            network=who.network if kind == "ban" else "",
            network_until_ms=now + NETWORK_LIFE_MS if kind == "ban" and who.network else 0,
        )
        was = await office.decisions.silence(room, record)
        if was is not None and kind != "ban":
            await self._over(room, was)
        if kind == "ban":
            await office.bus.banned(room, person, record.device, public(record))
            if was is not None and was.kind == "ban" and was.device != record.device:
                # Who was kept from the talk on a device of hers that is no longer meant.
                await office.bus.let_in(room, person, was.device)
        elif kind == "timeout":
            await office.bus.tell(room, person, "person.silenced", PersonSilenced(person, public(record)))
        if kind != "shadow":
            await office.bus.redis.delete(keys.own(room, person))
            await office.bus.redis.hdel(keys.asked(room), person)
        if "shadow" in (kind, was.kind if was else ""):
            await office.bus.bans_changed(room)
        await self.tell(room)
        return record

    async def _over(self, room: str, was: SilenceRecord) -> None:
        """She is told that it ended, unless she never knew of it."""
        if was.kind != "shadow" and was.until_ms > self._office.now_ms():
            ended = PersonSilenced(was.person, None)
            await self._office.bus.tell(room, was.person, "person.silenced", ended)
        if was.kind == "ban":
            await self._office.bus.let_in(room, was.person, was.device)

    async def _book(self, intent: Intent, record: SilenceRecord, taken: Taken | None = None) -> None:
        office = self._office

        async def work() -> None:
            if taken is not None and taken.lines:
                await office.keep_taken(intent.room, taken)
            await office.archive.silenced(intent.room, record)

        await office.book(intent, record.person, work(), reason=record.reason, after=as_json(public(record)))
        kind = "person.banned" if record.kind != "timeout" else "person.timed_out"
        facts = {"person": record.person, "name": record.name, "reason": record.reason, "until_ms": record.until_ms}
        await office.notice(intent.room, kind, **facts, shadow=record.kind == "shadow", by=intent.member.person)


async def _nothing_else(intent: Intent, person: str) -> None:
    """Nothing of hers waits."""
