"""Migrations build exactly what `tables.py` says, on both stores, and once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text

from live.store import migrate
from live.store.sql import new_engine, normalised
from live.store.tables import metadata


@pytest.fixture
def url(database_url: str | None, tmp_path: Path) -> str:
    return normalised(database_url or f"sqlite:///{tmp_path / 'frontrow.sqlite3'}")


def test_the_migrated_schema_is_the_one_in_tables_py(url: str, tmp_path: Path) -> None:
    migrate.upgrade(url, tmp_path)
    engine = new_engine(url)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
            assert migrate.current(connection) == migrate.head()
            look = inspect(connection)
            for table in metadata.sorted_tables:
                # Alembic compares everything but these.
                said = {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
                assert {check["name"] for check in look.get_check_constraints(table.name)} == said, table.name
                assert {key["name"] for key in look.get_foreign_keys(table.name)} == {
                    key.name for key in table.foreign_key_constraints
                }, table.name
    finally:
        engine.dispose()


def test_upgrading_again_changes_nothing(url: str, tmp_path: Path) -> None:
    migrate.upgrade(url, tmp_path)
    migrate.upgrade(url, tmp_path)


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'frontrow.sqlite3'}"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=migrate.upgrade, args=(url, tmp_path)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_the_store_itself_refuses_to_oversell(url: str, tmp_path: Path) -> None:
    migrate.upgrade(url, tmp_path)
    engine = new_engine(url)
    try:
        with engine.begin() as connection:
            brand = "(id, slug, name, currency, country, created_ms) values ('b', 'b', 'b', 'EUR', 'DE', 1)"
            connection.execute(text(f"insert into brands {brand}"))
            connection.execute(
                text(
                    "insert into products (id, brand_id, slug, title, blurb, picture, picture_alt, created_ms)"
                    " values ('p', 'b', 'p', 'p', '', '', '', 1)"
                )
            )
            connection.execute(
                text(
                    "insert into variants (sku, product_id, position, size, colour, colour_hex, gtin, price_minor,"
                    " on_hand, sold) values ('s', 'p', 0, '', '', '', '', 1, 1, 1)"
                )
            )
        with pytest.raises(Exception, match="never_oversold"), engine.begin() as connection:
            connection.execute(text("update variants set sold = 2"))
    finally:
        engine.dispose()
