"""The desk's ear in the room: each intent of live.events.INTENTS, its least role, and what the desk does of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from chat.hub import Hub
from chat.intent import Intent
from live.accounts.throttle import Throttle
from live.desk.control import Desk
from live.desk.drops import DropDesk
from live.desk.pace import pace
from live.desk.play import PlayDesk
from live.events import (
    INTENTS,
    PLAY_INTENTS,
    CartAdd,
    CartRemove,
    DropIntent,
    LookIntent,
    LookRule,
    PlaceIntent,
    PlaceTake,
    WaitIntent,
    WorkAsk,
)
from live.stage.runsheet import Times


def attend(hub: Hub, desk: Desk, drops: DropDesk, play: PlayDesk, throttle: Throttle) -> None:
    """Take the intents from the room's sockets. The games' are taken by live.desk.play."""
    ear = _Ear(desk, drops, throttle)
    acts: dict[str, Callable[[Intent], Awaitable[object]]] = {
        "cart.add": ear.cart_add,
        "cart.remove": ear.cart_remove,
        "wait.join": ear.wait_join,
        "wait.leave": ear.wait_leave,
        "place.take": ear.place_take,
        "place.leave": ear.place_leave,
        "place.ask": ear.place_ask,
        "work.ask": ear.work_ask,
        "card.drop": ear.drop,
        "card.close": ear.close,
        "look.rule": ear.rule,
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

    def __init__(self, desk: Desk, drops: DropDesk, throttle: Throttle) -> None:
        self._desk = desk
        self._drops = drops
        self._throttle = throttle

    async def cart_add(self, intent: Intent) -> object:
        ask = intent.read(CartAdd)
        await self._pace(intent)
        person = intent.member.person
        cart = await self._desk.add_to_cart(intent.room, person, ask.sku, ask.qty, op=intent.op, work=ask.work)
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

    async def place_take(self, intent: Intent) -> object:
        ask = intent.read(PlaceTake)
        await self._pace(intent)
        return {"place": await self._drops.take(intent.room, intent.member, ask.look, ask.work, op=intent.op)}

    async def place_leave(self, intent: Intent) -> object:
        ask = intent.read(PlaceIntent)
        await self._pace(intent)
        return {"place": await self._drops.leave(intent.room, intent.member.person, ask.look)}

    async def place_ask(self, intent: Intent) -> object:
        ask = intent.read(PlaceIntent)
        await self._pace(intent)
        return {"place": await self._drops.ask(intent.room, intent.member.person, ask.look)}

    async def work_ask(self, intent: Intent) -> object:
        ask = intent.read(WorkAsk)
        await self._pace(intent)
        return await self._drops.challenge(intent.room, intent.member.person, ask.look)

    async def drop(self, intent: Intent) -> object:
        ask = intent.read(DropIntent)
        times = Times(ask.in_s, ask.for_s)
        return {"look": await self._desk.drop(intent.room, ask.look, intent.member.person, times=times)}

    async def close(self, intent: Intent) -> object:
        return {"look": await self._desk.close_drop(intent.room, intent.read(LookIntent).look, intent.member.person)}

    async def rule(self, intent: Intent) -> object:
        ask = intent.read(LookRule)
        ruled = await self._desk.rule_look(intent.room, ask.look, limit=ask.limit, hot=ask.hot, work_bits=ask.work_bits)
        return {"look": ruled}

    async def withdraw(self, intent: Intent) -> object:
        return {"look": await self._desk.withdraw(intent.room, intent.read(LookIntent).look, intent.member.person)}

    async def next_look(self, intent: Intent) -> object:
        return {"look": await self._desk.next_look(intent.room, intent.member.person)}

    async def open_show(self, intent: Intent) -> object:
        return {"show": await self._desk.open_show(intent.room, intent.member.person)}

    async def end_show(self, intent: Intent) -> object:
        return {"show": await self._desk.end_show(intent.room, intent.member.person)}

    async def _pace(self, intent: Intent) -> None:
        await pace(self._throttle, intent.member.person, intent.member.device)
