"""Both payment providers, and the hand of a buyer on the page of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, Protocol

import shop_world
from stripe_fake import KEY, SECRET, FakeStripe, fake_stripe

from live.settings import Settings
from live.shop.payments.port import Charge, Provider
from live.shop.payments.sandbox import BANK_MS, CASE_MS, CODE, SandboxProvider
from live.shop.payments.stripe import StripeProvider

_Message = tuple[bytes, dict[str, str]]


class Hand(Protocol):
    """What a buyer does at the provider, and what it then posts to us."""

    provider: Provider

    async def pay(self, charge: Charge) -> None: ...
    async def pay_by_card_that_asks(self, charge: Charge) -> None: ...
    async def answer_bank(self, charge: Charge, *, right: bool = True) -> None: ...
    def message(self, charge: Charge, *, forged: bool = False, old: bool = False) -> tuple[bytes, dict[str, str]]: ...
    def slow_bank(self, *, fails: bool) -> None:
        """From here on refunds are pending first; `bank_answers` ends them."""
        ...

    def late_bank(self) -> None:
        """From here on refunds are done at once, and fail when the `bank_answers`."""
        ...

    def bank_answers(self, charge: Charge) -> None: ...
    def bank_disputes(self, charge: Charge) -> None:
        """Opens a dispute of a charge that is captured. It is lost when the `bank_decides`."""
        ...

    def bank_decides(self, charge: Charge, *, won: bool = False) -> None: ...
    def later(self, ms: int) -> int:
        """Lets the provider's time pass; answers what it is now."""
        ...

    def told_of_bank(self, charge: Charge, what: Literal["refund.failed", "charge.dispute.created"]) -> _Message: ...


class SandboxHand:
    def __init__(self, provider: SandboxProvider, world: shop_world.World) -> None:
        self.provider = provider
        self._world = world

    async def pay(self, charge: Charge) -> None:
        await self.provider.choose(charge.ref, "success")

    async def pay_by_card_that_asks(self, charge: Charge) -> None:
        await self.provider.choose(charge.ref, "three_d_secure")
        await self.provider.choose(charge.ref, "three_d_secure", CODE)

    async def answer_bank(self, charge: Charge, *, right: bool = True) -> None:
        await self.provider.choose(charge.ref, "three_d_secure", CODE if right else "000000")

    def message(self, charge: Charge, *, forged: bool = False, old: bool = False) -> tuple[bytes, dict[str, str]]:
        kind = "charge.forged" if forged else "charge.captured"
        body = f'{{"id":"evt_1","kind":"{kind}","ref":"{charge.ref}"}}'.encode()
        headers = self.provider.signed_headers(body)
        if old:
            self._world.clock.advance(600_000)  # type: ignore[attr-defined]
        return body, headers

    def _trouble(self, words: str) -> None:
        settings = self._world.settings.model_copy(update={"sandbox_trouble": words})
        self.provider = SandboxProvider(self._world.db, settings, self._world.clock)

    def slow_bank(self, *, fails: bool) -> None:
        self._trouble("refund_pending,refund_fails" if fails else "refund_pending")

    def late_bank(self) -> None:
        self._trouble("refund_fails")

    def bank_answers(self, charge: Charge) -> None:
        self._world.clock.advance(BANK_MS)  # type: ignore[attr-defined]

    def bank_disputes(self, charge: Charge) -> None:
        self._world.clock.advance(BANK_MS)  # type: ignore[attr-defined]

    def bank_decides(self, charge: Charge, *, won: bool = False) -> None:
        """Which way was settled when the charge was paid."""
        self._world.clock.advance(CASE_MS)  # type: ignore[attr-defined]

    def later(self, ms: int) -> int:
        self._world.clock.advance(ms)  # type: ignore[attr-defined]
        return self._world.clock.now_ms()

    def told_of_bank(self, charge: Charge, what: str) -> _Message:
        body = f'{{"id":"evt_9","kind":"{what}","ref":"{charge.ref}"}}'.encode()
        return body, self.provider.signed_headers(body)


class StripeHand:
    def __init__(self, provider: StripeProvider, fake: FakeStripe) -> None:
        self.provider = provider
        self.fake = fake

    async def pay(self, charge: Charge) -> None:
        self.fake.pay(charge.ref)

    async def pay_by_card_that_asks(self, charge: Charge) -> None:
        self.fake.pay(charge.ref, "3184")

    async def answer_bank(self, charge: Charge, *, right: bool = True) -> None:
        self.fake.answer_bank(charge.ref, right=right)

    def message(self, charge: Charge, *, forged: bool = False, old: bool = False) -> tuple[bytes, dict[str, str]]:
        about = (self.fake.sessions | self.fake.intents)[charge.ref]
        return self.fake.event(
            "checkout.session.completed", about, secret="whsec_x" if forged else SECRET, age_s=600 if old else 0
        )

    _ends: Literal["succeeded", "failed"] = "failed"

    def slow_bank(self, *, fails: bool) -> None:
        self.fake.slow_refunds = True
        self._ends = "failed" if fails else "succeeded"

    def late_bank(self) -> None:
        """As Stripe is by itself."""

    def bank_answers(self, charge: Charge) -> None:
        for refund in self.fake.refunds.values():
            self.fake.end_refund(refund["id"], self._ends)

    def _intent(self, charge: Charge) -> str:
        return str(self.fake.sessions[charge.ref]["payment_intent"] if charge.ref.startswith("cs_") else charge.ref)

    def bank_disputes(self, charge: Charge) -> None:
        self.fake.dispute(self._intent(charge))

    def bank_decides(self, charge: Charge, *, won: bool = False) -> None:
        for dispute in self.fake.disputes:
            self.fake.end_dispute(dispute, "won" if won else "lost")

    def later(self, ms: int) -> int:
        now = self.fake.now_s() + ms / 1000
        self.fake.now_s = lambda: now
        return int(now * 1000)

    def told_of_bank(self, charge: Charge, what: str) -> _Message:
        shelf = self.fake.disputes if "dispute" in what else self.fake.refunds
        return self.fake.event(what, list(shelf.values())[-1])


def stripe_settings(settings: Settings, url: str) -> Settings:
    return settings.model_copy(
        update={
            "payments": "stripe",
            "stripe_secret_key": KEY,
            "stripe_publishable_key": "pk_test_of_the_tests",
            "stripe_webhook_secret": SECRET,
            "stripe_api_base": url,
        }
    )


@asynccontextmanager
async def stripe_hand(settings: Settings) -> AsyncIterator[StripeHand]:
    async with fake_stripe() as fake:
        provider = StripeProvider(stripe_settings(settings, fake.url))
        try:
            yield StripeHand(provider, fake)
        finally:
            await provider.close()
