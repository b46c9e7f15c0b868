"""Which of live's events replace one another for a reader who fell behind. Given to the hub; pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from chat.envelope import decode_envelope
from chat.outbox import Item, State

T = TypeVar("T")

# Each tells all of its one thing, and one process after the other tells of it.
_WHOLE = frozenset({"runsheet.changed", "tally.changed", "recording.changed"})


def coalesce(item: Item) -> State | None:
    """What of the shop an event says all of, and how new that is: two processes may tell it in either order."""
    if item.kind in _WHOLE:
        return State(item.kind)
    if item.kind == "cart.changed":
        return State(item.kind, (_body(item, _Bag).cart.rev,))
    if item.kind == "stock.changed":
        # Only of the very same SKUs: another set would lose those that it doesn't name.
        levels = sorted(_body(item, _Skus).stock.items())
        return State(" ".join([item.kind, *(sku for sku, _ in levels)]), tuple(level.rev for _, level in levels))
    return None


class _New(msgspec.Struct):
    rev: int


class _Bag(msgspec.Struct):
    cart: _New


class _Skus(msgspec.Struct):
    stock: dict[str, _New]


def _body(item: Item, shape: type[T]) -> T:
    return msgspec.json.decode(decode_envelope(item.data).body, type=shape)
