"""A whole shop for tests: real Redis, real SQL, the sandbox provider, and a clock that stands still until moved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fresh_store import lay
from redis.asyncio import Redis
from sqlalchemy import insert, text

from live.clock import Clock, SetClock
from live.events import Cart, Level
from live.ids import new_id
from live.settings import Settings
from live.shop import invariants
from live.shop.after_sale import AfterSale
from live.shop.cart import Carts
from live.shop.catalogue import Catalogue, NewVariant
from live.shop.checkout import Checkout, Placed, Settled
from live.shop.contact import Address, Contact
from live.shop.coupons import Coupons
from live.shop.order_list import OrderList
from live.shop.orders import Orders
from live.shop.payments.port import Provider
from live.shop.payments.sandbox import SandboxProvider
from live.shop.promotions import Promotions
from live.shop.quote import Quotes
from live.shop.saved import SavedBuyers
from live.shop.stock import StockGate
from live.shop.terms import Terms
from live.store.redis import connect
from live.store.sql import Database
from live.store.tables import look_products, looks, metadata, shows

ADA = Contact("Ada Lovelace", "ada@example.org", Address("12 St James's Square", "London", "GB", "SW1Y 4JH"))
TTL_S = 300
LIMIT = 4


class World:
    """One show that sells. `skus` name what is on its looks, with the units on hand."""

    def __init__(self, settings: Settings, redis: Redis, db: Database, clock: Clock) -> None:
        self.settings = settings
        self.redis = redis
        self.db = db
        self.clock = clock
        self.catalogue = Catalogue(db, clock)
        self.gate = StockGate(redis, db, clock)
        self.carts = Carts(redis, self.gate, self.catalogue, clock)
        self.provider = SandboxProvider(db, settings, clock)
        self.terms = Terms(db, clock, monotonic=lambda: clock.now_ms() / 1000)
        self.promotions = Promotions(db, clock)
        self.coupons = Coupons(db, clock, settings.key)
        self.quotes = Quotes(db, self.terms, self.carts, clock, settings.key)
        self.saved = SavedBuyers(db, settings.key, clock)
        self.checkout = self.till(self.provider)
        self.orders = Orders(db, settings.key)
        self.order_list = OrderList(db, settings.key)
        self.after_sale = AfterSale(db, self.provider, clock)
        self.show = ""
        self.brand = ""

    def till(self, provider: Provider) -> Checkout:
        """Another process's checkout, or one with another provider."""
        return Checkout(self.db, self.gate, self.carts, self.quotes, self.saved, provider, self.clock, self.settings)

    async def stock_a_show(self, stock: dict[str, int], price_minor: int = 12900) -> str:
        """A live show with one look and one product that comes in these SKUs; its gate is open."""
        now = self.clock.now_ms()
        brand = await self.catalogue.add_brand(slug=new_id("b"), name="Atelier Nord", currency="EUR", country="DE")
        self.brand = brand
        product = await self.catalogue.add_product(
            brand,
            slug="coat",
            title="Long coat",
            variants=[
                NewVariant(sku, f"{36 + 2 * n}", "Ink", "#111122", price_minor, on_hand)
                for n, (sku, on_hand) in enumerate(stock.items())
            ],
        )
        self.show, look = new_id("sho"), new_id("loo")
        row = {
            "id": self.show,
            "brand_id": brand,
            "slug": self.show,
            "title": "Autumn",
            "status": "live",
            "opened_ms": now,
            "created_ms": now,
        }
        await self.db.write(
            lambda c: (
                c.execute(insert(shows).values(row)),
                c.execute(insert(looks).values(id=look, show_id=self.show, number=1, title="Look 1")),
                c.execute(insert(look_products).values(look_id=look, product_id=product)),
            )
        )
        await self.gate.open(self.show)
        return self.show

    async def add(self, cart: str, sku: str, qty: int = 1, *, op: str | None = None, limit: int = LIMIT) -> Cart:
        bag, _ = await self.carts.add(
            self.show, cart, sku, qty, op=op or new_id("op"), look="loo_1", at_ms=1000, ttl_s=TTL_S, limit=limit
        )
        return bag

    async def place(self, cart: str, key: str = "key-1", contact: Contact = ADA) -> Placed:
        return await self.checkout.place(self.show, cart, contact, idempotency_key=key)

    async def buy(self, cart: str, sku: str, qty: int = 1, key: str = "key-1") -> Settled:
        """Hold, place, pay and settle."""
        await self.add(cart, sku, qty)
        placed = await self.place(cart, key)
        await self.provider.choose(placed.payment_ref, "success")
        settled = await self.checkout.settle(placed.payment_id)
        assert settled is not None
        return settled

    async def left(self, sku: str) -> int:
        return (await self.levels())[sku].left

    async def levels(self) -> dict[str, Level]:
        return await self.gate.levels(self.show)

    async def wrong(self) -> list[str]:
        return await invariants.check(self.db, self.redis, self.show)

    async def sold(self, sku: str) -> int:
        query = text("select sold from variants where sku = :sku")
        return await self.db.read(lambda c: int(c.execute(query, {"sku": sku}).scalar_one()))


@asynccontextmanager
async def world(
    redis_url: str, data_dir: Path, *, database_url: str | None = None, clock: Clock | None = None
) -> AsyncIterator[World]:
    """A World on an empty store of this SQL; close to what `live.desk.wiring` puts together."""
    settings = Settings(data_dir=data_dir, redis_url=redis_url, database_url=database_url, secret_key="k" * 32)
    if not database_url:
        lay(data_dir)
    redis = await connect(settings)
    db = await Database.open(settings)
    try:
        yield World(settings, redis, db, clock or SetClock())
    finally:
        await db.close()
        await redis.aclose()


def empty(url: str) -> None:
    """Delete every row of a store that tests share."""
    from live.store.sql import new_engine, normalised

    engine = new_engine(normalised(url))
    try:
        with engine.begin() as connection:
            # Row by row: `truncate` makes a new file for every table it reaches, which takes a fifth of a second.
            connection.execute(text("set local session_replication_role = replica"))
            every = metadata.tables
            asked = " union all ".join(f"select '{name}' where exists (select 1 from {name})" for name in every)
            for name in connection.execute(text(asked)).scalars().all():
                connection.execute(text(f"delete from {name}"))
                if (counter := every[name].autoincrement_column) is not None:
                    connection.execute(
                        text(f"select setval(pg_get_serial_sequence('{name}', '{counter.name}'), 1, false)")
                    )
    finally:
        engine.dispose()
