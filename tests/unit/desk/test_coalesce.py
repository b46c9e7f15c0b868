from chat.envelope import encode
from chat.outbox import Item
from live.desk.coalesce import coalesce
from live.events import Level, StockChanged


def stock(*skus: str) -> str | None:
    return coalesce(Item("stock.changed", encode("stock.changed", StockChanged({sku: Level(1, 1) for sku in skus})), 1))


def test_stock_replaces_stock_of_the_very_same_skus_alone():
    assert stock("a", "b") == stock("b", "a")
    assert stock("a") != stock("a", "b")


def test_a_bag_replaces_the_bag_before_it_and_an_order_replaces_nothing():
    assert coalesce(Item("cart.changed", b"")) == "cart.changed"
    assert coalesce(Item("order.changed", b"")) is None


def test_a_drop_is_never_replaced():
    assert coalesce(Item("card.dropped", b"", 1)) is None
