"""What changed in the catalogue, told to the shows that sell it: other words, pictures, prices, further sizes.

SQL has it already; who dies before anybody is told has told too little, and whoever joins reads what is true.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection, and_, or_, select

from live.clock import Clock
from live.desk.control import Desk
from live.errors import Error
from live.shop.stock import StockGate
from live.store.sql import Database
from live.store.tables import look_products, looks, variants

log = structlog.get_logger()

TURNED_MS = 5_000  # a price that turned so long ago is told: the worker looks each second, and may be late


class Rail:
    """The pieces on the rails of shows on air."""

    def __init__(self, db: Database, clock: Clock, gate: StockGate, desk: Desk) -> None:
        self._db = db
        self._clock = clock
        self._gate = gate
        self._desk = desk
        self._looked_ms = 0

    async def changed(self, skus: Sequence[str]) -> None:
        """These SKUs are not what they were, or are new.

        Fails open: with Redis away nobody is told, and what was written stands.
        """
        try:
            await self._tell(skus)
        except (RedisError, OSError, Error) as why:
            log.warning("rail.untold", skus=len(skus), why=str(why))

    async def _tell(self, skus: Sequence[str]) -> None:
        open_shows = await self._gate.shows_open()
        if not open_shows:
            return
        found = await self._db.read(lambda c: _looks_of(c, open_shows, skus))
        for show_id, look_ids in found.items():
            moved = await self._gate.reconcile(show_id)  # a size that is new has its units before it is shown
            await self._desk.cards_changed(show_id, look_ids)
            if moved:
                await self._desk.stock_rebuilt(show_id)

    async def turn_prices(self) -> int:
        """Tell of sales that began or ended since the last look; answers of how many SKUs. The worker calls it; two
        that do tell the same twice, which changes nothing."""
        now = self._clock.now_ms()
        since, self._looked_ms = self._looked_ms or now - TURNED_MS, now
        began = and_(variants.c.sale_from_ms > since, variants.c.sale_from_ms <= now)
        ended = and_(variants.c.sale_until_ms > since, variants.c.sale_until_ms <= now)
        query = select(variants.c.sku).where(variants.c.sale_minor.is_not(None), or_(began, ended))
        query = query.join(look_products, look_products.c.product_id == variants.c.product_id).distinct()
        skus = await self._db.read(lambda c: list(c.execute(query).scalars()))
        if skus:
            await self.changed(skus)
        return len(skus)


def _looks_of(connection: Connection, show_ids: Sequence[str], skus: Sequence[str]) -> dict[str, set[str]]:
    """Show -> those of its looks that have any of the SKUs."""
    found: dict[str, set[str]] = {}
    query = (
        select(looks.c.show_id, looks.c.id)
        .distinct()
        .join(look_products, look_products.c.look_id == looks.c.id)
        .join(variants, variants.c.product_id == look_products.c.product_id)
    )
    for start in range(0, len(skus), 500):  # below every store's limit on bound values
        these = query.where(looks.c.show_id.in_(show_ids), variants.c.sku.in_(skus[start : start + 500]))
        for show_id, look_id in connection.execute(these):
            found.setdefault(show_id, set()).add(look_id)
    return found
