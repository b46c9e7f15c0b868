"""Orders to the relays: a show ended, a publishing key changed. Every relay is told; one without the show agrees."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import structlog
from redis.asyncio import Redis

from live.ids import sign
from live.settings import Settings
from live.store import keys

log = structlog.get_logger()

WITHIN_S = 3


class Relays:
    """The relay processes of the registry, reached over their control addresses."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._tag = sign(settings.key, "relay-control", "v1")
        self._client: httpx.AsyncClient | None = None

    async def addresses(self) -> list[str]:
        """Control addresses (`http://127.0.0.1:41234`) of the relays that beat."""
        members: Any = await self._redis.smembers(keys.RELAYS)
        found: list[Any] = [
            await self._redis.hget(keys.relay(relay_id), "control")
            for relay_id in sorted(member.decode() for member in members)
        ]
        return [address.decode() for address in found if address]

    async def drop_publisher(self, show_id: str) -> None:
        """The key that the publisher came with is void: cut it."""
        await self._tell_all(f"/shows/{show_id}/drop-publisher")

    async def end(self, show_id: str) -> None:
        """The show is over: publisher and viewers are let go."""
        await self._tell_all(f"/shows/{show_id}/end")

    async def stats(self) -> list[object]:
        """What each relay says of itself; one that doesn't answer is left out."""
        answers = await asyncio.gather(*(self._ask("GET", address, "/stats") for address in await self.addresses()))
        return [answer for answer in answers if answer is not None]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _tell_all(self, path: str) -> None:
        # Fails open: a relay that doesn't hear it is gone or about to be, and the show's state stands in SQL.
        await asyncio.gather(*(self._ask("POST", address, path) for address in await self.addresses()))

    async def _ask(self, method: str, address: str, path: str) -> object | None:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=WITHIN_S, headers={"Authorization": f"Bearer {self._tag}"}, trust_env=False
            )
        try:
            answer = await self._client.request(method, f"{address}{path}")
            answer.raise_for_status()
            return answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            log.warning("relay.silent", path=path, error=type(error).__name__)
            return None
