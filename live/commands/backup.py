"""`frontrow backup` and `frontrow restore`: the whole store as one file, and back."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from live.commands.parts import with_services
from live.commands.start import Stop, checked, settings_of

if TYPE_CHECKING:
    from live.desk.wiring import Services
    from live.settings import Settings
    from live.store.backup import Backup


def backup(
    file: Annotated[Path | None, typer.Argument(help="Where to. Left out: frontrow-<date>.zip, here.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")] = False,
) -> None:
    """Write everything that lasts into one file: SQL, pictures and the key. The show goes on meanwhile.

    The file holds names, addresses and orders: keep it as you keep those. Recordings are not in it.
    """
    target = (file or Path(time.strftime("frontrow-%Y-%m-%dT%H%M.zip"))).absolute()
    if target.exists() and not overwrite:
        raise Stop(f"{target} is there already. Say --overwrite, or another name.")
    if not target.parent.is_dir():
        raise Stop(f"There is no folder {target.parent}.")

    async def run(s: Services) -> None:
        from live.store import backup as store

        data_dir, now_ms = s.settings.data_dir, s.clock.now_ms()
        manifest = await s.db.read(lambda sql: store.write(sql, data_dir, target, now_ms, _progress))
        _progress("", 0)
        size = target.stat().st_size / 1e6
        typer.echo(f"{target}: {manifest.rows:,} rows, {manifest.pictures:,} pictures, {size:,.1f} MB.")

    with_services(run)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `frontrow backup` wrote.", exists=True, dir_okay=False)],
    check: Annotated[bool, typer.Option("--check", help="Only prove that the file is whole.")] = False,
    aside: Annotated[
        bool, typer.Option("--aside", help="Move the present SQLite file aside first; it is kept under a new name.")
    ] = False,
) -> None:
    """Put a backup into an empty store, SQLite or PostgreSQL, and prove it by the shop's invariants.

    Stop Frontrow first. Nothing is overwritten: a store that has rows is refused, unless --aside moves it out of the
    way. Holds and bags are not in a backup; stock gates are made again from what was sold.
    """
    settings = settings_of()
    with checked(settings), _opened(file) as it:
        it.prove()
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(it.manifest.made_ms / 1000))
        typer.echo(f"{file} is whole: {it.manifest.rows:,} rows, {it.manifest.pictures:,} pictures, of {made}.")
        if check:
            return
        _fill(it, settings, aside=aside)
    with_services(_settle_in)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Backup]:
    from live.store.backup import Backup

    it = Backup(file)
    try:
        yield it
    finally:
        it.close()


def _fill(it: Backup, settings: Settings, *, aside: bool) -> None:
    from live.store import backup as store
    from live.store import migrate
    from live.store.sql import database_url, new_engine, normalised

    url = normalised(database_url(settings))
    if not migrate.knows(it.manifest.migration):
        raise Stop(f"{it.path} is of a newer Frontrow (schema {it.manifest.migration}). Update this one first.")
    _refuse_while_running(settings)
    present = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None
    engine = new_engine(url)
    try:
        with engine.begin() as sql:
            table, stands_at = store.first_row(sql), migrate.current(sql)
    finally:
        engine.dispose()
    if table is not None and not (aside and present):
        moved = " Say --aside to move it out of the way." if present else " Make an empty database for it."
        raise Stop(f"The store is not empty: {table} has rows.{moved}")
    if present is not None and (table is not None or stands_at not in (None, it.manifest.migration)):
        _move_aside(present, keep=table is not None)
    elif stands_at not in (None, it.manifest.migration):
        raise Stop(f"The database is at another schema ({stands_at}). Make one without tables for an older backup.")
    it.unpack(settings.data_dir)  # first: a full disk then leaves a store that is still empty
    migrate.upgrade(url, settings.data_dir, it.manifest.migration)
    engine = new_engine(url)
    try:
        with engine.begin() as sql:
            it.fill(sql, _progress)
    finally:
        engine.dispose()
    _progress("", 0)
    migrate.upgrade(url, settings.data_dir)


def _refuse_while_running(settings: Settings) -> None:
    from live.store.embedded import running_store

    if settings.redis_url is None and asyncio.run(running_store(settings)) is not None:
        raise Stop(f"Frontrow is running on {settings.data_dir}. Stop it first.")


def _move_aside(present: Path, *, keep: bool) -> None:
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for path in (present, *(present.with_name(present.name + end) for end in ("-wal", "-shm"))):
        if not path.exists():
            continue
        if keep:
            kept = path.with_name(path.name.replace(present.name, f"{present.name}.before-{stamp}"))
            path.rename(kept)
            if path == present:
                typer.echo(f"What was there is kept as {kept}.")
        else:
            path.unlink()


async def _settle_in(s: Services) -> None:
    """Gates of another time are of no use, and what was restored must add up."""
    from live.shop import invariants

    wrong = []
    for show_id in {*await s.shows.live_ids(), *await s.gate.shows_open()}:
        await s.gate.rebuild(show_id)
    for show in await s.shows.list():
        wrong += [f"{show.slug}: {what}" for what in await invariants.check(s.db, s.redis, show.id)]
    if wrong:
        raise Stop("Restored, but it does not add up:\n" + "\n".join(wrong))
    typer.echo("Restored. Stock, orders and payments add up.")


def _progress(table: str, rows: int) -> None:
    if sys.stderr.isatty():
        said = f"{table}: {rows:,} rows" if table else ""
        typer.echo(f"\r{said:60}" + ("" if table else "\r"), err=True, nl=False)
