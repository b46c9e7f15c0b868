"""The queue through the desk, on two processes: who is offered what came back hears of it, the others don't."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from house import House

from live.clock import SetClock
from live.desk.wiring import Services
from live.errors import SoldOut, StillLeft
from live.events import CartChanged, Level, StockChanged
from live.shop.waitlist import OFFER_TTL_S

Two = tuple[Services, Services]
UNITS = 5


async def levels_told(s: Services, show: str, sku: str) -> list[Level]:
    """What everyone was told of the SKU's stock, in the order in which it was told: of two processes either may be
    first, and a page shows the highest rev."""
    epoch, _ = await s.bus.history.position(show)
    log = await s.bus.history.since(show, epoch, 0) or []
    told = []
    for envelope in log:
        if envelope.kind == "stock.changed":
            stock = msgspec.json.decode(msgspec.json.encode(envelope.body), type=StockChanged).stock
            told += [stock[sku]] if sku in stock else []
    return told


async def bags_told(s: Services, person: str) -> list[CartChanged]:
    """Collects what a person's pages are told from now on."""
    told: list[CartChanged] = []
    tell = s.bus.tell

    async def hear(room: str, who: str, kind: str, body: object) -> None:
        if who == person and isinstance(body, CartChanged):
            told.append(body)
        await tell(room, who, kind, body)

    s.bus.tell = hear  # type: ignore[method-assign]
    return told


@pytest.fixture
async def sold_out(two: Two, house: House) -> House:
    """Five people hold the five S of look 1; Vera, then Wim, wait."""
    one, other = two
    await one.desk.open_show(house.show.id, "host")
    await one.desk.drop(house.show.id, house.looks[0], "host")
    with pytest.raises(StillLeft):
        await one.desk.wait(house.show.id, "per_vera", "L1-S")
    for n in range(UNITS):
        await one.desk.add_to_cart(house.show.id, f"per_{n}", "L1-S", 1, op=str(n))
    await one.desk.wait(house.show.id, "per_vera", "L1-S")
    waiting = await other.desk.wait(house.show.id, "per_wim", "L1-S")
    assert [(wait.sku, wait.ahead) for wait in waiting.waits] == [("L1-S", 1)]
    return house


async def test_what_one_gives_back_is_the_first_ones_before_anybody_else_hears_of_it(two: Two, sold_out: House):
    one, other = two
    show, before = sold_out.show.id, len(await levels_told(one, sold_out.show.id, "L1-S"))
    told = await bags_told(other, "per_vera")
    await other.desk.remove_from_cart(show, "per_0", "L1-S", op="r")
    [bag] = [changed.cart for changed in told]
    assert [(line.sku, line.state) for line in bag.lines] == [("L1-S", "held")]
    assert bag.waits == []
    assert {level.left for level in (await levels_told(one, show, "L1-S"))[before:]} <= {0}
    with pytest.raises(SoldOut):
        await one.desk.add_to_cart(show, "per_x", "L1-S", 1, op="x")


async def test_the_worker_passes_on_what_lapses_from_one_to_the_next(two: Two, sold_out: House, clock: SetClock):
    one, other = two
    show = sold_out.show.id
    clock.advance(301_000)
    # Two workers at once: each unit is offered once.
    await asyncio.gather(one.desk.lapse(), other.desk.lapse())
    await one.desk.lapse()
    for person in ("per_vera", "per_wim"):
        [line] = (await one.carts.view(show, person)).lines
        assert (line.state, line.qty) == ("held", 1)
    assert (await one.gate.levels(show, ["L1-S"]))["L1-S"].left == UNITS - 2
    shown = max(await levels_told(one, show, "L1-S"), key=lambda level: level.rev)
    assert shown.left == UNITS - 2
    clock.advance((OFFER_TTL_S + 1) * 1000)
    await other.desk.lapse()
    assert (await one.gate.levels(show, ["L1-S"]))["L1-S"].left == UNITS


async def test_units_that_staff_add_go_to_those_who_wait_first(two: Two, sold_out: House):
    one, _ = two
    show = sold_out.show.id
    await one.desk.adjust_stock("L1-S", 1, op="till-1", by="till")
    await one.desk.lapse()  # the worker's next round
    assert [line.sku for line in (await one.carts.view(show, "per_vera")).lines] == ["L1-S"]
    assert (await one.gate.levels(show, ["L1-S"]))["L1-S"].left == 0


async def test_nothing_is_offered_of_a_look_that_was_withdrawn(two: Two, sold_out: House):
    one, _ = two
    show = sold_out.show.id
    await one.desk.withdraw(show, sold_out.looks[0], "host")
    await one.desk.remove_from_cart(show, "per_0", "L1-S", op="r")
    await one.desk.lapse()
    assert (await one.carts.view(show, "per_vera")).lines == []
    await one.desk.drop(show, sold_out.looks[0], "host")
    await one.desk.lapse()
    assert [line.sku for line in (await one.carts.view(show, "per_vera")).lines] == ["L1-S"]


async def test_who_has_all_she_may_is_passed_over_and_told(two: Two, sold_out: House):
    one, other = two
    show = sold_out.show.id
    limit = sold_out.show.max_per_buyer
    await one.desk.unwait(show, "per_vera", "L1-S")
    await one.desk.remove_from_cart(show, "per_0", "L1-S", op="r")  # Wim's now
    for n in (1, 2, 3):
        await one.desk.wait(show, "per_wim", "L1-S")
        await one.desk.remove_from_cart(show, f"per_{n}", "L1-S", op=f"r{n}")
    assert [line.qty for line in (await one.carts.view(show, "per_wim")).lines] == [limit]
    await one.desk.wait(show, "per_wim", "L1-S")
    told = await bags_told(other, "per_wim")
    await other.desk.remove_from_cart(show, "per_4", "L1-S", op="r4")
    assert [changed.cart.waits for changed in told] == [[]]
    assert (await one.gate.levels(show, ["L1-S"]))["L1-S"].left == 1


@pytest.mark.parametrize("dies_at", ["before the offer", "before the telling"])
async def test_a_worker_that_dies_on_the_way_leaves_the_offer_to_be_made_once_and_told(
    two: Two, sold_out: House, clock: SetClock, dies_at: str, monkeypatch: pytest.MonkeyPatch
):
    one, other = two
    show = sold_out.show.id
    clock.advance(301_000)

    async def dies(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(one.desk, "_offered" if dies_at == "before the offer" else "_tell_owner", dies)
    with pytest.raises(asyncio.CancelledError):
        await one.desk.lapse()
    told = await bags_told(other, "per_vera")
    clock.advance(1_000)
    await other.desk.lapse()
    await other.desk.lapse()
    for person in ("per_vera", "per_wim"):
        [line] = (await one.carts.view(show, person)).lines
        assert (line.state, line.qty) == ("held", 1)
    assert told, "she hears of it from the next worker"
    assert told[-1].cart.waits == []
    assert (await one.gate.levels(show, ["L1-S"]))["L1-S"].left == UNITS - 2
    assert await other.gate.untold(show, before_ms=clock.now_ms() + 1) == []
