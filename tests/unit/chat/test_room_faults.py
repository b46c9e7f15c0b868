"""What breaks around the room: slow readers, a lost store, a killed process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import uvloop
from room_process import QUICK, until, web_process

from chat.client import RoomClient

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
        slowest = 0.0
        for number in range(300):
            started = time.monotonic()
            await web.bus.publish(ROOM, "card.dropped", {"card": number, "filler": filler})
            await ann.wait("card.dropped", lambda body, number=number: body["card"] == number)
            slowest = max(slowest, time.monotonic() - started)
            ann.envelopes.clear()
        assert web.hub.stats()["slow_sockets"] > 0 or web.hub.stats()["sockets"] == 1, "they did stall"
        assert slowest < 1
        await until(lambda: web.hub.stats()["sockets"] == 1)
        for one in stalled:
            one.close()


async def test_a_reader_who_lagged_is_told_which_numbers_she_misses(web, house) -> None:
    ann = await web.join(house.person("ann"))
    cookie = house.person("lagging")
    lagging = await web.join(cookie)
    lagging._ws.transport.pause_reading()
    for number in range(1500):
        await web.bus.publish(ROOM, "line.posted", {"line": {"n": number, "filler": "x" * 12_000}})
    await ann.wait("line.posted", lambda body: body["line"]["n"] == 1499, timeout=20)
    assert web.hub.stats()["slow_sockets"] == 1
    await web.bus.publish(ROOM, "card.dropped", {"card": 1})
    lagging._ws.transport.resume_reading()
    await lagging.wait("card.dropped")
    had = [e["seq"] for e in lagging.envelopes if "seq" in e]
    assert had == sorted(set(had))
    skipped = {n for body in lagging.seen("events.skipped") for n in range(body["from_seq"], body["to_seq"] + 1)}
    assert skipped
    assert skipped | set(had) == set(range(1, 1502))
    assert not skipped & set(had)


async def test_sockets_stay_while_the_store_is_away_and_nothing_is_lost(own_store_server, house, archive) -> None:
    async with web_process(own_store_server.url, house, archive) as web:
        ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
        assert (await ann.post("line.post", {"text": "before"})).ok
        own_store_server.stop(kill=True)
        refused = await ann.post("line.post", {"text": "during"})
        assert refused.code == "store_down"
        assert refused.facts["retry_after_s"] > 0
        own_store_server.start()

        async with asyncio.timeout(10):
            while not (await ann.post("line.post", {"text": "after"})).ok:
                pass
        await bob.wait("line.posted", lambda body: body["line"]["text"] == "after", timeout=10)
        assert [e["seq"] for e in bob.envelopes if "seq" in e] == [1, 2]
        assert ann.close_code is bob.close_code is None


async def test_a_store_that_comes_back_empty_begins_an_epoch_and_every_page_is_reset(
    own_store_server, house, archive
) -> None:
    async with web_process(own_store_server.url, house, archive) as web:
        ann = await web.join(house.person("ann"))
        assert (await ann.post("line.post", {"text": "before"})).ok
        await ann.wait("line.posted")
        was = ann.epoch
        own_store_server.stop(kill=True)
        for kept in own_store_server.folder.glob("appendonlydir/*"):
            kept.unlink()
        own_store_server.start()
        reset = await ann.wait("reset", timeout=10)
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
            started = time.monotonic()
            await ann.wait("presence.counted", lambda body: body["viewers"] == 1, timeout=12)
            assert time.monotonic() - started <= 10
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_room_runs_on_uvloop_as_the_web_process_does(store_server, redis_url, house, archive) -> None:
    async def run() -> None:
        async with web_process(redis_url, house, archive) as web:
            clients = [await web.join(house.person(f"p{n}", device=f"d{n}")) for n in range(40)]
            for number in range(300):
                kind = "card.dropped" if number % 10 == 0 else "line.posted"
                await web.bus.publish(ROOM, kind, {"line": {"n": number}})
            for client in clients:
                await until(lambda client=client: client.seq == 300)
                assert [e["seq"] for e in client.envelopes if "seq" in e] == list(range(1, 301))

    uvloop.run(run())


async def test_a_quiet_room_does_not_wait_and_a_storm_is_gathered(web, house) -> None:
    clients = [await web.join(house.person(f"p{n}", device=f"d{n}")) for n in range(40)]
    waits = []
    for number in range(5):
        started = time.monotonic()
        await web.bus.publish(ROOM, "line.posted", {"line": {"n": number}})
        await clients[-1].wait("line.posted", lambda body, number=number: body["line"]["n"] == number)
        waits.append(time.monotonic() - started)
    assert sorted(waits)[2] < 0.2, "a quiet room waits for nothing"
    frames = clients[0].frames
    async with asyncio.TaskGroup() as storm:
        for number in range(1000):
            storm.create_task(web.bus.publish(ROOM, "line.posted", {"line": {"n": 100 + number}}))
    for client in clients:
        await until(lambda client=client: client.seq == 1005, 20)
        assert [e["seq"] for e in client.envelopes if "seq" in e] == list(range(1, 1006))
    assert clients[0].frames - frames < 300
