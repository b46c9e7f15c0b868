"""A ban at the sockets: cut at once, the show without the talk afterwards, the talk again when it is over."""

from __future__ import annotations

import asyncio

from room_process import until
from soon import soon

from chat.expulsion import BANNED
from chat.ports import FOREVER_MS

ROOM = "shw_spring"
BAN = {"until_ms": FOREVER_MS, "reason": "spam", "kind": "ban"}


async def said(client, text: str):
    return await client.post("line.post", {"text": text})


async def test_a_ban_cuts_the_persons_and_the_devices_sockets_on_every_process_and_no_neighbours(
    two_webs, house
) -> None:
    one, two = two_webs
    troll = house.person("troll", device="dev_shared", network="net_1")
    hers = [await one.join(troll), await two.join(troll), await two.join(house.person("alias", device="dev_shared"))]
    neighbour = await two.join(house.person("neighbour", network="net_1"))
    elsewhere = await two.join(troll, "summer")
    mod = await one.join(house.person("mod", "moderator"))

    async def cut() -> list[int]:
        assert (await mod.post("person.ban", {"person": "per_troll", "reason": "spam"})).ok
        return [await tab.wait_closed() for tab in hers]

    codes = await soon(cut(), within_s=1)
    assert codes == [BANNED, BANNED, BANNED]
    for tab, person in zip(hers, ("per_troll", "per_troll", "per_alias"), strict=True):
        assert tab.seen("person.silenced") == [{"person": person, "silence": BAN, "appeal": "appeal.send"}]
    assert (await said(mod, "that was that")).ok
    await neighbour.wait("line.posted")
    assert (await said(elsewhere, "another show, another room")).ok
    assert (neighbour.close_code, elsewhere.close_code) == (None, None)


async def test_a_banned_person_comes_back_to_the_show_without_the_talk_and_has_it_again_when_the_ban_is_over(
    two_webs, house
) -> None:
    one, two = two_webs
    cookie = house.person("troll")
    troll, mod = await one.join(cookie), await two.join(house.person("mod", "moderator"))
    ann = await two.join(house.person("ann"))
    assert (await said(ann, "before")).ok
    await troll.wait("line.posted")
    assert (await mod.post("person.ban", {"person": "per_troll", "reason": "spam"})).ok
    await troll.wait_closed()
    assert troll.seq is not None

    back = await one.join(cookie, resume_from=(troll.epoch, troll.seq))
    assert back.welcome is not None, "not resumed: what she has of the talk must leave her page"
    assert back.welcome["you"]["silenced"] == BAN
    assert back.welcome["room"]["lines"] == []
    assert (await said(back, "hello?")).code == "silenced"
    line = (await said(ann, "without her")).body["line"]
    assert (await ann.post("question.ask", {"text": "is it wool?"})).ok
    assert (await mod.post("line.pin", {"line": line})).ok
    await one.bus.publish(ROOM, "card.dropped", {"card": 1})
    await one.bus.tell(ROOM, "per_troll", "cart.changed", {"cart": "hers"})
    await back.wait("cart.changed", lambda body: body["cart"] == "hers")
    await back.wait("card.dropped")
    await ann.wait("card.dropped")
    kinds = {envelope["kind"] for envelope in back.envelopes}
    assert not kinds & {"line.posted", "line.pinned", "question.changed"}
    assert back.seq == ann.seq, "every number is accounted for"
    late = await two.join(cookie)
    assert (late.welcome["room"]["pinned"], late.welcome["room"]["questions"]) == (None, [])

    assert (await mod.post("person.unban", {"person": "per_troll"})).ok
    for tab in (back, late):
        again = await tab.wait("reset", lambda body: body["you"]["silenced"] is None)
        assert [one["text"] for one in again["room"]["lines"]] == ["before", "without her"]
        assert (again["room"]["pinned"]["id"], len(again["room"]["questions"])) == (line, 1)
    assert (await said(back, "thank you")).ok
    assert (await late.wait("line.posted"))["line"]["text"] == "thank you"


async def test_a_ban_and_its_end_that_a_process_could_not_hear_of_hold_there_when_it_hears_again(
    web, house, redis
) -> None:
    cookie = house.person("troll")
    troll, mod = await web.join(cookie), await web.join(house.person("mod", "moderator"))
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert (await mod.post("person.ban", {"person": "per_troll", "reason": "spam"})).ok
    assert await troll.wait_closed() == BANNED
    back = await web.join(cookie)
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert (await mod.post("person.unban", {"person": "per_troll"})).ok
    assert (await back.wait("reset"))["you"]["silenced"] is None


async def test_a_ban_holds_at_the_socket_after_the_store_was_emptied(web, house, redis) -> None:
    cookie = house.person("troll")
    mod = await web.join(house.person("mod", "moderator"))
    assert (await mod.post("person.ban", {"person": "per_troll", "reason": "spam"})).ok
    back = await web.join(cookie)
    await redis.flushall()
    assert (await said(mod, "not for her")).ok
    assert (await back.wait("reset"))["you"]["silenced"] == BAN
    assert (await said(mod, "nor this")).ok
    await web.bus.publish(ROOM, "card.dropped", {"card": 1})
    await back.wait("card.dropped")
    assert back.seen("line.posted") == []


async def test_a_timeout_in_place_of_a_ban_leaves_her_a_silent_reader(web, house) -> None:
    mod = await web.join(house.person("mod", "moderator"))
    assert (await mod.post("person.ban", {"person": "per_troll"})).ok
    troll = await web.join(house.person("troll"))
    assert (await mod.post("person.timeout", {"person": "per_troll", "seconds": 60})).ok
    assert (await troll.wait("reset"))["you"]["silenced"]["kind"] == "timeout"
    assert (await said(mod, "read on")).ok
    await troll.wait("line.posted")
    assert (await said(troll, "hm")).code == "silenced"
    assert troll.close_code is None


def deafen(web) -> None:
    """Nothing that the bus says reaches this process any more, and nobody notices."""
    web.hub._subscription._deliver = lambda channel, data: None


async def test_who_is_banned_or_signed_out_is_cut_within_a_second_though_the_bus_lost_it(two_webs, house) -> None:
    one, two = two_webs
    troll, ann = await two.join(house.person("troll")), await two.join(house.person("ann"))
    host = await two.join(house.person("host", "host"))
    mod = await one.join(house.person("mod", "moderator"))
    deafen(two)
    assert (await mod.post("person.ban", {"person": "per_troll", "reason": "spam"})).ok
    await one.bus.revoke(session="ses_ann")
    await one.bus.revoke(person="per_host")
    closing = (tab.wait_closed() for tab in (troll, ann, host))
    assert await soon(asyncio.gather(*closing)) == [BANNED, 4401, 4401]
    assert troll.seen("person.silenced")[0]["silence"] == BAN
    back = await two.join(house.person("host", "host"))
    assert (await said(back, "it holds once")).ok
    assert (await two.join(house.person("troll"))).welcome["room"]["lines"] == []


async def test_a_ban_lost_by_the_bus_finds_also_who_is_just_coming_in(two_webs, house) -> None:
    one, two = two_webs
    mod, ann = await one.join(house.person("mod", "moderator")), await one.join(house.person("ann"))
    assert (await said(ann, "before")).ok
    await two.join(house.person("bob"))
    entering, go = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        entering.set()
        await go.wait()

    house.before_snapshot = slowly
    deafen(two)
    async with asyncio.TaskGroup() as group:
        coming = group.create_task(two.join(house.person("troll")))
        await entering.wait()
        assert (await mod.post("person.ban", {"person": "per_troll", "reason": "spam"})).ok
        room = two.hub._rooms[ROOM]
        await until(lambda: any(seat.turn == 2 for seat in room.seats), 1)
        go.set()
    troll = coming.result()
    assert troll.welcome["you"]["silenced"] == BAN
    assert troll.welcome["room"]["lines"] == []
    assert {seat.kept_out for seat in room.seats} == {"", "per_troll"}


async def test_who_shared_a_device_has_the_talk_again_when_its_owner_is_banned_on_another(two_webs, house) -> None:
    one, two = two_webs
    mod = await one.join(house.person("mod", "moderator"))
    await one.join(house.person("troll", device="dev_shop"))
    assert (await mod.post("person.ban", {"person": "per_troll"})).ok
    alias = await two.join(house.person("alias", device="dev_shop"))
    assert alias.welcome["you"]["silenced"]["kind"] == "ban"
    await one.join(house.person("troll", device="dev_home"))
    assert (await mod.post("person.ban", {"person": "per_troll"})).ok
    await alias.wait("reset", lambda body: body["you"]["silenced"] is None)
    assert (await said(alias, "it was not me")).ok


class Stalled:
    """A wire whose other end takes nothing just now."""

    def __init__(self, wire) -> None:
        self.wire = wire

    def buffered(self) -> int:
        return 1 << 20

    def __getattr__(self, name: str):
        return getattr(self.wire, name)


async def test_a_slow_banned_reader_is_told_of_no_line_either(web, house) -> None:
    """Her events wait in the outbox then: what is withheld must not wait there with them."""
    mod = await web.join(house.person("mod", "moderator"))
    assert (await mod.post("person.ban", {"person": "per_troll"})).ok
    troll = await web.join(house.person("troll"))
    (seat,) = [seat for seat in web.hub._rooms[ROOM].seats if seat.member.person == "per_troll"]
    seat.wire = Stalled(seat.wire)
    assert (await said(mod, "one")).ok
    await web.bus.publish(ROOM, "card.dropped", {"card": 1})
    assert (await said(mod, "two")).ok
    await mod.wait("line.posted", lambda body: body["line"]["text"] == "two")
    await until(lambda: seat.outbox is not None)
    seat.wire = seat.wire.wire
    await troll.wait("card.dropped")
    await until(lambda: troll.seq == mod.seq)
    assert troll.seen("line.posted") == []


async def test_a_banned_persons_line_is_dropped_whoever_has_claimed_it(two_webs, house) -> None:
    one, two = two_webs
    troll = await one.join(house.person("troll"))
    mo, flo = await one.join(house.person("mo", "moderator")), await two.join(house.person("flo", "moderator"))
    assert (await mo.post("mode.set", {"hold": True})).ok
    case = (await said(troll, "rude")).body["held"]
    assert (await flo.post("case.claim", {"case": case})).ok
    assert (await mo.post("person.ban", {"person": "per_troll"})).ok
    assert (await flo.wait("case.closed"))["verdict"] == "refuse"
    late = await flo.post("case.decide", {"case": case, "verdict": "approve"})
    assert (late.code, late.facts) == ("decided", {"verdict": "refuse", "by": "mo"})
    assert (await two.join(house.person("eve"))).welcome["room"]["lines"] == []


async def test_a_line_that_is_approved_while_its_author_is_banned_is_not_said(web, house, archive) -> None:
    """The one has decided, and the other's ban is in force before the line is appended."""
    troll = await web.join(house.person("troll"))
    mo, flo = await web.join(house.person("mo", "moderator")), await web.join(house.person("flo", "moderator"))
    assert (await mo.post("mode.set", {"hold": True})).ok
    case = (await said(troll, "rude")).body["held"]
    decide, waiting, go = archive.case_decided, asyncio.Event(), asyncio.Event()

    async def slowly(*args):
        decided = await decide(*args)
        if not waiting.is_set():
            waiting.set()
            await go.wait()
        return decided

    archive.case_decided = slowly
    async with asyncio.TaskGroup() as group:
        approving = group.create_task(flo.post("case.decide", {"case": case, "verdict": "approve"}))
        await waiting.wait()
        assert (await mo.post("person.ban", {"person": "per_troll"})).ok
        go.set()
    assert approving.result().ok
    assert "line" not in approving.result().body
    assert (await web.join(house.person("eve"))).welcome["room"]["lines"] == []
