"""Which of live's events replace one another for a reader who fell behind. Given to the hub; pure."""

from __future__ import annotations

import msgspec

from chat.envelope import decode_envelope
from chat.outbox import Item
from live.events import PRIVATE


def coalesce(item: Item) -> str | None:
    """For a slow reader: events with the same name here replace one another, because each says all of its thing."""
    if item.kind in PRIVATE and item.kind not in ("order.changed", "place.changed"):
        return item.kind
    if item.kind == "stock.changed":
        # Only of the very same SKUs: another set would lose those that it doesn't name.
        stock = msgspec.json.decode(decode_envelope(item.data).body, type=_Skus).stock
        return "stock.changed " + " ".join(sorted(stock))
    return None


class _Skus(msgspec.Struct):
    stock: dict[str, msgspec.Raw]
