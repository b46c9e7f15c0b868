"""A drop opens and closes on the server's clock, and its caps hold over pieces, sizes and time: on every way in."""

from __future__ import annotations

import pytest
from house import House

from live.clock import SetClock
from live.desk.programme import Programme
from live.desk.wiring import Services
from live.errors import Closed, Invalid, NotOpen, OverLimit, WorkNeeded, WrongState
from live.events import Work
from live.shop.work import is_done
from live.stage.runsheet import Times

Two = tuple[Services, Services]
SKU, OTHER_SIZE = "L1-S", "L1-M"


@pytest.fixture
async def on_air(two: Two, house: House) -> House:
    await two[0].desk.open_show(house.show.id, "host")
    return house


async def hold(s: Services, house: House, person: str = "per_ada", sku: str = SKU, op: str = "", **more):  # type: ignore[no-untyped-def]
    return await s.desk.add_to_cart(house.show.id, person, sku, 1, op=op or f"{person}{sku}", **more)


async def test_an_armed_look_shows_its_card_and_opens_by_the_clock_alone(two: Two, on_air: House, clock: SetClock):
    one, other = two
    await one.desk.drop(on_air.show.id, on_air.looks[0], "host", times=Times(10))
    opens_ms = clock.now_ms() + 10_000
    card = (await other.programmes.of(on_air.show.id)).card(on_air.looks[0])
    assert card.drop.opens_ms == opens_ms
    clock.advance(9_999)
    with pytest.raises(NotOpen) as refused:
        await hold(other, on_air)
    assert refused.value.opens_ms == opens_ms
    with pytest.raises(NotOpen):
        await other.desk.wait(on_air.show.id, "per_ada", SKU)
    clock.advance(1)
    assert (await hold(other, on_air)).lines, "the same tap, once it is open: a refusal before is not its first answer"


async def test_a_drop_closes_by_the_clock_and_no_one_is_offered_anything_after(
    two: Two, on_air: House, clock: SetClock
):
    one, other = two
    await one.desk.drop(on_air.show.id, on_air.looks[0], "host", times=Times(0, 60))
    for n in range(5):
        await hold(one, on_air, f"per_{n}")
    await other.desk.wait(on_air.show.id, "per_vera", SKU)
    clock.advance(60_000)
    with pytest.raises(Closed):
        await hold(one, on_air, "per_late", OTHER_SIZE)
    with pytest.raises(Closed):
        await one.desk.wait(on_air.show.id, "per_late", SKU)
    await other.desk.remove_from_cart(on_air.show.id, "per_0", SKU, op="r")
    await one.desk.lapse()
    assert (await one.carts.view(on_air.show.id, "per_vera")).lines == []
    assert [line.sku for line in (await one.carts.view(on_air.show.id, "per_1")).lines] == [SKU], "a hold is a promise"


async def test_a_close_binds_the_process_that_read_the_stage_before_it(
    two: Two, on_air: House, monkeypatch: pytest.MonkeyPatch
):
    """The other process has the old programme in hand when the host closes: its hold must not pass."""
    one, other = two
    show, look = on_air.show.id, on_air.looks[0]
    await one.desk.drop(show, look, "host")
    stale = await other.programmes.of(show)
    await one.desk.close_drop(show, look, "host")
    read = other.programmes.of
    answers: list[Programme] = [stale]

    async def late(show_id: str) -> Programme:
        return answers.pop() if answers else await read(show_id)

    monkeypatch.setattr(other.programmes, "of", late)
    with pytest.raises(Closed):
        await hold(other, on_air)
    assert not answers, "the premise: it was asked with the old programme first"
    assert (await one.gate.levels(show, [SKU]))[SKU].left == 5


async def test_a_closed_drop_may_be_dropped_again_and_an_armed_one_may_not(two: Two, on_air: House, clock: SetClock):
    one, _ = two
    show, look = on_air.show.id, on_air.looks[0]
    await one.desk.drop(show, look, "host", times=Times(10))
    with pytest.raises(WrongState):
        await one.desk.drop(show, look, "host")
    await one.desk.close_drop(show, look, "host")
    with pytest.raises(WrongState):
        await one.desk.close_drop(show, look, "host")
    await one.desk.drop(show, look, "host")
    assert (await hold(one, on_air)).lines
    for times in (Times(-1), Times(3601), Times(0, 1)):
        with pytest.raises(Invalid):
            await one.desk.drop(show, on_air.looks[1], "host", times=times)


async def test_a_drops_cap_counts_all_its_sizes_what_is_held_and_what_is_owned(two: Two, on_air: House):
    one, other = two
    show, look = on_air.show.id, on_air.looks[0]
    await one.desk.rule_look(show, look, limit=2, hot=False, work_bits=0)
    await one.desk.drop(show, look, "host")
    await hold(one, on_air)
    await one.redis.hset(f"s:{{{show}}}:owned", f"per_ada|{OTHER_SIZE}", 1)  # bought earlier
    with pytest.raises(OverLimit) as refused:
        await hold(other, on_air, sku=OTHER_SIZE)
    assert (refused.value.cap, refused.value.limit) == ("drop", 2)
    await one.desk.rule_look(show, look, limit=3, hot=False, work_bits=0)
    assert (await hold(other, on_air, sku=OTHER_SIZE, op="again")).lines, "a cap is changed while the drop is out"


async def test_a_products_cap_counts_its_sizes_and_says_its_name(two: Two, on_air: House):
    one, other = two
    show = on_air.show.id
    await one.desk.drop(show, on_air.looks[0], "host")
    product = (await one.programmes.of(show)).pieces[on_air.looks[0]][0].product
    await one.desk.cap_product(product, 1)
    await hold(other, on_air)
    with pytest.raises(OverLimit) as refused:
        await hold(other, on_air, sku=OTHER_SIZE)
    assert refused.value.cap == "product"
    await one.desk.cap_product(product, None)
    assert len((await hold(other, on_air, sku=OTHER_SIZE, op="again")).lines) == 2


async def test_a_hold_that_ran_out_keeps_nobody_from_the_piece(two: Two, on_air: House, clock: SetClock):
    one, _ = two
    show = on_air.show.id
    await one.desk.rule_look(show, on_air.looks[0], limit=1, hot=False, work_bits=0)
    await one.desk.drop(show, on_air.looks[0], "host")
    await hold(one, on_air)
    clock.advance(301_000)
    assert (await hold(one, on_air, sku=OTHER_SIZE)).lines


async def test_who_waits_is_passed_over_when_the_drop_s_cap_is_reached(two: Two, on_air: House):
    one, _ = two
    show = on_air.show.id
    await one.desk.rule_look(show, on_air.looks[0], limit=1, hot=False, work_bits=0)
    await one.desk.drop(show, on_air.looks[0], "host")
    for n in range(5):
        await hold(one, on_air, f"per_{n}")
    for person in ("per_vera", "per_wim"):
        await one.desk.wait(show, person, SKU)
    await hold(one, on_air, "per_vera", OTHER_SIZE)
    await one.desk.remove_from_cart(show, "per_0", SKU, op="r")
    assert [line.sku for line in (await one.carts.view(show, "per_wim")).lines] == [SKU]
    assert (await one.carts.view(show, "per_vera")).waits == []


def solved(challenge: str, bits: int) -> Work:
    return Work(challenge, next(n for n in range(10**7) if is_done(challenge, n, bits)))


async def test_work_is_asked_once_a_tap_and_is_nobody_elses(two: Two, on_air: House, clock: SetClock):
    one, other = two
    show, look = on_air.show.id, on_air.looks[0]
    await one.desk.rule_look(show, look, limit=None, hot=False, work_bits=8)
    await one.desk.drop(show, look, "host")
    with pytest.raises(WorkNeeded):
        await hold(one, on_air)
    asked = await other.drops.challenge(show, "per_ada", look)
    assert asked["bits"] == 8
    work = solved(str(asked["challenge"]), 8)
    wrong = Work(work.challenge, next(n for n in range(10**7) if not is_done(work.challenge, n, 8)))
    for person, given in (("per_ada", wrong), ("per_eve", work), ("per_ada", Work("x" * 500, 1))):
        with pytest.raises(WorkNeeded):
            await hold(one, on_air, person, work=given)
    bag = await hold(one, on_air, op="tap", work=work)
    assert await hold(other, on_air, op="tap", work=work) == bag, "sent again after a lost answer, it is the same tap"
    with pytest.raises(WorkNeeded) as refused:
        await hold(other, on_air, op="another", work=work)
    assert refused.value.facts["why"] == "used"
    late = solved(str((await one.drops.challenge(show, "per_ada", look))["challenge"]), 8)
    clock.advance(601_000)
    with pytest.raises(WorkNeeded) as refused:
        await hold(one, on_air, op="late", work=late)
    assert refused.value.facts["why"] == "stale"
