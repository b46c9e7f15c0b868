"""The switches of chat.service in every room of this process: what staff chose, what load asks for, and who is told.

Staff's choice is kept in the store and holds on every process; load is each process's own. A store that loses the
choice leaves everything to load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from chat import keys
from chat.bus import RedisBus
from chat.envelope import encode
from chat.errors import StoreDown
from chat.floor import Room
from chat.intent import Intent
from chat.kinds import ServiceChanged, ServiceSet
from chat.outbox import Item
from chat.ports import Act, Archive
from chat.service import SHED_ORDER, Load, Service, Setting, in_force

CHOICES_LIFE_S = 24 * 3600  # a switch that was forgotten at the end of a show is back to "auto" for the next


class Switchboard:
    """`up(channel)` says whether what the store publishes there is heard."""

    def __init__(
        self, bus: RedisBus, archive: Archive, *, rooms: dict[str, Room], busy_share: float, up: Callable[[str], bool]
    ) -> None:
        self._bus = bus
        self._archive = archive
        self._rooms = rooms
        self._up = up
        self._chosen: dict[str, dict[str, Setting]] = {}
        self._down: set[str] = set()  # rooms that the store says nothing of
        self._load = Load(busy_share)
        self._cpu_s, self._wall_s = time.thread_time(), time.monotonic()

    @property
    def level(self) -> int:
        """How many switches this process's load has turned off."""
        return self._load.level

    def is_unusual(self, room: Room) -> bool:
        """A page takes it that everything is on; only something else has to be said."""
        return room.service != Service()

    def look(self) -> None:
        """Once a pulse: is the loop too busy, is the store away? Does no I/O, so that nothing keeps it from saying."""
        cpu_s, wall_s = time.thread_time(), time.monotonic()
        share = (cpu_s - self._cpu_s) / max(1e-9, wall_s - self._wall_s)
        self._cpu_s, self._wall_s = cpu_s, wall_s
        was_down, self._down = self._down, {room for room in self._rooms if not self._up(keys.channel(room))}
        if self._load.note(wall_s, share) or was_down != self._down:
            for room in self._rooms.values():
                self._hold(room)

    async def read(self, room: Room) -> None:
        """What staff chose for the room, read again, and told here if it makes a difference."""
        self._chosen[room.name] = await self.chosen(room.name)
        self._hold(room)

    async def chosen(self, room: str) -> dict[str, Setting]:
        """Each switch and what staff chose for it; "auto" leaves it to load."""
        found: Any = await self._bus.redis.hgetall(keys.service(room))
        known = {name.decode(): value.decode() for name, value in found.items()}
        return {name: cast(Setting, known.get(name, "auto")) for name in SHED_ORDER}

    def now(self, room: str) -> Service:
        """What holds in the room on this process."""
        return self._rooms[room].service if room in self._rooms else in_force({}, self.level)

    def forget(self, room: str) -> None:
        self._chosen.pop(room, None)

    async def set(self, room: str, wanted: ServiceSet, actor: str) -> dict[str, Setting]:
        """Flip what `wanted` names, on every process; all choices as they are then.

        Raises: StoreDown (carries `.applied`: it holds, but could not be written down)."""
        before = await self.chosen(room)
        named: dict[str, str] = {name: value for name in SHED_ORDER if (value := getattr(wanted, name)) is not None}
        if named:
            async with self._bus.redis.pipeline(transaction=True) as pipe:
                pipe.hset(keys.service(room), mapping=named)  # type: ignore[arg-type]  # its stub wants a wider dict
                pipe.expire(keys.service(room), CHOICES_LIFE_S)
                await pipe.execute()
        await self._bus.service_set(room)
        after = await self.chosen(room)
        try:
            act = Act(room, actor, "service.set", "", "", _words(before), _words(after), self._bus.now_ms())
            await self._archive.act(act)
        except Exception as error:
            raise StoreDown(store="archive", applied=True) from error
        return after

    async def intent(self, intent: Intent) -> dict[str, object]:
        chosen = await self.set(intent.room, intent.read(ServiceSet), intent.member.person)
        return {"chosen": chosen}

    def _hold(self, room: Room) -> None:
        service = in_force(self._chosen.get(room.name, {}), self.level, read_only=room.name in self._down)
        if service != room.service:
            room.service = service
            if room.opened.is_set():
                room.tell_each(Item("service.changed", encode("service.changed", ServiceChanged(service))))


def _words(chosen: dict[str, Setting]) -> str:
    return " ".join(f"{name}={value}" for name, value in chosen.items())
