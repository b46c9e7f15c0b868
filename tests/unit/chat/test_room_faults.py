"""What breaks around the room: slow readers, a lost store, a killed process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from ports import free_port
from room_process import QUICK, until, web_process
from soon import soon
from store_server import StoreServer, redis_client

from chat import keys
from chat.bus import RedisBus
from chat.client import RoomClient
from chat.expulsion import BANNED

ROOM = "shw_spring"
ROOT = Path(__file__).parents[3]


async def stalled_socket(web, cookie: str) -> socket.socket:
    """A handshake and a hello, and then never another read."""
    host, port = web.url.removeprefix("ws://").split(":")
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stalled, (host, int(port)))
    lines = [
        "GET /ws/spring HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Origin: http://frontrow.test",
        f"Cookie: {cookie}",
    ]
    await loop.sock_sendall(stalled, "\r\n".join([*lines, "", ""]).encode())
    answer = await loop.sock_recv(stalled, 4096)
    assert b" 101 " in answer
    hello = json.dumps({"kind": "hello", "body": {}}).encode()
    # A client's frame is masked (RFC 6455, section 5.3); a mask of zeros leaves the text as it is.
    await loop.sock_sendall(stalled, bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)
    return stalled


async def test_a_stalled_reader_delays_nobody_and_is_closed(redis_url, house, archive) -> None:
    limits = msgspec.structs.replace(QUICK, slow_s=1.0)
    async with web_process(redis_url, house, archive, limits=limits) as web:
        ann = await web.join(house.person("ann"))
        stalled = [await stalled_socket(web, house.person(f"stalled{n}")) for n in range(3)]
        await until(lambda: web.hub.stats()["sockets"] == 4)
        filler = "x" * 20_000

        async def shown(number: int) -> None:
            await web.bus.publish(ROOM, "card.dropped", {"card": number, "filler": filler})
            await ann.wait("card.dropped", lambda body: body["card"] == number)

        for number in range(300):
            await soon(shown(number), within_s=1)
            ann.envelopes.clear()
        assert web.hub.stats()["slow_sockets"] > 0 or web.hub.stats()["sockets"] == 1, "they did stall"
        await until(lambda: web.hub.stats()["sockets"] == 1)
        for one in stalled:
            one.close()


async def test_a_reader_who_lagged_is_told_which_numbers_she_misses(redis_url, house, archive) -> None:
    # However long that many lines take here, she isn't closed for it.
    limits = msgspec.structs.replace(QUICK, slow_s=3600)
    async with web_process(redis_url, house, archive, limits=limits) as web:
        ann = await web.join(house.person("ann"))
        lagging = await web.join(house.person("lagging"))
        lagging._ws.transport.pause_reading()
        for number in range(1500):
            await web.bus.publish(ROOM, "line.posted", {"line": {"n": number, "filler": "x" * 12_000}})
        await ann.wait("line.posted", lambda body: body["line"]["n"] == 1499, timeout=60)
        await until(lambda: web.hub.stats()["slow_sockets"] == 1, 60)
        await web.bus.publish(ROOM, "card.dropped", {"card": 1})
        lagging._ws.transport.resume_reading()
        await lagging.wait("card.dropped", timeout=60)
        had = [e["seq"] for e in lagging.envelopes if "seq" in e]
    assert had == sorted(set(had))
    skipped = {n for body in lagging.seen("events.skipped") for n in range(body["from_seq"], body["to_seq"] + 1)}
    assert skipped
    assert skipped | set(had) == set(range(1, 1502))
    assert not skipped & set(had)


async def test_sockets_stay_while_the_store_is_away_and_nothing_is_lost(own_store_server, house, archive) -> None:
    own_store_server.keep_at_once()
    async with web_process(own_store_server.url, house, archive) as web:
        ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
        assert (await ann.post("line.post", {"text": "before"})).ok
        own_store_server.stop(kill=True)
        refused = await ann.post("line.post", {"text": "during"})
        assert refused.code == "store_down"
        assert refused.facts["retry_after_s"] > 0
        own_store_server.start()

        async with asyncio.timeout(60):
            while not (await ann.post("line.post", {"text": "after"})).ok:
                pass
        await bob.wait("line.posted", lambda body: body["line"]["text"] == "after")
        assert [e["seq"] for e in bob.envelopes if "seq" in e] == [1, 2]
        assert ann.close_code is bob.close_code is None
        assert bob.seen("reset") == [], "a store that keeps what it answers goes on where it was"


async def test_a_store_that_comes_back_empty_begins_an_epoch_and_every_page_is_reset(
    own_store_server, house, archive
) -> None:
    async with web_process(own_store_server.url, house, archive) as web:
        ann = await web.join(house.person("ann"))
        assert (await ann.post("line.post", {"text": "before"})).ok
        await ann.wait("line.posted")
        was = ann.epoch
        own_store_server.stop(kill=True)
        own_store_server.forget()
        own_store_server.start()
        reset = await ann.wait("reset")
        assert reset["epoch"] != was
        assert reset["room"]["lines"] == []
        assert (await ann.post("line.post", {"text": "after"})).ok
        assert (await ann.wait_envelope("line.posted", lambda body: body["line"]["text"] == "after"))["seq"] == 1


async def test_a_store_that_lost_its_newest_events_begins_an_epoch(web, house, redis) -> None:
    ann = await web.join(house.person("ann"))
    for card in range(3):
        await web.bus.publish(ROOM, "card.dropped", {"card": card})
    await ann.wait("card.dropped", lambda body: body["card"] == 2)
    was = ann.epoch
    await redis.hset("c:{shw_spring}:head", "seq", 1)
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert (await ann.wait("reset"))["epoch"] != was
    event = await web.bus.publish(ROOM, "card.dropped", {"card": 9})
    await ann.wait_envelope("card.dropped", lambda body: body["card"] == 9)
    assert ann.seq == event.seq


class Seen:
    """Everything that a page was sent under a number, in whatever epoch."""

    def __init__(self, client: RoomClient) -> None:
        self.client = client

    def numbered(self) -> dict[tuple[str, int], Any]:
        """(epoch, number) -> what it was; fails when one number was two things."""
        epoch, found = "", {}
        for envelope in self.client.envelopes:
            if envelope["kind"] in ("welcome", "reset", "resumed"):
                epoch = envelope["body"]["epoch"]
            elif "seq" in envelope:
                what = found.setdefault((epoch, envelope["seq"]), envelope)
                assert what == envelope
        return found


async def test_a_store_that_lost_what_it_answered_gives_no_number_twice_and_nothing_removed_comes_back(
    own_store_server, house, archive
) -> None:
    store = own_store_server
    async with web_process(store.url, house, archive) as one, web_process(store.url, house, archive) as two:
        ann, bob = await one.join(house.person("ann")), await one.join(house.person("bob"))
        mod = await two.join(house.person("mod", "moderator"))
        lines = [(await ann.post("line.post", {"text": text})).body["line"] for text in ("kept", "regrettable")]
        assert (await mod.post("line.pin", {"line": lines[1]})).ok
        await mod.wait("line.pinned")
        stood, log_bytes = mod.seq, store.log_bytes
        assert (await mod.post("line.remove", {"line": lines[1]})).ok
        assert (await mod.post("person.ban", {"person": "per_bob"})).ok
        assert (await ann.post("line.post", {"text": "lost"})).ok
        assert (await mod.post("mode.set", {"slow_s": 7})).ok
        await until(lambda: ann.seq == mod.seq == stood + 3 and len(archive.lines) == 3)

        store.stop(kill=True)
        store.lose_from(log_bytes)
        store.start()
        # The first to come has no socket, knows of nothing, and gives out more numbers than were lost.
        redis = redis_client(store.url)
        assert int(await redis.hget("c:{shw_spring}:head", "seq")) == stood, "the premise: it did lose them"
        alone = RedisBus(redis, now_ms=one.hub.now_ms)
        for card in range(9):
            await alone.publish(ROOM, "card.dropped", {"card": card})
        await redis.aclose()

        pages = [Seen(ann), Seen(mod)]
        for page in pages:
            await page.client.wait("reset")
            await until(lambda page=page: page.client.seq is not None and page.client.seq > stood + 9)
        eve = await two.join(house.person("eve"))
        await until(lambda: ann.seq == mod.seq == eve.seq)
        ours, theirs = (page.numbered() for page in pages)
        assert all(ours[number] == theirs[number] for number in ours.keys() & theirs.keys())
        for room in (ann.welcome["room"], mod.welcome["room"], eve.welcome["room"]):
            assert [line["text"] for line in room["lines"]] == ["kept", "lost"]
            assert room["mode"]["slow_s"] == 7
            assert room["pinned"] is None
        assert await bob.wait_closed() == BANNED
        bob = await one.join(house.person("bob"))
        assert (await bob.post("line.post", {"text": "hello"})).code == "silenced"
        back = await one.join(house.person("back"), resume_from=(eve.epoch, stood - 1))
        assert back.envelopes[0]["kind"] == "reset", "no resume reaches what is of before"
        assert (await mod.post("line.remove", {"line": lines[0]})).ok, "what was put back can be taken out"
        assert (await eve.wait("line.removed"))["line"] == lines[0]
        assert len((await mod.post("person.ban", {"person": "per_ann"})).body["lines"]) == 1


async def test_a_store_of_which_a_replica_took_over_ends_the_epoch_though_it_says_that_it_keeps_all(
    own_store_server, house, archive, tmp_path
) -> None:
    own_store_server.keep_at_once()
    replica = StoreServer(tmp_path)
    replica.start()
    redis, other = redis_client(own_store_server.url), redis_client(replica.url)
    try:
        before, after = (RedisBus(one, now_ms=lambda: 0) for one in (redis, other))
        first = await before.history.position(ROOM)
        assert (await before.publish(ROOM, "card.dropped", {"card": 1})).seq == 1
        await redis.config_set("port", free_port())
        await other.replicaof("127.0.0.1", (await redis.config_get("port"))["port"])
        async with asyncio.timeout(60):
            while await other.hget("c:{shw_spring}:head", "seq") != b"1":  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.02)
        own_store_server.stop(kill=True)
        await other.config_set("appendfsync", "always")
        await other.replicaof("NO", "ONE")
        assert (await after.publish(ROOM, "card.dropped", {"card": 2})).seq > 1
        assert (await after.history.position(ROOM))[0] != first[0]
    finally:
        for one in (redis, other):
            await one.aclose()
        replica.stop()


class AppsStoreDown(Exception):
    """As live.errors has it: no error of the room's."""

    code = "store_down"


@pytest.mark.parametrize("where", ["gate", "scene"])
async def test_who_comes_while_a_store_of_the_apps_is_down_is_told_to_come_back(
    web, house, where, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise AppsStoreDown

    cookie = house.person("ann")
    with monkeypatch.context() as patch:
        patch.setattr(house, *(("admit", down) if where == "gate" else ("before_snapshot", down)))
        with pytest.raises(ConnectionError, match="closed with 1013 try again later"):
            await web.join(cookie)
    assert (await web.join(cookie)).welcome is not None


async def test_a_scene_that_fails_while_pages_are_reset_costs_that_page_and_not_the_room(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))

    async def fails_once() -> None:
        house.before_snapshot = None
        raise LookupError("the app's own trouble")

    house.before_snapshot = fails_once
    await web.bus.history.renew(ROOM, ann.epoch, 1_000)
    await web.bus.publish(ROOM, "card.dropped", {"card": 1})
    await asyncio.wait(
        [asyncio.ensure_future(one) for one in (ann.wait_closed(), bob.wait_closed())], return_when="FIRST_COMPLETED"
    )
    (lost, kept) = (ann, bob) if ann.close_code is not None else (bob, ann)
    assert lost.close_code == 1013
    await kept.wait("reset")
    await web.bus.publish(ROOM, "card.dropped", {"card": 2})
    await kept.wait("card.dropped", lambda body: body["card"] == 2)
    assert kept.close_code is None


async def test_a_reset_that_runs_out_of_time_leaves_nobody_waiting_for_good(redis_url, house, archive) -> None:
    limits = msgspec.structs.replace(QUICK, mend_s=0.3)
    async with web_process(redis_url, house, archive, limits=limits) as web:
        ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
        house.before_snapshot = asyncio.Event().wait
        await web.bus.history.renew(ROOM, ann.epoch, 1_000)
        await web.bus.publish(ROOM, "card.dropped", {"card": 1})
        assert (await ann.wait_closed(), await bob.wait_closed()) == (1013, 1013), "they come back by themselves"
        house.before_snapshot = None
        back = await web.join(house.person("ann"))
        await web.bus.publish(ROOM, "card.dropped", {"card": 2})
        await back.wait("card.dropped", lambda body: body["card"] == 2)


async def test_what_was_published_while_the_subscription_was_cut_arrives_in_order(web, house, redis) -> None:
    ann = await web.join(house.person("ann"))
    for round_ in range(3):
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        for card in range(5):
            await web.bus.publish(ROOM, "card.dropped", {"card": 5 * round_ + card})
    await ann.wait("card.dropped", lambda body: body["card"] == 14)
    assert [body["card"] for body in ann.seen("card.dropped")] == list(range(15))


async def test_an_event_of_an_epoch_that_is_over_is_settled_by_one_look_at_the_log(web, house, redis) -> None:
    ann = await web.join(house.person("ann"))
    over = b'e 0ver 7 card.dropped\n{"seq":7,"kind":"card.dropped","body":{"card":7}}'
    await redis.spublish(keys.channel(ROOM), over)
    await web.bus.publish(ROOM, "card.dropped", {"card": 1})
    assert (await ann.wait("card.dropped"))["card"] == 1
    await until(lambda: not web.hub._rooms[ROOM].behind)


async def test_a_revocation_during_a_cut_subscription_still_closes_the_socket(web, house, redis) -> None:
    ann = await web.join(house.person("ann"))
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await web.bus.revoke(session="ses_ann")
    assert await ann.wait_closed() == 4401


async def test_presence_is_right_within_10_s_of_a_killed_process(store_server, redis_url) -> None:
    command = [sys.executable, str(ROOT / "bench" / "room_server.py"), "--redis", redis_url]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.PIPE, env=env) for _ in range(2)]
    try:
        ports = []
        for process in processes:
            line = await asyncio.to_thread(process.stdout.readline)
            ports.append(json.loads(line)["port"])
        url = "ws://127.0.0.1:{}/ws/spring"
        async with (
            RoomClient.open(url.format(ports[0]), "who=ann:") as ann,
            RoomClient.open(url.format(ports[1]), "who=bob:"),
        ):
            await ann.wait("presence.counted", lambda body: body["viewers"] == 2)
            processes[1].send_signal(signal.SIGKILL)
            ann.envelopes.clear()
            await soon(ann.wait("presence.counted", lambda body: body["viewers"] == 1), within_s=10)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_room_runs_on_uvloop_as_the_web_process_does(store_server, redis_url, house, archive) -> None:
    async def run() -> None:
        async with web_process(redis_url, house, archive) as web:
            clients = [await web.join(house.person(f"p{n}", device=f"d{n}")) for n in range(40)]
            for number in range(200):
                kind = "card.dropped" if number % 10 == 0 else "line.posted"
                await web.bus.publish(ROOM, kind, {"line": {"n": number}})
            for client in clients:
                await until(lambda client=client: client.seq == 200)
                assert [e["seq"] for e in client.envelopes if "seq" in e] == list(range(1, 201))

    uvloop.run(run())
