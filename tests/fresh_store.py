"""A new SQLite store for a test: a copy of one that the migrations made, which takes a twentieth of making it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from live.settings import Settings
from live.store.migrate import upgrade
from live.store.sql import database_url


def lay(data_dir: Path) -> None:
    """Put an empty store of today's schema where a process with this data folder will look, unless one is there."""
    path = _path(data_dir)
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(_made())


@functools.cache
def _made() -> bytes:
    with tempfile.TemporaryDirectory(prefix="frontrow-schema-") as folder:
        data_dir = Path(folder)
        upgrade(f"sqlite:///{_path(data_dir)}", data_dir)
        return _path(data_dir).read_bytes()


def _path(data_dir: Path) -> Path:
    url = database_url(Settings(_env_file=None, data_dir=data_dir, database_url=None))  # type: ignore[call-arg]
    return Path(url.removeprefix("sqlite:///"))
