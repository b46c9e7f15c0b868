"""Cases keep the reason that was given with their decision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cases", sa.Column("reason", sa.Text(), nullable=False, server_default=""))
