"""Events to merchants' systems: signed by Standard Webhooks, tried again, logged, never to a private address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from shop_world import World
from sqlalchemy import select
from standardwebhooks import Webhook

from live.clock import SetClock, SystemClock
from live.errors import Invalid
from live.shop import webhooks
from live.shop.webhooks import Webhooks, _is_public
from live.store.tables import shows, webhook_deliveries, webhook_endpoints


class Receiver:
    """A merchant's server on loopback: answers with the statuses it was told, then 204."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        self.got.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status = self.answers.pop(0) if self.answers else 204
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    merchant = Receiver()
    server = await asyncio.start_server(merchant.serve, "127.0.0.1", 0)
    async with server:
        merchant.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
        yield merchant


async def _endpoint(world: World, hooks: Webhooks, url: str) -> str:
    brand = await world.db.read(lambda c: c.execute(select(shows.c.brand_id)).scalar_one())
    _, secret = await hooks.add_endpoint(brand, url)
    return secret


async def test_a_paid_order_is_told_signed_and_once(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    clock = SystemClock()  # the receiver's library looks at the real one
    async with receiver() as merchant, httpx.AsyncClient() as client:
        hooks = Webhooks(world.db, client, clock, allow_private=True)
        secret = await _endpoint(world, hooks, merchant.url)
        settled = await world.buy("per_ada", "COAT-38")
        assert await hooks.fan_out() >= 1
        assert await asyncio.gather(*(hooks.deliver_due() for _ in range(3))) != [0, 0, 0]
        assert await hooks.fan_out() == 0
        assert await hooks.deliver_due() == 0
        ((headers, body),) = merchant.got
        told = Webhook(secret).verify(body, headers)
        assert told["type"] == "order.paid"
        assert (told["data"]["order"], told["data"]["total"]) == (
            settled.order_id,
            {"minor": 12900, "currency": "EUR"},
        )
        assert json.loads(body)["timestamp"].endswith("+00:00")


async def test_what_was_not_taken_is_tried_again_and_410_ends_it(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    clock = world.clock
    assert isinstance(clock, SetClock)
    async with receiver() as merchant, httpx.AsyncClient() as client:
        hooks = Webhooks(world.db, client, clock, allow_private=True)
        await _endpoint(world, hooks, merchant.url)
        await world.buy("per_ada", "COAT-38")
        merchant.answers = [500, 302, 410]
        await hooks.fan_out()
        for wait_s in (0, 5 * 1.2, 300 * 1.2):
            clock.advance(int(wait_s * 1000) + 1)
            assert await hooks.deliver_due() == 0
        assert len(merchant.got) == 3
        assert len({headers["webhook-id"] for headers, _ in merchant.got}) == 1
        clock.advance(10**9)
        assert await hooks.deliver_due() == 0
        assert len(merchant.got) == 3, "an endpoint that said 410 hears no more"
        log = await world.db.read(lambda c: c.execute(select(webhook_deliveries)).one())
        assert (log.attempts, log.answer) == (3, "410")
        assert (await world.db.read(lambda c: c.execute(select(webhook_endpoints)).one())).disabled_ms


async def test_a_private_address_is_not_connected_to(world: World) -> None:
    await world.stock_a_show({"COAT-38": 3})
    async with receiver() as merchant, httpx.AsyncClient() as client:
        guarded = Webhooks(world.db, client, world.clock)
        for url in ("http://example.org/", "https://", "ftp://example.org/", "https://u:p@example.org/"):
            with pytest.raises(Invalid):
                await guarded.add_endpoint("b", url)
        await _endpoint(world, guarded, merchant.url.replace("http:", "https:"))
        await world.buy("per_ada", "COAT-38")
        await guarded.fan_out()
        assert await guarded.deliver_due() == 0
        assert merchant.got == []
        log = await world.db.read(lambda c: c.execute(select(webhook_deliveries)).one())
        assert log.answer == "BlockedAddress"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert _is_public(webhooks.ipaddress.ip_address(address)) is public
