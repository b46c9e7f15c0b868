"""The HLS tails as web sees them: which one packages a show, and its answers, each asked for once and kept a while.

Many players ask for the same part in the same moment. Whatever stands in front of web (nginx, a CDN, nothing), a web
process asks a tail once a part and once a version of the playlist; everybody else waits for that answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from typing import Any, NamedTuple

import httpx
import structlog
from redis.asyncio import Redis

from live.errors import NotLive, Overloaded
from live.ids import sign
from live.store import keys
from live.store.redis import load_script

log = structlog.get_logger(__name__)

ANSWERS_WITHIN_S = 10.0  # a blocking request is answered within 6
ADDRESS_KEPT_S = 1.0
KEPT_BYTES_MAX = 32 << 20
KEPT_ANSWERS_MAX = 2000
IN_FLIGHT_MAX = 500
PART_KEPT_S, WAITED_FOR_KEPT_S, NEWEST_KEPT_S = 10.0, 2.0, 0.25


class TailAnswer(NamedTuple):
    """What the tail said. `kept`: its Cache-Control."""

    status: int
    body: bytes
    kind: str
    kept: str


class Tails:
    """Owned by the web process's application; `close` ends what is asked. `key`: the server's secret."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._headers = {"Authorization": f"Bearer {sign(key, 'tail', 'v1')}"}
        self._give_up = load_script(redis, "give_up")
        self._addresses: dict[str, tuple[float, str, str]] = {}  # show -> until, tail's id, its address
        self._client: httpx.AsyncClient | None = None
        self._flights: dict[str, asyncio.Task[TailAnswer]] = {}
        self._kept: OrderedDict[str, tuple[float, TailAnswer]] = OrderedDict()
        self._bytes = 0

    async def get(self, show: str, file: str, query: str = "") -> TailAnswer:
        """Ask for `file` of the show. Raises NotLive when nobody packages it, Overloaded, redis-py's errors."""
        what = f"{show}/{file}?{query}" if query else f"{show}/{file}"
        kept = self._kept.get(what)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        flight = self._flights.get(what)
        if flight is None:
            if len(self._flights) >= IN_FLIGHT_MAX:
                raise Overloaded(retry_after_s=1)
            flight = self._flights[what] = asyncio.create_task(self._fetch(show, what), name="tail's answer")
            flight.add_done_callback(lambda ended: self._landed(what, ended))
        # Whoever asked first may leave; the others still wait for the answer.
        return await asyncio.shield(flight)

    async def close(self) -> None:
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _fetch(self, show: str, what: str) -> TailAnswer:
        tail_id, address = await self._address(show)
        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30)
            # No TLS: the tail is on this host or in the inner network.
            self._client = httpx.AsyncClient(
                timeout=ANSWERS_WITHIN_S,
                limits=limits,
                headers=self._headers,
                trust_env=False,
                verify=False,  # noqa: S501
            )
        try:
            answer = await self._client.get(f"{address}/shows/{what}")
        except httpx.ConnectError:
            await self._forget(show, tail_id)
            raise Overloaded(retry_after_s=1) from None
        except httpx.HTTPError:
            self._addresses.pop(show, None)
            raise Overloaded(retry_after_s=1) from None  # it died while we waited, or is busy
        if answer.status_code == 401:  # another program's port by now
            await self._forget(show, tail_id)
            raise Overloaded(retry_after_s=1)
        said = TailAnswer(
            answer.status_code,
            answer.content,
            answer.headers.get("content-type", ""),
            answer.headers.get("cache-control", "no-store"),
        )
        if said.status == 200:
            self._keep(what, said)
        return said

    def _landed(self, what: str, flight: asyncio.Task[TailAnswer]) -> None:
        self._flights.pop(what, None)
        if not flight.cancelled():
            flight.exception()  # those who waited have it; when all have left, nobody needs it

    async def _address(self, show: str) -> tuple[str, str]:
        known = self._addresses.get(show)
        if known is not None and known[0] > time.monotonic():
            return known[1], known[2]
        tail_id: Any = await self._redis.get(keys.tail_of_show(show))
        address: Any = await self._redis.get(keys.tail(tail_id.decode())) if tail_id is not None else None
        if tail_id is None or address is None:
            raise NotLive("waiting", retry_after_s=1)
        found = (time.monotonic() + ADDRESS_KEPT_S, tail_id.decode(), address.decode())
        if len(self._addresses) >= KEPT_ANSWERS_MAX:
            self._addresses.clear()
        self._addresses[show] = found
        return found[1], found[2]

    async def _forget(self, show: str, tail_id: str) -> None:
        """A dead tail's entry goes at once, so that the one that is started again finds the show free."""
        log.warning("tail.forgotten", tail=tail_id, show=show)
        self._addresses.pop(show, None)
        with contextlib.suppress(OSError):
            await self._give_up([keys.tail_of_show(show)], [tail_id])

    def _keep(self, what: str, said: TailAnswer) -> None:
        for_s = PART_KEPT_S if "immutable" in said.kept else WAITED_FOR_KEPT_S if "_HLS_msn" in what else NEWEST_KEPT_S
        before = self._kept.pop(what, None)
        self._bytes += len(said.body) - (len(before[1].body) if before is not None else 0)
        self._kept[what] = (time.monotonic() + for_s, said)
        while self._bytes > KEPT_BYTES_MAX or len(self._kept) > KEPT_ANSWERS_MAX:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._bytes -= len(oldest.body)
