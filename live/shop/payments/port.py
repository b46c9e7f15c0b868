"""The port to a payment provider. What a provider says by event is a hint; what `fetch` answers is the fact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

ChargeStatus = Literal["created", "authorising", "authorised", "captured", "declined", "cancelled", "refunded"]


class SavedMethod(msgspec.Struct, frozen=True):
    """A card or the like that the provider keeps for a buyer. `ref` is its name there and opens nothing without our
    key; `label` is what people know it by: `Visa ·· 4242`."""

    ref: str
    label: str


class ChargeRequest(msgspec.Struct, frozen=True):
    """One attempt to be paid. `idempotency_key` is ours, one an attempt: asking again is the same charge.

    `method` is a saved one: it is charged at once, and the answer is captured, declined, or authorising where its bank
    wants to hear from the buyer first. `save`: the buyer wants to pay by this one again.
    """

    idempotency_key: str
    amount_minor: int
    currency: str
    order_number: str
    return_url: str
    email: str = ""
    method: str = ""
    save: bool = False


class Charge(msgspec.Struct, frozen=True):
    """A charge as the provider's books have it. `pay_url` is the provider's page, where the buyer pays; `method` is
    there once it was saved."""

    ref: str
    status: ChargeStatus
    amount_minor: int
    currency: str
    captured_minor: int
    refunded_minor: int
    pay_url: str
    reason: str = ""
    method: SavedMethod | None = None


class PayPage(msgspec.Struct, frozen=True):
    """What the buyer's page needs to let her pay: `frame` shows `url`; `checkout` and `challenge` hand `secret` to the
    provider's own script; `none`: there is nothing to be done there any more."""

    kind: Literal["frame", "checkout", "challenge", "none"]
    url: str = ""
    secret: str = ""


class ProviderEvent(msgspec.Struct, frozen=True):
    """A verified message of the provider: something happened to charge `ref`. Ask `fetch` what."""

    id: str
    kind: str
    ref: str


class Provider(Protocol):
    """Raises `StoreDown("payments")` when the provider does not answer: then nothing is known, ask again."""

    name: str

    async def close(self) -> None: ...

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
        """Where the buyer pays this charge; "" where that is no address: ask for its `page`."""
        ...

    async def page(self, ref: str) -> PayPage: ...

    async def forget(self, method: str) -> None:
        """Keep a saved method no longer. One that is gone already is no error."""
        ...

    def parse_event(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        """Verify a message and say what it is about. Raises Invalid("signature", …)."""
        ...
