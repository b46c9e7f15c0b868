"""The room's log and bus in Redis. One script appends, numbers and publishes, so that the two can't disagree.

What travels on a room's channel is a header line and the bytes that a socket will get:

    e <epoch> <seq> <kind> [author]   an event; author is a person, or "!" for a line that is never thinned out
    v <kind>                          volatile, to everyone
    p <person> <kind>                 to one person's tabs
    r <role> <kind>                   to everyone with that role
    n <person>                        a new name (JSON): processes keep it with her sockets
    t                                 the blocked terms changed

Every method raises redis' RedisError when the store is down; `Hub` turns that into `store_down`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from chat import keys
from chat.envelope import Envelope, decode_envelope, encode, numbered, tail
from chat.kinds import Mode

LOG_KEPT = 10_000
RESUMED_MOST = 2_000  # events of one socket's resume; a whole log would hold the store up for a tenth of a second
LINES_KEPT = 200  # more than a join replays, so that removals leave enough
LINES_REPLAYED = 50
ROOM_LIFE_S = 30 * 24 * 3600
REVOKED_LIFE_MS = 3600_000
_LUA = Path(__file__).parent / "lua"


class Moment(msgspec.Struct, frozen=True):
    """The room at one moment; `lines` are envelopes of line.posted, oldest first."""

    epoch: str
    seq: int
    mode: Mode
    viewers: int
    lines: list[bytes]


def script(redis: Redis, name: str) -> AsyncScript:
    """chat/lua/`name`.lua, sent by its hash and loaded when the store doesn't know it."""
    return redis.register_script((_LUA / f"{name}.lua").read_text())


def new_epoch() -> str:
    return secrets.token_hex(6)


class RedisBus:
    """Numbers and carries what happens in rooms, for every process that has sockets in them."""

    def __init__(self, redis: Redis, *, now_ms: Callable[[], int]) -> None:
        self.redis = redis
        self.now_ms = now_ms
        self._publish = script(redis, "publish")
        self._snapshot = script(redis, "snapshot")
        self._since = script(redis, "since")
        self._renew = script(redis, "renew")

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

    async def terms_changed(self, room: str) -> None:
        """Every process reads the blocked terms again."""
        await self._send(room, "t", b"")

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

    async def revoked_since(self, since_ms: int) -> list[tuple[str, int]]:
        """Marks (`s <session>`, `p <person>`) revoked at or after `since_ms`, and when."""
        found: Any = await self.redis.zrangebyscore(keys.REVOKED, since_ms, "+inf", withscores=True)
        return [(mark.decode(), int(at_ms)) for mark, at_ms in found]

    async def position(self, room: str) -> tuple[str, int]:
        """(epoch, seq of the newest event). A room without one begins an epoch."""
        moment = await self.moment(room, lines=0)
        return moment.epoch, moment.seq

    async def moment(self, room: str, *, lines: int = LINES_REPLAYED) -> Moment:
        """Position, newest lines and mode, read in one step."""
        epoch, seq, slow_s, links, viewers, *entries = await self._snapshot(
            keys=[keys.head(room), keys.log(room), keys.lines(room), keys.mode(room)],
            args=[new_epoch(), lines, ROOM_LIFE_S],
        )
        return Moment(epoch.decode(), int(seq), Mode(int(slow_s), bool(links)), int(viewers), entries)

    async def viewers(self, room: str) -> int:
        """People in the room over all processes, as last counted."""
        found: Any = await self.redis.hget(keys.head(room), "viewers")
        return int(found or 0)

    async def since(self, room: str, epoch: str, seq: int) -> list[Envelope] | None:
        """Events after `seq`, or None when the epoch is over or the log no longer reaches back: start afresh."""
        found = await self.since_bytes(room, epoch, seq)
        return None if found is None else [decode_envelope(data) for data in found]

    async def since_bytes(self, room: str, epoch: str, seq: int, *, most: int = LOG_KEPT) -> list[bytes] | None:
        """As `since`, in the bytes that a socket gets; None also when there are more than `most`."""
        found: list[bytes] | None = await self._since(keys=[keys.head(room), keys.log(room)], args=[epoch, seq, most])
        return found

    async def renew(self, room: str, epoch: str, seq: int) -> tuple[str, int]:
        """The position, after beginning a new epoch if the store lost numbers that were given out already."""
        now_epoch, now_seq = await self._renew(keys=[keys.head(room)], args=[epoch, seq, new_epoch()])
        return now_epoch.decode(), int(now_seq)

    async def _send(self, room: str, header: str, data: bytes) -> None:
        await self.redis.spublish(keys.channel(room), header.encode() + b"\n" + data)
