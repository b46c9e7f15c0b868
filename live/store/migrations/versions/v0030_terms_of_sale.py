"""An order says how its total came about; shipping methods, promotion codes, saved buyers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("brands", sa.Column("tax", sa.Text(), nullable=False, server_default=""))
    for name in ("goods_minor", "discount_minor", "shipping_minor", "tax_minor"):
        op.add_column("orders", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("tax_included", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("orders", sa.Column("tax_bp", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("tax_place", sa.Text(), nullable=False, server_default=""))
    op.add_column("orders", sa.Column("shipping_title", sa.Text(), nullable=False, server_default=""))
    op.add_column("orders", sa.Column("codes", sa.Text(), nullable=False, server_default="[]"))
    op.execute("update orders set goods_minor = total_minor")
    for name in ("discount_minor", "tax_minor"):
        op.add_column("order_lines", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    for name in ("method", "saver"):
        op.add_column("payments", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "shipping_methods",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("places", sa.Text(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("free_above_minor", sa.BigInteger(), nullable=True),
        sa.Column("days_min", sa.Integer(), nullable=False),
        sa.Column("days_max", sa.Integer(), nullable=False),
        sa.Column("retired_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("price_minor >= 0", name=op.f("ck_shipping_methods_price_not_negative")),
        sa.CheckConstraint("0 <= days_min and days_min <= days_max", name=op.f("ck_shipping_methods_days_in_order")),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_shipping_methods_brand_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipping_methods")),
    )
    op.create_index(op.f("ix_shipping_methods_brand_id"), "shipping_methods", ["brand_id"])
    op.create_table(
        "promotions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("min_minor", sa.BigInteger(), nullable=False),
        sa.Column("starts_ms", sa.BigInteger(), nullable=True),
        sa.Column("ends_ms", sa.BigInteger(), nullable=True),
        sa.Column("cap", sa.Integer(), nullable=True),
        sa.Column("cap_each", sa.Integer(), nullable=True),
        sa.Column("stacks", sa.Boolean(), nullable=False),
        sa.Column("buyer", sa.Text(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("retired_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind in ('percent', 'amount', 'free_shipping')", name=op.f("ck_promotions_kind_known")),
        sa.CheckConstraint(
            "kind <> 'percent' or value between 1 and 10000", name=op.f("ck_promotions_percent_in_range")
        ),
        sa.CheckConstraint("used >= 0 and (cap is null or used <= cap)", name=op.f("ck_promotions_cap_kept")),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_promotions_brand_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
        sa.UniqueConstraint("brand_id", "code", name=op.f("uq_promotions_brand_id_code")),
    )
    op.create_table(
        "promotion_uses",
        sa.Column("promotion_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("buyer", sa.Text(), nullable=False),
        sa.Column("email_tag", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotions.id"], name=op.f("fk_promotion_uses_promotion_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_promotion_uses_order_id")),
        sa.PrimaryKeyConstraint("promotion_id", "order_id", name=op.f("pk_promotion_uses")),
    )
    op.create_index("ix_promotion_uses_order_id", "promotion_uses", ["order_id"])
    op.create_table(
        "saved_buyers",
        sa.Column("device_tag", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("method_label", sa.Text(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device_tag", name=op.f("pk_saved_buyers")),
    )
    op.create_table(
        "sandbox_methods",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("last4", sa.Text(), nullable=False),
        sa.Column("asks", sa.Integer(), nullable=False),
        sa.Column("gone_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_sandbox_methods")),
    )
