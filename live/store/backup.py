"""A whole store as one file, and back: every SQL row, the pictures, the key that signs links. One file restores into
SQLite and into PostgreSQL alike, so it is also the way from one to the other.

    manifest.json            format, migration, time, and of each entry its bytes, SHA-256 and rows
    tables/<name>.jsonl      a row a line: its columns by name
    pictures/<path>          as in the data folder
    secret_key               when it is kept in the data folder, and not in the environment

What Redis holds is not in it: bags, holds and sessions live for minutes, and stock gates are made again from SQL.
Recordings are not in it either: they are large and never change once finished; a copy of their folder will do.

Nothing is restored by halves: all checksums are proved first, then every row goes in by one transaction.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import msgspec
from sqlalchemy import Connection, MetaData, Table, delete, insert, select, text

from live.errors import Error
from live.store.migrate import current
from live.store.tables import metadata

FORMAT = 1
BATCH = 1000
MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_MOST_MANIFEST_BYTES = 64 << 20  # some hundred thousand pictures
_MOST_LINE_BYTES = 16 << 20
_SECRET = "secret_key"  # noqa: S105 - a file's name
_PICTURES = "pictures/"
# What a worker notes of itself, also where nothing was ever sold: a store that has no more than this is empty, and what
# is restored takes its place.
_NOTED = frozenset({"dispute_reads"})
Tell = Callable[[str, int], None]


class BackupUnreadable(Error):
    """The file is no backup, or not a whole one. Facts: path, why."""

    code = "backup_unreadable"


class Entry(msgspec.Struct, frozen=True):
    """One file inside; `rows` is None for what is no table."""

    bytes: int
    sha256: str
    rows: int | None = None


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says of itself. `migration` names the schema its rows fit."""

    format: int
    migration: str
    made_ms: int
    entries: dict[str, Entry]

    @property
    def rows(self) -> int:
        return sum(entry.rows or 0 for entry in self.entries.values())

    @property
    def pictures(self) -> int:
        return sum(name.startswith(_PICTURES) for name in self.entries)


def silence(table: str, rows: int) -> None:
    """Nobody watches."""


# ---- writing -----------------------------------------------------------------------------------


def write(connection: Connection, data_dir: Path, target: Path, now_ms: int, tell: Tell = silence) -> Manifest:
    """Back up one moment of the store. `target` appears whole or not at all, readable by its owner alone.

    `connection` has begun a transaction and read nothing yet. `tell(table, rows)`: after each thousand rows of it.
    Raises OSError.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    part = target.with_name(f"{target.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                manifest = _fill(archive, connection, data_dir, now_ms, tell)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return manifest


def _fill(archive: zipfile.ZipFile, connection: Connection, data_dir: Path, now_ms: int, tell: Tell) -> Manifest:
    migration = current(connection)
    assert migration is not None, "opening a store brings it up to date"
    entries = {}
    for table in metadata.sorted_tables:
        name = f"tables/{table.name}.jsonl"
        entries[name] = _add(archive, name, _lines(connection, table, tell), is_table=True)
    for name, path in _files(data_dir):
        with path.open("rb") as file:
            entries[name] = _add(archive, name, iter(lambda: file.read(_CHUNK), b""))
    manifest = Manifest(FORMAT, migration, now_ms, entries)
    archive.writestr(MANIFEST, msgspec.json.encode(manifest))
    return manifest


def _add(archive: zipfile.ZipFile, name: str, pieces: Iterator[bytes], *, is_table: bool = False) -> Entry:
    digest, size, rows = hashlib.sha256(), 0, 0
    with archive.open(name, "w", force_zip64=True) as out:
        for piece in pieces:
            out.write(piece)
            digest.update(piece)
            size += len(piece)
            rows += 1
    return Entry(size, digest.hexdigest(), rows if is_table else None)


def _lines(connection: Connection, table: Table, tell: Tell) -> Iterator[bytes]:
    rows = connection.execution_options(yield_per=BATCH).execute(select(table).order_by(*table.primary_key))
    for count, row in enumerate(rows.mappings(), 1):
        yield msgspec.json.encode(dict(row)) + b"\n"
        if count % BATCH == 0:
            tell(table.name, count)


def _files(data_dir: Path) -> Iterator[tuple[str, Path]]:
    if (data_dir / _SECRET).is_file():
        yield _SECRET, data_dir / _SECRET
    pictures = data_dir / _PICTURES
    for path in sorted(pictures.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield _PICTURES + path.relative_to(pictures).as_posix(), path


# ---- reading -----------------------------------------------------------------------------------


class Backup:
    """An opened backup. `prove` it before anything is made of it."""

    def __init__(self, path: Path) -> None:
        """Raises BackupUnreadable, OSError."""
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
            if self._archive.getinfo(MANIFEST).file_size > _MOST_MANIFEST_BYTES:
                raise self._unreadable("its manifest is too long")
            self.manifest = msgspec.json.decode(self._archive.read(MANIFEST), type=Manifest)
        except (zipfile.BadZipFile, zlib.error, KeyError, msgspec.MsgspecError, EOFError) as why:
            raise self._unreadable("it is not a backup, or was cut short") from why
        if self.manifest.format != FORMAT:
            raise self._unreadable(f"its format is {self.manifest.format}, this Frontrow reads {FORMAT}")

    def close(self) -> None:
        self._archive.close()

    def prove(self) -> None:
        """Read all of it against its checksums. Raises BackupUnreadable."""
        inside = {info.filename: info.file_size for info in self._archive.infolist()}
        for name, entry in self.manifest.entries.items():
            if inside.get(name) != entry.bytes or not _is_ours(name):
                raise self._unreadable(f"{name} is missing or has another length")
            digest = hashlib.sha256()
            try:
                with self._archive.open(name) as file:
                    while piece := file.read(_CHUNK):
                        digest.update(piece)
            except (zipfile.BadZipFile, zlib.error, EOFError) as why:
                raise self._unreadable(f"{name} is damaged") from why
            if digest.hexdigest() != entry.sha256:
                raise self._unreadable(f"{name} is not what was written")

    def fill(self, connection: Connection, tell: Tell = silence) -> None:
        """Put every row into the empty tables of `connection`, whose schema is at `manifest.migration`.

        Tables are taken as they stand there and not from this code: an older backup fits an older schema, which is
        brought up to date afterwards. Raises BackupUnreadable.
        """
        there = MetaData()
        there.reflect(connection)
        for table in there.sorted_tables:
            name = f"tables/{table.name}.jsonl"
            if name not in self.manifest.entries:
                continue
            if table.name in _NOTED:
                connection.execute(delete(table))
            count = 0
            for rows in self._rows(name):
                connection.execute(insert(table), rows)
                count += len(rows)
                tell(table.name, count)
            if count != self.manifest.entries[name].rows:
                raise self._unreadable(f"{name} has {count} rows")
            if connection.dialect.name == "postgresql":
                _go_on_counting(connection, table)

    def unpack(self, data_dir: Path) -> None:
        """Pictures and the key into the data folder; what has the same name there is replaced. Raises OSError."""
        for name in self.manifest.entries:
            if name != _SECRET and not name.startswith(_PICTURES):
                continue
            target = data_dir / name
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{target.name}.part")
            part.touch(mode=0o600 if name == _SECRET else 0o644)
            with self._archive.open(name) as file, part.open("wb") as out:
                while piece := file.read(_CHUNK):
                    out.write(piece)
            part.replace(target)

    def _rows(self, name: str) -> Iterator[list[dict[str, object]]]:
        rows: list[dict[str, object]] = []
        with self._archive.open(name) as file:
            while line := file.readline(_MOST_LINE_BYTES):
                try:
                    rows.append(msgspec.json.decode(line, type=dict[str, object]))
                except msgspec.MsgspecError as why:
                    raise self._unreadable(f"{name} has a line that is no row") from why
                if len(rows) == BATCH:
                    yield rows
                    rows = []
        if rows:
            yield rows

    def _unreadable(self, why: str) -> BackupUnreadable:
        return BackupUnreadable(path=str(self.path), why=why)


def first_row(connection: Connection) -> str | None:
    """A table that has rows, or None for an empty store."""
    there = MetaData()
    there.reflect(connection)
    for table in there.sorted_tables:
        one = select(text("1")).select_from(table).limit(1)
        if table.name not in ("alembic_version", *_NOTED) and connection.execute(one).first() is not None:
            return table.name
    return None


def _is_ours(name: str) -> bool:
    """Whether an entry may be unpacked: no way out of the data folder (`..`, `/`), nothing but what `write` puts in."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or ".." in parts:
        return False
    return name == _SECRET or (len(parts) > 1 and parts[0] in ("tables", "pictures"))


def _go_on_counting(connection: Connection, table: Table) -> None:
    """PostgreSQL's sequences don't notice rows that bring their own number."""
    for column in table.primary_key:
        sequence = text("select pg_get_serial_sequence(:table, :column)")
        name = connection.execute(sequence, {"table": table.name, "column": column.name}).scalar()
        if name is not None:
            highest = connection.execute(text(f'select max("{column.name}") from "{table.name}"')).scalar()  # noqa: S608
            connection.execute(
                text("select setval(:name, :highest, :used)"),
                {"name": name, "highest": highest or 1, "used": highest is not None},
            )
