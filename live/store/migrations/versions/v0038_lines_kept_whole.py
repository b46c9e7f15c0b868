"""Lines keep their author's badge, what they answer and whom they mention; a room keeps its pin."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chat_lines", sa.Column("badge", sa.Text(), nullable=False, server_default=""))
    op.add_column("chat_lines", sa.Column("reply", sa.Text(), nullable=True))
    op.add_column("chat_lines", sa.Column("mentions", sa.Text(), nullable=False, server_default="[]"))
    op.create_table(
        "room_pins",
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("wall_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("room", name=op.f("pk_room_pins")),
    )
