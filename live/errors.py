"""What can go wrong in the show and the shop, as facts; `web/errors.py` alone turns them into status and words.

Error                       carries
├── NotFound                what, which
├── Forbidden               need (the role that was missing)
├── SignInNeeded
├── BadToken
├── Invalid                 field, why
├── WrongState              state, need
│   ├── NotLive             retry_after_s
│   ├── NotOpen             look, opens_ms
│   ├── Closed              look, closes_ms
│   └── InLine              look, place
├── Conflict                why
├── SoldOut                 sku, left
├── OverLimit               sku, limit, cap
├── WorkNeeded              look, why
├── HoldLapsed              skus
├── PriceChanged            sku, was, now
├── TotalChanged            was, now (minor units)
├── CodeRefused             promotion, why
├── EmptyBag
├── IdempotencyMismatch     key
├── PaymentDeclined         reason
├── Throttled               retry_after_s
├── Overloaded              retry_after_s
└── StoreDown               store, retry_after_s
"""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """An expected failure. `code` is its name on the wire, `facts` what the page needs to say it well."""

    code = "error"

    def __init__(self, **facts: Any) -> None:
        super().__init__(self.code, facts)
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.code}: " + ", ".join(f"{name}={value!r}" for name, value in self.facts.items())


class NotFound(Error):
    code = "not_found"

    def __init__(self, what: str, which: str) -> None:
        super().__init__(what=what, which=which)


class Forbidden(Error):
    code = "forbidden"

    def __init__(self, need: str) -> None:
        super().__init__(need=need)


class SignInNeeded(Error):
    code = "sign_in_needed"


class BadToken(Error):
    """Never issued, revoked or over: which of them is nobody's business."""

    code = "bad_token"


class Invalid(Error):
    code = "invalid"

    def __init__(self, field: str, why: str, **more: Any) -> None:
        super().__init__(field=field, why=why, **more)


class WrongState(Error):
    code = "wrong_state"

    def __init__(self, state: str, need: str, **more: Any) -> None:
        super().__init__(state=state, need=need, **more)


class NotLive(WrongState):
    code = "not_live"

    def __init__(self, state: str, retry_after_s: int = 2) -> None:
        super().__init__(state=state, need="live", retry_after_s=retry_after_s)


class NotOpen(WrongState):
    """The drop is still counted down to."""

    code = "not_open"

    def __init__(self, look: str, opens_ms: int) -> None:
        super().__init__(state="armed", need="open", look=look, opens_ms=opens_ms)
        self.opens_ms = opens_ms


class Closed(WrongState):
    """The drop is over."""

    code = "closed"

    def __init__(self, look: str, closes_ms: int) -> None:
        super().__init__(state="closed", need="open", look=look, closes_ms=closes_ms)


class InLine(WrongState):
    """A hot drop: it isn't her turn."""

    code = "in_line"

    def __init__(self, look: str) -> None:
        super().__init__(state="in_line", need="turn", look=look)


class Conflict(Error):
    code = "conflict"

    def __init__(self, why: str, **more: Any) -> None:
        super().__init__(why=why, **more)


class Edited(Error):
    """Somebody else saved it after the form was filled in."""

    code = "edited"


class SoldOut(Error):
    code = "sold_out"

    def __init__(self, sku: str, left: int = 0) -> None:
        super().__init__(sku=sku, left=left)
        self.sku = sku
        self.left = left


class StillLeft(Error):
    """Nobody has to wait for it."""

    code = "still_left"

    def __init__(self, sku: str) -> None:
        super().__init__(sku=sku)


class OverLimit(Error):
    code = "over_limit"

    def __init__(self, sku: str, limit: int, cap: str = "piece") -> None:
        super().__init__(sku=sku, limit=limit, cap=cap)
        self.limit = limit
        self.cap = cap  # piece (one SKU), product, drop, waits (queues one may be in) or device (one place each)


class WorkNeeded(Error):
    """The drop asks for a proof of work: `why` is missing, wrong, stale or used."""

    code = "work_needed"

    def __init__(self, look: str, why: str) -> None:
        super().__init__(look=look, why=why)


class HoldLapsed(Error):
    code = "hold_lapsed"

    def __init__(self, skus: list[str]) -> None:
        super().__init__(skus=skus)


class PriceChanged(Error):
    code = "price_changed"

    def __init__(self, sku: str, was: int, now: int, changes: dict[str, int] | None = None) -> None:
        super().__init__(sku=sku, was=was, now=now)
        self.changes = changes or {sku: now}  # every SKU whose price is another one, and that price


class TotalChanged(Error):
    """What the buyer agreed to is not what it costs now."""

    code = "total_changed"

    def __init__(self, was: int, now: int) -> None:
        super().__init__(was=was, now=now)


class CodeRefused(Error):
    """`why`: unknown, not_yet, over, used_up, used_by_you, too_little, not_together."""

    code = "code_refused"

    def __init__(self, promotion: str, why: str, **more: Any) -> None:
        super().__init__(promotion=promotion, why=why, **more)


class EmptyBag(Error):
    code = "empty_bag"


class IdempotencyMismatch(Error):
    code = "idempotency_mismatch"

    def __init__(self, key: str) -> None:
        super().__init__(key=key)


class PaymentDeclined(Error):
    code = "payment_declined"

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class Throttled(Error):
    code = "throttled"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(retry_after_s=retry_after_s)


class Overloaded(Error):
    code = "overloaded"

    def __init__(self, retry_after_s: int = 5) -> None:
        super().__init__(retry_after_s=retry_after_s)


class StoreDown(Error):
    """Redis or SQL did not answer. Stock and money fail closed with this."""

    code = "store_down"

    def __init__(self, store: str, retry_after_s: int = 5) -> None:
        super().__init__(store=store, retry_after_s=retry_after_s)
