"""The line of a hot drop: drawn among those who were there, checkable, in order, and whole after deaths and losses."""

from __future__ import annotations

import asyncio

import pytest
from house import House

from chat import keys as chat_keys
from chat.ports import Member
from live.clock import SetClock
from live.desk.wiring import Services
from live.errors import Closed, InLine, NotFound, NotOpen, OverLimit, WorkNeeded, WrongState
from live.events import Place
from live.play import draws
from live.shop.line import GRACE_S, WINDOW_S
from live.stage.runsheet import HOT_COUNTDOWN_S, Times

Two = tuple[Services, Services]
SKU = "L1-S"
UNITS = 10  # five of each size


def person(name: str, device: str = "") -> Member:
    return Member(f"per_{name}", "", frozenset({"viewer"}), device or f"dev_{name}", "ses")


async def present(s: Services, show: str, *names: str) -> None:
    """They have a page open: as a hub's beat writes it."""
    await s.redis.zadd(chat_keys.here(show), {"p1": 1})
    await s.redis.sadd(chat_keys.here_on(show, "p1"), *(f"per_{name}" for name in names))


async def take(s: Services, house: House, name: str, device: str = "") -> Place:
    return await s.drops.take(house.show.id, person(name, device), house.looks[0], None, op=f"op-{name}")


async def place(s: Services, house: House, name: str) -> Place:
    return await s.drops.ask(house.show.id, f"per_{name}", house.looks[0])


async def hold(s: Services, house: House, name: str, sku: str = SKU):  # type: ignore[no-untyped-def]
    return await s.desk.add_to_cart(house.show.id, f"per_{name}", sku, 1, op=f"op-{name}-{sku}")


@pytest.fixture
async def armed(two: Two, house: House) -> House:
    """Look 1 is hot and counts down."""
    one, _ = two
    await one.desk.open_show(house.show.id, "host")
    await one.desk.rule_look(house.show.id, house.looks[0], limit=1, hot=True, work_bits=0)
    await one.desk.drop(house.show.id, house.looks[0], "host", times=Times(10))
    return house


PEOPLE = [f"{n:02}" for n in range(24)]


@pytest.fixture
async def drawn(two: Two, armed: House, clock: SetClock) -> House:
    """Two dozen were there at the opening; the line is drawn."""
    one, other = two
    for n, name in enumerate(PEOPLE):
        assert (await take(two[n % 2], armed, name)).state == "lobby"
    await present(one, armed.show.id, *PEOPLE)
    clock.advance(10_000)
    await asyncio.gather(one.drops.advance(), other.drops.advance())  # two workers at once
    await one.drops.advance()
    return armed


async def states(s: Services, house: House) -> dict[str, str]:
    return {name: (await place(s, house, name)).state for name in PEOPLE}


async def test_a_hot_drop_counts_down_long_enough_to_come(two: Two, house: House, clock: SetClock):
    one, _ = two
    await one.desk.open_show(house.show.id, "host")
    await one.desk.rule_look(house.show.id, house.looks[0], limit=None, hot=True, work_bits=0)
    await one.desk.drop(house.show.id, house.looks[0], "host")
    look = (await one.programmes.of(house.show.id)).runsheet.look(house.looks[0])
    assert look.opens_ms == clock.now_ms() + HOT_COUNTDOWN_S * 1000
    with pytest.raises(WrongState):
        await one.desk.rule_look(house.show.id, house.looks[0], limit=None, hot=False, work_bits=0)


async def test_as_many_are_let_in_as_there_are_pieces_and_the_others_know_their_place(two: Two, drawn: House):
    one, other = two
    found = await states(other, drawn)
    assert sorted(found.values()) == ["line"] * (len(PEOPLE) - UNITS) + ["turn"] * UNITS
    waiting = [name for name in PEOPLE if found[name] == "line"]
    ahead = [(await place(one, drawn, name)).ahead for name in waiting]
    assert sorted(ahead) == list(range(len(waiting)))
    for name in waiting:
        with pytest.raises(InLine):
            await hold(one, drawn, name)
    inside = next(name for name in PEOPLE if found[name] == "turn")
    assert (await hold(other, drawn, inside)).lines
    assert (await place(one, drawn, inside)).state == "took"


async def test_anybody_can_check_the_order_from_what_was_published(two: Two, drawn: House):
    one, _ = two
    look = drawn.looks[0]
    card = (await one.programmes.of(drawn.show.id)).card(look)
    proof = await one.drops.drawn(drawn.show.id, look)
    assert draws.verify(
        committed=card.drop.commitment,
        seed=bytes.fromhex(proof.seed),
        entries=proof.entries,
        entries_digest=proof.entries_digest,
        places=len(PEOPLE),
        won=draws.in_order(bytes.fromhex(proof.seed), [f"per_{name}" for name in PEOPLE]),
    )
    first = {name for name, state in (await states(one, drawn)).items() if state == "turn"}
    order = draws.in_order(bytes.fromhex(proof.seed), proof.entries)
    assert {one.removeprefix("per_") for one in order[:UNITS]} == first


async def test_the_seed_is_nobody_s_before_the_draw(two: Two, armed: House):
    one, _ = two
    with pytest.raises(NotFound):
        await one.drops.drawn(armed.show.id, armed.looks[0])
    look = (await one.programmes.of(armed.show.id)).runsheet.look(armed.looks[0])
    told = repr((await one.programmes.of(armed.show.id)).card(armed.looks[0]))
    told += repr((await one.programmes.of(armed.show.id)).rows)
    assert look.seed
    assert look.commitment in told
    assert look.seed not in told


async def test_who_comes_later_is_behind_everyone_who_was_there(two: Two, drawn: House):
    one, other = two
    late = await take(one, drawn, "late")
    later = await take(other, drawn, "later")
    assert (late.state, late.ahead) == ("line", len(PEOPLE) - UNITS)
    assert (later.state, later.ahead) == ("line", len(PEOPLE) - UNITS + 1)


async def test_a_ticket_taken_before_the_draw_is_laid_stays_behind_it(two: Two, armed: House, clock: SetClock):
    one, other = two
    await take(one, armed, "00")
    clock.advance(10_000)
    ticket = await take(other, armed, "hasty")  # open, and no worker has come by yet
    assert (ticket.state, (await place(one, armed, "00")).state) == ("line", "lobby")
    await one.redis.hset(f"s:{{{armed.show.id}}}:gate", mapping={"n:L1-S": 0, "n:L1-M": 0})  # nobody is let in
    await one.drops.advance()
    assert [(await place(one, armed, name)).ahead for name in ("00", "hasty")] == [0, 1]


async def test_one_place_a_person_and_a_device(two: Two, armed: House):
    one, other = two
    await take(one, armed, "00")
    assert (await take(other, armed, "00")).state == "lobby", "a second tab is the same place"
    with pytest.raises(OverLimit) as refused:
        await take(other, armed, "alias", device="dev_00")
    assert refused.value.cap == "device"
    await other.drops.leave(armed.show.id, "per_00", armed.looks[0])
    assert (await take(other, armed, "alias", device="dev_00")).state == "lobby"


async def test_a_turn_that_is_not_used_goes_to_the_next(two: Two, drawn: House, clock: SetClock):
    one, other = two
    before = await states(one, drawn)
    clock.advance(WINDOW_S * 1000)
    await other.drops.advance()
    after = await states(one, drawn)
    passed = [name for name in PEOPLE if before[name] == "turn"]
    assert {after[name] for name in passed} == {"none"}
    assert sum(state == "turn" for state in after.values()) == UNITS
    with pytest.raises(InLine):
        await hold(one, drawn, passed[0])
    assert (await take(one, drawn, passed[0])).ahead == len(PEOPLE) - 2 * UNITS, "again, at the end"


async def test_pieces_that_were_held_let_nobody_else_in_until_one_comes_back(two: Two, drawn: House):
    one, _ = two
    inside = [name for name, state in (await states(one, drawn)).items() if state == "turn"]
    for n, name in enumerate(inside):
        await hold(one, drawn, name, "L1-S" if n < 5 else "L1-M")
    await one.drops.advance()
    assert sum(state == "turn" for state in (await states(one, drawn)).values()) == 0
    await one.desk.remove_from_cart(drawn.show.id, f"per_{inside[0]}", SKU, op="r")
    await one.drops.advance()
    assert sum(state == "turn" for state in (await states(one, drawn)).values()) == 1


async def test_who_left_is_passed_over_keeps_her_place_for_a_while_and_then_loses_it(
    two: Two, armed: House, clock: SetClock
):
    one, _ = two
    for name in ("00", "01"):
        await take(one, armed, name)
    await present(one, armed.show.id, "01")
    clock.advance(10_000)
    await one.drops.advance()
    await one.drops.advance()
    assert ((await place(one, armed, "00")).state, (await place(one, armed, "01")).state) == ("line", "turn")
    clock.advance(GRACE_S * 1000 - 1)
    await one.drops.advance()
    assert (await place(one, armed, "00")).state == "line"
    clock.advance(1)
    await one.drops.advance()
    assert (await place(one, armed, "00")).state == "none"


async def test_a_worker_that_dies_between_record_and_line_leaves_the_same_draw_to_the_next(
    two: Two, armed: House, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    one, other = two
    for name in PEOPLE:
        await take(one, armed, name)
    await present(one, armed.show.id, *PEOPLE)
    clock.advance(10_000)

    async def dies(*_: object) -> bool:
        raise asyncio.CancelledError

    monkeypatch.setattr(one.drops._lines, "lay", dies)
    with pytest.raises(asyncio.CancelledError):
        await one.drops.advance()
    recorded = await other.drops.drawn(armed.show.id, armed.looks[0])
    await other.redis.delete(*await other.redis.keys("lock:draw:*"))  # its claim runs out
    await other.drops.advance()
    assert await other.drops.drawn(armed.show.id, armed.looks[0]) == recorded
    first = {f"per_{name}" for name, state in (await states(other, armed)).items() if state == "turn"}
    assert first == set(draws.in_order(bytes.fromhex(recorded.seed), recorded.entries)[:UNITS])


async def test_nobody_is_let_in_ahead_of_the_drawn_while_another_worker_lays_the_line(
    two: Two, armed: House, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    one, other = two
    for name in PEOPLE:
        await take(one, armed, name)
    await present(one, armed.show.id, *PEOPLE, "hasty")
    clock.advance(10_000)
    assert (await take(other, armed, "hasty")).state == "line"

    async def stops(*_: object) -> bool:
        raise asyncio.CancelledError

    monkeypatch.setattr(one.drops._lines, "lay", stops)
    with pytest.raises(asyncio.CancelledError):
        await one.drops.advance()
    await other.drops.advance()  # the first one's claim still stands
    assert (await place(one, armed, "hasty")).state == "line"
    await other.redis.delete(*await other.redis.keys("lock:draw:*"))
    await other.drops.advance()
    assert (await place(one, armed, "hasty")).ahead == len(PEOPLE) - UNITS


async def test_an_emptied_store_lays_the_recorded_order_again(two: Two, drawn: House):
    one, other = two
    recorded = await one.drops.drawn(drawn.show.id, drawn.looks[0])
    await one.redis.flushall()
    await present(one, drawn.show.id, *PEOPLE)
    await other.drops.advance()
    first = {f"per_{name}" for name, state in (await states(other, drawn)).items() if state == "turn"}
    assert first == set(draws.in_order(bytes.fromhex(recorded.seed), recorded.entries)[:UNITS])


async def test_a_drop_that_is_armed_anew_has_a_line_and_a_seed_of_its_own(two: Two, drawn: House):
    one, other = two
    before = await one.drops.drawn(drawn.show.id, drawn.looks[0])
    await one.desk.withdraw(drawn.show.id, drawn.looks[0], "host")
    with pytest.raises(NotFound):
        await place(one, drawn, "00")
    await one.desk.drop(drawn.show.id, drawn.looks[0], "host", times=Times(10))
    assert (await place(other, drawn, "00")).state == "none"
    card = (await one.programmes.of(drawn.show.id)).card(drawn.looks[0])
    assert card.drop.commitment != before.commitment


async def test_a_line_ends_with_its_drop(two: Two, drawn: House):
    one, other = two
    await one.desk.close_drop(drawn.show.id, drawn.looks[0], "host")
    with pytest.raises(Closed):
        await take(other, drawn, "late")
    inside = next(name for name, state in (await states(one, drawn)).items() if state == "turn")
    with pytest.raises(Closed):
        await hold(other, drawn, inside)
    snapshot = await one.desk.snapshot(drawn.show.id, person("00"))
    assert snapshot.places == []


async def test_the_snapshot_says_where_a_reload_stands(two: Two, drawn: House):
    _, other = two
    for name in PEOPLE[:5]:
        [mine] = (await other.desk.snapshot(drawn.show.id, person(name))).places
        assert mine == await place(other, drawn, name)


async def test_a_hot_drop_asks_its_work_at_the_place_and_not_again_at_the_hold(two: Two, house: House, clock: SetClock):
    one, _ = two
    show, look = house.show.id, house.looks[0]
    await one.desk.open_show(show, "host")
    await one.desk.rule_look(show, look, limit=None, hot=True, work_bits=6)
    await one.desk.drop(show, look, "host")
    with pytest.raises(WorkNeeded):
        await take(one, house, "00")
    from test_drop_times import solved

    work = solved(str((await one.drops.challenge(show, "per_00", look))["challenge"]), 6)
    assert (await one.drops.take(show, person("00"), look, work, op="o")).state == "lobby"
    assert (await take(one, house, "00")).state == "lobby", "a reload keeps the place without new work"
    await present(one, show, "00")
    clock.advance(10_000)
    await one.drops.advance()
    await one.drops.advance()
    assert (await hold(one, house, "00")).lines


async def test_there_is_no_way_around_the_line_by_the_waiting_list(two: Two, drawn: House):
    one, _ = two
    inside = [name for name, state in (await states(one, drawn)).items() if state == "turn"]
    for n, name in enumerate(inside):
        await hold(one, drawn, name, "L1-S" if n < 5 else "L1-M")
    assert (await one.gate.levels(drawn.show.id, [SKU]))[SKU].left == 0, "the premise"
    with pytest.raises(InLine):
        await one.desk.wait(drawn.show.id, "per_sly", SKU)


async def test_a_drop_that_was_closed_while_it_counted_down_is_closed_on_every_way(two: Two, armed: House):
    one, other = two
    await one.desk.close_drop(armed.show.id, armed.looks[0], "host")
    with pytest.raises(Closed):
        await hold(other, armed, "00")
    with pytest.raises(Closed):
        await take(other, armed, "00")
    terms = (await one.programmes.of(armed.show.id)).terms(
        (await one.programmes.of(armed.show.id)).runsheet.look(armed.looks[0])
    )
    with pytest.raises(Closed):  # the script itself says so, not only the programme
        await one.gate.hold(armed.show.id, SKU, 1, cart="per_00", ttl_s=300, limit=4, op="x", terms=terms)


# ---- a piece that is in another look as well -----------------------------------------------------


async def also_open(one: Services, house: House) -> str:
    """Another look with look 1's pieces, out and open to all; its id."""
    (piece,) = (await one.programmes.of(house.show.id)).pieces[house.looks[0]]
    other = await one.runsheets.add_look(house.show.id, 40, "The finale", [piece.product])
    await one.desk.drop(house.show.id, other, "host")
    return other


@pytest.mark.parametrize("out_first", ["ordinary", "hot"])
async def test_a_piece_of_a_hot_drop_is_held_by_its_line_alone_until_that_is_over(
    two: Two, house: House, clock: SetClock, out_first: str
):
    one, other = two
    show, hot = house.show.id, house.looks[0]
    await one.desk.open_show(show, "host")
    if out_first == "ordinary":
        await also_open(one, house)
        assert (await hold(one, house, "early")).lines, "the premise: open to all, and look 1 is not out"
    await one.desk.rule_look(show, hot, limit=1, hot=True, work_bits=0)
    await one.desk.drop(show, hot, "host", times=Times(10))
    if out_first == "hot":
        clock.advance(1)
        await also_open(one, house)
    with pytest.raises(NotOpen):
        await hold(other, house, "late")
    with pytest.raises(NotOpen):
        await other.desk.wait(show, "per_late", SKU)
    assert (await take(one, house, "drawn")).state == "lobby"
    await present(one, show, "drawn")
    clock.advance(10_000)
    await one.drops.advance()
    for act in (hold(other, house, "late"), other.desk.wait(show, "per_late", SKU)):
        with pytest.raises(InLine):
            await act
    assert (await hold(other, house, "drawn")).lines
    await one.desk.close_drop(show, hot, "host")
    assert (await hold(other, house, "late")).lines, "the other look is open to all again"


async def test_who_waited_before_a_hot_drop_gets_nothing_past_its_line_and_keeps_nothing_from_it(
    two: Two, house: House, clock: SetClock
):
    one, other = two
    show, hot = house.show.id, house.looks[0]
    await one.desk.open_show(show, "host")
    await also_open(one, house)
    for n in range(UNITS // 2):
        await hold(one, house, f"first{n}")
    await one.desk.wait(show, "per_waits", SKU)
    await one.desk.rule_look(show, hot, limit=1, hot=True, work_bits=0)
    await one.desk.drop(show, hot, "host", times=Times(10))
    await take(one, house, "drawn")
    await present(one, show, "drawn", "waits")
    clock.advance(10_000)
    await one.drops.advance()
    await one.desk.remove_from_cart(show, "per_first0", SKU, op="gives-back")
    assert await other.desk.offer_due(show) == 0
    assert not (await one.carts.view(show, "per_waits")).lines
    assert (await hold(other, house, "drawn")).lines, "nobody who waits keeps it from who was drawn"
    await one.desk.close_drop(show, hot, "host")
    await one.desk.remove_from_cart(show, "per_first1", SKU, op="gives-back")
    assert [line.sku for line in (await one.carts.view(show, "per_waits")).lines] == [SKU]
