"""The desk's ear in the room: each intent of live.events.INTENTS, its least role, and what the desk does of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from chat.hub import Hub
from chat.intent import Intent
from live.accounts.throttle import Throttle
from live.desk.control import Desk
from live.desk.play import PlayDesk
from live.errors import Throttled
from live.events import INTENTS, PLAY_INTENTS, CartAdd, CartRemove, LookIntent, WaitIntent

CART_ACTS, CART_WINDOW_S = 40, 60  # of one person, over all her tabs: each is an event for everyone in the show


def attend(hub: Hub, desk: Desk, play: PlayDesk, throttle: Throttle) -> None:
    """Take the intents from the room's sockets. The games' are taken by live.desk.play."""
    ear = _Ear(desk, throttle)
    acts: dict[str, Callable[[Intent], Awaitable[object]]] = {
        "cart.add": ear.cart_add,
        "cart.remove": ear.cart_remove,
        "wait.join": ear.wait_join,
        "wait.leave": ear.wait_leave,
        "card.drop": ear.drop,
        "card.withdraw": ear.withdraw,
        "look.next": ear.next_look,
        "show.open": ear.open_show,
        "show.end": ear.end_show,
    }
    mine = INTENTS.keys() - PLAY_INTENTS.keys()
    assert acts.keys() == mine, "every intent of the catalogue has its handler, and no other"
    for kind, handler in acts.items():
        hub.on(kind, handler, role=INTENTS[kind][1])
    play.register(hub)


class _Ear:
    """Reads an intent's body and says what came of it."""

    def __init__(self, desk: Desk, throttle: Throttle) -> None:
        self._desk = desk
        self._throttle = throttle

    async def cart_add(self, intent: Intent) -> object:
        ask = intent.read(CartAdd)
        await self._pace(intent)
        cart = await self._desk.add_to_cart(intent.room, intent.member.person, ask.sku, ask.qty, op=intent.op)
        return {"cart": cart}

    async def cart_remove(self, intent: Intent) -> object:
        ask = intent.read(CartRemove)
        await self._pace(intent)
        return {"cart": await self._desk.remove_from_cart(intent.room, intent.member.person, ask.sku, op=intent.op)}

    async def wait_join(self, intent: Intent) -> object:
        ask = intent.read(WaitIntent)
        await self._pace(intent)
        return {"cart": await self._desk.wait(intent.room, intent.member.person, ask.sku)}

    async def wait_leave(self, intent: Intent) -> object:
        ask = intent.read(WaitIntent)
        await self._pace(intent)
        return {"cart": await self._desk.unwait(intent.room, intent.member.person, ask.sku)}

    async def drop(self, intent: Intent) -> object:
        return {"look": await self._desk.drop(intent.room, intent.read(LookIntent).look, intent.member.person)}

    async def withdraw(self, intent: Intent) -> object:
        return {"look": await self._desk.withdraw(intent.room, intent.read(LookIntent).look, intent.member.person)}

    async def next_look(self, intent: Intent) -> object:
        return {"look": await self._desk.next_look(intent.room, intent.member.person)}

    async def open_show(self, intent: Intent) -> object:
        return {"show": await self._desk.open_show(intent.room, intent.member.person)}

    async def end_show(self, intent: Intent) -> object:
        return {"show": await self._desk.end_show(intent.room, intent.member.person)}

    async def _pace(self, intent: Intent) -> None:
        """One person holding and giving back without end would be hundreds of events a second for everyone.

        Fails open: the stock's own limits stay."""
        wait_s = await self._throttle.hit("cart", intent.member.person, limit=CART_ACTS, window_s=CART_WINDOW_S)
        if wait_s:
            raise Throttled(wait_s)
