"""Recordings: how long they play, why one stopped, what retention may take, and since when players can seek."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recordings", sa.Column("duration_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("recordings", sa.Column("why", sa.Text(), nullable=False, server_default=""))
    op.add_column("recordings", sa.Column("kept", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("recordings", sa.Column("indexed_ms", sa.BigInteger(), nullable=True))
