"""What a slow reader may miss of the shop's events, judged as her page judges: of each thing the highest rev holds."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.envelope import decode_envelope, encode
from chat.outbox import Item, Outbox
from live.desk.coalesce import coalesce
from live.events import Cart, CartChanged, Level, StockChanged
from live.money import Money


def stock(**revs: int) -> Item:
    levels = {sku: Level(left=0, rev=rev) for sku, rev in revs.items()}
    return Item("stock.changed", encode("stock.changed", StockChanged(levels)))


def bag(rev: int) -> Item:
    return Item("cart.changed", encode("cart.changed", CartChanged(Cart([], Money(0, "EUR"), rev))))


def after_waiting(items: list[Item]) -> list[Item]:
    """What comes out of the outbox of a reader who was slow for all of `items`."""
    outbox = Outbox("per_me", state_of=coalesce)
    for item in items:
        outbox.push(item)
    return [item for item in outbox.take(0) if item.kind != "events.skipped"]


def shown(items: list[Item]) -> dict[str, int]:
    """The revs that a page shows after `items`."""
    revs: dict[str, int] = {}
    for item in items:
        body = msgspec.json.decode(decode_envelope(item.data).body)
        told = {"bag": body["cart"]} if item.kind == "cart.changed" else body["stock"]
        for what, level in told.items():
            revs[what] = max(level["rev"], revs.get(what, 0))
    return revs


REVS = st.integers(1, 5)
ITEMS = st.one_of(
    st.dictionaries(st.sampled_from("ab"), REVS, min_size=1).map(lambda revs: stock(**revs)), REVS.map(bag)
)


@given(st.lists(ITEMS, max_size=12))
@example([stock(a=2), stock(a=1)])
@example([stock(a=2, b=1), stock(b=2, a=1)])
@example([bag(2), bag(1)])
def test_whatever_order_two_processes_tell_it_in_a_slow_reader_ends_with_the_newest(items: list[Item]):
    assert shown(after_waiting(items)) == shown(items)


def test_stock_replaces_older_stock_of_the_very_same_skus_alone():
    newest = stock(b=2, a=2)
    assert after_waiting([stock(a=1, b=1), stock(a=1, b=2), newest]) == [newest]
    assert len(after_waiting([stock(a=1, b=1), stock(a=2)])) == 2


def test_a_bag_replaces_the_bag_before_it():
    newest = bag(2)
    assert after_waiting([bag(1), bag(2), newest]) == [newest]


@pytest.mark.parametrize("kind", ["order.changed", "place.changed", "rain.caught", "card.dropped"])
def test_what_tells_of_one_of_several_things_is_never_replaced(kind: str):
    assert len(after_waiting([Item(kind, b"1"), Item(kind, b"2")])) == 2


def test_what_is_all_of_its_thing_replaces_itself():
    newest = Item("tally.changed", b"2")
    assert after_waiting([Item("tally.changed", b"1"), newest]) == [newest]
