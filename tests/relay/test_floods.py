"""Floods while somebody watches: she loses no packet, nothing grows, and those who mean it still get in."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import socket
import struct
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relay_people import CERTIFICATE, Camera, Viewer, live, watching
from relay_stage import KEY, Stage, stage, until
from test_proven_paths import client_hello
from yardstick import cpu_s

from live.ids import sign
from live.relay import foyer, sdp, stun
from live.relay import peer as peer_module
from live.relay import session as session_module
from live.relay import show as show_module
from live.relay.caller import Caller
from live.relay.errors import Full
from live.relay.session import Session
from live.relay.watching import Seat, Watching

A_BATCH = 100


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)


@pytest.fixture
async def running(tmp_path: Any, redis_url: str) -> Any:
    """A fault that only the log would tell of fails the test."""
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with stage(tmp_path, redis_url=redis_url) as up:
        yield up
    assert faults == []


def datagrams(kind: str, ufrag: str) -> Iterator[bytes]:
    """An endless flood of one kind. `ufrag` is a real session's, as anybody on the way may have read it."""
    dice = random.Random(3)
    hello = client_hello()
    while True:
        if kind == "stun, bad integrity":
            yield stun.request("them", ufrag, b"a guess", dice.randbytes(12), nominate=True)
        elif kind == "stun, unknown name":
            yield stun.request("them", f"{dice.getrandbits(40):010x}", b"x", dice.randbytes(12), nominate=True)
        elif kind == "stun, huge":
            yield struct.pack("!HHI12s", 1, 1400, stun.COOKIE, dice.randbytes(12)) + b"\x80\x22\0\0" * 350
        elif kind == "stun, answers":
            yield (
                struct.pack("!HHI12s", 0x101, 24, stun.COOKIE, dice.randbytes(12))
                + struct.pack("!HH", 8, 20)
                + bytes(20)
            )
        elif kind == "dtls hello":
            yield hello
        elif kind == "dtls garbage":
            yield bytes((dice.randrange(20, 64), 0xFE, 0xFD)) + dice.randbytes(dice.randrange(1, 1200))
        elif kind == "rtp":
            yield struct.pack("!BBHII", 0x80, 102, dice.getrandbits(16), dice.getrandbits(32), 7) + dice.randbytes(900)
        elif kind == "rtcp":
            yield struct.pack("!BBHI", 0x81, 205, 20, 7) + dice.randbytes(76)
        else:
            yield dice.randbytes(dice.randrange(1, 1500))


KINDS = [
    "stun, bad integrity", "stun, unknown name", "stun, huge", "stun, answers", "dtls hello", "dtls garbage", "rtp",
    "rtcp", "noise",
]  # fmt: skip


async def while_it_floods(camera: Camera, viewer: Viewer, send: Callable[[], None], *, batches: int) -> int:
    """Bytes that Python's part grew by in the second half; every frame reached her meanwhile."""
    got = len(viewer.order)
    for batch in range(batches):
        if batch == batches // 2:
            gc.collect()
            tracemalloc.start()
        for count in range(A_BATCH):
            send()
            if count % 25 == 0:
                await asyncio.sleep(0)  # the relay shares this loop; a flood of its own machine would be elsewhere
        camera.frame()
        got += 3
        await until(lambda got=got: len(viewer.order) == got)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert viewer.gaps() == []
    return grown


async def test_no_flood_of_a_stranger_costs_the_viewer_a_packet_or_is_answered(running: Stage) -> None:
    camera, viewer = await live(running), await watching(running)
    session = next(iter(running.show.viewers.values())).session
    to = running.relay.port.candidates[0]
    for kind in KINDS:
        flood = datagrams(kind, session.ice.current.ufrag)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            grown = await while_it_floods(camera, viewer, lambda: stranger.sendto(next(flood), to), batches=8)  # noqa: B023
            with pytest.raises(BlockingIOError):
                stranger.recv(2048)
        assert grown < 400_000, f"{kind}: beside four frames, which are kept for resends"
    assert len(running.relay.sessions) == 2
    for one in (camera, viewer):
        await one.caller.close()


async def test_no_flood_from_a_viewers_own_address_costs_the_others_a_packet(running: Stage) -> None:
    camera, viewer, mad = await live(running), await watching(running), await watching(running)
    session = list(running.show.viewers.values())[1].session
    to = running.relay.port.candidates[0]
    for kind in ("stun, bad integrity", "dtls garbage", "rtp", "rtcp", "noise"):
        flood = datagrams(kind, session.ice.current.ufrag)

        def send(flood: Iterator[bytes] = flood) -> None:
            with contextlib.suppress(BlockingIOError):
                mad.caller.socket.sendto(next(flood), to)

        assert await while_it_floods(camera, viewer, send, batches=6) < 1_000_000, kind
    for one in (camera, viewer, mad):
        await one.caller.close()


async def test_what_one_bad_datagram_costs(running: Stage) -> None:
    """A tenth of a millisecond each would be a core at 10,000 a second, which anybody's line carries."""
    camera = await live(running)
    port, session = running.relay.port, next(iter(running.relay.sessions.values()))
    port._send = lambda *_: None
    for kind in KINDS[:4]:
        flood = datagrams(kind, session.ice.current.ufrag)
        some = [next(flood) for _ in range(500)]

        def come(some: list[bytes] = some) -> None:
            for datagram in some:
                port._stun(0, datagram, ("192.0.2.7", 9))

        each_s = cpu_s(come) / len(some)
        assert each_s < 60e-6, f"{kind}: {each_s * 1e6:.1f} µs"
    del port._send
    await camera.caller.close()


# ---- offers ------------------------------------------------------------------------------------


async def test_offers_of_one_network_and_of_many_keep_a_viewer_who_means_it_from_nothing(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foyer, "SILENT_MS", 100)
    camera, viewer = await live(running), await watching(running)
    relay, caller = running.relay, Caller(CERTIFICATE)
    offer = caller.offer("recvonly")
    refused = 0

    def post(network: str) -> None:
        nonlocal refused
        try:
            relay.play("shw_one", offer, network)
        except Full:
            refused += 1

    gc.collect()
    tracemalloc.start()
    for batch in range(8):
        for count in range(40):
            post("flood" if batch < 4 else f"flood {count % 20}")
        camera.frame()
        await until(lambda batch=batch: len(viewer.order) == 6 + 3 * batch)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert viewer.gaps() == []
    assert refused, "premise: it was a flood"
    waiting = [one for one in relay.sessions.values() if not one.peer.connected]
    assert len(waiting) <= foyer.MOST
    assert max(sum(one.network == "flood" for one in waiting), 1) <= foyer.OF_A_NETWORK
    assert grown < 30 << 20, "200 unfinished sessions and no more"
    await until(lambda: min(relay.now_ms() - one.started_ms for one in waiting) > foyer.SILENT_MS)
    late = await watching(running)  # 200 are in the foyer, and she gets in
    camera.frame()
    await until(lambda: len(late.order) >= 6)
    await caller.close()
    for one in (camera, viewer, late):
        await one.caller.close()


async def test_a_bad_offer_pushes_nobody_out(running: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foyer, "MOST", 2)
    monkeypatch.setattr(foyer, "SILENT_MS", -1)
    camera, caller = await live(running), Caller(CERTIFICATE)
    sessions = [running.relay.play("shw_one", caller.offer("recvonly"), "n")[0] for _ in range(2)]
    assert (await running.play("v=0\r\n")).status_code == 400
    assert all(session.id in running.relay.sessions for session in sessions)
    await caller.close()
    await camera.caller.close()


@pytest.mark.parametrize("checked", [False, True])
async def test_who_never_finishes_is_gone_after_the_time_out(
    running: Stage, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    camera, caller = await live(running), Caller(CERTIFICATE)
    came: list[Session] = []
    admit = running.relay.port.admit
    monkeypatch.setattr(running.relay.port, "admit", lambda session: (came.append(session), admit(session)))
    for within_s in (0.15, 1.5, 15.0):  # more, where a check takes longer than that to be heard
        for module in (session_module, peer_module):
            monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT_S", within_s)
        answer = (await running.play(caller.offer("recvonly"))).text
        if checked:
            theirs = sdp.read_offer(answer)
            packet = stun.request(caller._ufrag, theirs.ufrag, theirs.password.encode(), bytes(12), nominate=True)
            caller.socket.sendto(packet, running.relay.port.candidates[0])
        await until(lambda: len(running.relay.sessions) == 1)
        assert running.relay.handshakes_failed == len(came)
        assert not running.show.viewers
        if not checked or came[-1].ice.address:
            break
    assert checked == bool(came[-1].ice.address), "the premise"
    await caller.close()
    await camera.caller.close()


# ---- nothing stays -----------------------------------------------------------------------------


async def test_five_hundred_who_came_and_left_leave_nothing_behind(running: Stage) -> None:
    camera, caller = await live(running), Caller(CERTIFICATE)
    offer = caller.offer("recvonly")
    for round_of in range(10):
        await watching_and_leaving(running, 10)
        for _ in range(40):  # and those who never finish
            session, _ = running.relay.play("shw_one", offer, "")
            running.relay.delete("shw_one", session.id)
        del session
        camera.frame(key=round_of == 5)
    await caller.close()
    await until(lambda: len(running.relay.sessions) == 1)
    # Cancelled tasks end with the loop's next turns, and let go of theirs.
    await until(lambda: left_behind() == {"Session": 1})  # the publisher's
    port = running.relay.port
    assert len(port._by_address[0]) == len(port._by_name) == 1
    assert not port._probed
    await camera.caller.close()


def left_behind() -> Counter[str]:
    gc.collect()
    return Counter(type(one).__name__ for one in gc.get_objects() if type(one) in (Session, Watching, Seat))


async def watching_and_leaving(running: Stage, count: int) -> None:
    for start in range(0, count, 10):
        viewers = [Viewer() for _ in range(min(10, count - start))]
        await asyncio.gather(*(viewer.on(running) for viewer in viewers))
        await asyncio.gather(*(running.http.delete(running.url + viewer.session) for viewer in viewers[::2]))
        for viewer in viewers:  # the others by close_notify
            await viewer.caller.close()
        await until(lambda: len(running.relay.sessions) == 1)


# ---- capabilities ------------------------------------------------------------------------------


async def test_a_session_cannot_be_guessed_and_a_wrong_guess_learns_nothing(running: Stage) -> None:
    camera, viewer = await live(running), await watching(running)
    name = viewer.session.rpartition("/")[2]
    relay_id, _, session = name.rpartition(".")
    assert len(session) * 6 >= 128, "bits, of base64"
    guesses = [f"{relay_id}.{session[:-1]}{'A' if session[-1] != 'A' else 'B'}", f"{relay_id}.x", "relay_none.x", "x.y"]
    answers = set()
    for guess in guesses:
        refused = await running.http.delete(f"{running.url}/whep/one/{guess}")
        headers = {key: value for key, value in refused.headers.items() if key not in ("date", "content-length")}
        body = {key: value for key, value in refused.json().items() if key != "instance"}
        answers.add((refused.status_code, json.dumps(body, sort_keys=True), json.dumps(headers, sort_keys=True)))
    assert len(answers) == 1, "an unknown session is the same answer whatever was wrong about it"
    assert next(iter(answers))[0] == 404
    assert len(running.show.viewers) == 1
    for one in (camera, viewer):
        await one.caller.close()


async def test_a_rotated_key_cuts_its_publisher_at_once_and_she_cannot_come_back(running: Stage) -> None:
    camera, viewer = await live(running), await watching(running)
    shaking = Caller(CERTIFICATE)  # a second camera of hers, in the middle of its handshake
    assert (await running.publish(shaking.offer("sendonly"))).status_code == 201
    del running.shows.keys[KEY]
    running.shows.keys["the new key"] = "shw_one"
    running.relay.drop_publisher("shw_one")
    assert [one.kind for one in running.relay.sessions.values()] == ["play"]
    assert running.show.state == "slate"
    await asyncio.wait_for(camera.caller.closed.wait(), 60)
    assert (await running.publish(shaking.offer("sendonly"))).status_code == 401
    again = Camera()
    response = await running.publish(again.caller.offer("sendonly", codecs=("H264",)), "the new key")
    await again.caller.connect(response.text)
    again.frame(key=True)
    await until(lambda: len(viewer.order) == 6)
    await shaking.close()
    for one in (camera, viewer, again):
        await one.caller.close()


async def test_an_offer_that_was_on_its_way_while_the_key_was_rotated_is_cut_too(
    running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def check(key: str) -> str | None:
        asked.append(key)
        return "shw_one" if len(asked) == 1 else None

    monkeypatch.setattr(running.shows, "check_publish_key", check)
    caller = Caller(CERTIFICATE)
    assert (await running.publish(caller.offer("sendonly"))).status_code == 401
    assert len(asked) == 2, "premise: it was good when the offer came"
    assert not running.relay.sessions
    await caller.close()


# ---- the control API ---------------------------------------------------------------------------


async def test_garbage_orders_are_refused_in_words_and_never_break(running: Stage) -> None:
    headers = {"Authorization": f"Bearer {sign(running.settings.key, 'relay-control', 'v1')}"}
    loop = asyncio.get_running_loop()
    cases: list[tuple[str, str, bytes]] = []
    json_like = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["show", "offer", "network"]), inner)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(["POST", "PATCH", "DELETE", "GET", "PUT"]),
        st.sampled_from(
            ["/publish", "/play", "/shows/x/sessions/y", "/shows/%00/seen", "/shows/x/viewers", "/nothing"]
        ),
        st.binary(max_size=80) | json_like,
        st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12),
    )
    def collect(method: str, path: str, body: bytes, query: str) -> None:
        cases.append((method, f"{path}?most={query.replace('#', '')}&worst=-{len(query)}", body))

    await loop.run_in_executor(None, collect)
    cases.append(("POST", "/play", b'{"show":"a","offer":"b","x":' + b"[" * 60_000))
    cases.append(("POST", "/play", b'{"show":"shw_one","offer":"' + b"v" * 200_000 + b'"}'))
    for method, path, body in cases:
        answer = await running.http.request(method, f"{running.process.control}{path}", content=body, headers=headers)
        assert answer.status_code in (200, 204, 400, 404, 405, 409, 422, 503), (method, path, body[:80], answer.text)
    assert not running.relay.sessions
