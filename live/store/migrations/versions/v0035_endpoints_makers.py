"""An endpoint names who made it, so that it isn't overlooked when she leaves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhook_endpoints", sa.Column("made_by", sa.Text(), nullable=False, server_default=""))
