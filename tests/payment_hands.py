"""Both payment providers, and the hand of a buyer on the page of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import shop_world
from stripe_fake import KEY, SECRET, FakeStripe, fake_stripe

from live.settings import Settings
from live.shop.payments.port import Charge, Provider
from live.shop.payments.sandbox import CODE, SandboxProvider
from live.shop.payments.stripe import StripeProvider


class Hand(Protocol):
    """What a buyer does at the provider, and what it then posts to us."""

    provider: Provider

    async def pay(self, charge: Charge) -> None: ...
    async def pay_by_card_that_asks(self, charge: Charge) -> None: ...
    async def answer_bank(self, charge: Charge, *, right: bool = True) -> None: ...
    def message(self, charge: Charge, *, forged: bool = False, old: bool = False) -> tuple[bytes, dict[str, str]]: ...


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
