"""The order desk: what staff do with an order, and who must hear of it. Units that are for sale again show on every
page at once; an order that nobody paid yet is given up by the provider's word, as its buyer would."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from redis.exceptions import RedisError

from live.desk.control import Desk
from live.errors import Conflict, Error, IdempotencyMismatch
from live.shop.after_sale import AfterSale, By
from live.shop.checkout import Checkout
from live.shop.order_acts import Parcel
from live.shop.order_list import OrderList
from live.shop.order_sheet import Moved
from live.shop.stock import StockGate

log = structlog.get_logger()

GIVEN_UP = "Given up before it was paid."


class OrderDesk:
    """Acts on orders, by their ids. Whoever calls has looked the order up within what its doer may see."""

    def __init__(
        self, after_sale: AfterSale, order_list: OrderList, checkout: Checkout, gate: StockGate, desk: Desk
    ) -> None:
        self.after_sale = after_sale
        self._list = order_list
        self._checkout = checkout
        self._gate = gate
        self._desk = desk

    async def fulfil(self, order: str, by: By, parcel: Parcel) -> Moved:
        """See AfterSale."""
        return await self.after_sale.fulfil(order, by, parcel)

    async def unfulfil(self, order: str, by: By, shipment: str) -> Moved:
        """See AfterSale."""
        return await self.after_sale.unfulfil(order, by, shipment)

    async def take_back(
        self, order: str, by: By, back: Mapping[str, int], restock: Mapping[str, int], refund_minor: int | None
    ) -> Moved:
        """See AfterSale; what can be sold again is on the cards at once."""
        return await self._restocked(await self.after_sale.take_back(order, by, back, restock, refund_minor))

    async def cancel(self, order: str, by: By, wanted: Mapping[str, int] | None = None, note: str = "") -> Moved:
        """See AfterSale. An order that waits for its payment is given up whole: the provider's answer decides, so one
        that was paid this very moment is sold, and its canceller is told so."""
        pending = await self._list.pending_payment(order)
        if pending is None:
            try:
                return await self._restocked(await self.after_sale.cancel(order, by, wanted, note))
            except IdempotencyMismatch:
                # Given up by this very act, sent again: what stands by its name is the note. Raises where it is not.
                return await self.after_sale.note(order, by, note or GIVEN_UP)
        settled = await self._checkout.cancel(pending)
        if settled is None or settled.status != "cancelled":
            # Nothing is cancelled behind the back of a buyer who has just paid: look at it again, then decide.
            raise Conflict("order_moved", kind="order.paid", actor="")
        if settled.changed:
            await self._desk.announce(settled)
        await self.after_sale.note(order, by, note or GIVEN_UP)
        return Moved(order, settled.show_id, settled.cart, changed=settled.changed)

    async def refund(
        self, order: str, by: By, amount_minor: int | None, wanted: Mapping[str, int] | None, note: str = ""
    ) -> Moved:
        """See AfterSale."""
        return await self.after_sale.refund(order, by, amount_minor, wanted, note)

    async def send_again(self, order: str, by: By, refund: str) -> Moved:
        """See AfterSale."""
        return await self.after_sale.send_again(order, by, refund)

    async def note(self, order: str, by: By, text: str) -> Moved:
        """See AfterSale."""
        return await self.after_sale.note(order, by, text)

    async def _restocked(self, moved: Moved) -> Moved:
        """The gate and every open page learn what SQL has. It is a fact there: with Redis away the worker's reconcile
        brings it within ten seconds of its return."""
        if not (moved.changed and moved.restocked):
            return moved
        try:
            open_shows = set(await self._gate.shows_open())
            for show_id in sorted(open_shows & set(await self._list.shows_of(moved.restocked))):
                # In the show where she bought them they count no more against her limits.
                if await self._gate.reconcile(show_id, owners=show_id == moved.show):
                    await self._desk.stock_rebuilt(show_id)
        except (RedisError, OSError, Error) as error:
            log.warning("restock.untold", order=moved.order, error=type(error).__name__)
        return moved
