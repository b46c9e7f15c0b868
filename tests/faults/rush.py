"""Many buyers in this process at real stores, over a store that loses replies: what a purchase costs nothing but time.

The services are the web process's own (live.desk.wiring); only HTTP is left out, so that a hundred thousand fit into
minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from proxy import Proxy
from shop_world import LIMIT, TTL_S, World, world

from live.clock import SystemClock
from live.errors import Error, HoldLapsed, OverLimit, SoldOut, StoreDown
from live.ids import new_id
from live.settings import Settings
from live.shop.checkout import Placed

TRIES = 30  # of one step, each after an answer that got lost
AT_ONCE = 64
SETTLE_ROUNDS = 400


@contextlib.asynccontextmanager
async def lossy_world(
    redis_url: str, folder: Path, database_url: str | None = None
) -> AsyncIterator[tuple[World, Proxy]]:
    """A shop whose store is behind a proxy that may lose replies, and a clock that runs."""
    real, proxied = redis_url.removeprefix("unix://"), str(folder / "lossy.sock")
    with Proxy(
        lambda serve: asyncio.start_unix_server(serve, proxied),
        lambda: asyncio.open_unix_connection(real),
        loses=b"EVALSHA",
    ) as proxy:
        async with world(f"unix://{proxied}", folder, database_url=database_url, clock=SystemClock()) as shop:
            yield shop, proxy


@dataclass
class Crowd:
    """What came of each purchase, and what each buyer was told."""

    shop: World
    luck: random.Random
    outcomes: Counter[str]
    placed: dict[str, Placed]

    @classmethod
    def at(cls, shop: World, seed: int) -> Crowd:
        return cls(shop, random.Random(seed), Counter(), {})

    async def go(self, purchases: int, sku: str) -> None:
        """That many buyers, 64 at once; each tries each step until it has an answer."""
        numbers = iter(range(purchases))

        async def one_after_another() -> None:
            for n in numbers:
                self.outcomes[await self._buy(f"per_{n}", sku)] += 1

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))

    async def _buy(self, who: str, sku: str) -> str:
        shop, op = self.shop, new_id("op")
        try:
            await self._until_answered(lambda: shop.add(who, sku, op=op))
        except (SoldOut, OverLimit) as why:
            return why.code
        except StoreDown:
            return "gave up holding"
        try:
            placed = await self._until_answered(lambda: shop.place(who))
        except HoldLapsed:
            return "lapsed"
        except StoreDown:
            return "gave up placing"
        self.placed[who] = placed
        act = self.luck.choice(["success"] * 8 + ["timeout_after_success", "decline"])
        await shop.provider.choose(placed.payment_ref, act)
        # Told twice at one moment, as providers do; one of the two may hear nothing.
        told = await asyncio.gather(*(self._settled(placed.payment_id) for _ in range(1 + (self.luck.random() < 0.2))))
        return next((status for status in told if status), "left to the worker")

    async def _settled(self, payment: str) -> str:
        with contextlib.suppress(StoreDown):
            settled = await self.shop.checkout.settle(payment)
            return settled.status if settled is not None else ""
        return ""

    async def _until_answered(self, step):  # type: ignore[no-untyped-def]
        for n in range(TRIES):
            try:
                return await step()
            except StoreDown:
                if n == TRIES - 1:
                    raise
        raise AssertionError

    async def settle_all(self) -> None:
        """What the worker does, until nothing waits for it."""
        later = self.shop.clock.now_ms()
        for _ in range(SETTLE_ROUNDS):
            later += 60_000
            with contextlib.suppress(Error):
                if not await self.shop.checkout.settle_due(later) and not await self._pending():
                    break
        with contextlib.suppress(Error):
            await self.shop.gate.reconcile(self.shop.show)

    async def _pending(self) -> int:
        from sqlalchemy import func, select

        from live.store.tables import orders

        waits = select(func.count()).where(orders.c.status == "pending")
        return await self.shop.db.read(lambda c: int(c.execute(waits).scalar_one()))

    async def wrong(self) -> list[str]:
        """No double capture, no lost order, nothing oversold."""
        wrong = await self.shop.wrong()
        charges, known = await self.shop.db.read(_books)
        for who, placed in self.placed.items():
            order = known.get(placed.order_id)
            captured, refunded = charges.get(placed.payment_id, (0, 0))
            if order is None:
                wrong.append(f"{who}: order {placed.order_id} was acknowledged and is lost")
            elif (order, captured - refunded) not in {("paid", placed.total.minor), ("cancelled", 0), ("refunded", 0)}:
                wrong.append(f"{who}: {order}, and the provider keeps {captured - refunded}")
        return wrong


def _books(c):  # type: ignore[no-untyped-def]
    from sqlalchemy import select

    from live.store.tables import orders, sandbox_charges

    books = sandbox_charges.c
    charges = {
        row[0]: (row[1], row[2])
        for row in c.execute(select(books.idempotency_key, books.captured_minor, books.refunded_minor))
    }
    return charges, {row[0]: row[1] for row in c.execute(select(orders.c.id, orders.c.status))}


__all__ = ["LIMIT", "TTL_S", "Crowd", "Settings", "lossy_world"]
