"""A person's bag in a show. Its lines live beside their holds in Redis and change in the same script as they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from live.clock import Clock
from live.errors import Invalid
from live.events import Cart, CartLine, CartLineState, Level, Wait
from live.money import Money
from live.shop import pricing
from live.shop.catalogue import Catalogue
from live.shop.drop_terms import ANY_DROP_TERMS, DropTerms
from live.shop.stock import CART_TTL_S, StockGate
from live.shop.waitlist import Waitlist
from live.store import keys
from live.store.redis import load_script

SKU_LIMIT = 64  # characters
OP_LIMIT = 64


class KeptLine(msgspec.Struct, frozen=True):
    """A line as Redis keeps it: what was on the card when it was tapped. `at_ms` is media time, `added_ms` server's;
    `drop` the drop it was held in (of the timeline), None in a bag from before lines kept it."""

    sku: str
    look: str
    piece: str
    picture: str
    size: str
    colour: str
    price: Money
    at_ms: int | None
    added_ms: int
    drop: int | None = None


_lines = msgspec.json.Decoder(KeptLine)


class Carts:
    """Bags of all shows; a bag's id is its person's."""

    def __init__(self, redis: Redis, gate: StockGate, catalogue: Catalogue, clock: Clock) -> None:
        self.waitlist = Waitlist(redis, clock)
        self._gate = gate
        self._catalogue = catalogue
        self._clock = clock
        self._read = load_script(redis, "cart")
        self._reprice = load_script(redis, "reprice")

    async def view(self, show_id: str, cart: str) -> Cart:
        """The bag with the state of each hold. Nobody's bag is an empty one. Raises StoreDown."""
        now = self._clock.now_ms()
        found = await self._read([keys.holds(show_id), keys.held(show_id), keys.cart(show_id, cart)], [now, cart])
        return await self._bag(show_id, cart, found, now, await self._catalogue.currency(show_id))

    async def views(self, show_id: str, carts: Sequence[str]) -> list[Cart]:
        """`view` of many. Raises StoreDown."""
        now, holds, held = self._clock.now_ms(), keys.holds(show_id), keys.held(show_id)
        found = await self._read.each([([holds, held, keys.cart(show_id, cart)], [now, cart]) for cart in carts])
        currency = await self._catalogue.currency(show_id)
        return [await self._bag(show_id, *bag, now, currency) for bag in zip(carts, found, strict=True)]

    async def _bag(self, show_id: str, cart: str, found: Sequence[Any], now: int, currency: str) -> Cart:
        rev, paying, waits, *flat = found
        kept = [
            (_lines.decode(line), int(units), int(until_ms))
            for line, units, until_ms in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        ]
        kept.sort(key=lambda entry: (entry[0].added_ms, entry[0].sku))
        lines = [_shown(line, units, until_ms, paying=bool(paying)) for line, units, until_ms in kept]
        due = pricing.total(((line.price, line.qty) for line in lines if line.state != "lapsed"), currency)
        skus = sorted(sku.decode() for sku in waits)
        ahead = await self.waitlist.ahead(show_id, cart, skus) if skus else []
        # A bag that is not there gets a rev from the clock, one below what a first line would get.
        return Cart(lines, due, int(rev) or now - 1, [Wait(*place) for place in zip(skus, ahead, strict=True)])

    async def add(
        self,
        show_id: str,
        cart: str,
        sku: str,
        qty: int,
        *,
        op: str,
        look: str,
        at_ms: int | None,
        ttl_s: int,
        limit: int,
        terms: DropTerms = ANY_DROP_TERMS,
    ) -> tuple[Cart, dict[str, Level]]:
        """Hold `qty` more of `sku` and put it in the bag: both or neither. The levels are those that moved.

        Whoever calls has read that the look is out and the show live; `terms` say when that was.
        Raises: SoldOut, OverLimit, NotFound, Invalid, NotOpen, Closed, InLine, Stale.
        """
        if not 1 <= qty <= limit:
            raise Invalid("qty", f"must be 1 to {limit}")
        if not 1 <= len(op) <= OP_LIMIT:
            raise Invalid("op", f"must have 1 to {OP_LIMIT} characters")
        if not 1 <= len(sku) <= SKU_LIMIT:
            raise Invalid("sku", f"must have 1 to {SKU_LIMIT} characters")
        line = await self._line(sku, look, at_ms, terms.drop)
        held = await self._gate.hold(
            show_id, sku, qty, cart=cart, ttl_s=ttl_s, limit=limit, op=op, line=line, terms=terms
        )
        return await self.view(show_id, cart), {sku: held.level}

    async def remove(self, show_id: str, cart: str, sku: str, *, op: str) -> tuple[Cart, dict[str, Level]]:
        """Take the line out and give its units back. A line that is not there is no error, and moves no level: who
        removes what she does not have must not learn its stock, nor have it told to everyone."""
        if not 1 <= len(op) <= OP_LIMIT:
            raise Invalid("op", f"must have 1 to {OP_LIMIT} characters")
        if not 1 <= len(sku) <= SKU_LIMIT:
            raise Invalid("sku", f"must have 1 to {SKU_LIMIT} characters")
        level = await self._gate.release(show_id, sku, cart=cart, op=op)
        return await self.view(show_id, cart), {sku: level} if level is not None else {}

    async def wait(self, show_id: str, cart: str, sku: str, *, terms: DropTerms = ANY_DROP_TERMS) -> Cart:
        """Wait for a piece that is sold out.

        Raises: StillLeft, OverLimit, NotFound, Invalid, NotOpen, Closed, Stale."""
        if not 1 <= len(sku) <= SKU_LIMIT:
            raise Invalid("sku", f"must have 1 to {SKU_LIMIT} characters")
        await self.waitlist.join(show_id, cart, sku, terms=terms)
        return await self.view(show_id, cart)

    async def unwait(self, show_id: str, cart: str, sku: str) -> Cart:
        """Wait no longer. Raises Invalid."""
        if not 1 <= len(sku) <= SKU_LIMIT:
            raise Invalid("sku", f"must have 1 to {SKU_LIMIT} characters")
        await self.waitlist.leave(show_id, cart, sku)
        return await self.view(show_id, cart)

    async def offer(
        self, show_id: str, sku: str, *, look: str, at_ms: int | None, limit: int, terms: DropTerms = ANY_DROP_TERMS
    ) -> tuple[str, Level | None] | None:
        """Give one unit that came back to the first who waits: her bag's id, and the level or None where she has all
        she may and was passed over. None when nobody waits or there is no unit.

        Raises: StoreDown, NotOpen, Closed, Stale."""
        line = await self._line(sku, look, at_ms, terms.drop)
        while (cart := await self.waitlist.first(show_id, sku)) is not None:
            made = await self.waitlist.offer(show_id, cart, sku, line=line, limit=limit, terms=terms)
            if made.outcome in ("offered", "skipped"):
                return cart, made.level
            if made.outcome == "none":
                return None
        return None

    async def _line(self, sku: str, look: str, at_ms: int | None, drop: int | None) -> bytes:
        offer = await self._catalogue.variant(sku)
        return msgspec.json.encode(
            KeptLine(
                sku,
                look,
                offer.title,
                offer.picture,
                offer.size,
                offer.colour,
                offer.price,
                at_ms,
                self._clock.now_ms(),
                drop,
            )
        )

    async def reprice(self, show_id: str, cart: str, sku: str, price_minor: int) -> None:
        """Show a line at its new price, so that its buyer agrees to that one before paying."""
        self._catalogue.forget(sku)
        key, field = keys.cart(show_id, cart), f"l:{sku}"
        await self._reprice([key], [field, price_minor, self._clock.now_ms(), CART_TTL_S])


def _shown(line: KeptLine, units: int, until_ms: int, *, paying: bool) -> CartLine:
    state: CartLineState = "lapsed" if until_ms == 0 else "paying" if paying else "held"
    return CartLine(
        line.sku,
        units,
        line.look,
        line.piece,
        line.picture,
        line.size,
        line.colour,
        line.price,
        state,
        until_ms,
    )
