"""Server-side sessions: a browser holds a random token, Redis holds who that is, under the token's digest.

A stolen copy of Redis opens no session, and a session ends the moment its key is deleted.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from redis.asyncio import Redis

from chat.rounds import Rounds
from live.clock import Clock
from live.ids import digest, new_id, new_secret
from live.store import keys
from live.store.redis import load_script, piped

LIFE_S = 30 * 86_400  # from the last use


class Session(msgspec.Struct, frozen=True):
    """Who a browser is. `id` is the token's digest: it names the session in logs and revocations and opens nothing.

    `staff_id` is "" for a guest; `name` is the nickname, "" until one is chosen. A session whose `id` is "" is
    nobody: the browser brought no cookie, or Redis could not say whose it is.
    """

    id: str = ""
    person: str = ""
    device: str = ""
    staff_id: str = ""
    name: str = ""
    csrf: str = ""
    opened_ms: int = 0

    @property
    def known(self) -> bool:
        return bool(self.id)


NOBODY = Session()
_FIELDS = ("person", "device", "staff_id", "name", "csrf", "opened_ms")


class Sessions:
    """Opens, reads, renames and ends sessions. Fails closed: redis-py's errors pass through to the caller."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._rename = load_script(redis, "rename")
        self._rounds: Rounds[str, Session | None] = Rounds(self._by_ids)  # a hall that comes back asks in one moment

    async def open(
        self, *, person: str = "", device: str = "", staff_id: str = "", name: str = ""
    ) -> tuple[str, Session]:
        """A new session and the token its cookie carries. Without `person` a new guest is born."""
        token = new_secret()
        session = Session(
            id=digest(token),
            person=person or new_id("per"),
            device=device or new_id("dev"),
            staff_id=staff_id,
            name=name,
            csrf=secrets.token_urlsafe(24),
            opened_ms=self._clock.now_ms(),
        )
        if staff_id:
            # Listed before it opens anything: a session of the staff's that nobody can end must never be.
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.sadd(keys.staff_sessions(staff_id), session.id)
                pipe.expire(keys.staff_sessions(staff_id), LIFE_S)
                await pipe.execute()
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(keys.session(session.id), mapping={field: getattr(session, field) for field in _FIELDS})
            pipe.expire(keys.session(session.id), LIFE_S)
            await pipe.execute()
        return token, session

    async def get(self, token: str) -> Session | None:
        """The session of a cookie's token, its life renewed; None when it ended or never was."""
        return await self.by_id(digest(token)) if 20 <= len(token) <= 128 else None

    async def get_each(self, tokens: list[str]) -> list[Session | None]:
        """`get` of many, together."""
        plausible = {token: digest(token) for token in tokens if 20 <= len(token) <= 128}
        found = await self._by_ids(list(plausible.values())) if plausible else []
        sessions = dict(zip(plausible, found, strict=True))
        return [sessions.get(token) for token in tokens]

    async def by_id(self, session_id: str) -> Session | None:
        """The session with that digest, its life renewed."""
        return await self._rounds.of(session_id)

    async def _by_ids(self, session_ids: list[str]) -> list[Session | None]:
        commands: list[tuple[str | int, ...]] = []
        for session_id in session_ids:
            key = keys.session(session_id)
            commands += [("HMGET", key, *_FIELDS), ("EXPIRE", key, LIFE_S)]
        answers = await piped(self._redis, commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [_read(*found) for found in zip(session_ids, answers[::2], strict=True)]

    async def rename(self, session_id: str, name: str) -> None:
        """Keep a nickname. A session that ended in the meantime stays ended."""
        await self._rename([keys.session(session_id)], [name])

    async def end(self, session_id: str) -> None:
        """The cookie opens nothing from here on."""
        await self._redis.delete(keys.session(session_id))

    async def of_staff(self, staff_id: str) -> list[str]:
        """Ids of the sessions in which someone of the staff is signed in; ended ones are dropped from the list."""
        members: Any = await self._redis.smembers(keys.staff_sessions(staff_id))
        ids = [member.decode() for member in members]
        living: list[str] = []
        for session_id in ids:
            if await self._redis.exists(keys.session(session_id)):
                living.append(session_id)
            else:
                await self._redis.srem(keys.staff_sessions(staff_id), session_id)
        return living


def _read(session_id: str, values: list[bytes | None]) -> Session | None:
    if values[0] is None:
        return None
    person, device, staff_id, name, csrf, opened_ms = (bytes(value or b"").decode() for value in values)
    return Session(session_id, person, device, staff_id, name, csrf, int(opened_ms or 0))
