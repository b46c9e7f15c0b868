"""Brings a store's schema up to date: Alembic, run at start by whichever process comes first, the others wait."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from live.errors import StoreDown
from live.store.sql import new_engine, normalised

MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x46726F6E74  # "Front": any number that only we take


def upgrade(url: str, data_dir: Path, revision: str = "head") -> None:
    """Apply what is missing up to `revision`. Blocks while another process does; raises StoreDown when the store does
    not answer."""
    url = normalised(url)
    try:
        if url.startswith("sqlite"):
            data_dir.mkdir(parents=True, exist_ok=True)
            # Names, addresses, orders, password hashes: nobody else on this machine. What is there already stays as it
            # is, its owner may have chosen it; SQLite gives the files beside it the same mode.
            with contextlib.suppress(FileExistsError):
                Path(url.removeprefix("sqlite:///")).touch(mode=0o600, exist_ok=False)
            with _file_lock(data_dir / "migrate.lock"):
                _upgrade(url, revision)
        else:
            _upgrade(url, revision)
    except OperationalError as why:
        raise StoreDown("sql") from why


def current(connection: Connection) -> str | None:
    """The migration a store stands at, or None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The newest migration this code brings."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def knows(revision: str) -> bool:
    """Whether this code has that migration."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _upgrade(url: str, revision: str) -> None:
    engine = new_engine(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Held to the end of the transaction, so that a second process finds the work done.
                connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            if current(connection) == (head() if revision == "head" else revision):
                return
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, also when the process dies
        yield
