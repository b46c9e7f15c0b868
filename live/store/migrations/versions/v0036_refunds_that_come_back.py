"""A refund that was taken may come back: its name at the provider, the states it goes through, what it is sent again
for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_BEFORE = "status in ('asked', 'done', 'refused')"
_AFTER = "status in ('asked', 'accepted', 'done', 'refused', 'failed')"
_NEVER_MS = 2**53 - 1


def upgrade() -> None:
    _widen_status(sqlite=op.get_bind().dialect.name == "sqlite")
    op.add_column("refunds", sa.Column("provider_ref", sa.Text(), nullable=False, server_default=""))
    op.add_column("refunds", sa.Column("again_of", sa.Text(), nullable=False, server_default=""))
    # From now on `due_ms` of one that is done says when it is looked at again: of the old ones, never.
    refunds = sa.table("refunds", sa.column("status"), sa.column("due_ms"))
    op.execute(sa.update(refunds).where(refunds.c.status != "asked").values(due_ms=_NEVER_MS))


def _widen_status(*, sqlite: bool) -> None:
    if not sqlite:
        op.drop_constraint(op.f("ck_refunds_status_known"), "refunds", type_="check")
        op.create_check_constraint(op.f("ck_refunds_status_known"), "refunds", _AFTER)
        return
    # As in 0023: no row's layout changes, so the check is rewritten in the schema (lang_altertable, section 8).
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema=ON")
    changed = connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = 'refunds'", (_BEFORE, _AFTER)
    )
    assert changed.rowcount == 1
    connection.exec_driver_sql(f"PRAGMA schema_version={version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema=OFF")
    assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
