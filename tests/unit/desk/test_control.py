"""The desk on two processes: what one does holds at once for the other, and everyone hears of it in order."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from house import CONTACT, House

from chat.envelope import Envelope
from chat.ports import Member
from live.clock import SetClock
from live.desk.wiring import Services
from live.errors import Error, HoldLapsed, NotFound, NotLive, StoreDown, WrongState
from live.events import Card, CardDropped, CartChanged, OrderChanged, StockChanged
from live.shop.contact import Address, Contact
from live.store import keys

Two = tuple[Services, Services]
VIEWER = Member("per_v", "Vera", frozenset({"viewer"}), "dev_v", "ses_v")
HOST = Member("per_h", "Hanna", frozenset({"viewer", "moderator", "host"}), "dev_h", "ses_h")
BUYER = Contact(CONTACT["name"], CONTACT["email"], Address(**CONTACT["address"]))


async def log_of(s: Services, show_id: str) -> list[Envelope]:
    epoch, _ = await s.bus.history.position(show_id)
    return await s.bus.history.since(show_id, epoch, 0) or []


class Ears:
    """Hears what the desk tells persons and roles, in the bus's place of a page."""

    def __init__(self, s: Services) -> None:
        self.told: list[tuple[str, str, object]] = []
        tell, tell_role = s.bus.tell, s.bus.tell_role

        async def hear(room: str, person: str, kind: str, body: object) -> None:
            self.told.append((person, kind, body))
            await tell(room, person, kind, body)

        async def hear_role(room: str, role: str, kind: str, body: object) -> None:
            self.told.append((role, kind, body))
            await tell_role(room, role, kind, body)

        s.bus.tell, s.bus.tell_role = hear, hear_role  # type: ignore[method-assign]

    def last(self, kind: str) -> tuple[str, object]:
        return next((who, body) for who, said, body in reversed(self.told) if said == kind)


async def test_what_one_process_drops_can_be_held_through_the_other_in_the_same_instant(two: Two, house: House):
    one, other = two
    await one.desk.open_show(house.show.id, "host")
    with pytest.raises(NotFound):  # and the other has read the programme by now
        await other.desk.add_to_cart(house.show.id, "per_v", "L1-S", 1, op="1")
    await one.desk.drop(house.show.id, house.looks[0], "host")
    cart = await other.desk.add_to_cart(house.show.id, "per_v", "L1-S", 1, op="2")
    assert [line.sku for line in cart.lines] == ["L1-S"]
    await one.desk.withdraw(house.show.id, house.looks[0], "host")
    with pytest.raises(WrongState):
        await other.desk.add_to_cart(house.show.id, "per_v", "L1-S", 1, op="3")
    await one.desk.end_show(house.show.id, "host")
    with pytest.raises(NotLive):
        await other.desk.add_to_cart(house.show.id, "per_v", "L1-S", 1, op="4")


async def test_one_taps_name_on_another_piece_tells_nobody_a_wrong_stock(two: Two, house: House):
    one, _ = two
    await one.desk.open_show(house.show.id, "host")
    await one.desk.drop(house.show.id, house.looks[0], "host")
    await one.desk.add_to_cart(house.show.id, "per_v", "L1-S", 4, op="tap")
    await one.desk.add_to_cart(house.show.id, "per_v", "L1-M", 1, op="tap")
    await one.desk.remove_from_cart(house.show.id, "per_v", "L1-S", op="tap")
    stock: dict[str, int] = {}
    for event in await log_of(one, house.show.id):
        if event.kind == "stock.changed":
            stock |= {sku: level["left"] for sku, level in msgspec.json.decode(event.body)["stock"].items()}
    assert stock == {"L1-S": 5, "L1-M": 4}
    assert {sku: level.left for sku, level in (await one.gate.levels(house.show.id, list(stock))).items()} == stock


async def test_giving_back_what_one_does_not_have_is_told_to_nobody(two: Two, house: House):
    one, _ = two
    await one.desk.open_show(house.show.id, "host")
    for sku in ("L2-S", "L1-S", "a made-up name"):  # L2 is still to come: its stock is nobody's business
        cart = await one.desk.remove_from_cart(house.show.id, "per_v", sku, op=f"op {sku}")
        assert cart.lines == []
    assert [event.kind for event in await log_of(one, house.show.id)] == ["show.opened"]


async def test_acts_of_two_hosts_on_two_processes_are_told_in_the_order_they_were_done(two: Two, house: House):
    one, other = two
    await one.desk.open_show(house.show.id, "host")
    acts = [(desk, look) for look in house.looks for desk in (one.desk, other.desk)]
    results = await asyncio.gather(
        *(desk.drop(house.show.id, look, "host") for desk, look in acts), return_exceptions=True
    )
    assert sum(isinstance(result, WrongState) for result in results) == 3
    dropped = [envelope for envelope in await log_of(one, house.show.id) if envelope.kind == "card.dropped"]
    assert len(dropped) == 3
    snapshot = await other.desk.snapshot(house.show.id, VIEWER)
    last = _body(dropped[-1], CardDropped)
    assert snapshot.pinned == last.card.look
    assert snapshot.cards == [_body(envelope, CardDropped).card for envelope in dropped]


async def test_a_drop_carries_the_media_time_of_its_moment(two: Two, house: House, clock: SetClock):
    one, _ = two
    await one.desk.open_show(house.show.id, "host")
    beat = {"state": "live", "media_ms": 60_000, "wall_ms": clock.now_ms()}
    await one.redis.hset(keys.media(house.show.id), mapping=beat)
    clock.advance(1_234)
    await one.desk.drop(house.show.id, house.looks[0], "host")
    envelope = (await log_of(one, house.show.id))[-1]
    assert envelope.at == 61_234
    assert _body(envelope, CardDropped).card.at == 61_234
    assert [moment.at_ms for moment in await one.timeline.of(house.show.id)] == [0, 61_234]


async def test_a_show_that_opens_twice_opens_once(two: Two, house: House):
    one, other = two
    results = await asyncio.gather(
        *(s.desk.open_show(house.show.id, "host") for s in (one, other, one)), return_exceptions=True
    )
    assert sum(isinstance(result, WrongState) for result in results) == 2
    assert [envelope.kind for envelope in await log_of(one, house.show.id)] == ["show.opened"]


async def test_lapsed_holds_are_told_to_everyone_as_stock_and_to_their_owners_as_bags(
    two: Two, house: House, clock: SetClock
):
    one, _ = two
    await house.go_live(1)
    for person in ("per_a", "per_b"):
        await one.desk.add_to_cart(house.show.id, person, "L1-S", 1, op="1")
    assert await one.desk.lapse() == 0
    clock.advance(301_000)
    ears = Ears(one)
    assert await one.desk.lapse() == 2
    stock = _body((await log_of(one, house.show.id))[-1], StockChanged).stock
    assert stock["L1-S"].left == 5
    assert sorted(who for who, kind, _ in ears.told if kind == "cart.changed") == ["per_a", "per_b"]
    _, body = ears.last("cart.changed")
    assert isinstance(body, CartChanged)
    assert [line.state for line in body.cart.lines] == ["lapsed"]
    assert await one.desk.lapse() == 0


async def test_a_checkout_with_a_lapsed_hold_is_refused_and_the_bag_told_anew(two: Two, house: House, clock: SetClock):
    one, _ = two
    await house.go_live(1)
    await one.desk.add_to_cart(house.show.id, "per_a", "L1-S", 1, op="1")
    clock.advance(301_000)
    ears = Ears(one)
    with pytest.raises(HoldLapsed):
        await one.desk.place(house.show.id, "per_a", BUYER, idempotency_key="k")
    assert ears.last("cart.changed")[0] == "per_a"


async def test_a_settled_order_is_told_to_its_buyer_once_however_often_it_is_settled(two: Two, house: House):
    one, other = two
    await house.go_live(1)
    await one.desk.add_to_cart(house.show.id, "per_a", "L1-S", 2, op="1")
    placed = await one.desk.place(house.show.id, "per_a", BUYER, idempotency_key="k")
    await one.provider.choose(placed.payment_ref, "success")
    ears, others = Ears(one), Ears(other)
    await asyncio.gather(*(s.desk.settle(placed.payment_ref) for s in (one, other, one, other)))
    told = [(who, body) for who, kind, body in [*ears.told, *others.told] if kind == "order.changed"]
    assert [(who, body.status) for who, body in told if isinstance(body, OrderChanged)] == [("per_a", "paid")]
    snapshot = await other.desk.snapshot(house.show.id, VIEWER)
    assert snapshot.stock["L1-S"].left == 3


async def test_the_worker_settles_what_a_crashed_web_process_left(two: Two, house: House, clock: SetClock):
    one, other = two
    await house.go_live(1)
    await one.desk.add_to_cart(house.show.id, "per_a", "L1-S", 1, op="1")
    placed = await one.desk.place(house.show.id, "per_a", BUYER, idempotency_key="k")
    await one.provider.choose(placed.payment_ref, "success")  # and nobody hears of it
    clock.advance(10_000)
    ears = Ears(other)
    assert await other.desk.settle_due() == 1
    assert ears.last("order.changed")[0] == "per_a"
    assert await one.desk.settle_due() == 0


async def test_where_no_worker_runs_the_buyers_own_look_settles_a_paid_order(two: Two, house: House, clock: SetClock):
    one, other = two
    await house.go_live(1)
    await one.desk.add_to_cart(house.show.id, "per_a", "L1-S", 1, op="1")
    placed = await one.desk.place(house.show.id, "per_a", BUYER, idempotency_key="k")
    await one.provider.choose(placed.payment_ref, "success")
    assert (await one.desk.order(placed.token)).status == "pending", "the premise: nothing has settled it"
    clock.advance(2_000)
    ears, others = Ears(one), Ears(other)
    looks = await asyncio.gather(*(s.desk.order(placed.token) for s in (one, other, one, other)))
    assert "paid" in [order.status for order in looks], "one of them asked the provider; who read later sees it too"
    assert (await other.desk.order(placed.token)).status == "paid"
    assert [kind for _, kind, _ in [*ears.told, *others.told]].count("order.changed") == 1


async def test_a_look_at_an_order_needs_no_provider(two: Two, house: House, clock: SetClock):
    one, _ = two
    await house.go_live(1)
    await one.desk.add_to_cart(house.show.id, "per_a", "L1-S", 1, op="1")
    placed = await one.desk.place(house.show.id, "per_a", BUYER, idempotency_key="k")
    clock.advance(2_000)

    async def silent(ref: str) -> object:
        raise StoreDown("payments")

    one.provider.fetch = silent  # type: ignore[method-assign,assignment]
    assert (await one.desk.order(placed.token)).status == "pending"


async def test_a_snapshot_and_the_events_after_it_make_the_next_snapshot(two: Two, house: House):
    """The replay law, for live's part."""
    one, other = two
    await one.desk.open_show(house.show.id, "host")
    before = await one.desk.snapshot(house.show.id, VIEWER)
    _, seq = await one.bus.history.position(house.show.id)
    for act in (
        lambda: one.desk.drop(house.show.id, house.looks[1], "host"),
        lambda: other.desk.add_to_cart(house.show.id, "per_a", "L2-S", 2, op="1"),
        lambda: other.desk.drop(house.show.id, house.looks[0], "host"),
        lambda: one.desk.withdraw(house.show.id, house.looks[0], "host"),
        lambda: one.desk.remove_from_cart(house.show.id, "per_a", "L2-S", op="2"),
        lambda: one.desk.next_look(house.show.id, "host"),
        lambda: other.desk.add_to_cart(house.show.id, "per_a", "L3-M", 1, op="3"),
    ):
        await act()
    cards: list[Card] = list(before.cards)
    stock, pinned = dict(before.stock), before.pinned
    for envelope in (await log_of(one, house.show.id))[seq:]:
        body = envelope.body
        if envelope.kind == "card.dropped":
            event = _body(envelope, CardDropped)
            cards.append(event.card)
            stock.update(event.stock)
            pinned = event.card.look
        elif envelope.kind == "card.withdrawn":
            gone = _raw(body)
            cards = [card for card in cards if card.look != gone["look"]]
            pinned = gone["pinned"]
        elif envelope.kind == "stock.changed":
            for sku, level in _body(envelope, StockChanged).stock.items():
                if sku not in stock or stock[sku].rev < level.rev:
                    stock[sku] = level
    after = await other.desk.snapshot(house.show.id, VIEWER)
    assert (cards, pinned) == (after.cards, after.pinned)
    assert {sku: level for sku, level in stock.items() if sku in after.stock} == after.stock


async def test_only_hosts_see_what_is_to_come(two: Two, house: House):
    one, _ = two
    await house.go_live(1)
    seen, desk = [await one.desk.snapshot(house.show.id, member) for member in (VIEWER, HOST)]
    assert (seen.runsheet, seen.tally, set(seen.stock)) == (None, None, {"L1-S", "L1-M"})
    assert desk.runsheet is not None
    assert len(desk.runsheet) == 3
    assert len(desk.stock) == 6


async def test_figures_are_told_when_they_moved_and_by_one_process_a_second(two: Two, house: House):
    one, other = two
    await house.go_live(1)
    ears, others = Ears(one), Ears(other)
    await asyncio.gather(one.desk.tell_tally(house.show.id), other.desk.tell_tally(house.show.id))
    assert [who for who, kind, _ in [*ears.told, *others.told] if kind == "tally.changed"] == ["host"]


async def test_a_store_that_lost_everything_is_told_as_stock_anew(two: Two, house: House):
    one, _ = two
    await house.go_live(1)
    await one.desk.add_to_cart(house.show.id, "per_a", "L1-S", 2, op="1")
    await one.redis.flushall()
    snapshot = await one.desk.snapshot(house.show.id, VIEWER)
    assert snapshot.stock["L1-S"].left == 5  # the hold was Redis' promise and went with it
    assert snapshot.cards[0].number == 1  # the card is SQL's fact
    (envelope,) = await log_of(one, house.show.id)
    assert set(_body(envelope, StockChanged).stock) == {"L1-S", "L1-M"}  # and no word of looks that wait


async def test_with_redis_away_the_programme_is_still_read_and_nothing_is_sold(tmp_path, own_store_server):
    from house import settings_for

    from live.desk.wiring import services

    async with services(settings_for(tmp_path, own_store_server.url)) as s:
        house = await House(s).seed()
        await house.go_live(1)
        own_store_server.stop(kill=True)
        assert (await s.programmes.of(house.show.id)).pinned == house.looks[0]
        with pytest.raises((Error, OSError, Exception)) as refused:
            await s.desk.add_to_cart(house.show.id, "per_a", "L1-S", 1, op="1")
        from live.web.errors import problem_of

        problem = problem_of(refused.value)
        assert (problem.status, problem.code, problem.facts["retry_after_s"]) == (503, "store_down", 5)
        own_store_server.start()
        cart = await s.desk.add_to_cart(house.show.id, "per_a", "L1-S", 1, op="1")
        assert cart.lines[0].qty == 1


def _body(envelope: Envelope, kind):
    import msgspec

    return msgspec.json.decode(envelope.body, type=kind)


def _raw(body):
    import msgspec

    return msgspec.json.decode(body)
