"""The bus in Redis. One script appends to the room's log (history.py), numbers and publishes, so that log and bus can't
disagree.

What travels on a room's channel is a header line and the bytes that a socket will get:

    e <epoch> <seq> <kind> [author [person …]]
                                      an event; author is a person, or "!" for a line that is never thinned out; then
                                      the persons whom it mentions or answers
    v <kind>                          volatile, to everyone
    p <person> <kind>                 to one person's tabs
    r <role> <kind>                   to everyone with that role
    n <person>                        a new name (JSON): processes keep it with her sockets
    b <person>                        a new badge (JSON), likewise
    x <person> <device>               a ban (JSON of its Silence): their sockets are told, and cut
    y <person> <device>               that ban is over: who was kept from the talk under it has it again
    t                                 the terms, the crew's names or the shadow bans changed
    s                                 the switches were set

Every method raises redis' RedisError when the store is down; `Hub` turns that into `store_down`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from redis.asyncio import Redis

from chat import keys
from chat.durability import Durability
from chat.envelope import Envelope, decode_envelope, encode, numbered, tail
from chat.history import LOG_KEPT, ROOM_LIFE_S, History, new_epoch, numbering
from chat.moderation.kinds import Silence

REVOKED_LIFE_MS = 3600_000


class RedisBus:
    """Numbers and carries what happens in rooms, for every process that has sockets in them."""

    def __init__(self, redis: Redis, *, now_ms: Callable[[], int]) -> None:
        self.redis = redis
        self.now_ms = now_ms
        self._durability = Durability(redis)
        self._publish = self.numbering("publish")
        self.history = History(redis, self._durability)

    def numbering(self, name: str) -> Callable[..., Awaitable[Any]]:
        """The script chat/lua/`name`.lua, one that gives out numbers."""
        return numbering(self.redis, self._durability, name)

    async def publish(self, room: str, kind: str, body: object, *, at: int | None = None) -> Envelope:
        """Append, number and send an event to everyone in the room, on every process."""
        envelope_tail = tail(kind, body, at=at)
        _, seq = await self._publish(
            keys=[keys.head(room), keys.log(room)],
            args=[new_epoch(), envelope_tail, LOG_KEPT, keys.channel(room), kind, ROOM_LIFE_S],
        )
        return decode_envelope(numbered(int(seq), envelope_tail))

    async def hint(self, room: str, kind: str, body: object) -> None:
        """Volatile, to everyone: not numbered, not kept, lost on a reconnect."""
        await self._send(room, f"v {kind}", encode(kind, body))

    async def tell(self, room: str, person: str, kind: str, body: object) -> None:
        """Private, to all tabs of one person in the room, wherever they are. Not kept: a page that joins later reads
        the state from its snapshot."""
        await self._send(room, f"p {person} {kind}", encode(kind, body))

    async def tell_role(self, room: str, role: str, kind: str, body: object) -> None:
        """Private, to everyone in the room who has `role`."""
        await self._send(room, f"r {role} {kind}", encode(kind, body))

    async def renamed(self, room: str, person: str, name: str) -> None:
        """Every process keeps `name` with the person's sockets."""
        await self._send(room, f"n {person}", msgspec.json.encode(name))

    async def badged(self, room: str, person: str, badge: str) -> None:
        """Every process keeps `badge` with the person's sockets."""
        await self._send(room, f"b {person}", msgspec.json.encode(badge))

    async def banned(self, room: str, person: str, device: str, silence: Silence) -> None:
        """Every process tells the person's sockets, and the device's when it is not "", and cuts them (4423)."""
        await self._send(room, f"x {person} {device}", msgspec.json.encode(silence))

    async def let_in(self, room: str, person: str, device: str) -> None:
        """Every process gives the talk back to those who were kept from it by the person's ban."""
        await self._send(room, f"y {person} {device}", b"")

    async def bans_changed(self, room: str) -> None:
        """Every process reads who is banned again, which it does by itself twice a second."""
        await self._send(room, "t", b"")

    async def terms_changed(self, room: str) -> None:
        """Every process reads the terms and the crew's names again."""
        await self._send(room, "t", b"")

    async def service_set(self, room: str) -> None:
        """Every process reads the switches again."""
        await self._send(room, "s", b"")

    async def revoke(self, *, session: str | None = None, person: str | None = None) -> None:
        """Close the live sockets of a session or a person, on every process, with 4401.

        Kept for an hour, so that a process that was cut off from the store closes them when it is back."""
        mark = f"s {session}" if session is not None else f"p {person}"
        now = self.now_ms()
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.zadd(keys.REVOKED, {mark: now})
            pipe.zremrangebyscore(keys.REVOKED, "-inf", now - REVOKED_LIFE_MS)
            pipe.spublish(keys.REVOKED_CHANNEL, mark)
            await pipe.execute()

    async def _send(self, room: str, header: str, data: bytes) -> None:
        await self.redis.spublish(keys.channel(room), header.encode() + b"\n" + data)
