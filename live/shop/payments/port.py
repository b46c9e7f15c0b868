"""The port to a payment provider. What a provider says by event is a hint; what `fetch` answers is the fact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

ChargeStatus = Literal["created", "authorising", "authorised", "captured", "declined", "cancelled", "refunded"]


class ChargeRequest(msgspec.Struct, frozen=True):
    """One attempt to be paid. `idempotency_key` is ours, one an attempt: asking again is the same charge."""

    idempotency_key: str
    amount_minor: int
    currency: str
    order_number: str
    return_url: str


class Charge(msgspec.Struct, frozen=True):
    """A charge as the provider's books have it. `pay_url` is the provider's page, where the buyer pays."""

    ref: str
    status: ChargeStatus
    amount_minor: int
    currency: str
    captured_minor: int
    refunded_minor: int
    pay_url: str
    reason: str = ""


class ProviderEvent(msgspec.Struct, frozen=True):
    """A verified message of the provider: something happened to charge `ref`. Ask `fetch` what."""

    id: str
    kind: str
    ref: str


class Provider(Protocol):
    """Raises `StoreDown("payments")` when the provider does not answer: then nothing is known, ask again."""

    name: str

    async def create(self, request: ChargeRequest) -> Charge: ...

    async def capture(self, ref: str) -> Charge:
        """Take an authorised amount. Captured already: answers so."""
        ...

    async def cancel(self, ref: str) -> Charge:
        """Close a charge that was not captured. Captured already: answers so, and nothing is cancelled."""
        ...

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge: ...

    async def fetch(self, ref: str) -> Charge: ...

    def pay_url(self, ref: str) -> str:
        """Where the buyer pays this charge."""
        ...

    def parse_event(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        """Verify a message and say what it is about. Raises Invalid("signature", …)."""
        ...
