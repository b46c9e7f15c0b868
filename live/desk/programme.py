"""A show as every page needs it: its facts, its looks with their pieces, what is out and what is pinned.

Read from SQL once and kept in the process. A version in Redis counts the changes, so that a look dropped through one
process can be held through another in the same instant; a version that was lost (Redis came back empty) or bumped
late costs at most KEEP_MS.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chat.rounds import Rounds
from live.errors import Closed, NotFound, NotLive, NotOpen, WrongState
from live.events import Card, LookRow, Piece, ShowFacts, ShowStatus
from live.shop.caps import Caps
from live.shop.catalogue import Catalogue
from live.shop.drop_terms import Cap, DropTerms
from live.shop.line import name_of
from live.stage.runsheet import Look, Runsheet
from live.stage.runsheets import Runsheets
from live.stage.show import Show
from live.stage.shows import Shows
from live.store import keys

KEEP_MS = 2_000
VERSION_TTL_S = 7 * 86_400
REDIS_ANSWERS_WITHIN_S = 2


class Programme(msgspec.Struct, frozen=True):
    """One view of a show, as of the stage's `version`. `sold_in` maps each SKU to its looks, in order; `product_caps`
    products to the units one buyer may have."""

    show: Show
    runsheet: Runsheet
    pieces: dict[str, list[Piece]]
    sold_in: dict[str, tuple[str, ...]]
    product_caps: dict[str, int] = {}
    version: str = ""

    @property
    def status(self) -> ShowStatus:
        return self.runsheet.status

    @property
    def facts(self) -> ShowFacts:
        return self.show.facts

    @property
    def pinned(self) -> str | None:
        return self.runsheet.pinned

    @property
    def cards(self) -> list[Card]:
        """Cards that are out, the first dropped first."""
        return [self.card(look.id) for look in self.runsheet.out]

    def card(self, look_id: str) -> Card:
        """The card of a look that was dropped."""
        look = self.runsheet.look(look_id)
        assert look.at_ms is not None, "a card is made of a dropped look"
        assert look.dropped_ms is not None, "which has both its times"
        return Card(
            look=look.id,
            number=look.number,
            title=look.title,
            pieces=self.pieces.get(look.id, []),
            at=look.at_ms,
            dropped_ms=look.dropped_ms,
            drop=look.drop,
        )

    @property
    def rows(self) -> list[LookRow]:
        """The run of show, for the host."""
        return [
            LookRow(look.id, look.number, look.title, look.state, self.pieces.get(look.id, []), look.at_ms, look.drop)
            for look in self.runsheet.looks
        ]

    def skus(self, look_id: str | None = None) -> list[str]:
        """SKUs of one look, or of every card that is out."""
        looks = [look_id] if look_id is not None else [look.id for look in self.runsheet.out]
        return list(
            dict.fromkeys(
                variant.sku for look in looks for piece in self.pieces.get(look, []) for variant in piece.variants
            )
        )

    def shown_skus(self) -> list[str]:
        """SKUs of every card that is or was out: what viewers know of."""
        waiting = {look.id for look in self.runsheet.looks if look.state == "waiting"}
        return [sku for sku, looks in self.sold_in.items() if not waiting.issuperset(looks)]

    def every_sku(self) -> list[str]:
        """SKUs of the whole run, waiting looks as well: what staff may see the stock of."""
        return list(self.sold_in)

    def buyable(self, sku: str, now_ms: int) -> Look:
        """The look through which `sku` can be held now: of those that are open, the one dropped last. While a hot one
        is counted down to or open, its line alone leads to the piece, whatever else it is in.

        Raises: NotFound while none of its looks was dropped (what is to come is nobody's business), NotLive when the
        show isn't on air, NotOpen, Closed, WrongState when its card was withdrawn.
        """
        states = {look.id: look.state for look in self.runsheet.looks}
        looks = [look for look in self.sold_in.get(sku, ()) if states.get(look) != "waiting"]
        if not looks:
            raise NotFound("sku", sku)
        if self.status != "live":
            raise NotLive(self.status)
        out = [look for look in reversed(self.runsheet.out) if look.id in looks]
        out = [look for look in out if look.hot and not look.is_closed(now_ms)] or out
        for look in out:
            if look.is_open(now_ms):
                return look
        for look in out:  # none is: the newest that is still to come, else the newest that is over
            if look.opens_ms is not None and not look.is_closed(now_ms):
                raise NotOpen(look.id, look.opens_ms)
        for look in out:
            raise Closed(look.id, look.closes_ms or now_ms)
        raise WrongState("withdrawn", "dropped")

    def terms(self, look: Look, sku: str = "") -> DropTerms:
        """On what terms `sku` of a look can be held."""
        caps = [] if look.limit is None else [Cap("drop", look.limit, tuple(self.skus(look.id)))]
        for piece in self.pieces.get(look.id, []):
            units = self.product_caps.get(piece.product)
            skus = tuple(variant.sku for variant in piece.variants)
            if units is not None and sku in skus:
                caps.append(Cap("product", units, skus))
        return DropTerms(
            look.id,
            self.version,
            look.opens_ms or 0,
            look.closes_ms or 0,
            name_of(look.id, look.commitment) if look.hot else "",
            tuple(caps),
            look.drop_id,
        )

    def hot(self, look_id: str) -> Look:
        """A look that is out and hot. Raises: NotFound (its card isn't out), NotLive, WrongState (it is not hot)."""
        look = next((one for one in self.runsheet.out if one.id == look_id), None)
        if look is None:
            raise NotFound("look", look_id)
        if self.status != "live":
            raise NotLive(self.status)
        if not look.hot:
            raise WrongState("open_to_all", "hot")
        return look


class Programmes:
    """The programmes of the shows this process serves."""

    def __init__(self, redis: Redis, shows: Shows, runsheets: Runsheets, catalogue: Catalogue, caps: Caps) -> None:
        self._redis = redis
        self._shows = shows
        self._runsheets = runsheets
        self._catalogue = catalogue
        self._caps = caps
        self._kept: dict[str, tuple[bytes, float, Programme]] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self._versions: Rounds[str, bytes] = Rounds(self._versions_of)

    async def of(self, show_id: str) -> Programme:
        """The programme as of the last change anywhere. Raises: NotFound.

        Fails open: with Redis away it is at most KEEP_MS old, so that pages go on; what is sold asks Redis itself.
        """
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                version = await self._versions.of(show_id)
        except (RedisError, OSError):
            version = b"?"
        if (programme := self._current(show_id, version)) is not None:
            return programme
        # One load serves everybody who waits for it: a thousand joins at a drop are one query.
        async with self._loading.setdefault(show_id, asyncio.Lock()):
            if (programme := self._current(show_id, version)) is not None:
                return programme
            loaded_ms = _monotonic_ms()
            programme = await self._load(show_id, version.decode())
            self._kept[show_id] = (version, loaded_ms, programme)
            return programme

    async def _versions_of(self, show_ids: list[str]) -> list[bytes]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for show_id in (distinct := dict.fromkeys(show_ids)):
                pipe.get(keys.stage(show_id))
            found = dict(zip(distinct, await pipe.execute(), strict=True))
        return [found[show_id] or b"" for show_id in show_ids]

    async def changed(self, show_id: str) -> None:
        """SQL holds something newer: every process reads again. Called after the commit, before anybody is told."""
        self._kept.pop(show_id, None)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.incr(keys.stage(show_id))
            pipe.expire(keys.stage(show_id), VERSION_TTL_S)
            await pipe.execute()

    def _current(self, show_id: str, version: bytes) -> Programme | None:
        kept = self._kept.get(show_id)
        if kept is None or kept[0] != version or _monotonic_ms() - kept[1] > KEEP_MS:
            return None
        return kept[2]

    async def _load(self, show_id: str, version: str) -> Programme:
        show = await self._shows.by_id(show_id)
        runsheet = await self._runsheets.of(show_id)
        pieces = await self._catalogue.pieces_of_looks(show_id)
        caps = await self._caps.of_show(show_id)
        sold_in: dict[str, tuple[str, ...]] = {}
        for look in runsheet.looks:
            for piece in pieces.get(look.id, []):
                for variant in piece.variants:
                    sold_in[variant.sku] = (*sold_in.get(variant.sku, ()), look.id)
        # The run of show was read last and has the status: the two must agree, or a card of a live show would meet a
        # show that isn't.
        if runsheet.status != show.status:
            show = await self._shows.by_id(show_id)
        return Programme(show, runsheet, pieces, sold_in, caps, version)


def _monotonic_ms() -> float:
    return time.monotonic() * 1000
