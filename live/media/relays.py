"""The relays as the others see them: which one takes a show, orders to one or to all, and a dead one forgotten.

A relay's entry in Redis lives 10 s longer than a relay that was killed. Whoever finds its control address refused
takes the entry away at once, so that the next viewer is not sent there (docs/decisions/0023).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import structlog
from redis.asyncio import Redis
from starlette.exceptions import HTTPException

from live.errors import Conflict, NotFound, NotLive, Overloaded
from live.ids import sign
from live.store import keys
from live.store.redis import load_script

log = structlog.get_logger(__name__)

ANSWERS_WITHIN_S = 5.0
TELLS_WITHIN_S = 3.0
_ID = re.compile(r"relay_[0-9A-Za-z]+")


class RelayGone(Exception):
    """The control address is refused, or somebody else's by now: the relay of that id is dead and was forgotten."""


class Relays:
    """Reads the registry that relays write (`live/relay/registry.py`). `key`: the server's secret."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._token = sign(key, "relay-control", "v1")
        self._give_up = load_script(redis, "give_up")
        self._client: httpx.AsyncClient | None = None  # for what all relays are told

    async def of_show(self, show: str) -> str | None:
        """The relay that has the show's publisher, or had her less than 10 s ago."""
        found = await self._redis.get(keys.relay_of_show(show))
        return _text(found) if found is not None else None

    async def for_publisher(self, show: str) -> str:
        """The relay that has the show already, so that its viewers stay; else the one with most room. Raises
        Overloaded."""
        known = await self.of_show(show)
        if known is not None and await self._redis.exists(keys.relay(known)):
            return known
        rooms: list[tuple[float, str]] = []
        for member in await self._redis.smembers(keys.RELAYS):
            relay_id = _text(member)
            load, capacity = await self._redis.hmget(keys.relay(relay_id), ["load", "capacity"])
            if capacity is None:
                await self._redis.srem(keys.RELAYS, relay_id)  # it stopped beating
            elif int(capacity) > 0:
                rooms.append((int(load or 0) / int(capacity), relay_id))
        if not rooms:
            raise Overloaded(retry_after_s=1)
        return min(rooms)[1]

    async def ask(self, relay_id: str, show: str, method: str, path: str, **what: Any) -> httpx.Response:
        """One order; its refusal in the words of this API. Raises RelayGone, Error and HTTPException."""
        if not _ID.fullmatch(relay_id):
            raise RelayGone  # out of a stranger's address: it must not name another key
        control = await self._redis.hget(keys.relay(relay_id), "control")
        if control is None:
            await self._forget(relay_id, show)
            raise RelayGone
        headers = what.pop("headers", {}) | {"Authorization": f"Bearer {self._token}", "Relay": relay_id}
        try:
            # No TLS context is made for a plain address, so a client a request costs little.
            async with httpx.AsyncClient(timeout=ANSWERS_WITHIN_S, trust_env=False, verify=False) as client:  # noqa: S501
                answer = await client.request(method, f"{_text(control)}{path}", headers=headers, **what)
        except httpx.ConnectError:
            await self._forget(relay_id, show)
            raise RelayGone from None
        except httpx.HTTPError:
            raise Overloaded(retry_after_s=2) from None  # busy, or gone just now: the next try finds out
        if answer.status_code == 421:  # a new process on the old one's port
            await self._forget(relay_id, show)
            raise RelayGone
        if not answer.is_success:
            raise _refusal(answer)
        return answer

    # ---- what all are told ---------------------------------------------------------------------

    async def addresses(self) -> list[str]:
        """Control addresses (`http://127.0.0.1:41234`) of the relays that beat."""
        members: Any = await self._redis.smembers(keys.RELAYS)
        found: list[Any] = [
            await self._redis.hget(keys.relay(relay_id), "control")
            for relay_id in sorted(_text(member) for member in members)
        ]
        return [_text(address) for address in found if address]

    async def drop_publisher(self, show: str) -> None:
        """The key that the publisher came with is void: cut it."""
        await self._tell_all(f"/shows/{show}/drop-publisher")

    async def end(self, show: str) -> None:
        """The show is over: publisher and viewers are let go."""
        await self._tell_all(f"/shows/{show}/end")

    async def stats(self) -> list[object]:
        """What each relay says of itself; one that doesn't answer is left out."""
        answers = await asyncio.gather(*(self._tell("GET", address, "/stats") for address in await self.addresses()))
        return [answer for answer in answers if answer is not None]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _tell_all(self, path: str) -> None:
        # Fails open: a relay that doesn't hear it is gone or about to be, and the show's state stands in SQL.
        await asyncio.gather(*(self._tell("POST", address, path) for address in await self.addresses()))

    async def _tell(self, method: str, address: str, path: str) -> object | None:
        if self._client is None:
            headers = {"Authorization": f"Bearer {self._token}"}
            self._client = httpx.AsyncClient(timeout=TELLS_WITHIN_S, headers=headers, trust_env=False)
        try:
            answer = await self._client.request(method, f"{address}{path}")
            answer.raise_for_status()
            return answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            log.warning("relay.silent", path=path, error=type(error).__name__)
            return None

    async def _forget(self, relay_id: str, show: str) -> None:
        """Ids are never used twice, so the entry can't be another's; the show may have been taken by another."""
        log.warning("relay.forgotten", relay=relay_id, show=show)
        await self._give_up([keys.relay_of_show(show)], [relay_id])
        await self._redis.delete(keys.relay(relay_id))
        await self._redis.srem(keys.RELAYS, relay_id)


def _refusal(answer: httpx.Response) -> Exception:
    facts = _facts(answer)
    retry_after_s = int(facts.get("retry_after_s", 2))
    if answer.status_code == 409 and facts.get("error") == "taken":
        return Conflict("another publisher is on", retry_after_s=retry_after_s)
    if answer.status_code == 409:
        return NotLive("waiting", retry_after_s=retry_after_s)
    if answer.status_code == 503:
        return Overloaded(retry_after_s=retry_after_s)
    if answer.status_code == 404:
        return NotFound("session", "")
    if answer.status_code in (400, 412, 422):
        return HTTPException(answer.status_code, detail=str(facts.get("why", "")) or None)
    return HTTPException(502)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _facts(answer: httpx.Response) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = answer.json()
    except ValueError:
        return {}
    return facts
