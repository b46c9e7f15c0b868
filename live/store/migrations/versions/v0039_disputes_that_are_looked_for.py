"""How far a provider's list of disputes was read; and the sandbox's own such list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dispute_reads",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_dispute_reads")),
    )
    op.create_table(
        "sandbox_disputes",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["ref"], ["sandbox_charges.ref"], name=op.f("fk_sandbox_disputes_ref")),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_sandbox_disputes")),
    )
    op.create_index(op.f("ix_sandbox_disputes_opened_ms"), "sandbox_disputes", ["opened_ms"], unique=False)
