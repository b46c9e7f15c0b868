"""What a show does with a second publisher who has the key."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Alembic would build SQLite's table anew for the check, which takes every row that refers to it along.
    op.execute(
        "ALTER TABLE shows ADD COLUMN second_publisher TEXT DEFAULT 'takes_over' NOT NULL"
        " CONSTRAINT ck_shows_second_publisher_known CHECK (second_publisher in ('takes_over', 'refused'))"
    )
