"""A person's own promotion codes are found by who she is."""

from __future__ import annotations

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_promotions_buyer", "promotions", ["buyer"])
