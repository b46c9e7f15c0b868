"""Pictures of products: kept in the data folder under names that nobody can guess, listed in SQL.

An address that can't be guessed is what keeps a look that waits unseen: it is told to nobody but staff until its drop.
Files outlive their row for as long as a bag or a receipt may show them; `prune` takes them then, and what a crash left.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from live.clock import Clock
from live.errors import Conflict, Invalid, NotFound, StoreDown
from live.ids import new_id, new_secret
from live.shop.stock import CART_TTL_S
from live.shop.web_sizes import BYTES_MAX, Made, jpeg_name, make, srcset_of, url_of
from live.store.sql import Database
from live.store.tables import order_lines, pictures, products

A_PRODUCT = 12
ALT_MAX = 250
AT_ONCE = 2  # decoded at the same time: each takes up to a quarter of a gigabyte
KEPT_S = CART_TTL_S + 86_400
_OURS = re.compile(r"\.?(p-[A-Za-z0-9_-]{43})(?:-\d+\.webp|\.jpg|\.upload)(?:\.part)?")


class Picture(msgspec.Struct, frozen=True):
    """One of a product's. `url` is of a card's width, `srcset` all of them."""

    id: str
    product: str
    alt: str
    url: str
    srcset: str
    width: int
    height: int


class Pictures:
    """Every product's pictures. `folder` is what the web process serves as /media."""

    def __init__(self, db: Database, clock: Clock, folder: Path) -> None:
        self._db = db
        self._clock = clock
        self._folder = folder
        self._places = asyncio.Semaphore(AT_ONCE)

    async def of(self, product_id: str) -> list[Picture]:
        """In order; the first is the card's."""
        query = select(pictures).where(pictures.c.product_id == product_id).order_by(pictures.c.position)
        return [_picture(row) for row in await self._db.read(lambda c: c.execute(query).all())]

    async def by_id(self, picture_id: str) -> Picture:
        """Raises NotFound."""
        row = await self._db.read(lambda c: c.execute(select(pictures).where(pictures.c.id == picture_id)).first())
        if row is None:
            raise NotFound("picture", picture_id)
        return _picture(row)

    async def add(self, product_id: str, alt: str, chunks: AsyncIterator[bytes]) -> Picture:
        """Take a picture in: decoded, made anew in every size, listed last. Nothing is kept of one that is refused.

        Raises: Invalid, Conflict (too many), StoreDown("disk").
        """
        alt = _alt(alt)
        name = f"p-{new_secret()}"
        self._folder.mkdir(parents=True, exist_ok=True)
        upload = self._folder / f".{name}.upload"
        try:
            await self._receive(upload, chunks)
            async with self._places:
                made = await asyncio.to_thread(make, upload, self._folder, name)
        except OSError as why:
            raise StoreDown("disk", retry_after_s=60) from why
        finally:
            upload.unlink(missing_ok=True)
        try:
            return await self._db.write(lambda c: self._insert(c, product_id, name, alt, made))
        except BaseException:
            self._remove_files(name)
            raise

    async def describe(self, picture_id: str, *, alt: str | None, first: bool) -> Picture:
        """Other words, or the card's place. Raises: NotFound, Invalid."""
        picture = await self.by_id(picture_id)
        words = _alt(alt) if alt is not None else picture.alt

        def write(connection: Connection) -> None:
            of = pictures.c.id == picture_id
            connection.execute(update(pictures).where(of).values(alt=words))
            if first:
                connection.execute(update(pictures).where(of).values(position=-1))
            _settle(connection, picture.product)

        await self._db.write(write)
        return await self.by_id(picture_id)

    async def remove(self, picture_id: str) -> None:
        """Take it off its product. Raises NotFound."""
        row = await self._db.read(lambda c: c.execute(select(pictures).where(pictures.c.id == picture_id)).first())
        if row is None:
            raise NotFound("picture", picture_id)

        def write(connection: Connection) -> None:
            connection.execute(delete(pictures).where(pictures.c.id == picture_id))
            _settle(connection, row.product_id)

        await self._db.write(write)
        for path in self._files(row.name):
            if path.exists():
                os.utime(path)  # its last days begin now

    async def prune(self) -> int:
        """Delete files that belong to no picture and no receipt and were left alone for a bag's life; how many."""
        if not self._folder.is_dir():
            return 0
        old: dict[str, list[Path]] = {}
        for path in self._folder.iterdir():
            ours = _OURS.fullmatch(path.name)
            if ours and time.time() - path.stat().st_mtime > KEPT_S:
                old.setdefault(ours[1], []).append(path)
        gone = 0
        for name, paths in old.items():
            if not await self._db.read(lambda c, name=name: _is_used(c, name)):  # type: ignore[misc]
                for path in paths:
                    path.unlink(missing_ok=True)
                    gone += 1
        return gone

    async def _receive(self, upload: Path, chunks: AsyncIterator[bytes]) -> None:
        count = 0
        with upload.open("wb") as file:
            async for chunk in chunks:
                count += len(chunk)
                if count > BYTES_MAX:
                    raise Invalid("picture", f"has more than {BYTES_MAX // 2**20} MiB")
                await asyncio.to_thread(file.write, chunk)
        if not count:
            raise Invalid("picture", "is empty")

    def _insert(self, connection: Connection, product_id: str, name: str, alt: str, made: Made) -> Picture:
        # The product's row is locked, so that two uploads at once take places of their own.
        known = select(products.c.id).where(products.c.id == product_id).with_for_update()
        if connection.execute(known).first() is None:
            raise NotFound("product", product_id)
        of = select(func.count()).select_from(pictures).where(pictures.c.product_id == product_id)
        count = int(connection.execute(of).scalar_one())
        if count >= A_PRODUCT:
            raise Conflict("too_many_pictures", limit=A_PRODUCT)
        row = {
            "id": new_id("pic"),
            "product_id": product_id,
            "position": count,
            "name": name,
            "widths": ",".join(map(str, made.widths)),
            "width": made.width,
            "height": made.height,
            "alt": alt,
            "created_ms": self._clock.now_ms(),
        }
        connection.execute(insert(pictures).values(row))
        _settle(connection, product_id)
        return _picture(connection.execute(select(pictures).where(pictures.c.id == row["id"])).one())

    def _remove_files(self, name: str) -> None:
        for path in self._files(name):
            path.unlink(missing_ok=True)

    def _files(self, name: str) -> Sequence[Path]:
        return [*self._folder.glob(f"{name}-*.webp"), self._folder / jpeg_name(name)]


def _settle(connection: Connection, product_id: str) -> None:
    """Places without gaps, and the first one's address where cards look for it."""
    query = select(pictures).where(pictures.c.product_id == product_id).order_by(pictures.c.position, pictures.c.id)
    rows = connection.execute(query).all()
    for position, row in enumerate(rows):
        if row.position != position:
            connection.execute(update(pictures).where(pictures.c.id == row.id).values(position=position))
    first = {"picture": url_of(rows[0].name, rows[0].widths), "picture_alt": rows[0].alt} if rows else {"picture": ""}
    connection.execute(update(products).where(products.c.id == product_id).values(first))


def _is_used(connection: Connection, name: str) -> bool:
    kept = connection.execute(select(pictures.c.id).where(pictures.c.name == name)).first()
    sold = select(order_lines.c.sku).where(order_lines.c.picture.startswith(f"/media/{name}", autoescape=True)).limit(1)
    return kept is not None or connection.execute(sold).first() is not None


def _picture(row: Any) -> Picture:
    srcset = srcset_of(row.name, row.widths)
    return Picture(row.id, row.product_id, row.alt, url_of(row.name, row.widths), srcset, row.width, row.height)


def _alt(text: str) -> str:
    text = " ".join(text.split())
    if not 1 <= len(text) <= ALT_MAX:
        raise Invalid("alt", f"says what the picture shows, for those who don't see it: 1 to {ALT_MAX} characters")
    return text
