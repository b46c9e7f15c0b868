"""Imports that pages follow: a file of the data folder, a row of SQL, and whoever works on it.

    waiting → checking → checked → queued → importing → done
                    failed, stopped: from wherever it was

The row is all that anybody sees of it; `busy` lets one import of a brand write at a time, and a beat that stopped lets
another worker begin again.
Source: docs/decisions/0101-an-import-is-a-row-that-beats.md
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import structlog
from sqlalchemy import Connection, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.errors import Conflict, Error, Invalid, NotFound, StoreDown, WrongState
from live.ids import new_id
from live.shop.feed_import import Change, FeedImport, Report, currency_of
from live.shop.feeds import RowError, format_of, read
from live.store.sql import Database
from live.store.tables import imports

log = structlog.get_logger()

FILE_MAX = 256 * 1024 * 1024  # bytes
BEAT_S = 0.5
DEAD_AFTER_MS = 30_000
CHANGES_SAID, REJECTS_SAID = 500, 2_000  # of a file; the command line says all
KEPT = 50  # imports a brand sees
KEPT_MS = 7 * 86_400_000  # a file that nobody brought in
State = Literal["waiting", "checking", "checked", "queued", "importing", "done", "failed", "stopped"]
OPEN: tuple[State, ...] = ("waiting", "checking", "checked", "queued", "importing")


class Said(msgspec.Struct):
    """What an import did, or would do: rows counted, and the first of them said."""

    new: int = 0
    changed: int = 0
    same: int = 0
    rejected: int = 0
    changes: list[Change] = []
    rejects: list[RowError] = []


class Import(msgspec.Struct, frozen=True):
    """One, as it stands. `said` is of the check until it is importing, then of the import."""

    id: str
    brand: str
    name: str
    state: State
    actor: str
    bytes: int
    bytes_read: int
    said: Said
    why: str
    created_ms: int
    ended_ms: int | None


class Stopped(Exception):
    """Somebody stopped it, or another took it for dead."""


Wrote = Callable[[list[str]], Awaitable[None]]


class Imports:
    """Every brand's imports. `folder` holds their files while they are needed."""

    def __init__(self, db: Database, clock: Clock, folder: Path) -> None:
        self._db = db
        self._clock = clock
        self._folder = folder

    # ---- for pages -----------------------------------------------------------------------------

    async def receive(self, brand_id: str, name: str, actor: str, chunks: AsyncIterator[bytes]) -> Import:
        """Keep a file and let it be checked. Nothing of it is kept when it is refused.

        Raises: Invalid (no feed, too long, empty), StoreDown("disk").
        """
        import_id = new_id("imp")
        self._folder.mkdir(parents=True, exist_ok=True)
        draft, count = self._folder / f".{import_id}.part", 0
        try:
            with draft.open("wb") as file:
                async for chunk in chunks:
                    count += len(chunk)
                    if count > FILE_MAX:
                        raise Invalid("file", f"has more than {FILE_MAX // 2**20} MiB")
                    await asyncio.to_thread(file.write, chunk)
            with draft.open("rb") as file:
                head = file.read(4096)
            # A character that the cut went through is nobody's mistake; the check itself is strict.
            format_of(head.decode("utf-8-sig", errors="replace"))
            draft.replace(self._folder / import_id)
        except OSError as why:
            raise StoreDown("disk", retry_after_s=60) from why
        finally:
            draft.unlink(missing_ok=True)
        now = self._clock.now_ms()
        row: dict[str, Any] = {"id": import_id, "brand_id": brand_id, "name": name, "state": "waiting", "actor": actor}
        row |= {"bytes": count, "bytes_read": 0, "report": "{}", "why": "", "created_ms": now, "beat_ms": now}
        await self._db.write(lambda c: c.execute(insert(imports).values(row)))
        return await self.by_id(import_id)

    async def list(self, brand_id: str) -> list[Import]:
        """The newest first; what is said of single rows is left out."""
        query = select(imports).where(imports.c.brand_id == brand_id).order_by(imports.c.created_ms.desc()).limit(KEPT)
        rows = await self._db.read(lambda c: c.execute(query).all())
        return [_import(row, brief=True) for row in rows]

    async def by_id(self, import_id: str) -> Import:
        """Raises NotFound."""
        row = await self._db.read(lambda c: c.execute(select(imports).where(imports.c.id == import_id)).first())
        if row is None:
            raise NotFound("import", import_id)
        return _import(row)

    async def bring_in(self, import_id: str, actor: str) -> Import:
        """Say yes to what the check found. Raises: NotFound, WrongState, Conflict while another of the brand runs."""
        found = await self.by_id(import_id)
        if found.state != "checked":
            raise WrongState(found.state, "checked")
        values = {"state": "queued", "busy": found.brand, "actor": actor, "beat_ms": self._clock.now_ms()}
        await self._take(found.brand, import_id, values)
        return await self.by_id(import_id)

    async def stop(self, import_id: str) -> Import:
        """Stop it wherever it is; what was brought in stays. Raises: NotFound, WrongState when it is over."""
        values = {"state": "stopped", "busy": None, "ended_ms": self._clock.now_ms()}
        change = update(imports).where(imports.c.id == import_id, imports.c.state.in_(OPEN)).values(values)
        done = await self._db.write(lambda c: c.execute(change).rowcount)
        found = await self.by_id(import_id)
        if not done:
            raise WrongState(found.state, "checked")
        self._file(import_id).unlink(missing_ok=True)
        return found

    # ---- for the worker and the command line ---------------------------------------------------

    async def work(self, wrote: Wrote) -> bool:
        """Take one that waits, or whose worker died, and do what is next. False: there is none."""
        claimed = await self._db.write(self._claim)
        if claimed is None:
            return False
        import_id, brand_id, dry_run = claimed
        try:
            with self._file(import_id).open("rb") as file:
                said = await self._run(import_id, brand_id, file, wrote, dry_run=dry_run)
        except Stopped:
            return True
        except FileNotFoundError:
            await self._end(import_id, "failed", why="Its file is gone. Choose it again.")
        except Invalid as why:
            await self._end(import_id, "failed", why=_words(why))
        except (Error, OSError):
            raise  # a store or the disk is away: it beats no more, and is begun again
        except Exception:
            log.exception("import.broken", id=import_id)
            await self._end(import_id, "failed", why="Our mistake. It has been written down.")
        else:
            await self._end(import_id, "checked" if dry_run else "done", said=said)
        return True

    @asynccontextmanager
    async def by_hand(self, brand_id: str, name: str, actor: str) -> AsyncIterator[Callable[[Report], Awaitable[None]]]:
        """A row for an import that runs in this process; what it yields is called after each batch.

        Raises: Conflict while another of the brand runs.
        """
        import_id, now = new_id("imp"), self._clock.now_ms()
        row: dict[str, Any] = {"id": import_id, "brand_id": brand_id, "busy": brand_id, "name": name}
        row |= {
            "state": "importing",
            "actor": actor,
            "bytes": 0,
            "bytes_read": 0,
            "report": "{}",
            "why": "",
            "created_ms": now,
        }
        await self._take(brand_id, "", row | {"beat_ms": now})
        last = Said()

        async def beat(report: Report) -> None:
            last.new, last.changed, last.same, last.rejected = (
                report.new,
                report.changed,
                report.same,
                report.rejected,
            )
            await self._beat(import_id, "importing", last, 0)

        try:
            yield beat
        except BaseException as why:
            await self._end(import_id, "failed", why=_words(why), said=last)
            raise
        await self._end(import_id, "done", said=last)

    async def prune(self) -> None:
        """Forget files that nobody brought in, and what is older than the last few."""
        old = self._clock.now_ms() - KEPT_MS
        query = select(imports.c.id).where(imports.c.created_ms < old, imports.c.busy.is_(None))
        ids = await self._db.read(lambda c: list(c.execute(query).scalars()))
        for import_id in ids:
            self._file(import_id).unlink(missing_ok=True)
        await self._db.write(lambda c: c.execute(delete(imports).where(imports.c.id.in_(ids))))
        known = set(await self._db.read(lambda c: list(c.execute(select(imports.c.id)).scalars())))
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                age_s = time.time() - file.stat().st_mtime  # a part that is being sent now is younger
                if file.name not in known and age_s > KEPT_MS / 1000:
                    file.unlink(missing_ok=True)

    async def _run(
        self, import_id: str, brand_id: str, file: io.BufferedReader, wrote: Wrote, *, dry_run: bool
    ) -> Said:
        said, beaten_s = Said(), time.monotonic()
        state: State = "checking" if dry_run else "importing"

        def tell(outcome: Change | RowError) -> None:
            if isinstance(outcome, RowError):
                if len(said.rejects) < REJECTS_SAID:
                    said.rejects.append(outcome)
            elif len(said.changes) < CHANGES_SAID:
                said.changes.append(outcome)

        async def progress(report: Report) -> None:
            nonlocal beaten_s
            said.new, said.changed, said.same, said.rejected = (
                report.new,
                report.changed,
                report.same,
                report.rejected,
            )
            if time.monotonic() - beaten_s > BEAT_S:
                beaten_s = time.monotonic()
                await self._beat(import_id, state, said, file.tell())

        with io.TextIOWrapper(file, encoding="utf-8-sig", errors="strict", newline="") as lines:
            kind = format_of(_head(lines))
            lines.seek(0)
            rows = read(lines, kind, currency=await currency_of(self._db, brand_id))
            feed = FeedImport(self._db, self._clock)
            await feed.run(brand_id, rows, dry_run=dry_run, tell=tell, progress=progress, wrote=wrote)
        return said

    async def _beat(self, import_id: str, state: State, said: Said, bytes_read: int) -> None:
        counts = msgspec.structs.replace(said, changes=[], rejects=[])
        values = {"beat_ms": self._clock.now_ms(), "report": _json(counts), "bytes_read": bytes_read}
        mine = update(imports).where(imports.c.id == import_id, imports.c.state == state).values(values)
        if not await self._db.write(lambda c: c.execute(mine).rowcount):
            raise Stopped

    async def _end(self, import_id: str, state: State, *, why: str = "", said: Said | None = None) -> None:
        now = self._clock.now_ms()
        values: dict[str, Any] = {"state": state, "busy": None, "why": why, "beat_ms": now}
        if state != "checked":
            values["ended_ms"] = now
        if said is not None:
            values["report"] = _json(said)
        change = update(imports).where(imports.c.id == import_id, imports.c.state.in_(OPEN)).values(values)
        await self._db.write(lambda c: c.execute(change))
        if state != "checked":
            self._file(import_id).unlink(missing_ok=True)

    def _claim(self, connection: Connection) -> tuple[str, str, bool] | None:
        now = self._clock.now_ms()
        is_dead = and_(imports.c.state.in_(("checking", "importing")), imports.c.beat_ms < now - DEAD_AFTER_MS)
        query = (
            select(imports.c.id, imports.c.brand_id, imports.c.state)
            .where(or_(imports.c.state.in_(("waiting", "queued")), is_dead))
            .order_by(imports.c.created_ms)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = connection.execute(query).first()
        if row is None:
            return None
        dry_run = row.state in ("waiting", "checking")
        values = {"state": "checking" if dry_run else "importing", "beat_ms": now, "bytes_read": 0}
        connection.execute(update(imports).where(imports.c.id == row.id).values(values))
        return str(row.id), str(row.brand_id), dry_run

    async def _take(self, brand_id: str, import_id: str, values: dict[str, Any]) -> None:
        """Write `values`, the brand's turn among them; one whose worker is long dead and whose file is gone (the
        command line was killed) has no turn any more."""

        def write(connection: Connection) -> None:
            dead = and_(
                imports.c.busy == brand_id,
                imports.c.bytes == 0,
                imports.c.beat_ms < self._clock.now_ms() - DEAD_AFTER_MS,
            )
            connection.execute(update(imports).where(dead).values(busy=None, state="failed", why="It was cut short."))
            if import_id:
                mine = update(imports).where(imports.c.id == import_id, imports.c.state == "checked").values(values)
                if not connection.execute(mine).rowcount:
                    raise WrongState("queued", "checked")
            else:
                connection.execute(insert(imports).values(values))

        try:
            await self._db.write(write)
        except IntegrityError:
            query = select(imports.c.name, imports.c.actor).where(imports.c.busy == brand_id)
            other = await self._db.read(lambda c: c.execute(query).first())
            if other is None:  # it ended a moment ago
                return await self._take(brand_id, import_id, values)
            raise Conflict("import_under_way", name=other.name, by=other.actor) from None

    def _file(self, import_id: str) -> Path:
        return self._folder / import_id


def _words(why: BaseException) -> str:
    if isinstance(why, Invalid):
        return f"The {why.facts['field']} {why.facts['why']}."
    return "It was cut short." if isinstance(why, asyncio.CancelledError | KeyboardInterrupt) else str(why)


def _head(lines: io.TextIOWrapper) -> str:
    try:
        return lines.read(4096)
    except UnicodeDecodeError as why:
        raise Invalid("file", f"is not UTF-8: {why.reason}") from None


def _import(row: Any, *, brief: bool = False) -> Import:
    said = msgspec.json.decode(row.report, type=Said)
    if brief:
        said.changes, said.rejects = [], []
    return Import(
        row.id,
        row.brand_id,
        row.name,
        cast(State, row.state),
        row.actor,
        row.bytes,
        row.bytes_read,
        said,
        row.why,
        row.created_ms,
        row.ended_ms,
    )


def _json(said: Said) -> str:
    return msgspec.json.encode(said).decode()
