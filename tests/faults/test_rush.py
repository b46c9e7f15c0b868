"""Very many purchases over a store that loses replies; and more buyers than units, many times more.

`CHECKOUTS` and `BUYS` in the environment say how many; `make faults` runs 100,000 and 20,000.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import shop_world
from rush import Crowd, lossy_world

from live.clock import SystemClock
from live.errors import SoldOut

CHECKOUTS = int(os.environ.get("CHECKOUTS", "1500"))
BUYS, UNITS = int(os.environ.get("BUYS", "2000")), 100
USUAL_SEED = 97
LOSES_ONE_IN = 97  # replies of a store; a pipeline of many scripts is one reply


async def test_no_checkout_is_charged_twice_and_none_is_lost_when_replies_are(redis_url: str, tmp_path: Path) -> None:
    drawn = random.SystemRandom().randrange(2**32) if "CHECKOUTS" in os.environ else USUAL_SEED
    seed = int(os.environ.get("FAULTS_SEED") or drawn)
    async with lossy_world(redis_url, tmp_path) as (shop, proxy):
        await shop.stock_a_show({"COAT-38": CHECKOUTS * 9 // 10})  # so that the last ones race
        crowd = Crowd.at(shop, seed)
        proxy.lose_every(LOSES_ONE_IN)
        await crowd.go(CHECKOUTS, "COAT-38")
        proxy.forgive()
        await crowd.settle_all()
        assert proxy.lost > CHECKOUTS // 500, "the premise: replies were lost"
        wrong = await crowd.wrong()
        assert wrong == [], f"FAULTS_SEED={seed}: {len(wrong)} wrong, {wrong[:5]}"
        print(f"{CHECKOUTS} checkouts, {proxy.lost} lost replies, seed {seed}: {dict(crowd.outcomes)}")


async def test_very_many_buys_of_a_hundred_units_give_a_hundred_orders(redis_url: str, tmp_path: Path) -> None:
    async with shop_world.world(redis_url, tmp_path, clock=SystemClock()) as shop:
        await shop.stock_a_show({"COAT-38": UNITS})

        async def buy(n: int) -> str:
            try:
                return (await shop.buy(f"per_{n}", "COAT-38")).status
            except SoldOut:
                return "sold out"

        outcomes: Counter[str] = Counter()
        for start in range(0, BUYS, 500):
            outcomes.update(await asyncio.gather(*(buy(n) for n in range(start, min(start + 500, BUYS)))))
        assert outcomes == {"paid": UNITS, "sold out": BUYS - UNITS}
        assert await shop.sold("COAT-38") == UNITS
        assert await shop.wrong() == []
