"""Buyers, provider, clock, crashes and lost stores in any order: I1–I5 hold after every step.

The failing sequence is printed as a program by hypothesis, with the blob that runs it again. `SCHEDULES` in the
environment runs more of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import shop_world
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from live.clock import SetClock
from live.errors import Error
from live.ids import new_id
from live.shop.payments.sandbox import OUTCOMES

T = TypeVar("T")
BUYERS = st.sampled_from(["per_ada", "per_bea", "per_cleo"])
SKUS = st.sampled_from([0, 1])


class Dead(Exception):
    """The process was killed here."""


class Shop(RuleBasedStateMachine):
    """One show with two SKUs and three buyers; `world` and `loop` are set by the test."""

    world: shop_world.World
    loop: asyncio.Runner

    @initialize(first=st.integers(1, 3), second=st.integers(0, 3))
    def open(self, first: int, second: int) -> None:
        born = new_id("sku")
        self.skus = [f"{born}-38", f"{born}-40"]
        self.placed: list[shop_world.Placed] = []
        self.answers: dict[tuple[str, str], shop_world.Placed] = {}
        self.ops: list[tuple[str, str, str]] = []
        self._do(self.world.stock_a_show(dict(zip(self.skus, (first, second), strict=True))))

    @rule(buyer=BUYERS, sku=SKUS, qty=st.integers(1, 2))
    def hold(self, buyer: str, sku: int, qty: int) -> None:
        op = new_id("op")
        self.ops.append((buyer, self.skus[sku], op))
        self._try(self.world.add(buyer, self.skus[sku], qty, op=op))

    @rule(n=st.integers(0, 50))
    def repeat_a_tap_whose_answer_was_lost(self, n: int) -> None:
        if self.ops:
            buyer, sku, op = self.ops[n % len(self.ops)]
            self._try(self.world.add(buyer, sku, 1, op=op))

    @rule(buyer=BUYERS, sku=SKUS)
    def release(self, buyer: str, sku: int) -> None:
        self._try(self.world.carts.remove(self.world.show, buyer, self.skus[sku], op=new_id("op")))

    @rule(buyer=BUYERS, sku=SKUS, stays=st.booleans())
    def wait(self, buyer: str, sku: int, stays: bool) -> None:
        carts, show = self.world.carts, self.world.show
        self._try(carts.wait(show, buyer, self.skus[sku]) if stays else carts.unwait(show, buyer, self.skus[sku]))

    @rule(sku=SKUS)
    def worker_offers(self, sku: int) -> None:
        """Whoever was first, and nobody else, gets the unit."""

        async def offer() -> None:
            first = await self.world.carts.waitlist.first(self.world.show, self.skus[sku])
            made = await self.world.carts.offer(self.world.show, self.skus[sku], look="loo_1", at_ms=1, limit=99)
            assert made is None or made[0] == first

        self._try(offer())

    @rule(seconds=st.sampled_from([1, 100, 301, 700, 2000]))
    def time_passes(self, seconds: int) -> None:
        assert isinstance(self.world.clock, SetClock)
        self.world.clock.advance(seconds * 1000)

    @rule()
    def worker_lapses(self) -> None:
        self._do(self.world.gate.lapse(self.world.show))

    @rule()
    def worker_settles(self) -> None:
        self._do(self.world.checkout.settle_due())

    @rule()
    def worker_reconciles(self) -> None:
        self._do(self.world.gate.reconcile(self.world.show))

    @rule(buyer=BUYERS, key=st.sampled_from(["k1", "k2", "k3"]))
    def place(self, buyer: str, key: str) -> None:
        placed = self._try(self.world.place(buyer, f"{self.world.show}-{key}"))
        if placed is not None:
            first = self.answers.setdefault((buyer, key), placed)
            assert placed == first, "I5: the same key answers the same"
            self.placed.append(placed)

    @rule(n=st.integers(0, 50), outcome=st.sampled_from(OUTCOMES))
    def pay(self, n: int, outcome: str) -> None:
        if self.placed:
            self._do(self.world.provider.choose(self.placed[n % len(self.placed)].payment_ref, outcome, "123456"))

    @rule(n=st.integers(0, 50), times=st.integers(1, 3))
    def settle(self, n: int, times: int) -> None:
        if self.placed:
            ref = self.placed[n % len(self.placed)].payment_ref

            async def all_at_once() -> None:
                await asyncio.gather(*(self.world.checkout.settle(ref) for _ in range(times)))

            self._do(all_at_once())

    @rule(n=st.integers(0, 50), step=st.sampled_from(["claim", "consume", "refund", "unpay"]), before=st.booleans())
    def settle_and_die(self, n: int, step: str, before: bool) -> None:
        if self.placed:
            self._do(self._dying(self.placed[n % len(self.placed)].payment_ref, step, before=before))

    @rule()
    def the_store_loses_everything(self) -> None:
        self._do(self.world.redis.flushall())

    @rule(n=st.integers(0, 50))
    def the_store_loses_everything_between_claim_and_sale(self, n: int) -> None:
        if self.placed:
            self._do(self._losing(self.placed[n % len(self.placed)].payment_ref))

    @rule(sku=SKUS, more=st.integers(1, 2))
    def staff_add_stock(self, sku: int, more: int) -> None:
        query = text("update variants set on_hand = on_hand + :more where sku = :sku")

        async def add() -> None:
            await self.world.db.write(lambda c: c.execute(query, {"more": more, "sku": self.skus[sku]}).rowcount)
            await self.world.gate.reconcile(self.world.show)

        self._do(add())

    @invariant()
    def invariants_hold(self) -> None:
        if hasattr(self, "skus"):
            assert self._do(self.world.wrong()) == []

    def teardown(self) -> None:
        if not hasattr(self, "skus"):
            return
        # Whatever happened: once the worker has run, nothing is held, nothing pending, and every charge is
        # either a sale, or its money is back.
        assert isinstance(self.world.clock, SetClock)
        for _ in range(3):
            self.world.clock.advance(2_000_000)
            self._do(self.world.checkout.settle_due())
            self._do(self.world.gate.lapse(self.world.show))
        self._do(self.world.gate.reconcile(self.world.show))
        assert self._do(self.world.wrong()) == []
        assert self._do(self.world.gate.held(self.world.show)) == 0
        for placed in self.placed:
            order = self._do(self.world.orders.by_id(placed.order_id))
            charge = self._do(self.world.provider.fetch(placed.payment_ref))
            kept = charge.captured_minor - charge.refunded_minor
            assert (order.status, kept) in {("paid", order.total.minor), ("cancelled", 0), ("refunded", 0)}

    async def _dying(self, ref: str, step: str, *, before: bool) -> None:
        owner: Any = self.world.provider if step == "refund" else self.world.gate
        real = getattr(owner, step)

        async def dies(*args: Any, **kwargs: Any) -> None:
            if not before:
                await real(*args, **kwargs)
            raise Dead

        setattr(owner, step, dies)
        try:
            await self.world.checkout.settle(ref)
        except Dead:
            pass
        finally:
            delattr(owner, step)

    async def _losing(self, ref: str) -> None:
        real = self.world.gate.claim

        async def loses(*args: Any, **kwargs: Any) -> object:
            claim = await real(*args, **kwargs)
            await self.world.redis.flushall()
            await self.world.gate.ensure(self.world.show)
            return claim

        self.world.gate.claim = loses  # type: ignore[method-assign,assignment]
        try:
            await self.world.checkout.settle(ref)
        finally:
            del self.world.gate.claim

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(what)

    def _try(self, what: Coroutine[Any, Any, T]) -> T | None:
        """An expected refusal is an answer too."""
        try:
            return self._do(what)
        except Error:
            return None


def test_the_invariants_hold_whatever_happens(redis_url: str, tmp_path: Path, database_url: str | None) -> None:
    with asyncio.Runner() as loop:
        opened = shop_world.world(redis_url, tmp_path, database_url=database_url)
        world = loop.run(opened.__aenter__())

        class OnThisStore(Shop):
            pass

        OnThisStore.world, OnThisStore.loop = world, loop
        try:
            run_state_machine_as_test(
                OnThisStore,
                settings=settings(
                    max_examples=int(os.environ.get("SCHEDULES", "25")),
                    stateful_step_count=30,
                    deadline=None,
                    derandomize="SCHEDULES" not in os.environ,
                    suppress_health_check=list(HealthCheck),
                    print_blob=True,
                    database=None,
                ),
            )
        finally:
            loop.run(opened.__aexit__(None, None, None))
