"""A drop's times, caps, line and proof of work; the record of each line that was drawn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("products", sa.Column("max_per_buyer", sa.Integer(), nullable=True))
    op.add_column("looks", sa.Column("max_per_buyer", sa.Integer(), nullable=True))
    op.add_column("looks", sa.Column("hot", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("looks", sa.Column("work_bits", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("looks", sa.Column("opens_ms", sa.BigInteger(), nullable=True))
    op.add_column("looks", sa.Column("closes_ms", sa.BigInteger(), nullable=True))
    op.add_column("looks", sa.Column("seed", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "drawn_lines",
        sa.Column("look_id", sa.Text(), nullable=False),
        sa.Column("commitment", sa.Text(), nullable=False),
        sa.Column("show_id", sa.Text(), nullable=False),
        sa.Column("seed", sa.Text(), nullable=False),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.Column("entries_digest", sa.Text(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("drawn_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["look_id"], ["looks.id"], name="fk_drawn_lines_look_id"),
        sa.ForeignKeyConstraint(["show_id"], ["shows.id"], name="fk_drawn_lines_show_id"),
        sa.PrimaryKeyConstraint("look_id", "commitment", name="pk_drawn_lines"),
    )
