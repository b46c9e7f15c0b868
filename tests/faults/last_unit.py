"""The last unit, raced in many ways: over HTTP and the socket, at two processes. One buyer owns it.

A way is drawn from the seed: how many want it, by which door and process, in what order, and what the first does then.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from urllib.parse import urlsplit

from faulty import FaultyServer
from processes import until
from shopping import Buyer

from chat.client import RoomClient
from live.desk.wiring import Services
from live.ids import new_id
from live.shop import invariants
from live.shop.catalogue import NewVariant

MOST = 40  # who want it, but for the first way of all: that one has 200
CROWD = 200
THEN = ("pays", "gives up", "gives back")


async def race(server: FaultyServer, ways: int, seed: int) -> None:
    """That many ways, each with a show of its own. Raises AssertionError."""
    luck = random.Random(seed)
    async with server.services() as parts:
        for way in range(ways):
            many, then = CROWD if way == 0 else luck.randint(2, MOST), luck.choice(THEN)
            try:
                await _race(server, parts, luck, many, then)
            except BaseException as why:
                why.add_note(f"way {way}: {many} want it, the first {then}")
                raise


async def _race(server: FaultyServer, parts: Services, luck: random.Random, many: int, then: str) -> None:
    slug, sku, show = await _one_unit(parts)
    async with contextlib.AsyncExitStack() as stack:
        buyers, doors = [], []
        share = luck.random()  # of those who come by the socket
        for n in range(many):
            buyer = await Buyer.arrive(parts, server.url, slug=slug)
            buyer.at = luck.choice(server.urls)
            stack.push_async_callback(buyer.leave)
            buyers.append(buyer)
            room = None
            if luck.random() < share and n < MOST:
                ws = buyer.at.replace("http", "ws", 1) + f"/ws/{slug}"
                room = await stack.enter_async_context(
                    RoomClient.open(ws, f"frontrow={buyer.cookie}", server.url, timeout=30)
                )
            doors.append(room)
        order = luck.sample(range(many), many)
        outcomes = dict(zip(order, await asyncio.gather(*(_tap(buyers[n], doors[n], sku) for n in order)), strict=True))
        assert Counter(outcomes.values()) == {"held": 1, "sold_out": many - 1}
        (first,) = (n for n, outcome in outcomes.items() if outcome == "held")
        owner = first
        if then == "gives back":
            status, _ = await buyers[first].send("DELETE", f"/api/shows/{slug}/cart/{sku}", b"", {})
            assert status == 200
            others = [n for n in range(many) if n != first]
            again = await asyncio.gather(*(_tap(buyers[n], doors[n], sku) for n in others))
            assert Counter(again)["held"] == 1
            owner = others[again.index("held")]
        token = await _pay(buyers[owner], "abandon" if then == "gives up" else "success")

        async def settled() -> str:
            await parts.desk.settle_due()
            status = (await parts.orders.by_token(token)).status
            return "" if status == "pending" else status

        expected = "cancelled" if then == "gives up" else "paid"
        assert await until(settled, within_s=60) == expected
        sold = 1 if expected == "paid" else 0
        assert (await parts.orders.tally(show)).orders == sold

        async def adds_up() -> bool:
            return await invariants.check(parts.db, parts.redis, show) == []

        await until(adds_up, within_s=30)


async def _one_unit(parts: Services) -> tuple[str, str, str]:
    slug = new_id("s").replace("_", "-")
    brand = await parts.catalogue.add_brand(slug=slug, name="Atelier Nord", currency="EUR", country="DE")
    variant = NewVariant(f"{slug}-38", "38", "Ink", "#111122", 12900, 1)
    product = await parts.catalogue.add_product(brand, slug="coat", title="Long coat", variants=[variant])
    show = await parts.shows.create(brand, slug, "Autumn")
    look = await parts.runsheets.add_look(show.id, 1, "Look 1", [product])
    await parts.desk.open_show(show.id, "stf_host")
    await parts.desk.drop(show.id, look, "stf_host")
    return slug, f"{slug}-38", show.id


async def _tap(buyer: Buyer, room: RoomClient | None, sku: str) -> str:
    if room is None:
        status, answer = await buyer.hold(sku)
        return "held" if status == 200 else str(answer["code"])
    said = await room.post("cart.add", {"sku": sku, "qty": 1}, timeout=60)
    return "held" if said.ok else said.code


async def _pay(buyer: Buyer, outcome: str) -> str:
    status, order = await buyer.place("key-1")
    assert status == 201, order
    status, answer = await buyer.pay(urlsplit(str(order["pay_url"])).path, outcome)
    assert status == 200, answer
    return str(order["token"])
