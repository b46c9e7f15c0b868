"""Migrations keep what is there: a show of the first schema, and what refers to it. On SQLite, where a table that is
built anew takes along what refers to it; PostgreSQL alters in place, and test_schema.py holds its result."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from live.store import migrate
from live.store.sql import new_engine

BEFORE = """
insert into brands (id, slug, name, currency, country, created_ms) values ('b', 'b', 'B', 'EUR', 'FR', 1);
insert into shows (id, brand_id, slug, title, tagline, poster, status, hold_ttl_s, max_per_buyer, created_ms)
  values ('s', 'b', 's', 'S', '', '', 'live', 300, 4, 1);
insert into looks (id, show_id, number, title, state) values ('l', 's', 1, 'L', 'waiting');
insert into recordings (id, show_id, path, state, starts_at_ms, started_ms, bytes)
  values ('r', 's', 'r.mp4', 'finished', 0, 1, 9)
"""


def test_a_show_of_the_first_schema_is_whole_after_every_migration(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'frontrow.sqlite3'}"
    migrate.upgrade(url, tmp_path, "0001")
    engine = new_engine(url)
    try:
        with engine.begin() as sql:
            for statement in BEFORE.split(";"):
                sql.execute(text(statement))
        migrate.upgrade(url, tmp_path)
        with engine.begin() as sql:
            shows = sql.execute(text("select id, status, second_publisher from shows")).all()
            assert shows == [("s", "live", "takes_over")]
            assert sql.execute(text("select id, show_id from looks")).all() == [("l", "s")]
            assert sql.execute(text("select id, bytes from recordings")).all() == [("r", 9)]
            assert sql.execute(text("pragma foreign_key_check")).all() == []
    finally:
        engine.dispose()
