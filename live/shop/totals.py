"""How an order's total comes about: goods, less what codes take off, shipping, tax. Pure; integer minor units all the
way.

    total = goods - discount + shipping            the tax is contained, and told
    total = goods - discount + shipping + tax      the tax is added (taxes.py says which)

Rounding, so that any part of an order can be paid back to the cent:
- a percentage is rounded once, on all goods (halves up);
- a discount is shared among the lines by their price, the odd cents by the largest remainder, so that the parts are the
  whole and no line falls below 0;
- tax is rounded line by line and once for the shipping (halves up); the order's tax is their sum.

Codes: each kind once, percentages before amounts, amounts never below 0. Several go together only where each of them
says so; the first that does not stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from live.shop import taxes
from live.shop.taxes import Taxes

CODES_LIMIT = 3
PromotionKind = Literal["percent", "amount", "free_shipping"]


class Promotion(msgspec.Struct, frozen=True):
    """A code as it stands. `value`: hundredths of a percent, or minor units."""

    id: str
    code: str
    kind: PromotionKind
    value: int
    min_minor: int = 0
    stacks: bool = False


class Method(msgspec.Struct, frozen=True):
    """A way of sending. `places`: countries, EU, or * for wherever none of the others goes."""

    id: str
    name: str
    places: tuple[str, ...]
    price_minor: int
    free_above_minor: int | None
    days_min: int
    days_max: int


class Part(msgspec.Struct, frozen=True):
    """A line's share: what codes take off it, and its tax."""

    discount_minor: int
    tax_minor: int


class Totals(msgspec.Struct, frozen=True):
    goods_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    tax_included: bool
    tax_bp: int
    tax_place: str
    total_minor: int
    parts: list[Part]
    taken: dict[str, int]  # code -> minor units it took off (free shipping: the price that fell away)


def methods_to(methods: Sequence[Method], country: str) -> list[Method]:
    """The ways to a country, cheapest first. `*` counts only where no other names the country."""
    named = [one for one in methods if country in one.places or ("EU" in one.places and country in taxes.EU)]
    ways = named or [one for one in methods if "*" in one.places]
    return sorted(ways, key=lambda one: one.price_minor)


def price_of(method: Method | None, goods_minor: int) -> int:
    """What sending costs for goods worth so much, after discounts."""
    if method is None or (method.free_above_minor is not None and goods_minor >= method.free_above_minor):
        return 0
    return method.price_minor


def together(codes: Sequence[Promotion]) -> Promotion | None:
    """The first code that may not stand beside the others; None when they may."""
    kinds: set[str] = set()
    for one in codes:
        if len(codes) > 1 and (not one.stacks or one.kind in kinds):
            return one
        kinds.add(one.kind)
    return None


def compute(
    lines: Sequence[tuple[int, int]],
    *,
    method: Method | None,
    codes: Sequence[Promotion],
    tax: Taxes,
    country: str,
    area: str = "",
) -> Totals:
    """The total of lines of (unit price, units). Whoever calls has checked that the codes hold, and go together."""
    gross = [unit * qty for unit, qty in lines]
    goods = sum(gross)
    taken: dict[str, int] = {}
    discount = 0
    for one in sorted(codes, key=lambda one: ("percent", "amount", "free_shipping").index(one.kind)):
        if one.kind == "percent":
            taken[one.code] = taxes.part(goods, one.value, included=False)
        elif one.kind == "amount":
            taken[one.code] = min(one.value, goods - discount)
        else:
            continue
        discount += taken[one.code]
    shipping = price_of(method, goods - discount)
    for one in codes:
        if one.kind == "free_shipping":
            taken[one.code], shipping = shipping, 0
    place, rate_bp = taxes.rate(tax, country, area)
    shares = shared(discount, gross)
    parts = [
        Part(share, taxes.part(amount - share, rate_bp, included=tax.included))
        for amount, share in zip(gross, shares, strict=True)
    ]
    tax_minor = sum(one.tax_minor for one in parts) + taxes.part(shipping, rate_bp, included=tax.included)
    total = goods - discount + shipping + (0 if tax.included else tax_minor)
    return Totals(goods, discount, shipping, tax_minor, tax.included, rate_bp, place, total, parts, taken)


def shared(amount: int, weights: Sequence[int]) -> list[int]:
    """`amount` in whole parts by weight: together they are `amount`, and none is more than its weight where `amount` is
    no more than all of them. The odd ones go by the largest remainder, the earlier first."""
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = [amount * weight // whole for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda at: -(amount * weights[at] % whole))
    for at in by_rest[: amount - sum(parts)]:
        parts[at] += 1
    return parts
