"""The gate: how many units of a SKU can still be held, and who holds them. A hold is a promise by Redis.

Every step that checks and writes is one Lua script (store/lua), so it holds across processes. A gate that is gone
(a store that lost everything) is made again from SQL by whoever notices, with a new epoch and nothing held.
It is one file, above 400 lines, because the gate is one thing: what may be held, and every script that touches it.
Fails closed: without Redis nothing is held. Source: docs/decisions/0003-a-hold-is-a-promise.md
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, func, or_, select

from live.clock import Clock
from live.errors import NotFound, OverLimit, Overloaded, SoldOut, StoreDown
from live.events import Level
from live.ids import new_id
from live.shop.drop_terms import ANY_DROP_TERMS, DropTerms, heed
from live.store import keys
from live.store.redis import load_script
from live.store.sql import Database
from live.store.tables import look_products, looks, order_lines, orders, shows, variants
from live.store.telling import tell

log = structlog.get_logger()

OP_TTL_S = 600
CART_TTL_S = 7 * 86_400
LAPSE_AT_ONCE = 500
REV_PER_MS = 1000  # a new gate's revs start from the clock, above any that the lost one gave out
RECONCILE_TRIES = 5
AFTER_THE_SHOW_MS = 86_400_000  # holds and payments of an ended show are looked after this long


class Hold(msgspec.Struct, frozen=True):
    """Units that one cart holds of a SKU, all of them. `until_ms` is server time."""

    sku: str
    qty: int
    until_ms: int
    level: Level


class Lapsed(msgspec.Struct, frozen=True):
    """A hold that ran out; its units are back in `level`."""

    cart: str
    sku: str
    qty: int
    level: Level


class Line(msgspec.Struct, frozen=True):
    """What an order takes of one SKU."""

    sku: str
    qty: int


class Claim(msgspec.Struct, frozen=True):
    """An order's units are set apart. `epoch` is the gate's; `moved` the levels that had to give."""

    epoch: str
    moved: dict[str, Level]


class StockGate:
    """The stock of shows, in Redis. `on_rebuilt(show_id)` is called after a lost gate was made again."""

    def __init__(self, redis: Redis, db: Database, clock: Clock) -> None:
        self._redis = redis
        self._db = db
        self._clock = clock
        self.on_rebuilt: Callable[[str], Awaitable[None]] | None = None
        self._hold = load_script(redis, "hold")
        self._release = load_script(redis, "release")
        self._lapse = load_script(redis, "lapse")
        self._extend = load_script(redis, "extend")
        self._unpay = load_script(redis, "unpay")
        self._claim = load_script(redis, "claim")
        self._consume = load_script(redis, "consume")
        self._unclaim = load_script(redis, "unclaim")
        self._open = load_script(redis, "open_gate")
        self._told = load_script(redis, "told")
        self._facts = load_script(redis, "gate_facts")
        self._reconcile = load_script(redis, "reconcile")

    # ---- making the gate -----------------------------------------------------------------------

    async def open(self, show_id: str) -> dict[str, Level]:
        """The gate of a show, made from SQL when it is missing; one that stands keeps its holds and learns new SKUs."""
        await self.ensure(show_id)
        await self.reconcile(show_id)
        return await self.levels(show_id)

    async def ensure(self, show_id: str) -> None:
        """Make the gate if it is missing. Of two processes that try, one makes it and the other finds it."""
        await self._make(show_id, "missing")

    async def rebuild(self, show_id: str) -> dict[str, Level]:
        """Make the gate anew whatever stands there: all holds are dropped. Orders being paid claim again or refund."""
        await self._make(show_id, "anew")
        return await self.levels(show_id)

    async def _make(self, show_id: str, when: str) -> bool:
        stock, bought = await self._db.read(lambda c: (stock_of(c, show_id), _bought(c, show_id)))
        args: list[str | int] = [new_id("gat"), self._clock.now_ms() * REV_PER_MS, when, len(stock)]
        for sku, (on_hand, sold) in stock.items():
            args += [sku, max(0, on_hand - sold)]
        for member, units in bought.items():
            args += [member, units]
        outcome, _epoch = await self._open(
            [
                keys.gate(show_id),
                keys.holds(show_id),
                keys.held(show_id),
                keys.lapsed(show_id),
                keys.claims(show_id),
                keys.owned(show_id),
            ],
            args,
        )
        return bool(outcome == b"OPENED")

    async def _rebuild_lost(self, show_id: str) -> None:
        if await self._make(show_id, "missing") and self.on_rebuilt is not None:
            await self.on_rebuilt(show_id)

    async def reconcile(self, show_id: str, *, owners: bool = False) -> dict[str, Level]:
        """Set right what drifted from SQL (a crash between sale and consume, a change of on-hand); with `owners` also
        what each buyer owns, for which all of the show's are read.

        Returns the levels that moved. Gives up quietly when sales keep coming in between; the worker asks again.
        """
        for _ in range(RECONCILE_TRIES):
            epoch, consumed, *claimed = await self._facts([keys.gate(show_id), keys.claims(show_id)])
            if not epoch:
                await self._rebuild_lost(show_id)
                return await self.levels(show_id)
            owned = await self._owned(show_id) if owners else {}
            ids = [order.decode() for order in claimed]

            # One view of SQL for all: which claims are sales already, what those sales left, and whose they are.
            def read(c: Connection, ids: Sequence[str] = ids) -> tuple[Any, list[str], dict[str, int]]:
                return stock_of(c, show_id), _settled(c, ids), _bought(c, show_id) if owners else {}

            stock, settled, bought = await self._db.read(read)
            done = set(settled)
            args: list[str | bytes | int] = [epoch, consumed, len(stock)]
            for sku, (on_hand, sold) in stock.items():
                args += [sku, on_hand - sold]
            args.append(len(ids))
            for order in ids:
                args += [order, int(order in done)]
            args.append(int(owners))
            for member in sorted(owned.keys() | bought.keys()):
                if owned.get(member, 0) != bought.get(member, 0):
                    args += [member, bought.get(member, 0)]
            reply = await self._reconcile(
                [keys.gate(show_id), keys.held(show_id), keys.claims(show_id), keys.owned(show_id)], args
            )
            if reply[0] == b"OK":
                return _levels(reply[1:])
        return {}

    async def _owned(self, show_id: str) -> dict[str, int]:
        """`cart|sku` -> units bought, as the gate counts them."""
        try:
            found: Any = await self._redis.hgetall(keys.owned(show_id))
        except (RedisError, OSError) as why:
            raise StoreDown("redis") from why
        return {member.decode(): int(units) for member, units in found.items()}

    # ---- reading -------------------------------------------------------------------------------

    async def levels(self, show_id: str, skus: Sequence[str] | None = None) -> dict[str, Level]:
        """What is left, of all SKUs of the show or of `skus`. A lost gate is made again first."""
        for _ in range(2):
            facts = await self._facts_of(show_id)
            if b"epoch" in facts:
                names = skus if skus is not None else [f[2:].decode() for f in facts if f.startswith(b"n:")]
                return {
                    sku: Level(max(0, int(facts.get(b"n:" + sku.encode(), 0))), int(facts.get(b"r:" + sku.encode(), 0)))
                    for sku in names
                }
            await self._rebuild_lost(show_id)
        raise StoreDown("redis")

    async def held(self, show_id: str) -> int:
        """Units in holds, all SKUs together."""
        return int((await self._facts_of(show_id)).get(b"held", 0))

    async def shows_open(self) -> list[str]:
        """Ids of the shows whose gates are to be looked after: live, or ended within a day."""
        since = self._clock.now_ms() - AFTER_THE_SHOW_MS
        query = select(shows.c.id).where(or_(shows.c.status == "live", shows.c.ended_ms > since)).order_by(shows.c.id)
        return await self._db.read(lambda c: list(c.execute(query).scalars()))

    async def _facts_of(self, show_id: str) -> dict[bytes, bytes]:
        try:
            facts: dict[bytes, bytes] = await self._redis.hgetall(keys.gate(show_id))  # type: ignore[assignment]
            return facts
        except (RedisError, OSError) as why:
            raise StoreDown("redis") from why

    # ---- holding -------------------------------------------------------------------------------

    async def hold(
        self,
        show_id: str,
        sku: str,
        qty: int,
        *,
        cart: str,
        ttl_s: int,
        limit: int,
        op: str,
        line: bytes = b"",
        terms: DropTerms = ANY_DROP_TERMS,
    ) -> Hold:
        """Set `qty` more units aside for `cart`; they return to stock `ttl_s` seconds later.

        Answers with all that the cart holds of the SKU. Atomic across processes: what is left never goes below 0.
        Asking again with the same `op` (of the same cart) answers with the first result. `line` is the cart's line,
        written in the same step.

        While others wait for it, what comes back is theirs (waitlist.py).

        Raises: SoldOut (`.left`, units), OverLimit (`.limit`, units a buyer may hold or own; `.cap` of what), NotFound,
        NotOpen, Closed, InLine; Stale when the stage is not at `terms.version` any more.
        """
        now = self._clock.now_ms()
        line_keys = keys.line(show_id, terms.line)[-2:] if terms.line else []
        reply = await self._with_gate(
            show_id,
            lambda: self._hold(
                [
                    keys.gate(show_id),
                    keys.holds(show_id),
                    keys.held(show_id),
                    keys.lapsed(show_id),
                    keys.cart(show_id, cart),
                    keys.op(show_id, cart, "hold", sku, op),
                    keys.owned(show_id),
                    keys.queue(show_id, sku),
                    keys.stage(show_id),
                    *line_keys,
                ],
                [
                    *(now, cart, sku, qty, now + ttl_s * 1000, limit, line, OP_TTL_S, CART_TTL_S),
                    *terms.times,
                    *terms.flat_caps,
                ],
            ),
        )
        what, *numbers = reply.split()
        heed(terms, [what, *numbers])
        if what == b"SOLD_OUT":
            raise SoldOut(sku, int(numbers[0]))
        if what == b"OVER_LIMIT":
            raise OverLimit(sku, int(numbers[0]), numbers[1].decode())
        if what == b"UNKNOWN":
            raise NotFound("sku", sku)
        units, until_ms, left, rev = map(int, numbers)
        return Hold(sku, units, until_ms, Level(left, rev))

    async def release(self, show_id: str, sku: str, *, cart: str, op: str) -> Level | None:
        """Give all that the cart holds of a SKU back, and its line with it. Nothing held is no error: None."""
        reply = await self._with_gate(
            show_id,
            lambda: self._release(
                [
                    keys.gate(show_id),
                    keys.holds(show_id),
                    keys.held(show_id),
                    keys.cart(show_id, cart),
                    keys.op(show_id, cart, "release", sku, op),
                ],
                [self._clock.now_ms(), cart, sku, OP_TTL_S, CART_TTL_S],
            ),
        )
        _, units, left, rev = reply.split()
        return Level(int(left), int(rev)) if int(units) else None

    async def lapse(self, show_id: str, now_ms: int | None = None) -> list[Lapsed]:
        """Return expired holds to stock; each hold that lapsed since the last call is reported once, and its owner
        noted as to be told (`untold`)."""
        reply = await self._with_gate(
            show_id,
            lambda: self._lapse(
                [
                    keys.gate(show_id),
                    keys.holds(show_id),
                    keys.held(show_id),
                    keys.lapsed(show_id),
                    keys.untold(show_id),
                ],
                [self._clock.now_ms() if now_ms is None else now_ms, LAPSE_AT_ONCE],
            ),
        )
        lapsed = []
        for entry, left, rev in zip(reply[::3], reply[1::3], reply[2::3], strict=True):
            qty, cart, sku = entry.decode().split("|", 2)
            lapsed.append(Lapsed(cart, sku, int(qty), Level(int(left), int(rev))))
        if lapsed:
            await self._tell_lapsed(show_id, lapsed)
        return lapsed

    async def untold(self, show_id: str, *, before_ms: int) -> list[tuple[str, int]]:
        """Carts (and since when) whose owners should have been told of a lapse or an offer before `before_ms`: who was
        to tell them died, or is slow. Raises StoreDown."""
        try:
            found: Any = await self._redis.zrange(
                keys.untold(show_id), "-inf", before_ms, byscore=True, offset=0, num=LAPSE_AT_ONCE, withscores=True
            )
        except (RedisError, OSError) as why:
            raise StoreDown("redis") from why
        return [(cart.decode(), int(since_ms)) for cart, since_ms in found]

    async def told(self, show_id: str, cart: str, up_to_ms: int) -> None:
        """Her pages were told what was so at `up_to_ms`."""
        await self._told([keys.untold(show_id)], [cart, up_to_ms])

    async def _tell_lapsed(self, show_id: str, lapsed: Sequence[Lapsed]) -> None:
        """To merchants' systems. Fails open: the units are back whether or not SQL could be told of it."""
        now = self._clock.now_ms()
        try:
            await self._db.write(lambda c: _write_lapsed(c, show_id, lapsed, now))
        except (StoreDown, Overloaded) as why:
            log.warning("lapse.untold", show=show_id, holds=len(lapsed), error=type(why).__name__)

    # ---- paying --------------------------------------------------------------------------------

    async def extend(
        self, show_id: str, cart: str, until_ms: int, *, order: str, most_ms: int, anew: bool = True
    ) -> tuple[str, list[tuple[bytes, int]], list[str]]:
        """Keep a cart's holds while `order` is being paid; at most `most_ms` past their own expiry.

        Answers ("OK", [(line JSON, units)…], []); or with nothing changed ("LAPSED", [], skus), ("EMPTY", [], []), and
        unless `anew` ("PAYING", [], []) when the cart is being paid for already.
        """
        reply = await self._with_gate(
            show_id,
            lambda: self._extend(
                [keys.gate(show_id), keys.holds(show_id), keys.held(show_id), keys.cart(show_id, cart)],
                [self._clock.now_ms(), cart, order, until_ms, most_ms, CART_TTL_S, int(anew)],
            ),
        )
        what = reply[0].decode()
        if what == "OK":
            return what, [(line, int(units)) for line, units in zip(reply[1::2], reply[2::2], strict=True)], []
        return what, [], [sku.decode() for sku in reply[1:]]

    async def unpay(self, show_id: str, cart: str, order: str, *, grace_ms: int) -> bool:
        """The payment of `order` came to nothing: holds fall back to their own expiry, or `grace_ms` from now."""
        return bool(
            await self._unpay(
                [keys.holds(show_id), keys.cart(show_id, cart)],
                [self._clock.now_ms(), cart, order, grace_ms, CART_TTL_S],
            )
        )

    async def claim(self, show_id: str, cart: str, order: str, lines: Sequence[Line]) -> Claim:
        """Set a paid order's units apart, out of the cart's holds or, where these lapsed, out of stock.

        All lines or none; the same order again changes nothing. Raises SoldOut.
        """
        args: list[str | int] = [self._clock.now_ms(), cart, order, CART_TTL_S]
        for line in lines:
            args += [line.sku, line.qty]
        reply = await self._with_gate(
            show_id,
            lambda: self._claim(
                [
                    keys.gate(show_id),
                    keys.holds(show_id),
                    keys.held(show_id),
                    keys.lapsed(show_id),
                    keys.cart(show_id, cart),
                    keys.claims(show_id),
                    keys.owned(show_id),
                    keys.sold(show_id, order),
                ],
                args,
            ),
        )
        if reply[0] == b"SHORT":
            raise SoldOut(reply[1].decode(), int(reply[2]))
        return Claim(reply[1].decode(), _levels(reply[2:]))

    async def consume(self, show_id: str, order: str, epoch: str) -> dict[str, Level]:
        """The order is paid in SQL: its claim, made at `epoch`, is done with. Any number of times.

        A gate that was made again in between read SQL at a moment nobody knows; it is reconciled. Returns what moved.
        """
        now_epoch, _ = await self._consume(
            [keys.gate(show_id), keys.claims(show_id), keys.sold(show_id, order)], [order, OP_TTL_S]
        )
        if now_epoch.decode() != epoch:
            return await self.reconcile(show_id)
        return {}

    async def unclaim(self, show_id: str, order: str) -> dict[str, Level]:
        """The order is not sold after all: its claim goes back to stock. Any number of times."""
        return _levels(await self._unclaim([keys.gate(show_id), keys.claims(show_id), keys.owned(show_id)], [order]))

    async def _with_gate(self, show_id: str, call: Callable[[], Awaitable[Any]]) -> Any:
        for _ in range(3):
            reply = await call()
            if reply != b"NOGATE" and not (isinstance(reply, list) and reply[:1] == [b"NOGATE"]):
                return reply
            await self._rebuild_lost(show_id)
        raise StoreDown("redis")


def _write_lapsed(connection: Connection, show_id: str, lapsed: Sequence[Lapsed], now: int) -> None:
    for one in lapsed:
        tell(connection, "hold.lapsed", {"show": show_id, "sku": one.sku, "qty": one.qty}, now)


def _levels(flat: Sequence[bytes]) -> dict[str, Level]:
    return {
        sku.decode(): Level(int(left), int(rev))
        for sku, left, rev in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    }


def stock_of(connection: Connection, show_id: str) -> dict[str, tuple[int, int]]:
    """SKU -> (on hand, sold) of a show, as SQL has them."""
    rows = connection.execute(
        select(variants.c.sku, variants.c.on_hand, variants.c.sold)
        .distinct()
        .join(look_products, look_products.c.product_id == variants.c.product_id)
        .join(looks, looks.c.id == look_products.c.look_id)
        .where(looks.c.show_id == show_id)
    )
    return {sku: (on_hand, sold) for sku, on_hand, sold in rows}


def _bought(connection: Connection, show_id: str) -> dict[str, int]:
    rows = connection.execute(
        select(orders.c.cart, order_lines.c.sku, func.sum(order_lines.c.qty - order_lines.c.restocked))
        .join(order_lines, order_lines.c.order_id == orders.c.id)
        .where(orders.c.show_id == show_id, orders.c.paid_ms.is_not(None))
        .group_by(orders.c.cart, order_lines.c.sku)
    )
    return {f"{cart}|{sku}": int(units) for cart, sku, units in rows if units}


def _settled(connection: Connection, order_ids: Sequence[str]) -> list[str]:
    """Which of these orders need their claims no more."""
    done: list[str] = []
    for start in range(0, len(order_ids), 500):  # below every store's limit on bound values
        some = order_ids[start : start + 500]
        done += connection.execute(
            select(orders.c.id).where(orders.c.id.in_(some), orders.c.status != "pending")
        ).scalars()
    return done
