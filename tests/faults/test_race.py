"""A thousand buyers, a hundred units, one real server."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from processes import ShowServer, until
from shopping import Buyer, go_on_air

from live.shop import invariants

BUYERS = 1000
UNITS = 100


async def test_a_thousand_buyers_race_for_a_hundred_units_and_exactly_a_hundred_own_one(
    tmp_path: Path, database_url: str | None
) -> None:
    with ShowServer(tmp_path, worker=True, database_url=database_url) as server:
        async with server.services() as parts:
            show = await go_on_air(parts, {"COAT-38": UNITS})
            buyers = [await Buyer.arrive(parts, server.url) for _ in range(BUYERS)]

            async def race(buyer: Buyer) -> str:
                status, answer = await buyer.hold("COAT-38")
                if status != 200:
                    return f"{status} {answer['code']}"
                status, order = await buyer.place("key-1")
                assert status == 201, order
                status, paid = await buyer.pay(str(order["pay_url"]), "success")
                assert (status, paid["status"]) == (200, "captured"), paid
                return "bought"

            try:
                outcomes = Counter(await asyncio.gather(*(race(buyer) for buyer in buyers)))
            finally:
                await asyncio.gather(*(buyer.leave() for buyer in buyers))
            assert outcomes == {"bought": UNITS, "409 sold_out": BUYERS - UNITS}

            async def all_settled() -> bool:
                return (await parts.orders.tally(show)).orders == UNITS

            await until(all_settled, within_s=60)
            (level,) = (await parts.gate.levels(show)).values()
            assert level.left == 0
            await until(lambda: _no_claims(parts, show))
            assert await invariants.check(parts.db, parts.redis, show) == []


async def _no_claims(parts, show: str) -> bool:  # type: ignore[no-untyped-def]
    from live.store import keys

    return not await parts.redis.hlen(keys.claims(show))
