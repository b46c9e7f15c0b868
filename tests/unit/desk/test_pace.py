"""Limits of one buyer: by person and device, in all processes together, steadily, and open when the store is away."""

from __future__ import annotations

import pytest

from live.clock import SetClock
from live.desk.pace import BURST, DEVICE_BURST, EVERY_MS, pace
from live.desk.wiring import Services
from live.errors import Throttled

Two = tuple[Services, Services]


async def test_a_burst_passes_then_one_each_moment_over_all_processes(two: Two, clock: SetClock):
    for n in range(BURST):
        await pace(two[n % 2].throttle, "per_ada", f"dev_{n}")
    with pytest.raises(Throttled) as refused:
        await pace(two[0].throttle, "per_ada", "dev_x")
    assert refused.value.facts["retry_after_s"] == 2, "a second and a half, in whole seconds"
    await pace(two[0].throttle, "per_bea", "dev_bea")
    clock.advance(EVERY_MS)
    await pace(two[1].throttle, "per_ada", "dev_x")
    with pytest.raises(Throttled):
        await pace(two[0].throttle, "per_ada", "dev_x")


async def test_new_people_on_one_device_share_its_limit(two: Two, clock: SetClock):
    for n in range(DEVICE_BURST):
        await pace(two[n % 2].throttle, f"per_{n}", "dev_bot")
    with pytest.raises(Throttled):
        await pace(two[0].throttle, "per_fresh", "dev_bot")


async def test_the_limit_refills_steadily_and_never_lets_twice_its_burst_through(two: Two, clock: SetClock):
    passed = 0
    for _ in range(4 * BURST):
        passed += await two[0].throttle.pace("x", "y", burst=BURST, every_ms=EVERY_MS) == 0
        clock.advance(EVERY_MS // 3)
    assert passed <= BURST + 4 * BURST // 3 + 1


async def test_with_the_store_away_the_limit_lets_through(two: Two, monkeypatch: pytest.MonkeyPatch):
    from live.errors import StoreDown

    async def down(*_: object) -> int:
        raise StoreDown("redis")

    monkeypatch.setattr(two[0].throttle, "_gcra", down)
    for _ in range(DEVICE_BURST + 5):
        await pace(two[0].throttle, "per_ada", "dev_ada")
