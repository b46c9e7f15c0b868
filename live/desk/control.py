"""The desk: where stage, shop and room meet, and the only place that publishes live's kinds.

Truth first, then the telling: SQL (or the gate) commits, the programme's version is counted up, and only then is
anybody told. A process that dies in between has told too little, never too much; whoever joins reads what is true.
Above 400 lines: what may publish is kept in one file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import LockError, RedisError

from chat import keys as chat_keys
from chat.bus import RedisBus
from chat.errors import Blocked
from chat.errors import Error as RoomError
from chat.message import display_name
from chat.moderation.rules import RoomTerms, has_link, imitates
from chat.ports import Member
from live.accounts.sessions import Sessions
from live.clock import Clock
from live.desk.archive import SqlArchive
from live.desk.drops import DropDesk
from live.desk.play import PlayDesk
from live.desk.programme import Programme, Programmes
from live.errors import Error, HoldLapsed, InLine, NotFound, Overloaded, PriceChanged, TotalChanged, WrongState
from live.events import (
    Card,
    CardChanged,
    CardDropped,
    CardWithdrawn,
    Cart,
    CartChanged,
    DropChanged,
    Level,
    LiveSnapshot,
    OrderChanged,
    Picture,
    PictureChanged,
    PictureState,
    PlaceChanged,
    RunsheetChanged,
    ShowEnded,
    ShowFacts,
    ShowOpened,
    StockChanged,
    Tally,
    TallyChanged,
    Work,
)
from live.media.port import Channel, MediaEngine
from live.shop.adjust import Adjusted, Adjustments
from live.shop.caps import Caps
from live.shop.cart import Carts
from live.shop.checkout import Checkout, Placed, Settled
from live.shop.contact import Contact
from live.shop.drop_terms import Stale
from live.shop.orders import Order, Orders
from live.shop.quote import NO_WISHES, Quote, Quotes, Wishes
from live.shop.stock import StockGate
from live.stage import runsheet
from live.stage.media import Media, media_at
from live.stage.runsheets import Runsheets
from live.stage.shows import Shows
from live.store import keys

log = structlog.get_logger()

TALLY_EVERY_MS = 1_000
LOOK_AFTER_MS = 2_000  # from placing: before that the provider's own event is expected
LOOK_EVERY_MS = 1_000  # a buyer's page asks as often as it likes
STALE_TRIES = 5  # a host changes the stage now and then; a look at it takes a millisecond
UNTOLD_MS = 1_000  # who was not told of her bag for so long is told by another
TURN_S = 5  # longest an act of the stage takes: one transaction and a few scripts


class Desk:
    """What hosts, viewers, payments and the worker do to a show, told to everyone whom it concerns.

    Implements chat.ports.Scene.
    """

    def __init__(
        self,
        *,
        redis: Redis,
        bus: RedisBus,
        clock: Clock,
        shows: Shows,
        runsheets: Runsheets,
        media: Media,
        gate: StockGate,
        carts: Carts,
        adjustments: Adjustments,
        quotes: Quotes,
        checkout: Checkout,
        orders: Orders,
        programmes: Programmes,
        caps: Caps,
        drops: DropDesk,
        engine: MediaEngine,
        archive: SqlArchive,
        sessions: Sessions,
        play: PlayDesk,
    ) -> None:
        self._redis = redis
        self._bus = bus
        self._clock = clock
        self._shows = shows
        self._runsheets = runsheets
        self._media = media
        self._gate = gate
        self._carts = carts
        self._adjustments = adjustments
        self._quotes = quotes
        self._checkout = checkout
        self._orders = orders
        self._programmes = programmes
        self._caps = caps
        self._drops = drops
        self._engine = engine
        self._archive = archive
        self._sessions = sessions
        self._play = play
        self._told: dict[str, Tally] = {}
        self._pictures: dict[str, Picture] = {}
        gate.on_rebuilt = self.stock_rebuilt
        checkout.on_settled = self.announce

    # ---- the room's side -----------------------------------------------------------------------

    def media_ms(self, room: str) -> int | None:
        """Media time to stamp a line with, by the clock as read a second ago; None without a picture."""
        picture = self._pictures.get(room)
        if picture is None or picture.state == "waiting":
            return None
        return media_at(picture, self._clock.now_ms())

    async def have_bought(self, asked: list[tuple[str, str]]) -> list[bool]:
        """Of (show, person) each, whether she ever paid for something of the show's brand. Fails open, without the
        badge: the room goes on when SQL is away."""
        try:
            return await self._orders.have_bought(asked)
        except Error:
            return [False] * len(asked)

    async def snapshot(self, room: str, member: Member) -> LiveSnapshot:
        """live's part of `welcome`, as `member` may see it. Raises: NotFound, StoreDown."""
        programme = await self._programmes.of(room)
        is_host = member.may("host")
        skus = programme.every_sku() if is_host else programme.skus()
        picture, stock, cart, play, places, tally = await asyncio.gather(
            self._media.picture(room),
            self._gate.levels(room, skus),
            self._carts.view(room, member.person),
            self._play.snapshot(room, member),
            self._drops.places(programme, member.person),
            self.tally(room) if is_host else _nothing(),
        )
        return LiveSnapshot(
            show=programme.facts,
            picture=picture,
            cards=programme.cards,
            pinned=programme.pinned,
            stock=stock,
            cart=cart,
            runsheet=programme.rows if is_host else None,
            tally=tally,
            play=play,
            places=places,
        )

    async def private(self, room: str, members: list[Member]) -> list[list[tuple[str, object]]]:
        """What pages that resumed are told again, because it is private and was not kept in the log."""
        people = [member.person for member in members]
        programme = await self._programmes.of(room)
        bags = await self._carts.views(room, people)
        places = await self._drops.places_of_each(programme, people)
        told: list[list[tuple[str, object]]] = []
        for member, bag, hers in zip(members, bags, places, strict=True):
            told.append([("cart.changed", CartChanged(bag)), *(("place.changed", PlaceChanged(at)) for at in hers)])
            if member.may("host"):
                told[-1].append(("runsheet.changed", RunsheetChanged(programme.rows)))
                told[-1].append(("tally.changed", TallyChanged(await self.tally(room))))
        return told

    # ---- running the show ----------------------------------------------------------------------

    async def open_show(self, show_id: str, actor: str) -> ShowFacts:
        """Go on air. The stock gate stands before anybody hears of it. Raises: NotFound, WrongState."""
        await self._gate.open(show_id)
        async with self._in_turn(show_id):
            show, _ = await self._shows.advance(show_id, "open", at_ms=await self._media_now(show_id), actor=actor)
            await self._programmes.changed(show_id)
            await self._bus.publish(show_id, "show.opened", ShowOpened(show.facts))
        return show.facts

    async def end_show(self, show_id: str, actor: str) -> ShowFacts:
        """Go off air. Nothing can be added from here on; what is held may be paid until its hold runs out, because a
        hold is a promise. Raises: NotFound, WrongState. Source: docs/decisions/0041-holds-outlive-the-show.md"""
        async with self._in_turn(show_id):
            show, _ = await self._shows.advance(show_id, "end", at_ms=await self._media_now(show_id), actor=actor)
            await self._programmes.changed(show_id)
            await self._bus.publish(show_id, "show.ended", ShowEnded(show.facts))
        try:
            await self._engine.end(Channel(show.id, show.slug))
        except Overloaded:
            # Fails open: the show is over for everybody here, and nobody is told the way to its picture any more.
            log.warning("engine.not_told", show=show_id)
        return show.facts

    async def drop(self, show_id: str, look_id: str, actor: str, *, times: runsheet.Times = runsheet.AT_ONCE) -> str:
        """Put a look's card out at this moment of the picture; its pieces can be held at the `times` said. Of two hosts
        at once, one does and the other hears WrongState. Raises: NotFound, NotLive, Invalid, WrongState."""
        async with self._in_turn(show_id):
            at_ms = await self._media_now(show_id)
            look = await self._runsheets.drop(show_id, look_id, at_ms=at_ms, actor=actor, times=times)
            await self._programmes.changed(show_id)
            programme = await self._programmes.of(show_id)
            stock = await self._gate.levels(show_id, programme.skus(look_id))
            card = _card_as_dropped(programme, look)
            await self._bus.publish(show_id, "card.dropped", CardDropped(card, stock), at=at_ms)
        await self._tell_hosts(show_id, programme)
        return look_id

    async def withdraw(self, show_id: str, look_id: str, actor: str) -> str:
        """Take a look's card back; what is held of it stays held. Raises: NotFound, NotLive, WrongState."""
        async with self._in_turn(show_id):
            at_ms = await self._media_now(show_id)
            after, _ = await self._runsheets.withdraw(show_id, look_id, at_ms=at_ms, actor=actor)
            await self._programmes.changed(show_id)
            await self._bus.publish(show_id, "card.withdrawn", CardWithdrawn(look_id, after.pinned), at=at_ms)
        await self._tell_hosts(show_id, await self._programmes.of(show_id))
        return look_id

    async def close_drop(self, show_id: str, look_id: str, actor: str) -> str:
        """End a drop now: its card stays, and nothing more of it can be held. Raises: NotFound, NotLive, WrongState."""
        async with self._in_turn(show_id):
            at_ms = await self._media_now(show_id)
            _, look = await self._runsheets.close(show_id, look_id, at_ms=at_ms, actor=actor)
            await self._terms_changed(show_id, look)
        await self._tell_hosts(show_id, await self._programmes.of(show_id))
        return look_id

    async def rule_look(self, show_id: str, look_id: str, *, limit: int | None, hot: bool, work_bits: int) -> str:
        """Other terms for a look's drop. Raises: NotFound, Invalid, WrongState (hot and work stay while it is out)."""
        async with self._in_turn(show_id):
            _, look = await self._runsheets.rule(show_id, look_id, limit=limit, hot=hot, work_bits=work_bits)
            await self._terms_changed(show_id, look)
        await self._tell_hosts(show_id, await self._programmes.of(show_id))
        return look_id

    async def cap_product(self, product_id: str, units: int | None, *, edition: str = "") -> None:
        """At most so many units of a product, all its variants together, a buyer. Raises: NotFound, Invalid, Edited."""
        for show_id in await self._caps.set(product_id, units, edition=edition):
            await self._programmes.changed(show_id)

    async def _terms_changed(self, show_id: str, look: runsheet.Look) -> None:
        """From the version's change on no hold passes by the old terms."""
        await self._programmes.changed(show_id)
        if look.state == "dropped":
            await self._bus.publish(show_id, "drop.changed", DropChanged(look.id, look.drop))

    async def next_look(self, show_id: str, actor: str) -> str:
        """Drop the first look that still waits, and answer which. Raises: NotFound when none does, NotLive."""
        look = runsheet.next_in_order(await self._runsheets.of(show_id))
        return await self.drop(show_id, look.id, actor)

    async def picture_is(self, show_id: str, state: PictureState) -> None:
        """What an engine answered that doesn't tell the room itself: the media clock is kept by it, and the room
        hears of a change."""
        picture, changed = await self._media.tell(show_id, state)
        if changed:
            await self.picture_changed(show_id, picture)

    async def look_at_pictures(self) -> None:
        """The same for every show on air: a lost message of the engine costs the rest between two looks, no more."""
        if self._engine.capabilities.tells_itself:
            return
        for show_id in await self._shows.live_ids():
            await self.picture_is(show_id, await self._engine.state(Channel(show_id, "")))

    async def picture_changed(self, show_id: str, picture: Picture) -> None:
        """The picture came, went or came back."""
        await self._bus.publish(show_id, "picture.changed", PictureChanged(picture))

    # ---- the bag -------------------------------------------------------------------------------

    async def add_to_cart(
        self, show_id: str, person: str, sku: str, qty: int, *, op: str, work: Work | None = None
    ) -> Cart:
        """Hold `qty` more of a piece whose drop is open. The same `op` again is the same hold.

        Raises: NotFound, NotLive, WrongState (its card was withdrawn), NotOpen, Closed, InLine, WorkNeeded, SoldOut,
        OverLimit, Invalid, StoreDown.
        """
        for _ in range(STALE_TRIES):
            programme, picture = await asyncio.gather(self._programmes.of(show_id), self._media.picture(show_id))
            now_ms = self._clock.now_ms()
            look = programme.buyable(sku, now_ms)
            if look.work_bits and not look.hot:  # of a hot one the work was done for the place
                await self._drops.worked(show_id, look, person, work, op=op)
            try:
                cart, moved = await self._carts.add(
                    show_id,
                    person,
                    sku,
                    qty,
                    op=op,
                    look=look.id,
                    at_ms=media_at(picture, now_ms),
                    ttl_s=programme.show.hold_ttl_s,
                    limit=programme.show.max_per_buyer,
                    terms=programme.terms(look, sku),
                )
            except Stale:
                continue
            await self._cart_moved(show_id, person, cart, moved)
            return cart
        raise Overloaded()

    async def remove_from_cart(self, show_id: str, person: str, sku: str, *, op: str) -> Cart:
        """Give a line back to stock; possible whatever became of the show. Raises: Invalid, StoreDown."""
        cart, moved = await self._carts.remove(show_id, person, sku, op=op)
        await self._cart_moved(show_id, person, cart, await self._offered(show_id, moved))
        return cart

    async def wait(self, show_id: str, person: str, sku: str) -> Cart:
        """Wait for a piece whose card is out and which is sold out; her place is kept when she asks again.

        Raises: NotFound, NotLive, WrongState (its card was withdrawn), NotOpen, Closed, InLine (of a hot drop),
        StillLeft, OverLimit, Invalid, StoreDown.
        """
        for _ in range(STALE_TRIES):
            programme = await self._programmes.of(show_id)
            look = programme.buyable(sku, self._clock.now_ms())
            if look.hot:
                raise InLine(look.id)  # its line is its waiting list: another would be a way around it
            try:
                cart = await self._carts.wait(show_id, person, sku, terms=programme.terms(look, sku))
            except Stale:
                continue
            await self._bus.tell(show_id, person, "cart.changed", CartChanged(cart))
            return cart
        raise Overloaded()

    async def unwait(self, show_id: str, person: str, sku: str) -> Cart:
        """Wait no longer; possible whatever became of the show. Raises: Invalid, StoreDown."""
        cart = await self._carts.unwait(show_id, person, sku)
        await self._bus.tell(show_id, person, "cart.changed", CartChanged(cart))
        return cart

    async def _offered(self, show_id: str, came_back: dict[str, Level]) -> dict[str, Level]:
        """Units that came back go to those who wait, before anyone is told of them: the levels that are left to tell.

        Nothing is offered of a look that was withdrawn or closed, nor after the show: nobody could be there to take it.
        Nor past the line of a hot drop: who waited before it was armed waits until it is closed.
        """
        levels = dict(came_back)
        programme: Programme | None = None
        for sku in await self._carts.waitlist.waited_for(show_id, [s for s, level in levels.items() if level.left > 0]):
            programme = programme or await self._programmes.of(show_id)
            try:
                look = programme.buyable(sku, self._clock.now_ms())
                if look.hot:
                    continue
                at_ms, limit, terms = (
                    await self._media_now(show_id),
                    programme.show.max_per_buyer,
                    programme.terms(look, sku),
                )
                while levels[sku].left > 0:
                    made = await self._carts.offer(show_id, sku, look=look.id, at_ms=at_ms, limit=limit, terms=terms)
                    if made is None:
                        break
                    person, level = made
                    levels[sku] = level or levels[sku]
                    await self._tell_owner(show_id, person)  # also who was passed over: she waits no longer
            except (NotFound, WrongState, Stale):
                continue  # the worker's next round reads the stage anew
        return levels

    async def offer_due(self, show_id: str) -> int:
        """What is left of pieces that somebody waits for is offered, whichever way it came back. Answers how many SKUs
        moved."""
        waited = await self._carts.waitlist.waited_for(show_id)
        before = await self._gate.levels(show_id, waited) if waited else {}
        after = await self._offered(show_id, before)
        moved = {sku: level for sku, level in after.items() if level != before[sku]}
        await self._stock_moved(show_id, moved)
        return len(moved)

    async def name_person(self, session_id: str, name: str) -> str:
        """Take a nickname outside of any room; answers it as it will be shown. What a room on air doesn't let people
        say can't be a name either. Raises: chat's Invalid and Blocked, StoreDown."""
        shown = display_name(name)
        if has_link(shown):
            raise Blocked("link")
        crew: list[str] = []
        for show_id in await self._shows.live_ids():
            ban = RoomTerms((await self._archive.load(show_id, self._clock.now_ms())).terms).look(shown)
            if ban.blocked or ban.held:
                raise Blocked("term")
            names: Any = await self._redis.hvals(chat_keys.crew(show_id))
            crew += [other.decode() for other in names] + await self._archive.crew(show_id)
        if imitates(shown, crew):
            raise Blocked("name")
        await self._sessions.rename(session_id, shown)
        return shown

    # ---- money ---------------------------------------------------------------------------------

    async def quote(
        self, show_id: str, person: str, country: str, area: str, wishes: Wishes, *, email: str = ""
    ) -> Quote:
        """What the bag costs to where it goes. Raises: EmptyBag, Invalid, CodeRefused, NotFound, StoreDown."""
        return await self._quotes.of_bag(show_id, person, country, area, wishes, email)

    async def place(
        self,
        show_id: str,
        person: str,
        contact: Contact,
        *,
        idempotency_key: str,
        wishes: Wishes = NO_WISHES,
        method: str = "",
        saver: str = "",
    ) -> Placed:
        """Turn the bag into an order that waits for its payment, and tell the buyer's other tabs.

        Raises: EmptyBag, HoldLapsed, PriceChanged, TotalChanged, CodeRefused, IdempotencyMismatch, StoreDown.
        """
        try:
            placed = await self._checkout.place(
                show_id, person, contact, idempotency_key=idempotency_key, wishes=wishes, method=method, saver=saver
            )
        except (HoldLapsed, PriceChanged, TotalChanged):
            await self._tell_cart(show_id, person)  # the bag is not what the page thinks it is
            raise
        await self._tell_cart(show_id, person)
        return placed

    async def settle(self, payment_ref: str) -> Settled | None:
        """Bring an order to where its payment is, and tell whom it concerns. Any number of times."""
        settled = await self._checkout.settle(payment_ref)
        if settled is not None and settled.changed:
            await self.announce(settled)
        return settled

    async def order(self, token: str) -> Order:
        """The order that a link opens. One that has been pending for a while is settled by its buyer's own look, at
        most once a second, so that a paid order is seen as paid also where no worker runs. Raises: NotFound.

        Fails open: when the provider or Redis does not answer, the order is shown as it stands.
        """
        order = await self._orders.by_token(token)
        if order.status != "pending" or self._clock.now_ms() - order.created_ms < LOOK_AFTER_MS:
            return order
        try:
            mine = await self._redis.set(keys.lock(f"settle:{order.id}"), b"1", nx=True, px=LOOK_EVERY_MS)
            settled = await self.settle(order.payment_ref) if mine and order.payment_ref else None
        except (RedisError, OSError, Error) as error:
            log.warning("order.unsettled", order=order.id, error=type(error).__name__)
            return order
        return await self._orders.by_token(token) if settled and settled.changed else order

    async def settle_due(self) -> int:
        """Settle what web processes left pending, and give up what nobody pays; answers how many orders moved. The
        worker calls it."""
        due = await self._checkout.settle_due()
        for settled in due:
            await self.announce(settled)
        return len(due)

    async def announce(self, settled: Settled) -> None:
        """Tell of an order that moved: its buyer, and everyone when stock did. The order stands whether or not
        anybody could be told: Redis may be what is down."""
        try:
            await self._stock_moved(settled.show_id, await self._offered(settled.show_id, settled.moved))
            changed = OrderChanged(settled.order_id, settled.number, settled.status, settled.token, settled.total)
            await self._bus.tell(settled.show_id, settled.cart, "order.changed", changed)
            await self._tell_cart(settled.show_id, settled.cart)
            if settled.status == "paid":
                await self._bus.badged(settled.show_id, settled.cart, "buyer")
        except (RedisError, OSError, Error) as error:
            log.warning("order.untold", order=settled.order_id, error=type(error).__name__)

    async def lapse(self) -> int:
        """Return the holds that ran out, everywhere; tell their owners and everyone of the stock. Answers how many.

        The worker calls it every second (invariant I6).
        """
        count = 0
        for show_id in await self._gate.shows_open():
            lapsed = await self._gate.lapse(show_id)
            levels: dict[str, Level] = {}
            for hold in lapsed:
                if hold.sku not in levels or levels[hold.sku].rev < hold.level.rev:
                    levels[hold.sku] = hold.level
            await self._stock_moved(show_id, await self._offered(show_id, levels))
            for cart in dict.fromkeys(hold.cart for hold in lapsed):
                await self._tell_owner(show_id, cart)
            await self.offer_due(show_id)
            # Whose teller died between the act and the telling.
            for cart, _ in await self._gate.untold(show_id, before_ms=self._clock.now_ms() - UNTOLD_MS):
                await self._tell_owner(show_id, cart)
            count += len(lapsed)
        return count

    async def adjust_stock(self, sku: str, change: int, *, op: str, by: str) -> Adjusted:
        """Change what is on hand, once an `op`; pages of shows on air hear at once. Raises: NotFound, Conflict."""
        adjusted = await self._adjustments.adjust(sku, change, op=op, by=by)
        for show_id in set(adjusted.shows) & set(await self._gate.shows_open()):
            if await self._gate.reconcile(show_id):
                await self.stock_rebuilt(show_id)
        return adjusted

    async def stock_rebuilt(self, show_id: str) -> None:
        """A lost gate was made again: everyone's figures are new. SKUs of looks that wait stay unsaid."""
        programme = await self._programmes.of(show_id)
        await self._stock_moved(show_id, await self._gate.levels(show_id, programme.shown_skus()))

    async def cards_changed(self, show_id: str, look_ids: Collection[str]) -> None:
        """Pieces of these looks have other words, pictures or prices: every page shows its cards as they are now, and
        hosts their run of show. What waits stays unsaid. Raises: NotFound, Overloaded."""
        async with self._in_turn(show_id):
            await self._programmes.changed(show_id)
            programme = await self._programmes.of(show_id)
            for look in programme.runsheet.out:
                if look.id in look_ids:
                    stock = await self._gate.levels(show_id, programme.skus(look.id))
                    await self._bus.publish(show_id, "card.changed", CardChanged(programme.card(look.id), stock))
        await self._tell_hosts(show_id, programme)

    # ---- figures for the host ------------------------------------------------------------------

    async def viewers(self, show_id: str) -> int:
        """People watching, over all processes."""
        return await self._bus.history.viewers(show_id)

    async def tally(self, show_id: str) -> Tally:
        """The host's figures now."""
        viewers, held, sold = await asyncio.gather(
            self._bus.history.viewers(show_id), self._gate.held(show_id), self._orders.tally(show_id)
        )
        return Tally(viewers=viewers, held=held, orders=sold.orders, revenue=sold.revenue)

    async def run(self) -> None:
        """Once a second: read the picture's clock of each show on air, and tell hosts their figures when they moved.
        Owned by the web process's lifespan."""
        while True:
            await asyncio.sleep(TALLY_EVERY_MS / 1000)
            try:
                on_air = await self._shows.live_ids()
                self._pictures = {show_id: await self._media.picture(show_id) for show_id in on_air}
                for show_id in on_air:
                    await self.tell_tally(show_id)
            except (RedisError, OSError, Error, RoomError) as error:
                # Fails open: figures stand still while a store is away.
                log.warning("tally.untold", error=type(error).__name__)

    async def tell_tally(self, show_id: str) -> None:
        """Tell the hosts of one show, unless another process did within the second or nothing moved."""
        # Every process ticks; the lock lets one of them speak, and it goes away by itself.
        mine = await self._redis.set(keys.lock(f"tally:{show_id}"), b"1", nx=True, px=TALLY_EVERY_MS - 100)
        if not mine:
            return
        tally = await self.tally(show_id)
        if self._told.get(show_id) != tally:
            self._told[show_id] = tally
            await self._bus.tell_role(show_id, "host", "tally.changed", TallyChanged(tally))

    # ---- telling -------------------------------------------------------------------------------

    async def _stock_moved(self, show_id: str, levels: dict[str, Level]) -> None:
        if levels:
            await self._bus.publish(show_id, "stock.changed", StockChanged(levels))

    async def _cart_moved(self, show_id: str, person: str, cart: Cart, moved: dict[str, Level]) -> None:
        """Tell of a bag that changed. Should that fail, the buyer hears store_down; the same `op` is the same hold."""
        await asyncio.gather(
            self._stock_moved(show_id, moved),
            self._bus.tell(show_id, person, "cart.changed", CartChanged(cart)),
        )

    async def _tell_cart(self, show_id: str, person: str) -> None:
        await self._bus.tell(show_id, person, "cart.changed", CartChanged(await self._carts.view(show_id, person)))

    async def _tell_owner(self, show_id: str, person: str) -> None:
        """As `_tell_cart`, of what the shop itself did: a lapse, an offer. Only who was told is struck off the list."""
        up_to_ms = self._clock.now_ms()
        await self._tell_cart(show_id, person)
        await self._gate.told(show_id, person, up_to_ms)

    async def _tell_hosts(self, show_id: str, programme: Programme) -> None:
        await self._bus.tell_role(show_id, "host", "runsheet.changed", RunsheetChanged(programme.rows))

    @asynccontextmanager
    async def _in_turn(self, show_id: str) -> AsyncIterator[None]:
        """One act of the stage at a time, over all processes: what is told must have the order of what was done, or a
        page that heard of two drops pins another card than one that joins. Raises: Overloaded."""
        lock = self._redis.lock(
            keys.lock(f"stage:{show_id}"), timeout=TURN_S, blocking_timeout=TURN_S, sleep=0.02, thread_local=False
        )
        if not await lock.acquire():
            raise Overloaded()
        try:
            yield
        finally:
            try:
                await lock.release()
            except LockError:
                log.warning("stage.turn_overran", show=show_id)

    async def _media_now(self, show_id: str) -> int:
        return media_at(await self._media.picture(show_id), self._clock.now_ms())


def _card_as_dropped(programme: Programme, look: runsheet.Look) -> Card:
    """The card of this very drop: the programme may have moved on by now (another host withdrew it)."""
    assert look.at_ms is not None, "the drop was committed with its media time"
    assert look.dropped_ms is not None, "and its server time"
    pieces = programme.pieces.get(look.id, [])
    return Card(look.id, look.number, look.title, pieces, look.at_ms, look.dropped_ms, look.drop)


async def _nothing() -> None:
    return None
