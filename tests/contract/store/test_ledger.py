"""The ledger of orders only grows: the store itself refuses anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop_world import World
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import DBAPIError

from live.store import migrate
from live.store.sql import new_engine
from live.store.tables import ledger


async def test_what_was_noted_of_an_order_can_be_neither_changed_nor_deleted(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    settled = await world.buy("per_ada", "COAT-38")
    mine = ledger.c.order_id == settled.order_id
    for change in (update(ledger).where(mine).values(kind="order.placed"), delete(ledger).where(mine)):
        with pytest.raises(DBAPIError, match="append-only"):
            await world.db.write(lambda c, change=change: c.execute(change))
    query = ledger.select().where(mine).order_by(ledger.c.id)
    kinds = await world.db.read(lambda c: [row.kind for row in c.execute(query)])
    assert kinds == ["order.placed", "order.paid"], "and nothing is gone"


async def test_an_act_of_one_name_is_noted_once_an_order(world: World) -> None:
    await world.stock_a_show({"COAT-38": 1})
    settled = await world.buy("per_ada", "COAT-38")
    row = {"order_id": settled.order_id, "kind": "order.noted", "wall_ms": 1, "facts": "{}", "op": "op_1"}
    await world.db.write(lambda c: c.execute(insert(ledger).values(row)))
    with pytest.raises(DBAPIError, match=r"ix_ledger_order_id_op|UNIQUE"):
        await world.db.write(lambda c: c.execute(insert(ledger).values(row)))


def test_a_shop_that_sold_already_keeps_its_orders_and_learns_the_new_states(tmp_path: Path) -> None:
    """On SQLite, whose schema is rewritten; PostgreSQL alters a check in place."""
    url = f"sqlite:///{tmp_path / 'frontrow.sqlite3'}"
    migrate.upgrade(url, tmp_path, "0022")
    engine = new_engine(url)
    try:
        with engine.begin() as connection:
            for statement in (
                "insert into brands values ('b', 'b', 'b', 'EUR', 'DE', 1)",
                "insert into shows (id, brand_id, slug, title, tagline, poster, status, hold_ttl_s, max_per_buyer,"
                " created_ms) values ('s', 'b', 's', 's', '', '', 'live', 300, 4, 1)",
                "insert into orders values ('o', 'FR-1', 's', 'p', 'p', 'k', 'd', 'paid', 'a@b.c', 'A', '{}', 'EUR', 5,"
                " 1, 1, 1)",
            ):
                connection.execute(text(statement))
        migrate.upgrade(url, tmp_path)
        with engine.begin() as connection:
            assert connection.execute(text("update orders set status = 'part_fulfilled'")).rowcount == 1
        with pytest.raises(DBAPIError, match="status_known"), engine.begin() as connection:
            connection.execute(text("update orders set status = 'lost'"))
    finally:
        engine.dispose()
