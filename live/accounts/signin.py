"""Ways in: a password, or a one-click link. Both end in a session; neither says why it failed."""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis

from live.accounts.staff import Staff, StaffBook
from live.accounts.throttle import Throttle
from live.errors import Throttled
from live.ids import digest, new_id, new_secret
from live.store import keys

WINDOW_S = 15 * 60
TRIES_AN_ACCOUNT = 10  # wrong passwords for one address in a window
TRIES_A_NETWORK = 60  # and from one network: an office behind one address signs in, a list of addresses does not


class Entrance(msgspec.Struct, frozen=True):
    """Whom a link lets in: someone of the staff, or a guest with a name. `person` keeps a guest's bag across clicks."""

    staff_id: str
    person: str
    name: str


class SignIn:
    """Checks who asks to come in. The caller opens the session."""

    def __init__(self, redis: Redis, staff: StaffBook, throttle: Throttle) -> None:
        self._redis = redis
        self._staff = staff
        self._throttle = throttle

    async def by_password(self, email: str, password: str, *, network: str) -> Staff | None:
        """The member of staff, or None for any reason at all: unknown, disabled, wrong.

        Raises: Throttled after too many wrong tries for the address or from the network (counted whether the
        address exists or not, or the difference would tell). The count fails open, the password never.
        """
        account = digest(email.strip().lower())
        wait_s = max(
            await self._throttle.hit("signin-net", network, limit=TRIES_A_NETWORK, window_s=WINDOW_S),
            await self._throttle.hit("signin", account, limit=TRIES_AN_ACCOUNT, window_s=WINDOW_S),
        )
        if wait_s:
            raise Throttled(wait_s)
        found = await self._staff.check_password(email, password)
        if found is not None:
            await self._throttle.clear("signin", account)
        return found

    async def issue_link(self, *, staff_id: str = "", name: str = "", ttl_s: int) -> str:
        """A token for `/sign-in/{token}`, good for any number of clicks within `ttl_s`: for a member of staff, or
        for a guest called `name`. Only its digest is kept."""
        token = new_secret()
        key = keys.sign_in(digest(token))
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping={"staff_id": staff_id, "person": new_id("per"), "name": name})
            pipe.expire(key, ttl_s)
            await pipe.execute()
        return token

    async def by_link(self, token: str) -> Entrance | None:
        """Whom the link lets in; None when it is over, was never issued, or its member of staff was disabled."""
        if not 20 <= len(token) <= 128:
            return None
        kept: Any = await self._redis.hmget(keys.sign_in(digest(token)), ["staff_id", "person", "name"])
        staff_id, person, name = ((value or b"").decode() for value in kept)
        if not person:
            return None
        entrance = Entrance(staff_id, person, name)
        if entrance.staff_id:
            found = await self._staff.by_id(entrance.staff_id)
            if found is None or found.disabled:
                return None
            return Entrance(found.id, entrance.person, found.name)
        return entrance

    async def cancel_link(self, token: str) -> None:
        """The link opens nothing from here on."""
        await self._redis.delete(keys.sign_in(digest(token)))
