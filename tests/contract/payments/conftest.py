"""A shop, and each payment provider in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import shop_world
from payment_hands import Hand, SandboxHand, StripeHand, stripe_hand


@pytest.fixture
async def world(redis_url: str, tmp_path: Path) -> AsyncIterator[shop_world.World]:
    async with shop_world.world(redis_url, tmp_path) as shop:
        yield shop


@pytest.fixture(params=["sandbox", "stripe"])
async def hand(request: pytest.FixtureRequest, world: shop_world.World) -> AsyncIterator[Hand]:
    if request.param == "sandbox":
        yield SandboxHand(world.provider, world)
        return
    async with stripe_hand(world.settings) as found:
        yield found


@pytest.fixture
async def at_stripe(world: shop_world.World) -> AsyncIterator[StripeHand]:
    """The world's checkout pays by Stripe."""
    async with stripe_hand(world.settings) as found:
        world.checkout = world.till(found.provider)
        found.fake.now_s = lambda: world.clock.now_ms() / 1000
        yield found
