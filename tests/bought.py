"""Buying at a seeded house, for tests that begin where a sale ends."""

from __future__ import annotations

import msgspec
from house import CONTACT

from live.desk.wiring import Services
from live.ids import new_id
from live.shop.contact import Contact
from live.shop.orders import Order
from live.shop.payments.sandbox import SandboxProvider

BUYER = msgspec.convert(CONTACT, Contact)


async def bought(
    services: Services, show: str, *pieces: tuple[str, int], person: str = "", contact: Contact = BUYER
) -> Order:
    """A paid order of these SKUs, as a page would have come by it; their looks are out."""
    person = person or new_id("per")
    for sku, qty in pieces:
        await services.desk.add_to_cart(show, person, sku, qty, op=new_id("op"))
    placed = await services.desk.place(show, person, contact, idempotency_key=new_id("key"))
    assert isinstance(services.provider, SandboxProvider)
    await services.provider.choose(placed.payment_ref, "success")
    await services.desk.settle(placed.payment_ref)
    return await services.orders.by_id(placed.order_id)
