"""Who waits for a piece that is sold out, in the order they came. A unit that comes back is offered to the first of
them as a hold of her own, short, and exactly once; when it lapses, the next one gets it.

A queue reserves: while somebody waits, nobody else can hold what comes back (hold.lua). Each step is one script.
Fails closed: without Redis nobody waits and nothing is offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from live.clock import Clock
from live.errors import NotFound, OverLimit, StillLeft, StoreDown
from live.events import Level
from live.ids import new_id
from live.shop.drop_terms import ANY_DROP_TERMS, DropTerms, heed
from live.shop.stock import CART_TTL_S, OP_TTL_S
from live.store import keys
from live.store.redis import load_script

OFFER_TTL_S = 60  # how long an offered piece is set aside
MOST_WAITS = 5  # queues one person may be in


class Offer(NamedTuple):
    """What came of one try. `level` is the SKU's after an offer that was made."""

    outcome: Literal["offered", "skipped", "moved", "none"]
    level: Level | None = None


class Waitlist:
    """The queues of shows."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._wait = load_script(redis, "wait")
        self._unwait = load_script(redis, "unwait")
        self._offer = load_script(redis, "offer")

    async def join(self, show_id: str, cart: str, sku: str, *, terms: DropTerms = ANY_DROP_TERMS) -> None:
        """To the end of the queue; who waits already keeps her place.

        Raises: StillLeft, OverLimit, NotFound, NotOpen, Closed, Stale."""
        answer = await self._wait(
            [
                keys.gate(show_id),
                keys.cart(show_id, cart),
                keys.queue(show_id, sku),
                keys.queues(show_id),
                keys.stage(show_id),
            ],
            [self._clock.now_ms(), cart, sku, MOST_WAITS, CART_TTL_S, *terms.times],
        )
        heed(terms, answer.split())
        if answer == b"FREE":
            raise StillLeft(sku)
        if answer == b"OVER_LIMIT":
            raise OverLimit(sku, MOST_WAITS, "waits")
        if answer == b"UNKNOWN":
            raise NotFound("sku", sku)
        if answer == b"NOGATE":
            raise StoreDown("redis")  # being made again; the next try finds it

    async def leave(self, show_id: str, cart: str, sku: str) -> bool:
        """Out of the queue. Answers whether she waited."""
        keyed = [keys.cart(show_id, cart), keys.queue(show_id, sku), keys.queues(show_id)]
        return bool(await self._unwait(keyed, [self._clock.now_ms(), cart, sku, CART_TTL_S]))

    async def ahead(self, show_id: str, cart: str, skus: Sequence[str]) -> list[int]:
        """How many are before her, for each of `skus`."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for sku in skus:
                pipe.zrank(keys.queue(show_id, sku), cart)
            return [int(rank or 0) for rank in await self._read(pipe.execute())]

    async def waited_for(self, show_id: str, skus: Sequence[str] | None = None) -> list[str]:
        """The SKUs that somebody waits for: of `skus`, or all."""
        if skus is None:
            names = await self._read(self._redis.hkeys(keys.queues(show_id)))
            return sorted(name.decode() for name in names if name != b"#")
        if not skus:
            return []
        flags = await self._read(self._redis.hmget(keys.queues(show_id), list(skus)))
        return [sku for sku, flag in zip(skus, flags, strict=True) if flag is not None]

    async def first(self, show_id: str, sku: str) -> str | None:
        """Whose turn it is."""
        found = await self._read(self._redis.zrange(keys.queue(show_id, sku), 0, 0))
        return found[0].decode() if found else None

    async def offer(
        self, show_id: str, cart: str, sku: str, *, line: bytes, limit: int, terms: DropTerms = ANY_DROP_TERMS
    ) -> Offer:
        """Set one unit aside for `cart`, if it is the first in the queue and there is one. Each call is one operation:
        asked again after a lost answer it may set aside another. She stays among the untold until `StockGate.told`.

        Raises: StoreDown, NotOpen, Closed, Stale."""
        now = self._clock.now_ms()
        answer = await self._offer(
            [
                keys.gate(show_id),
                keys.holds(show_id),
                keys.held(show_id),
                keys.cart(show_id, cart),
                keys.owned(show_id),
                keys.queue(show_id, sku),
                keys.queues(show_id),
                keys.lapsed(show_id),
                keys.stage(show_id),
                keys.op(show_id, cart, "offer", sku, new_id("op")),
                keys.untold(show_id),
            ],
            [
                *(now, cart, sku, now + OFFER_TTL_S * 1000, limit, line, CART_TTL_S),
                *terms.times,
                OP_TTL_S,
                *terms.flat_caps,
            ],
        )
        what, *numbers = answer.split()
        heed(terms, [what, *numbers])
        if what == b"OK":
            return Offer("offered", Level(int(numbers[0]), int(numbers[1])))
        if what == b"SKIPPED":
            return Offer("skipped")
        return Offer("moved" if what == b"MOVED" else "none")

    async def _read(self, command: Any) -> Any:
        try:
            return await command
        except (RedisError, OSError) as why:
            raise StoreDown("redis") from why
