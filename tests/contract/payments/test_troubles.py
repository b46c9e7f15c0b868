"""The sandbox's messages with every trouble that real providers' have, posted over HTTP by the worker's own job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import shop_world
from shop_world import World
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from live.clock import SetClock
from live.errors import Invalid
from live.shop.payments.port import ProviderEvent
from live.shop.payments.sandbox import EVENTS_PATH, SandboxProvider
from live.shop.payments.sandbox_post import post_due


@asynccontextmanager
async def shop_that_hears(world: World) -> AsyncIterator[tuple[httpx.AsyncClient, list[str], list[int]]]:
    """A client that reaches the shop's door, the kinds it was told, and its answers."""
    kinds: list[str] = []
    answers: list[int] = []

    async def door(request: Request) -> Response:
        try:
            event: ProviderEvent = await world.checkout.heard(await request.body(), request.headers)
        except Invalid:
            answers.append(422)
            return Response(status_code=422)
        kinds.append(event.kind)
        await world.checkout.settle(event.ref)
        answers.append(204)
        return Response(status_code=204)

    app = Starlette(routes=[Route(EVENTS_PATH, door, methods=["POST"])])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        yield client, kinds, answers


@pytest.mark.parametrize(
    ("trouble", "kinds", "answers"),
    [
        ("", ["charge.captured"], [204]),
        ("twice", ["charge.captured", "charge.captured"], [204, 204]),
        ("unordered", ["charge.captured", "charge.created"], [204, 204]),
        ("forged", ["charge.captured"], [422, 204]),
        ("late,twice,unordered,forged", ["charge.captured", "charge.captured", "charge.created"], [422, 204, 204, 204]),
        ("lost", [], []),
    ],
)
async def test_an_order_is_sold_once_whatever_its_messages_are_like(
    redis_url: str, tmp_path: Path, trouble: str, kinds: list[str], answers: list[int]
) -> None:
    async with shop_world.world(redis_url, tmp_path) as world:
        clock = world.clock
        assert isinstance(clock, SetClock)
        settings = world.settings.model_copy(update={"sandbox_trouble": trouble})
        world.provider = SandboxProvider(world.db, settings, clock)
        world.checkout = world.till(world.provider)
        await world.stock_a_show({"COAT-38": 2})
        await world.add("per_ada", "COAT-38")
        placed = await world.place("per_ada")
        await world.provider.choose(placed.payment_ref, "success")
        async with shop_that_hears(world) as (client, heard, said):
            clock.advance(1_000)
            soon = await post_due(world.db, world.provider, client, "http://shop.test", clock)
            assert (soon == 0) == ("late" in trouble or trouble == "lost")
            clock.advance(6_000)
            await post_due(world.db, world.provider, client, "http://shop.test", clock)
        assert heard == kinds
        assert said[: len(answers)] == answers
        if trouble == "lost":
            await world.checkout.settle_due()
        assert (await world.orders.by_id(placed.order_id)).status == "paid"
        assert await world.sold("COAT-38") == 1
        assert await world.wrong() == []
