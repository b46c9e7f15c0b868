"""Migrations keep what is there: a show of the first schema, and what refers to it. On SQLite, where a table that is
built anew takes along what refers to it; PostgreSQL alters in place, and test_schema.py holds its result. What a
migration works out of rows that are there is held on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from live.store import migrate
from live.store.sql import new_engine, normalised

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


SOLD_BEFORE = """
insert into brands (id, slug, name, currency, country, created_ms) values ('b', 'b', 'B', 'EUR', 'FR', 1);
insert into shows (id, brand_id, slug, title, tagline, poster, status, hold_ttl_s, max_per_buyer, created_ms)
  values ('s', 'b', 's', 'S', '', '', 'live', 300, 4, 1), ('t', 'b', 't', 'T', '', '', 'live', 300, 4, 1);
insert into looks (id, show_id, number, title, state)
  values ('l', 's', 1, 'L', 'dropped'), ('m', 's', 2, 'M', 'waiting');
insert into products (id, brand_id, slug, title, blurb, picture, picture_alt, created_ms)
  values ('p', 'b', 'p', 'P', '', '', '', 1);
insert into variants (sku, product_id, position, size, colour, colour_hex, gtin, price_minor, on_hand, sold)
  values ('x', 'p', 0, '', '', '', '', 1, 9, 0);
insert into timeline (id, show_id, kind, at_ms, wall_ms, actor, body) values
  (1, 's', 'card.dropped', 60, 1060, '', '{"look":"l"}'), (2, 's', 'card.withdrawn', 70, 1070, '', '{"look":"l"}'),
  (3, 's', 'card.dropped', 80, 1080, '', '{"look":"l"}'), (4, 't', 'card.dropped', 80, 1080, '', '{"look":"l"}'),
  (5, 's', 'card.dropped', 81, 1081, '', '{"look":"m"}'), (6, 's', 'card.dropped', 90, 1090, '', '{"look":"l"}')
"""
# Where the look was tapped, when the order was placed, and the drop that it must have been.
TAPS = (
    (65, 1066, 1),
    (85, 1086, 3),
    (95, 1096, 6),
    (95, 1087, 3),
    (10, 1099, None),
    (None, 1085, 3),
    (None, 1000, None),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'frontrow.sqlite3'}"
        return
    server = make_url(normalised(request.getfixturevalue("postgres_url")))
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as sql:
        sql.execute(text("create database upgraded"))
        yield server.set(database="upgraded").render_as_string(hide_password=False)
        sql.execute(text("drop database upgraded"))
    engine.dispose()


def test_lines_that_were_sold_before_they_kept_their_drop_get_it_from_the_timeline(
    empty_url: str, tmp_path: Path
) -> None:
    migrate.upgrade(empty_url, tmp_path, "0031")
    engine = new_engine(normalised(empty_url))
    try:
        with engine.begin() as sql:
            for statement in SOLD_BEFORE.split(";"):
                sql.exec_driver_sql(statement)
            for n, (at_ms, placed_ms, _) in enumerate(TAPS):
                sql.execute(
                    text(
                        "insert into orders (id, number, show_id, buyer, cart, idempotency_key, request_digest, status,"
                        " email, name, address, currency, total_minor, created_ms, settle_after_ms) values"
                        " (:id, :id, 's', 'a', 'a', :id, '', 'pending', '', '', '{}', 'EUR', 1, :placed, 1)"
                    ),
                    {"id": f"o{n}", "placed": placed_ms},
                )
                sql.execute(
                    text(
                        "insert into order_lines (order_id, sku, qty, unit_minor, title, size, colour, picture,"
                        " look_id, at_ms) values (:id, 'x', 1, 1, '', '', '', '', 'l', :at)"
                    ),
                    {"id": f"o{n}", "at": at_ms},
                )
        migrate.upgrade(empty_url, tmp_path)
        with engine.begin() as sql:
            found = sql.execute(text("select drop_id from order_lines order by order_id")).scalars().all()
            assert found == [drop for _, _, drop in TAPS]
            assert sql.execute(text("select id, drop_id from looks order by id")).all() == [("l", 6), ("m", None)]
    finally:
        engine.dispose()


REFUNDED_BEFORE = (
    "insert into orders (id, number, show_id, buyer, cart, idempotency_key, request_digest, status, email, name,"
    " address, currency, total_minor, created_ms, settle_after_ms)"
    " values ('o', 'o', 's', 'a', 'a', 'o', '', 'part_refunded', '', '', '{}', 'EUR', 9, 1, 1)",
    "insert into payments (id, order_id, provider, idempotency_key, status, amount_minor, captured_minor,"
    " refunded_minor, reason, created_ms, updated_ms) values ('p', 'o', 'sandbox', 'p', 'captured', 9, 9, 1, '', 1, 1)",
    "insert into refunds (id, order_id, payment_id, amount_minor, why, lines, note, status, answer, actor, created_ms,"
    " due_ms, attempts, done_ms) values ('r', 'o', 'p', 1, 'asked', '{}', '', 'done', '', '', 1, 2, 0, 3),"
    " ('q', 'o', 'p', 1, 'asked', '{}', '', 'asked', '', '', 1, 2, 0, null)",
)


def test_refunds_of_before_they_were_followed_stay_as_they_were_and_are_not_all_looked_at(
    empty_url: str, tmp_path: Path
) -> None:
    migrate.upgrade(empty_url, tmp_path, "0035")
    engine = new_engine(normalised(empty_url))
    try:
        with engine.begin() as sql:
            for statement in (*SOLD_BEFORE.split(";"), *REFUNDED_BEFORE):
                sql.exec_driver_sql(statement)
        migrate.upgrade(empty_url, tmp_path)
        with engine.begin() as sql:
            found = sql.execute(text("select id, status, due_ms, provider_ref, again_of from refunds order by id"))
            assert found.all() == [("q", "asked", 2, "", ""), ("r", "done", 2**53 - 1, "", "")]
            sql.execute(text("update refunds set status = 'failed' where id = 'r'"))
    finally:
        engine.dispose()
