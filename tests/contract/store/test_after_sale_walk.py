"""Staff do anything with a sold order in any order, while the provider is away now and then and banks send refunds
back: what must hold, holds."""

from __future__ import annotations

import contextlib
import random

import pytest
from shop_world import World
from sqlalchemy import select

from live.clock import SetClock
from live.errors import Conflict, Invalid, NotFound, StoreDown, WrongState
from live.ids import new_id
from live.shop.after_sale import By
from live.shop.order_acts import Parcel
from live.shop.payments.port import Charge
from live.shop.payments.sandbox import SandboxProvider
from live.store.tables import refunds

SKUS = ("COAT-38", "CAPE-38", "HAT-1")
STEPS = 40


class Moody(SandboxProvider):
    """Away before it refunds, or right after, and its banks slow or unwilling, as the dice say."""

    dice = random.Random(0)
    sound = False

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        mood = 0.5 if self.sound else self.dice.random()
        if mood < 0.2:
            raise StoreDown("payments")
        moods: tuple[set[str], ...] = (set(), set(), {"refund_pending"}, {"refund_fails"})
        self._troubles = frozenset() if self.sound else frozenset(self.dice.choice(moods))
        charge = await super().refund(ref, amount_minor, idempotency_key=idempotency_key)
        if mood > 0.8:
            raise StoreDown("payments")
        return charge


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_staff_do_the_books_of_shop_provider_and_gate_agree(world: World, seed: int) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    dice = random.Random(seed)
    await world.stock_a_show(dict.fromkeys(SKUS, 6), price_minor=(333, 12999, 0, 100)[seed])
    for sku in SKUS:
        await world.add("per_ada", sku, dice.randint(1, 4))
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    await world.checkout.settle(placed.payment_ref)
    provider = world.after_sale.refunds._provider = Moody(world.db, world.settings, clock)
    provider.dice = dice
    order, sale, done = placed.order_id, world.after_sale, 0

    async def again(by: By) -> None:
        query = select(refunds.c.id).where(refunds.c.status == "failed").order_by(refunds.c.id)
        failed = await world.db.read(lambda c: list(c.execute(query).scalars()))
        await sale.send_again(order, by, dice.choice(failed or ["rfd_none"]))

    for step in range(STEPS):
        now = await world.orders.by_id(order)
        by = By("stf_ada", new_id("op"))
        units = {sku: dice.randint(0, 2) for sku in dice.sample(SKUS, dice.randint(1, 3))}
        acts = [
            lambda units=units, by=by: sale.fulfil(order, by, Parcel(units)),
            lambda units=units, by=by: sale.take_back(order, by, units, {k: v // 2 for k, v in units.items()}, None),
            lambda units=units, by=by: sale.take_back(order, by, units, units, dice.choice([0, 50])),
            lambda units=units, by=by: sale.cancel(order, by, units),
            lambda units=units, by=by: sale.refund(order, by, None, units),
            lambda by=by: sale.refund(order, by, dice.randint(-5, 3000), None),
            lambda now=now, by=by: sale.unfulfil(order, by, now.shipments[-1].id if now.shipments else "shp_none"),
            lambda now=now: world.checkout.settle(now.payment_ref),
            lambda: sale.refunds.ask_due(),
            lambda: sale.refunds.look_due(),
            lambda now=now: sale.refunds.heard(now.payment_ref),
            lambda by=by: again(by),
        ]
        with contextlib.suppress(Conflict, WrongState, Invalid, NotFound):
            await dice.choice(acts)()
            done += 1
        clock.advance(dice.choice([0, 1000, 40_000]))
        await world.gate.reconcile(world.show)
        assert await world.wrong() == [], f"seed {seed}, step {step}"
    assert done > 5, "the premise: much of it is done"
    provider.sound = True
    clock.advance(3_600_000)
    await sale.refunds.ask_due()
    clock.advance(10_000)
    await sale.refunds.heard(now.payment_ref)
    now = await world.orders.by_id(order)
    assert now.refunded is not None
    charge = await world.provider.fetch(now.payment_ref)
    assert (charge.refunded_minor, charge.captured_minor) == (now.refunded.minor, now.total.minor)
    assert all(refund.status == "done" for refund in now.refunds)
    assert await world.wrong() == []
