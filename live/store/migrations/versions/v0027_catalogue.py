"""The catalogue: further options, sales with a window, pictures of products, imports that a page can follow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("variants", sa.Column("options", sa.Text(), nullable=False, server_default="{}"))
    for name in ("sale_minor", "sale_from_ms", "sale_until_ms", "sale_was_minor"):
        op.add_column("variants", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_table(
        "pictures",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("widths", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("alt", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pictures"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_pictures_product_id"),
        sa.UniqueConstraint("name", name="uq_pictures_name"),
    )
    op.create_index("ix_pictures_product_id", "pictures", ["product_id"])
    op.create_table(
        "imports",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("brand_id", sa.Text(), nullable=False),
        sa.Column("busy", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("bytes_read", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("beat_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_imports"),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name="fk_imports_brand_id"),
        sa.UniqueConstraint("busy", name="uq_imports_busy"),
    )
    op.create_index("ix_imports_brand_id", "imports", ["brand_id"])
    op.create_index("ix_imports_state_created_ms", "imports", ["state", "created_ms"])
