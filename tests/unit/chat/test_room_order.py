"""Order, joins, resumes, private state, presence: over real sockets, on one process and on two."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from room_process import QUICK, until, web_process
from soon import soon
from websockets.exceptions import InvalidStatus

ROOM = "shw_spring"


def numbers(client) -> list[int]:
    return [envelope["seq"] for envelope in client.envelopes if "seq" in envelope]


async def test_numbers_are_without_gap_or_duplicate_on_two_processes(two_webs, house) -> None:
    one, two = two_webs
    ann, bob = await one.join(house.person("ann")), await two.join(house.person("bob"))

    async def publish(web, count: int) -> None:
        for number in range(count):
            kind = "stock.changed" if number % 3 else "line.posted"
            await web.bus.publish(ROOM, kind, {"line": {"n": number}} if kind == "line.posted" else {"stock": {}})

    async with asyncio.TaskGroup() as group:
        for web in (one, two, one):
            group.create_task(publish(web, 100))
    for client in (ann, bob):
        await until(lambda client=client: client.seq == 300)
        assert numbers(client) == list(range(1, 301))
    assert [e for e in ann.envelopes if "seq" in e] == [e for e in bob.envelopes if "seq" in e]


async def test_an_event_takes_the_queued_talk_along_in_order(web, house) -> None:
    ann = await web.join(house.person("ann"))
    await web.bus.publish(ROOM, "line.posted", {"line": {"n": 1}})
    await web.bus.publish(ROOM, "card.dropped", {"card": 1}, at=183_240)
    dropped = await ann.wait_envelope("card.dropped")
    assert dropped == {"seq": 2, "kind": "card.dropped", "at": 183_240, "body": {"card": 1}}
    assert numbers(ann) == [1, 2]


async def test_what_happens_while_a_snapshot_is_read_is_not_lost_and_not_doubled(web, house) -> None:
    await web.join(house.person("ann"))

    async def meanwhile() -> None:
        house.before_snapshot = None
        await web.bus.publish(ROOM, "card.dropped", {"card": 2})
        await web.bus.tell(ROOM, "per_bob", "cart.changed", {"cart": {"rev": 1}})

    await web.bus.publish(ROOM, "card.dropped", {"card": 1})
    house.before_snapshot = meanwhile
    bob = await web.join(house.person("bob"))
    assert bob.welcome["seq"] == 1
    await bob.wait("card.dropped", lambda body: body["card"] == 2)
    await bob.wait("cart.changed")
    assert numbers(bob) == [2]


async def test_a_resume_gets_exactly_what_was_missed_then_resumed_then_the_private_state(web, house) -> None:
    cookie = house.person("ann")
    ann = await web.join(cookie)
    await web.bus.publish(ROOM, "card.dropped", {"card": 1})
    await ann.wait("card.dropped")
    stood = (ann.epoch, ann.seq)
    await ann.aclose()
    for card in range(2, 1205):
        await web.bus.publish(ROOM, "card.dropped", {"card": card})
    back = await web.join(cookie, resume_from=stood)
    await back.wait("cart.changed")
    assert [e["body"]["card"] for e in back.envelopes if e["kind"] == "card.dropped"] == list(range(2, 1205))
    kinds = [e["kind"] for e in back.envelopes if e["kind"] not in ("card.dropped", "presence.counted")]
    assert kinds == ["resumed", "cart.changed"]
    assert (back.epoch, back.seq) == (stood[0], 1204)


@pytest.mark.parametrize("where", [("another-epoch", 1), (None, 999), (None, -1)])
async def test_a_position_that_cannot_be_resumed_is_reset(web, house, where) -> None:
    cookie = house.person("ann")
    ann = await web.join(cookie)
    await web.bus.publish(ROOM, "card.dropped", {"card": 1})
    back = await web.join(cookie, resume_from=(where[0] or ann.epoch, where[1]))
    assert back.envelopes[0]["kind"] == "reset"
    assert back.welcome["seq"] == 1


async def test_the_log_ends_after_10_000_numbers_and_older_positions_are_reset(web, house, redis) -> None:
    ann = await web.join(house.person("ann"))
    run = (await redis.info("server"))["run_id"]
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(1, 10_001):
            pipe.hset("c:{shw_autumn}:log", str(number), b'{"seq":%d,"kind":"x.y","body":{}}' % number)
        pipe.hset("c:{shw_autumn}:head", mapping={"epoch": ann.epoch, "seq": 10_000, "run": run})
        await pipe.execute()
    assert len(await web.bus.history.since("shw_autumn", ann.epoch, 0)) == 10_000
    await web.bus.publish("shw_autumn", "x.y", {})
    assert await web.bus.history.since("shw_autumn", ann.epoch, 0) is None
    assert len(await web.bus.history.since("shw_autumn", ann.epoch, 1)) == 10_000
    back = await web.join(house.person("ann"), "autumn", resume_from=(ann.epoch, 8_001))
    assert [event["kind"] for event in back.envelopes].count("x.y") == 2_000, "a socket resumes over 2,000 events"
    away = await web.join(house.person("ann"), "autumn", resume_from=(ann.epoch, 8_000))
    assert away.envelopes[0]["kind"] == "reset", "and begins afresh over more"


async def test_private_events_reach_every_tab_of_the_person_and_nobody_else(two_webs, house) -> None:
    one, two = two_webs
    cookie = house.person("ann")
    tab1, tab2, bob = await one.join(cookie), await two.join(cookie), await one.join(house.person("bob"))
    host = await two.join(house.person("host", "host", "moderator"))
    await one.bus.tell(ROOM, "per_ann", "cart.changed", {"cart": {"rev": 7}})
    await one.bus.tell_role(ROOM, "host", "tally.changed", {"tally": {"orders": 1}})
    await one.bus.publish(ROOM, "card.dropped", {"card": 1})
    for client in (tab1, tab2, bob, host):
        await client.wait("card.dropped")
    assert len(tab1.seen("cart.changed")) == len(tab2.seen("cart.changed")) == 1
    assert bob.seen("cart.changed") == host.seen("cart.changed") == []
    assert len(host.seen("tally.changed")) == 1
    assert tab1.seen("tally.changed") == []


async def test_presence_counts_each_person_once_over_all_processes(two_webs, house) -> None:
    one, two = two_webs
    cookie = house.person("ann")
    ann, again, bob = await one.join(cookie), await two.join(cookie), await two.join(house.person("bob"))
    for client in (ann, bob):
        await client.wait("presence.counted", lambda body: body["viewers"] == 2)
    assert one.hub.viewers(ROOM) == two.hub.viewers(ROOM) == 2
    assert await one.bus.history.viewers(ROOM) == 2
    await ann.aclose()
    await again.aclose()
    await until(lambda: bob.seen("presence.counted")[-1] == {"viewers": 1})


async def test_presence_is_right_again_after_the_store_forgot_everything(web, house, redis) -> None:
    await web.join(house.person("ann"))
    bob = await web.join(house.person("bob"))
    await bob.wait("presence.counted", lambda body: body["viewers"] == 2)
    await redis.flushall()
    await web.join(house.person("eve"))
    await bob.wait("presence.counted", lambda body: body["viewers"] == 3)


async def test_a_revoked_session_is_closed_within_a_second_on_every_process(two_webs, house) -> None:
    one, two = two_webs
    cookie = house.person("ann")
    tabs = [await one.join(cookie), await two.join(cookie)]
    bob = await two.join(house.person("bob"))
    await one.bus.revoke(session="ses_ann")
    assert [await soon(tab.wait_closed()) for tab in tabs] == [4401, 4401]
    await one.bus.revoke(person="per_bob")
    assert await soon(bob.wait_closed()) == 4401


async def test_draining_tells_sockets_to_connect_elsewhere_and_takes_no_new_ones(two_webs, house) -> None:
    one, two = two_webs
    cookie = house.person("ann")
    ann = await one.join(cookie)
    stood = (ann.epoch, ann.seq)
    await one.hub.drain()
    assert await ann.wait_closed() == 1012
    assert ann.seen("going")[0]["retry_ms"] >= 0
    with pytest.raises(ConnectionError, match="1012"):
        await one.join(cookie)
    back = await two.join(cookie, resume_from=stood)
    assert back.welcome is None, "resumed on the other process"


async def test_sockets_are_capped_per_person_and_per_network(redis_url, house, archive) -> None:
    limits = msgspec.structs.replace(QUICK, sockets_per_person=2, sockets_per_network=3)
    async with web_process(redis_url, house, archive, limits=limits) as web:
        ann, bob = house.person("ann", network="n1"), house.person("bob", network="n1")
        first = await web.join(ann)
        await web.join(ann)
        with pytest.raises(ConnectionError, match="4429"):
            await web.join(ann)
        await web.join(bob)
        with pytest.raises(ConnectionError, match="4429"):
            await web.join(house.person("eve", network="n1"))
        await web.join(house.person("other", network="n2"))
        await web.join(house.person("local", network=""))
        await first.aclose()
        await until(lambda: web.hub.stats()["sockets"] == 4)
        await web.join(ann)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("x" * 17_000, 1009),
        ("{not json", 1007),
        ('["kind"]', 1007),
        ('{"op":"1"}', 1007),
        ('{"kind":"line.post","op":"%s","body":{}}' % ("o" * 65), 1007),
        (b"\x00\x01", 1003),
    ],
)
async def test_a_frame_no_client_of_ours_sends_closes_the_socket(web, house, frame, code) -> None:
    ann = await web.join(house.person("ann"))
    await ann.send(frame)
    assert await ann.wait_closed() == code


@pytest.mark.parametrize(
    ("kind", "body", "refusal"),
    [
        ("no.such", {}, "unknown_kind"),
        ("line.post", {}, "invalid"),
        ("line.post", {"text": 7}, "invalid"),
        ("line.post", {"text": "hi", "role": "host"}, "invalid"),
        ("line.post", {"text": " \u200b "}, "invalid"),
        ("line.post", {"text": "x" * 301}, "invalid"),
        ("heart.send", {"n": 0}, "invalid"),
    ],
)
async def test_an_intent_that_is_wrong_is_refused_and_the_socket_stays(web, house, kind, body, refusal) -> None:
    ann = await web.join(house.person("ann"))
    assert (await ann.post(kind, body)).code == refusal
    assert (await ann.post("line.post", {"text": "still here"})).ok


async def test_a_socket_that_asks_too_much_is_throttled_then_closed(redis_url, house, archive) -> None:
    limits = msgspec.structs.replace(QUICK, intents_s=0.001, intents_burst=3.0, intents_refused=5)
    async with web_process(redis_url, house, archive, limits=limits) as web:
        ann = await web.join(house.person("ann"))
        codes = [(await ann.post("no.such")).code for _ in range(5)]
        assert codes == ["unknown_kind"] * 3 + ["throttled"] * 2
        for _ in range(10):
            await ann.send({"kind": "no.such", "op": "x", "body": {}})
        assert await ann.wait_closed() == 1008


async def test_a_handlers_errors_are_answered_and_its_role_is_the_servers(web, house) -> None:
    class SoldOut(Exception):
        code = "sold_out"

        def __init__(self) -> None:
            self.facts = {"sku": "s1", "left": 0}

    async def sell(intent) -> object:
        if msgspec.json.decode(intent.body) == {"sku": "s1"}:
            raise SoldOut
        if msgspec.json.decode(intent.body) == {"sku": "bug"}:
            raise ZeroDivisionError
        return {"cart": [intent.member.person]}

    web.hub.on("cart.add", sell)
    web.hub.on("card.drop", sell, role="host")
    ann = await web.join(house.person("ann"))
    refused = await ann.post("cart.add", {"sku": "s1"})
    assert (refused.code, refused.facts) == ("sold_out", {"sku": "s1", "left": 0})
    assert (await ann.post("cart.add", {"sku": "s2"})).body == {"cart": ["per_ann"]}
    assert (await ann.post("cart.add", {"sku": "bug"})).code == "internal"
    assert (await ann.post("card.drop", {})).facts == {"need": "host"}


async def test_who_may_not_enter_is_told_why(web, house) -> None:
    cookie = house.person("ann")
    with pytest.raises(InvalidStatus, match="403"):
        await web.join(cookie, origin="http://evil.test")
    with pytest.raises(ConnectionError, match="4404"):
        await web.join(cookie, room="nowhere")
    with pytest.raises(ConnectionError, match="4401"):
        await web.join("frontrow=forged")


async def test_a_socket_without_hello_is_closed(redis_url, house, archive) -> None:
    from websockets.asyncio.client import connect

    limits = msgspec.structs.replace(QUICK, hello_s=0.05)
    async with web_process(redis_url, house, archive, limits=limits) as web:
        headers = {"Cookie": house.person("ann")}
        async with connect(f"{web.url}/ws/spring", origin="http://frontrow.test", additional_headers=headers) as ws:
            await ws.wait_closed()
            assert ws.close_code == 4408


async def test_under_another_server_protocol_the_room_works_through_starlette(redis_url, house, archive) -> None:
    async with web_process(redis_url, house, archive, ws="websockets-sansio") as web:
        ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
        assert (await ann.post("line.post", {"text": "hello"})).ok
        await bob.wait("line.posted")
        await ann.send("{not json")
        assert await ann.wait_closed() == 1007
        await web.bus.revoke(person="per_bob")
        assert await bob.wait_closed() == 4401
