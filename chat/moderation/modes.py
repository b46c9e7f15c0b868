"""How the room is kept: slow, for buyers, for those known for a while, by emoji only, reviewed, and against a raid.

The mode is a hash that `post.lua` reads in the step that posts, so that it holds on every process at once, and a raid
is over when its time is, whether or not anybody is there to end it.
"""

from __future__ import annotations

from typing import Any

from chat.errors import Invalid
from chat.intent import Intent
from chat.kinds import ModeChanged
from chat.moderation import rules
from chat.moderation.kinds import ModeSet
from chat.moderation.office import Handlers, Office, as_json

_MOST = {"slow_s": rules.MAX_SLOW_S, "age_s": rules.MAX_AGE_S, "raid_s": rules.MAX_RAID_S}


class Modes:
    def __init__(self, office: Office) -> None:
        self._office = office

    @property
    def handlers(self) -> Handlers:
        return {"mode.set": self.set}

    async def set(self, intent: Intent) -> ModeChanged:
        office, room, wanted = self._office, intent.room, intent.read(ModeSet)
        changes: dict[str, Any] = {
            name: getattr(wanted, name) for name in ModeSet.__struct_fields__ if getattr(wanted, name) is not None
        }
        for name, most in _MOST.items():
            if not 0 <= changes.get(name, 0) <= most:
                raise Invalid(name, f"0 to {most}")
        if (raid_s := changes.pop("raid_s", None)) is not None:
            now = office.now_ms()
            changes |= {"raid_until_ms": now + 1000 * raid_s if raid_s else 0, "raid_from_ms": now if raid_s else 0}
        await office.decisions.load_if_empty(room)
        was = await office.decisions.mode(room)
        if changes.get("raid_until_ms") and was.raid_until_ms > changes["raid_from_ms"]:
            changes["raid_from_ms"] = was.raid_from_ms  # longer is not later: who was kept out stays out
        mode = await office.decisions.set_mode(room, changes)
        await office.bus.publish(room, "mode.changed", ModeChanged(mode))
        await office.book(intent, "", office.archive.mode(room, mode), before=as_json(was), after=as_json(mode))
        return ModeChanged(mode)
