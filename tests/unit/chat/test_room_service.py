"""What is given up under load, and by whom; and what a page hears when the store is away."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import pytest
from room_process import QUICK, until, web_process
from websockets.asyncio.client import connect

from chat.floor import LINES_BURST, LINES_S
from chat.outbox import Item, Outbox, sampled
from chat.seat import Bucket
from chat.service import BUSY_FOR_S, QUIET_FOR_S, SHED_ORDER, Load, Service, in_force

ROOM = "shw_spring"


def test_load_sheds_one_thing_after_another_and_gives_them_back_slowly() -> None:
    load = Load(0.85)
    levels, now = [], 0.0
    for _ in range(60):
        load.note(now, 0.99)
        levels.append(load.level)
        now += 0.5
    assert levels[: int(BUSY_FOR_S / 0.5)] == [0] * int(BUSY_FOR_S / 0.5), "a gust flips nothing"
    assert levels[-1] == len(SHED_ORDER)
    assert {b - a for a, b in itertools.pairwise(levels)} == {0, 1}
    load.note(now, 0.75)
    assert load.level == len(SHED_ORDER), "between busy and quiet nothing changes"
    load.note(now, 0.1)
    load.note(now + QUIET_FOR_S - 0.1, 0.1)
    assert load.level == len(SHED_ORDER)
    load.note(now + QUIET_FOR_S, 0.1)
    assert load.level == len(SHED_ORDER) - 1


def test_load_that_is_not_watched_sheds_nothing() -> None:
    load = Load(0)
    assert not any(load.note(float(now), 1.0) for now in range(60))


@pytest.mark.parametrize("level", range(len(SHED_ORDER) + 1))
def test_staffs_choice_stands_above_the_load(level) -> None:
    service = msgspec.structs.asdict(in_force({"hearts": "on", "history": "off"}, level))
    assert service["hearts"]
    assert not service["history"]
    for place, name in enumerate(SHED_ORDER):
        if name not in ("hearts", "history"):
            assert service[name] is (place >= level)


def test_a_thinned_tick_keeps_the_newest_lines_staffs_and_all_that_is_no_talk() -> None:
    items = [Item("line.posted", b"l%d" % n, n, "per_x") for n in range(1, 9)]
    items[2] = Item("line.posted", b"staff", 3, "!")
    items[4] = Item("line.removed", b"removed", 5)
    items[6] = Item("card.dropped", b"card", 7)
    shown, left_out = sampled(items, 0, 2)
    assert [item.seq for item in left_out] == [1, 2, 4]
    assert [item.seq for item in shown if item.seq] == [3, 5, 6, 7, 8]
    told = [msgspec.json.decode(item.data)["body"] for item in shown if item.kind == "events.skipped"]
    assert told == [{"from_seq": 1, "to_seq": 2}, {"from_seq": 4, "to_seq": 4}]
    assert sampled(items[:2], 0, 2) == (items[:2], [])


def arrive(room, number: int, author: str, kind: str, named: Sequence[str] = ()) -> None:
    """As if off the bus."""
    data = b'{"seq":%d,"kind":"%s","body":{"n":%d}}' % (number, kind.encode(), number)
    room.event(room.epoch, Item(kind, data, number, author, named))


def had(client) -> list[int]:
    return [e["seq"] for e in client.envelopes if "seq" in e]


def skipped(client) -> list[int]:
    return [n for body in client.seen("events.skipped") for n in range(body["from_seq"], body["to_seq"] + 1)]


async def flipped(host, client, **switches: str) -> dict:
    """The service as `client` hears it after the host's act."""
    client.envelopes.clear()
    assert (await host.post("service.set", switches)).ok
    return (await client.wait("service.changed"))["service"]


async def test_a_host_flips_each_switch_and_every_process_obeys(two_webs, house) -> None:
    one, two = two_webs
    ann, bob = await one.join(house.person("ann")), await two.join(house.person("bob"))
    host = await two.join(house.person("host", "host", "moderator"))
    usual = msgspec.structs.asdict(Service())

    assert await flipped(host, ann, animations="off") == usual | {"animations": False}
    assert await flipped(host, ann, animations="auto") == usual

    assert not (await flipped(host, ann, hearts="off"))["hearts"]
    await bob.wait("service.changed", lambda body: not body["service"]["hearts"])
    assert (await bob.post("heart.send", {"n": 3})).ok, "taken, and let go"
    assert (await flipped(host, ann, hearts="on"))["hearts"]
    await bob.wait("service.changed", lambda body: body["service"]["hearts"] and bob.envelopes[-1])
    assert (await bob.post("heart.send", {"n": 2})).ok
    assert await ann.wait("hearts.counted") == {"n": 2}

    assert not (await flipped(host, ann, presence="off"))["presence"]
    await two.join(house.person("eve"))
    await until(lambda: one.hub.viewers(ROOM) == 4)
    await one.bus.publish(ROOM, "card.dropped", {"card": 1})
    await ann.wait("card.dropped")
    assert not ann.seen("presence.counted")
    assert (await flipped(host, ann, presence="auto"))["presence"]

    assert (await bob.post("line.post", {"text": "hello"})).ok
    assert not (await flipped(host, ann, history="off"))["history"]
    late = await one.join(house.person("late"))
    assert late.welcome["room"]["lines"] == []
    assert not (await late.wait("service.changed"))["service"]["history"]
    assert (await flipped(host, ann, history="auto"))["history"]
    assert len((await one.join(house.person("later"))).welcome["room"]["lines"]) == 1


async def test_while_not_every_line_is_sent_ones_own_staffs_and_every_sale_still_come(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    cleo = await web.join(house.person("cleo"))
    host = await web.join(house.person("host", "host", "moderator"))
    assert not (await flipped(host, ann, every_line="off"))["every_line"]
    room = web.hub._rooms[ROOM]
    for number in range(1, 41):  # one burst, as if off the bus
        author, kind = ("per_bob", "line.posted") if number == 3 else ("per_x", "line.posted")
        if number in (5, 7):
            author, kind = ("!", "line.posted") if number == 5 else ("", "card.dropped")
        arrive(room, number, author, kind, ["per_cleo"] if number == 9 else [])
    room.flush()
    await until(lambda: ann.seq == bob.seq == cleo.seq == host.seq == 40)

    assert had(ann) == [5, 7, 36, 37, 38, 39, 40]
    assert had(bob) == list(range(1, 41)), "who wrote what was left out gets it all"
    assert had(cleo) == list(range(1, 41)), "and so does whom it mentions"
    assert sorted(had(ann) + skipped(ann)) == list(range(1, 41))
    assert had(host) == had(bob), "and so does who keeps the room"


class StoppedBucket(Bucket):
    """For which no time passes, however long the test takes."""

    def take(self, now: float, n: int) -> int:
        return super().take(0.0, n)


async def test_talk_that_nobody_could_read_is_left_out_though_every_line_is_sent(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    mod = await web.join(house.person("mod", "moderator"))
    room, burst = web.hub._rooms[ROOM], int(LINES_BURST)
    room._shown = StoppedBucket(LINES_S, LINES_BURST)
    for number in range(1, burst + 101):
        arrive(room, number, "per_bob" if number == 3 else "per_x", "line.posted")
    room.flush()
    await until(lambda: ann.seq == bob.seq == mod.seq == burst + 100)
    assert had(ann) == list(range(101, burst + 101)), "what came in one burst is shown, up to two seconds of it"
    assert had(bob) == had(mod) == list(range(1, burst + 101))

    arrive(room, burst + 101, "", "card.dropped")
    for number in range(burst + 102, burst + 302):
        arrive(room, number, "per_x", "line.posted")
    room.flush()
    await until(lambda: ann.seq == mod.seq == burst + 301)
    shown = [number for number in had(ann) if number > burst + 100]
    assert shown == [burst + 101, burst + 301], "the burst is used up: the drop, and the newest line"
    assert sorted(had(ann) + skipped(ann)) == list(range(1, burst + 302))
    assert had(mod) == list(range(1, burst + 302))


async def test_a_mention_and_a_reply_come_off_the_log_with_those_whom_they_concern(web, house) -> None:
    """After the bus was cut, a line is read off the log: nobody says there whom it is for, but the line itself."""
    bob, host = await web.join(house.person("bob")), await web.join(house.person("host", "host", "moderator"))
    await web.join(house.person("cleo"))
    said = await host.post("line.post", {"text": "@cleo here", "mentions": ["per_cleo"]})
    assert (await bob.post("line.post", {"text": "size 36", "reply": said.body["line"]})).ok
    told: list[Item] = []
    room = web.hub._rooms[ROOM]
    room.take = told.append  # type: ignore[method-assign]
    room.seq = 0  # as if the bus had brought none of it
    room.behind = True
    web.hub._mending.fall_behind(room)
    await until(lambda: len(told) == 2)
    lines = [(item.author, list(item.named)) for item in told if item.kind == "line.posted"]
    assert lines == [("per_host", ["per_cleo"]), ("per_bob", ["per_host"])]


def test_what_concerns_the_reader_is_never_thinned_from_her_outbox() -> None:
    outbox = Outbox("per_cleo", max_items=6)
    for number in range(1, 20):
        named = {4: ["per_x", "per_cleo"], 5: ["per_cleo"]}.get(number, [])
        assert outbox.push(Item("line.posted", b"{}", number, "per_cleo" if number == 6 else "per_x", named))
    assert {4, 5, 6} <= {item.seq for item in outbox.take(0)}


async def test_a_process_that_is_too_busy_sheds_by_itself_and_staff_may_forbid_it(redis_url, house, archive) -> None:
    limits = msgspec.structs.replace(QUICK, busy_share=0.85)
    async with web_process(redis_url, house, archive, limits=limits) as web:
        ann = await web.join(house.person("ann"))
        host = await web.join(house.person("host", "host", "moderator"))
        assert (await host.post("service.set", {"hearts": "on"})).ok
        await until(lambda: web.hub.switchboard._chosen[ROOM]["hearts"] == "on")
        web.hub.switchboard._load.level = 1  # a level up without two seconds of real load; the rule is tested above
        for room in web.hub._rooms.values():
            web.hub.switchboard._hold(room)
        assert not (await ann.wait("service.changed"))["service"]["animations"]
        web.hub.switchboard._load.level = 3
        for room in web.hub._rooms.values():
            web.hub.switchboard._hold(room)
        last = await ann.wait("service.changed", lambda body: not body["service"]["presence"])
        assert last["service"]["hearts"]
        assert web.hub.stats()["load_level"] == 3


async def test_only_a_host_flips_switches_and_nonsense_is_refused(web, house) -> None:
    ann = await web.join(house.person("ann"))
    moderator = await web.join(house.person("mod", "moderator"))
    host = await web.join(house.person("host", "host", "moderator"))
    for client in (ann, moderator):
        assert (await client.post("service.set", {"hearts": "off"})).code == "forbidden"
    assert (await host.post("service.set", {"hearts": "maybe"})).code == "invalid"
    assert (await host.post("service.set", {"checkout": "off"})).code == "invalid"


async def test_a_store_that_is_away_makes_the_room_read_only_until_it_is_back(own_store_server, house, archive) -> None:
    async with web_process(own_store_server.url, house, archive) as web:
        ann = await web.join(house.person("ann"))
        own_store_server.stop(kill=True)
        assert (await ann.wait("service.changed"))["service"]["read_only"]
        assert (await ann.post("line.post", {"text": "hello"})).code == "store_down"
        ann.envelopes.clear()
        own_store_server.start()
        await ann.wait("service.changed", lambda body: not body["service"]["read_only"])
        await until(lambda: ann.seen("service.changed")[-1]["service"]["read_only"] is False)


async def test_a_client_that_offers_compression_gets_ticks_packed_and_may_pack_what_it_sends(web, house) -> None:
    cookie = {"Cookie": house.person("ann")}
    origin = "http://frontrow.test"
    plain = await web.join(house.person("bob"))
    async with connect(
        f"{web.url}/ws/spring", origin=origin, additional_headers=cookie, compression="deflate", proxy=None
    ) as ws:
        offered = ws.response.headers["Sec-WebSocket-Extensions"]
        assert "server_no_context_takeover" in offered
        assert "client_no_context_takeover" in offered
        await ws.send('{"kind":"hello","body":{}}')
        await ws.recv()
        for number in range(3):
            await web.bus.publish(ROOM, "card.dropped", {"card": number, "filler": "silk " * 400})
            cards: list[int] = []
            while not cards:
                frame = msgspec.json.decode(await ws.recv())
                envelopes = frame if isinstance(frame, list) else [frame]  # presence may ride along
                cards = [each["body"]["card"] for each in envelopes if each["kind"] == "card.dropped"]
            assert cards == [number]
        await ws.send(msgspec.json.encode({"kind": "no.such", "op": "1", "body": {"x": "y" * 2000}}).decode())
        while msgspec.json.decode(await ws.recv()).get("op") != "1":
            pass
        seats = web.hub._rooms[ROOM].seats
        assert {seat.wire.packs for seat in seats} == {True, False}
    await plain.wait("card.dropped", lambda body: body["card"] == 2)


async def test_a_packed_message_that_unpacks_beyond_the_limit_closes_the_socket(web, house) -> None:
    cookie = {"Cookie": house.person("ann")}
    async with connect(
        f"{web.url}/ws/spring",
        origin="http://frontrow.test",
        additional_headers=cookie,
        compression="deflate",
        proxy=None,
    ) as ws:
        await ws.send('{"kind":"hello","body":{"epoch":"%s"}}' % ("x" * 1_000_000))  # a few hundred bytes packed
        await ws.wait_closed()
        assert ws.close_code == 1009


async def test_a_client_that_asks_for_a_smaller_window_is_served_unpacked(web, house) -> None:
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

    cookie = {"Cookie": house.person("ann")}
    small = [ClientPerMessageDeflateFactory(server_max_window_bits=10)]
    async with connect(
        f"{web.url}/ws/spring",
        origin="http://frontrow.test",
        additional_headers=cookie,
        compression=None,
        extensions=small,
        proxy=None,
    ) as ws:
        assert "Sec-WebSocket-Extensions" not in ws.response.headers
