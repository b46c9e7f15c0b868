"""Whose it is what a device remembers, on both SQL stores."""

from __future__ import annotations

import msgspec
from shop_world import ADA, World

from live.shop.contact import Contact

BEA = msgspec.structs.replace(ADA, name="Bea", email="bea@example.org")


async def buys(world: World, person: str, key: str, contact: Contact, *, saver: str = "", method: str = "") -> None:
    await world.add(person, "COAT-38")
    placed = await world.checkout.place(
        world.show, person, contact, idempotency_key=key, saver=saver and world.saved.tag(saver), method=method
    )
    await world.provider.choose(placed.payment_ref, "success")
    await world.checkout.settle(placed.payment_id)


async def emails(world: World, person: str, *devices: str) -> list[str]:
    found = await world.saved.of_person(person, devices)
    return [kept.contact.email for kept in found.values() if kept is not None]


async def test_what_a_device_remembers_is_whose_session_or_order_it_was_until_it_is_anothers(world: World) -> None:
    await world.stock_a_show({"COAT-38": 9})
    await world.saved.keep("dev_1", ADA)
    assert await emails(world, "per_ada") == []
    assert await emails(world, "per_ada", "dev_1") == [ADA.email], "her order came to nothing"
    await buys(world, "per_ada", "one", msgspec.structs.replace(ADA, email=" ADA@example.org"), saver="dev_1")
    assert await emails(world, "per_ada") == [ADA.email], "by her order, wherever her session is"
    assert await emails(world, "per_ada", "dev_2") == [ADA.email]
    assert await emails(world, "per_eve") == []

    kept = await world.saved.of("dev_1")
    assert kept is not None
    assert kept.method is not None, "the premise: it pays by that"
    await buys(world, "per_ada_again", "two", ADA, method=kept.method.ref)
    assert await emails(world, "per_ada_again") == [ADA.email], "she paid by what it remembers"

    await world.saved.keep("dev_1", BEA)
    await buys(world, "per_bea", "three", BEA, saver="dev_1")
    assert await emails(world, "per_bea") == [BEA.email]
    for person in ("per_ada", "per_ada_again"):
        assert await emails(world, person, "dev_1") == [], "though her session there never ended"
