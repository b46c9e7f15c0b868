"""Everything a process works with, put together once: `async with services(settings) as s`.

web, worker, relay, the command line and the tests all use it; what a process doesn't need costs it nothing but the
object.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from chat.bus import RedisBus
from live.accounts.sessions import Sessions
from live.accounts.signin import SignIn
from live.accounts.staff import StaffBook
from live.accounts.throttle import Throttle
from live.accounts.tokens import Tokens
from live.clock import Clock, SystemClock
from live.desk.archive import SqlArchive
from live.desk.audience import Audience
from live.desk.codes import CodeDesk
from live.desk.control import Desk
from live.desk.drops import DropDesk
from live.desk.order_desk import OrderDesk
from live.desk.people import People
from live.desk.person_data import PersonData
from live.desk.play import PlayDesk
from live.desk.programme import Programmes
from live.desk.rail import Rail
from live.media.engine import engine_of
from live.media.port import MediaEngine
from live.media.relays import Relays
from live.play.service import PlayService
from live.settings import Settings
from live.shop.adjust import Adjustments
from live.shop.after_sale import AfterSale
from live.shop.assortment import Assortment
from live.shop.caps import Caps
from live.shop.cart import Carts
from live.shop.catalogue import Catalogue
from live.shop.checkout import Checkout
from live.shop.coupons import Coupons
from live.shop.imports import Imports
from live.shop.line import Lines
from live.shop.merchant import MerchantReads
from live.shop.order_list import OrderList
from live.shop.orders import Orders
from live.shop.payments.choice import provider_of
from live.shop.payments.port import Provider
from live.shop.pictures import Pictures
from live.shop.promotions import Promotions
from live.shop.quote import Quotes
from live.shop.saved import SavedBuyers
from live.shop.stock import StockGate
from live.shop.terms import Terms
from live.shop.webhooks.endpoints import Endpoints
from live.shop.webhooks.way_out import networks_of
from live.shop.work import Proofs
from live.stage.media import Media
from live.stage.recordings import Recordings
from live.stage.runsheets import Runsheets
from live.stage.shows import Shows
from live.stage.timeline import Timeline
from live.store.embedded import embedded_store
from live.store.redis import connect
from live.store.sql import Database


@dataclass(frozen=True)
class Services:
    """One process's parts. `settings.redis_url` is set here, also when the store is the embedded one."""

    settings: Settings
    clock: Clock
    redis: Redis
    db: Database
    bus: RedisBus
    # accounts
    staff: StaffBook
    sessions: Sessions
    signin: SignIn
    throttle: Throttle
    tokens: Tokens
    people: People
    # stage
    shows: Shows
    runsheets: Runsheets
    timeline: Timeline
    media: Media
    recordings: Recordings
    # the picture's carriers
    relays: Relays
    engine: MediaEngine
    # shop
    catalogue: Catalogue
    gate: StockGate
    carts: Carts
    adjustments: Adjustments
    assortment: Assortment
    imports: Imports
    terms: Terms
    promotions: Promotions
    codes: CodeDesk
    coupons: Coupons
    quotes: Quotes
    saved: SavedBuyers
    provider: Provider
    pictures: Pictures
    checkout: Checkout
    orders: Orders
    merchant: MerchantReads
    order_list: OrderList
    endpoints: Endpoints
    # desk
    audience: Audience
    programmes: Programmes
    archive: SqlArchive
    person_data: PersonData
    desk: Desk
    rail: Rail
    order_desk: OrderDesk
    drops: DropDesk
    play: PlayDesk


@asynccontextmanager
async def services(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Connects to the stores and builds the parts; lets go of them on the way out.

    Without REDIS_URL it joins the embedded store of the data folder, or starts it when it is the first.
    Raises: StoreDown.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        url = settings.redis_url or await stack.enter_async_context(embedded_store(settings))
        settings = settings.model_copy(update={"redis_url": url})
        redis = await connect(settings)
        stack.push_async_callback(redis.aclose)
        db = await Database.open(settings)
        stack.push_async_callback(db.close)

        bus = RedisBus(redis, now_ms=clock.now_ms)
        staff = StaffBook(db, clock)
        sessions = Sessions(redis, clock)
        throttle = Throttle(redis, now_ms=clock.now_ms)
        shows = Shows(db, clock)
        runsheets = Runsheets(db, clock)
        media = Media(redis, clock)
        catalogue = Catalogue(db, clock)
        gate = StockGate(redis, db, clock)
        carts = Carts(redis, gate, catalogue, clock)
        adjustments = Adjustments(db, clock)
        terms = Terms(db, clock)
        quotes = Quotes(db, terms, carts, clock, settings.key)
        saved = SavedBuyers(db, settings.key, clock)
        provider = provider_of(settings, db, clock)
        stack.push_async_callback(provider.close)
        checkout = Checkout(db, gate, carts, quotes, saved, provider, clock, settings)
        orders = Orders(db, settings.key)
        caps = Caps(db)
        programmes = Programmes(redis, shows, runsheets, catalogue, caps)
        drops = DropDesk(
            redis=redis,
            bus=bus,
            clock=clock,
            shows=shows,
            programmes=programmes,
            gate=gate,
            waitlist=carts.waitlist,
            lines=Lines(redis, db, clock),
            proofs=Proofs(redis, clock, settings.key),
        )
        relays = Relays(redis, settings.key)
        stack.push_async_callback(relays.close)
        engine = engine_of(settings, relays, clock)
        stack.push_async_callback(engine.close)
        archive = SqlArchive(db, sessions)
        coupons = Coupons(db, clock, settings.key)
        games = PlayService(redis, clock)
        play = PlayDesk(bus, games, coupons)
        order_list = OrderList(db, settings.key)
        desk = Desk(
            redis=redis,
            bus=bus,
            clock=clock,
            shows=shows,
            runsheets=runsheets,
            media=media,
            gate=gate,
            carts=carts,
            adjustments=adjustments,
            quotes=quotes,
            checkout=checkout,
            orders=orders,
            programmes=programmes,
            caps=caps,
            drops=drops,
            engine=engine,
            archive=archive,
            sessions=sessions,
            play=play,
        )
        yield Services(
            settings=settings,
            clock=clock,
            redis=redis,
            db=db,
            bus=bus,
            staff=staff,
            sessions=sessions,
            signin=SignIn(redis, staff, throttle),
            throttle=throttle,
            tokens=Tokens(db, clock),
            people=People(db, staff, sessions, bus, clock),
            shows=shows,
            runsheets=runsheets,
            timeline=Timeline(db),
            media=media,
            recordings=Recordings(db, clock, settings.data_dir),
            relays=relays,
            engine=engine,
            catalogue=catalogue,
            gate=gate,
            carts=carts,
            adjustments=adjustments,
            assortment=Assortment(db, clock),
            imports=Imports(db, clock, settings.data_dir / "feeds"),
            terms=terms,
            promotions=(promotions := Promotions(db, clock)),
            codes=CodeDesk(promotions, terms, clock),
            coupons=coupons,
            quotes=quotes,
            saved=saved,
            pictures=Pictures(db, clock, settings.data_dir / "pictures"),
            provider=provider,
            checkout=checkout,
            orders=orders,
            merchant=MerchantReads(db, clock),
            order_list=order_list,
            endpoints=Endpoints(db, clock, networks_of(settings.webhook_networks)),
            audience=Audience(redis, relays, media),
            programmes=programmes,
            archive=archive,
            person_data=PersonData(db, redis, bus, archive, clock, saved, provider, games),
            desk=desk,
            rail=Rail(db, clock, gate, desk),
            order_desk=OrderDesk(AfterSale(db, provider, clock), order_list, checkout, gate, desk),
            drops=drops,
            play=play,
        )
