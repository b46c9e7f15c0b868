"""Webhooks: which kinds an endpoint hears, secrets that overlap, a log that says what was answered, stock as told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("kinds", "disabled_why"):
        op.add_column("webhook_endpoints", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE webhook_endpoints SET disabled_why = 'gone' WHERE disabled_ms IS NOT NULL")
    op.add_column("webhook_endpoints", sa.Column("old_secret", sa.Text(), nullable=True))
    for name in ("old_secret_until_ms", "last_taken_ms"):
        op.add_column("webhook_endpoints", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("webhook_deliveries", sa.Column("outcome", sa.Text(), nullable=False, server_default="waiting"))
    op.add_column("webhook_deliveries", sa.Column("status", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("webhook_deliveries", sa.Column("reply", sa.Text(), nullable=False, server_default=""))
    op.add_column("webhook_deliveries", sa.Column("tried_ms", sa.BigInteger(), nullable=True))
    op.add_column("webhook_deliveries", sa.Column("took_ms", sa.Integer(), nullable=False, server_default="0"))
    # `answer` was a status of three digits, or the name of what went wrong.
    op.execute(
        "UPDATE webhook_deliveries SET outcome = CASE WHEN answer LIKE '2__' THEN 'taken' ELSE 'failed' END,"
        " tried_ms = done_ms WHERE done_ms IS NOT NULL"
    )
    op.drop_index("ix_webhook_deliveries_done_ms_due_ms", table_name="webhook_deliveries")
    op.create_index(
        "ix_webhook_deliveries_endpoint_id_done_ms_due_ms",
        "webhook_deliveries",
        ["endpoint_id", "done_ms", "due_ms"],
        unique=False,
    )
    op.create_index(
        "ix_webhook_deliveries_endpoint_id_outbox_id", "webhook_deliveries", ["endpoint_id", "outbox_id"], unique=False
    )
    op.create_table(
        "stock_told",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("sold", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sku"], ["variants.sku"], name=op.f("fk_stock_told_sku"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_stock_told")),
    )
