"""Shadow bans, networks with an end, kinds of terms, modes that last, questions, notes, and acts whose words can go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chat_lines", sa.Column("at_ms", sa.BigInteger(), nullable=True))
    op.add_column("chat_lines", sa.Column("shadow", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_chat_lines_person", "chat_lines", ["person"], unique=False)
    op.add_column("silences", sa.Column("network", sa.Text(), nullable=False, server_default=""))
    op.add_column("silences", sa.Column("network_until_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("blocked_terms", sa.Column("kind", sa.Text(), nullable=False, server_default="blocked"))
    op.add_column("audit", sa.Column("salt", sa.Text(), nullable=False, server_default=""))
    op.add_column("audit", sa.Column("seal", sa.Text(), nullable=False, server_default=""))
    op.add_column("audit", sa.Column("erased_ms", sa.BigInteger(), nullable=True))
    op.create_table(
        "room_modes",
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("room", name=op.f("pk_room_modes")),
    )
    op.create_table(
        "questions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("badge", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("wall_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=True),
        sa.Column("answered_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
    )
    op.create_index(op.f("ix_questions_person"), "questions", ["person"], unique=False)
    op.create_index("ix_questions_room_wall_ms", "questions", ["room", "wall_ms"], unique=False)
    op.create_table(
        "person_notes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("wall_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_notes")),
    )
    op.create_index(op.f("ix_person_notes_person"), "person_notes", ["person"], unique=False)
