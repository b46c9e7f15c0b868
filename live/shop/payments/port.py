"""The port to a payment provider. What a provider says by event is a hint; what `fetch` answers is the fact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

ChargeStatus = Literal["created", "authorising", "authorised", "captured", "declined", "cancelled", "refunded"]
RepaidStatus = Literal["pending", "done", "failed"]
DisputeStatus = Literal["open", "won", "lost", "closed"]


class SavedMethod(msgspec.Struct, frozen=True):
    """A card or the like that the provider keeps for a buyer. `ref` is its name there and opens nothing without our
    key; `label` is what people know it by: `Visa ·· 4242`."""

    ref: str
    label: str


class ChargeRequest(msgspec.Struct, frozen=True):
    """One attempt to be paid. `idempotency_key` is ours, one an attempt: asking again is the same charge.

    `method` is a saved one: it is charged at once, and the answer is captured, declined, or authorising where its bank
    wants to hear from the buyer first. `save`: the buyer wants to pay by this one again. `placed_ms` is when we first
    may have asked.
    """

    idempotency_key: str
    amount_minor: int
    currency: str
    order_number: str
    return_url: str
    email: str = ""
    method: str = ""
    save: bool = False
    placed_ms: int = 0


class Repaid(msgspec.Struct, frozen=True):
    """A refund in the provider's books. `key` is the one we asked under; "" where the brand did it on the provider's
    own site.

    pending   accepted, and gone from the brand's balance; the buyer's bank has not taken it yet. `reason`
              requires_action: she has to tell the provider where it is to go
    done      as far as anybody knows it arrived
    failed    it did not, and the money is the brand's again, also days after it was done: `reason` is the bank's word
    """

    key: str
    ref: str
    amount_minor: int
    status: RepaidStatus
    reason: str = ""


class Dispute(msgspec.Struct, frozen=True):
    """A buyer's bank wants its money back. `status`: open (an inquiry too), won (by the brand), lost, or closed without
    either; `due_ms` is until when the provider takes evidence, on its own site; `withdrawn`: the brand is without the
    money now."""

    ref: str
    status: DisputeStatus
    amount_minor: int
    currency: str
    reason: str
    due_ms: int | None = None
    withdrawn: bool = False


class DisputePage(msgspec.Struct, frozen=True):
    """Disputes of any payment, the newest first: each with the name of the payment it is of, ours or the provider's, ""
    where it is not ours. `next` is the `after` of the page of older ones, "" on the last."""

    found: tuple[tuple[str, Dispute], ...]
    next: str = ""


class Charge(msgspec.Struct, frozen=True):
    """A charge as the provider's books have it. `pay_url` is the provider's page, where the buyer pays; `method` is
    there once it was saved. `refunded_minor` is the sum of `refunds` that did not fail, the first first."""

    ref: str
    status: ChargeStatus
    amount_minor: int
    currency: str
    captured_minor: int
    refunded_minor: int
    pay_url: str
    reason: str = ""
    method: SavedMethod | None = None
    refunds: tuple[Repaid, ...] = ()


class PayPage(msgspec.Struct, frozen=True):
    """What the buyer's page needs to let her pay: `frame` shows `url`; `checkout` and `challenge` hand `secret` to the
    provider's own script; `none`: there is nothing to be done there any more."""

    kind: Literal["frame", "checkout", "challenge", "none"]
    url: str = ""
    secret: str = ""


class ProviderEvent(msgspec.Struct, frozen=True):
    """A verified message of the provider: something happened to charge `ref`. Ask `fetch` what, or `disputes`."""

    id: str
    kind: str
    ref: str


class Provider(Protocol):
    """Raises `StoreDown("payments")` when the provider does not answer: then nothing is known, ask again."""

    name: str

    async def close(self) -> None: ...

    async def create(self, request: ChargeRequest) -> Charge: ...

    async def void(self, request: ChargeRequest) -> Charge:
        """Close an attempt that was given up and whose `create` was never answered. What the books have of it decides:
        a charge that was captured after all answers so. Otherwise it is cancelled, and no `create` of that key that is
        still on its way can be paid any more."""
        ...

    async def capture(self, ref: str) -> Charge:
        """Take an authorised amount. Captured already: answers so."""
        ...

    async def cancel(self, ref: str) -> Charge:
        """Close a charge that was not captured. Captured already: answers so, and nothing is cancelled."""
        ...

    async def refund(self, ref: str, amount_minor: int, *, idempotency_key: str) -> Charge:
        """Give money back; the charge has it among its `refunds`, under this key. Raises Invalid when it never will,
        as while the payment is disputed."""
        ...

    async def disputes(self, ref: str) -> list[Dispute]:
        """A charge's disputes, the first first."""
        ...

    async def disputes_since(self, since_ms: int, after: str = "") -> DisputePage:
        """The disputes of every payment that were opened since then, a page at a time. Raises NotFound when there is
        no page after that one: begin with the first again."""
        ...

    async def payment_of(self, ref: str) -> str:
        """Our payment's id (its idempotency key) for an event's `ref` that is no charge's; "" where it is not ours."""
        ...

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
