"""Who is banned, at this process's sockets: cut at once and told why, without the talk when they come back, with it
again when the ban is over.

A banned person goes on watching and buying: the show's events ride on the same socket. What she doesn't get is what the
room itself numbers (chat.seat.TALK).
Source: docs/decisions/0156-a-ban-cuts-the-socket.md
"""

from __future__ import annotations

from chat.envelope import encode
from chat.floor import Room
from chat.moderation.kinds import PersonSilenced, Silence
from chat.moderation.office import is_crew
from chat.moderation.store import public
from chat.outbox import Item
from chat.seat import Seat
from chat.talk import Talk
from chat.watch import MARGIN_MS

BANNED = 4423  # after HTTP's 423, locked


class Expulsion:
    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def cut(self, room: Room, person: str, device: str, silence: Silence) -> None:
        """The person's sockets here, and her device's, whoever she is on it now."""
        for seat in list(room.seats):
            member = seat.member
            if (member.person == person or (device and member.device == device)) and not is_crew(member):
                self._cut(seat, silence)

    def kept_out(self, room: Room, person: str, device: str) -> list[Seat]:
        """Who is looked at again when that person's ban is over: also those whose first look is still on its way."""
        return [
            seat
            for seat in room.seats
            if seat.kept_out == person
            or (seat.held is not None and (seat.member.person == person or (device and seat.member.device == device)))
        ]

    async def look(self, room: Room) -> list[Seat]:
        """What the bus had to say may have been missed: cut who is banned by now; answers who starts afresh: whose ban
        is over, and who is banned but whose way in may have begun before that. The room learns who is shadow-banned.

        Raises: StoreDown."""
        known = await self._talk.bans(room.name)
        room.unheard = frozenset(field for field, record in known.items() if record.kind == "shadow")
        bans = {field: record for field, record in known.items() if record.kind == "ban"}
        afresh = []
        for seat in list(room.seats):
            member = seat.member
            ban = bans.get(f"p:{member.person}") or (bans.get(f"d:{member.device}") if member.device else None)
            if ban is None and seat.kept_out:
                afresh.append(seat)
            elif ban is None or seat.kept_out or is_crew(member):
                continue
            elif seat.held is None:
                self._cut(seat, public(ban))
            elif seat.entered_ms < ban.wall_ms + MARGIN_MS:
                afresh.append(seat)
        return afresh

    def _cut(self, seat: Seat, silence: Silence) -> None:
        told = PersonSilenced(seat.member.person, silence)
        seat.send(Item("person.silenced", encode("person.silenced", told)))
        seat.wire.close(BANNED, "banned")
