"""Orders in parts: what was shipped, returned and refunded of each, and a ledger that the store itself keeps
append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_BEFORE = "status in ('pending', 'paid', 'cancelled', 'refunded')"
_AFTER = (
    "status in ('pending', 'paid', 'part_fulfilled', 'fulfilled', 'part_returned', 'returned', 'part_refunded',"
    " 'refunded', 'cancelled')"
)
_ADD_UP = (
    "shipped >= 0 and struck >= 0 and shipped + struck <= qty and returned >= 0 and returned <= shipped"
    " and restocked >= 0 and restocked <= struck + returned"
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    _widen_status(sqlite=sqlite)
    for name in ("shipped", "struck", "returned"):
        op.add_column("order_lines", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "ALTER TABLE order_lines ADD COLUMN restocked INTEGER DEFAULT 0 NOT NULL"
        f" CONSTRAINT ck_order_lines_units_add_up CHECK ({_ADD_UP})"
    )
    _new_tables()
    op.add_column("ledger", sa.Column("actor", sa.Text(), nullable=False, server_default=""))
    op.add_column("ledger", sa.Column("op", sa.Text(), nullable=True))
    named = sa.text("op IS NOT NULL")
    op.create_index(
        "ix_ledger_order_id_op",
        "ledger",
        ["order_id", "op"],
        unique=True,
        sqlite_where=named,
        postgresql_where=named,
    )
    _append_only(sqlite=sqlite)


def _widen_status(*, sqlite: bool) -> None:
    if not sqlite:
        op.drop_constraint(op.f("ck_orders_status_known"), "orders", type_="check")
        op.create_check_constraint(op.f("ck_orders_status_known"), "orders", _AFTER)
        return
    # The table can't be built anew: lines, payments and the ledger refer to it. Rewriting a check in the schema is what
    # SQLite's own documentation says to do where no row's layout changes (lang_altertable, section 8).
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema=ON")
    changed = connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = 'orders'", (_BEFORE, _AFTER)
    )
    assert changed.rowcount == 1
    connection.exec_driver_sql(f"PRAGMA schema_version={version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema=OFF")
    assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


def _new_tables() -> None:
    op.create_table(
        "shipments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("tracking", sa.Text(), nullable=False),
        sa.Column("tracking_url", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("voided_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_shipments_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
    )
    op.create_index(op.f("ix_shipments_order_id"), "shipments", ["order_id"], unique=False)
    op.create_table(
        "shipment_lines",
        sa.Column("shipment_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("qty", sa.Integer(), nullable=False),
        sa.CheckConstraint("qty > 0", name=op.f("ck_shipment_lines_qty_positive")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipments.id"], name=op.f("fk_shipment_lines_shipment_id")),
        sa.ForeignKeyConstraint(["sku"], ["variants.sku"], name=op.f("fk_shipment_lines_sku")),
        sa.PrimaryKeyConstraint("shipment_id", "sku", name=op.f("pk_shipment_lines")),
    )
    op.create_table(
        "refunds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("done_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refunds_amount_positive")),
        sa.CheckConstraint("status in ('asked', 'done', 'refused')", name=op.f("ck_refunds_status_known")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refunds_order_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    asked = sa.text("status = 'asked'")
    op.create_index(op.f("ix_refunds_order_id"), "refunds", ["order_id"], unique=False)
    op.create_index(
        "ix_refunds_one_asked", "refunds", ["order_id"], unique=True, sqlite_where=asked, postgresql_where=asked
    )
    op.create_index("ix_refunds_status_due_ms", "refunds", ["status", "due_ms"], unique=False)


def _append_only(*, sqlite: bool) -> None:
    if sqlite:
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER ledger_refuses_{act.lower()} BEFORE {act} ON ledger"
                " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_refuses_change BEFORE UPDATE OR DELETE ON ledger"
        " FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only()"
    )
