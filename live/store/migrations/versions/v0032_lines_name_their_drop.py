"""Each line of an order names the drop it was held in, and each look its last.

Of lines that are there already it is read off the timeline: the last drop of their look before the tap and before the
order. One that a viewer of a late picture held may have been held in a later drop; nothing tells any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

timeline = sa.table("timeline", *map(sa.column, ("id", "show_id", "kind", "at_ms", "wall_ms", "body")))
looks = sa.table("looks", *map(sa.column, ("id", "show_id", "state", "drop_id")))
orders = sa.table("orders", *map(sa.column, ("id", "show_id", "created_ms")))
lines = sa.table("order_lines", *map(sa.column, ("order_id", "look_id", "at_ms", "drop_id")))


def upgrade() -> None:
    for name in ("looks", "order_lines"):
        op.add_column(name, sa.Column("drop_id", sa.BigInteger(), nullable=True))
    # SQLite has no type of JSON: its CAST would make a number of it.
    as_json = sa.cast if op.get_bind().dialect.name == "postgresql" else sa.type_coerce
    look = as_json(timeline.c.body, sa.JSON)["look"].as_string()
    last = sa.select(sa.func.max(timeline.c.id)).where(timeline.c.kind == "card.dropped")
    of_look = last.where(timeline.c.show_id == looks.c.show_id, look == looks.c.id)
    op.execute(sa.update(looks).where(looks.c.state != "waiting").values(drop_id=of_look.scalar_subquery()))
    of_line = last.where(
        orders.c.id == lines.c.order_id,
        timeline.c.show_id == orders.c.show_id,
        timeline.c.wall_ms <= orders.c.created_ms,
        look == lines.c.look_id,
        sa.or_(lines.c.at_ms.is_(None), timeline.c.at_ms <= lines.c.at_ms),
    )
    op.execute(sa.update(lines).values(drop_id=of_line.correlate(lines).scalar_subquery()))
