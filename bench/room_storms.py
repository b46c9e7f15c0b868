"""What happens to a room, measured on the room alone: each with its own clients, which share the machine.

    python bench/room_storms.py reconnects            5,000 lose their process and come to another (--webs 2: to two)
    python bench/room_storms.py reconnects --whole    the same, to whole web processes: SQL, sessions, throttles
    python bench/room_storms.py stalled               a tenth of the readers stops reading, in turns with not
    python bench/room_storms.py acts                  two processes, a storm: from an act to every screen
    python bench/room_storms.py overload              more talk than one process can take: what is given up

Each prints a table and its figures as JSON. Times are from the act to the last read in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/faults")]

from ports import free_port  # noqa: E402
from processes import ShowServer  # noqa: E402 - the processes of the tests
from store_server import StoreServer, redis_client  # noqa: E402

from bench.room import room_server  # noqa: E402
from bench.room_client import Client, Server, Tally, connect, percentiles  # noqa: E402
from bench.room_load import HELLO  # noqa: E402
from chat.bus import RedisBus  # noqa: E402
from chat.client import RoomClient  # noqa: E402

LATE_S = 60.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def a_store() -> AsyncIterator[tuple[StoreServer, RedisBus]]:
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as temp:
        store = StoreServer(Path(temp))
        store.start()
        redis = redis_client(store.url)
        try:
            yield store, RedisBus(redis, now_ms=now_ms)
        finally:
            await redis.aclose()
            store.stop()


# ---- a process dies --------------------------------------------------------------------------


def pause_s(failures: int) -> float:
    """As static/js/wire.js waits: the first time after a good connection, and ever longer after that."""
    return 0.125 + random.random() * min(10.0, 0.25 * 2**failures)


async def reconnects(args: argparse.Namespace) -> dict[str, Any]:
    return await (to_whole_webs(args) if args.whole else to_rooms(args))


async def to_rooms(args: argparse.Namespace) -> dict[str, Any]:
    async with a_store() as (store, bus):
        one, *others = (room_server(store) for _ in range(1 + args.webs))
        try:
            clients = await connect(one, args.sockets, Tally(), HELLO)
            epoch, seq = await bus.history.position("bench")
            for n in range(20):
                await bus.publish("bench", "card.dropped", {"n": n})
            lost = [client.lost for client in clients]
            doors = [(client.name, b"") for client in clients]
            return await came_back(others, epoch, seq, doors, lost, one.process.kill)
        finally:
            for server in (one, *others):
                server.stop()


# What a browser sends beside its cookies: the server reads all of it.
AS_A_BROWSER = (
    "Pragma: no-cache\r\nCache-Control: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
    "\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
)


class Web:
    """A whole web process beside the first of a ShowServer."""

    def __init__(self, server: ShowServer) -> None:
        self.port = free_port()
        environment = server._environment | {"PORT": str(self.port), "FRONTROW_PUBLIC_URL": server.url}
        command = [sys.executable, "-m", "live.cli", "web"]
        with (server.data_dir / f"web-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)

    cpu_s = Server.cpu_s


async def to_whole_webs(args: argparse.Namespace) -> dict[str, Any]:
    from shopping import SLUG, go_on_air

    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as temp, ShowServer(Path(temp)) as server:
        server.kill("web")  # the first one listens where pages go; these two are alike
        webs = [Web(server) for _ in range(args.webs)]
        try:
            async with server.services() as parts:
                room = await go_on_air(parts, {"COAT-38": 100})
                tokens = list[str]()
                for start in range(0, args.sockets, 64):
                    some = range(start, min(start + 64, args.sockets))
                    tokens += [token for token, _ in await asyncio.gather(*(parts.sessions.open() for _ in some))]
                epoch, seq = await parts.bus.history.position(room)
                for n in range(20):
                    await parts.bus.publish(room, "show.noted", {"n": n})
                doors = []
                for web in webs:
                    await until_up(web.port)
                for n, token in enumerate(tokens):
                    origin = server.url
                    ask = f"GET /ws/{SLUG} HTTP/1.1\r\nHost: bench\r\nOrigin: {origin}\r\nCookie: frontrow={token}\r\n"
                    doors.append((f"per{n}", (ask + AS_A_BROWSER).encode()))
                return await came_back(webs, epoch, seq, doors, [], lambda: None)
        finally:
            for web in webs:
                web.process.kill()
                web.process.wait()


async def until_up(port: int) -> None:
    async with asyncio.timeout(LATE_S), httpx.AsyncClient() as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


async def came_back(
    servers: list[Any], epoch: str, seq: int, doors: list[tuple[str, bytes]], lost: Iterable[Any], kill: Any
) -> dict[str, Any]:
    tally, loop, took_s = Tally(), asyncio.get_running_loop(), list[float]()
    resume = b'{"kind":"hello","body":{"epoch":"%b","seq":%d}}' % (epoch.encode(), seq)
    gone = list(lost) or [None] * len(doors)
    tries = 0

    async def back(name: str, asks: bytes, gone: Any) -> None:
        nonlocal tries
        if gone is not None:
            await gone
        for failures in range(100):
            await asyncio.sleep(pause_s(failures))
            tries += 1
            with contextlib.suppress(OSError):
                port = random.choice(servers).port
                _, client = await loop.create_connection(
                    lambda: Client(name, tally, resume, False, asks), "127.0.0.1", port
                )
                await client.in_room
                took_s.append(time.monotonic() - killed)
                return

    cpu_s, killed = [server.cpu_s() for server in servers], time.monotonic()
    own_s = time.process_time()
    kill()
    load = os.getloadavg()[0]
    async with asyncio.timeout(LATE_S):
        await asyncio.gather(*(back(name, asks, one) for (name, asks), one in zip(doors, gone, strict=True)))
    took_s.sort()
    own_s = time.process_time() - own_s
    used_s = sum(server.cpu_s() - before for server, before in zip(servers, cpu_s, strict=True))
    return {
        "reconnects": len(doors),
        "processes": len(servers),
        "p50_s": took_s[len(took_s) // 2],
        "p99_s": took_s[int(0.99 * len(took_s))],
        "last_s": took_s[-1],
        "tries": tries,
        "cpu_ms_each": 1000 * used_s / len(doors),
        "clients_cpu_ms_each": 1000 * own_s / len(doors),
        "load_before": load,
    }


# ---- readers who stall -----------------------------------------------------------------------

STALLED_RATE, STALLED_BYTES = 20, 4096
SETTLE_S, BLOCK_S = 1.5, 4.0


async def stalled(args: argparse.Namespace) -> dict[str, Any]:
    """One server, the same sockets: blocks in which all read and blocks in which a tenth doesn't, in turns."""
    async with a_store() as (store, bus):
        server, tally = room_server(store), Tally()
        some = args.sockets // 10
        try:
            clients = await connect(server, args.sockets, tally, HELLO, small=some, sampled=200)

            async def block() -> float:
                p99 = 0.0
                for seconds in (SETTLE_S, BLOCK_S):
                    tally.waits_ms = []
                    started = time.monotonic()
                    for n in range(int(seconds * STALLED_RATE)):
                        await asyncio.sleep(max(0.0, started + n / STALLED_RATE - time.monotonic()))
                        await bus.publish(
                            "bench", "card.dropped", {"t": time.monotonic_ns(), "filler": "x" * STALLED_BYTES}
                        )
                    await asyncio.sleep(0.2)  # what is on its way
                    p99 = percentiles(tally.waits_ms)[1]
                return p99

            pairs, loads = [], []
            for n in range(args.pairs):
                both = {}
                for stalls in (False, True) if n % 2 == 0 else (True, False):
                    for client in clients[-some:]:
                        if stalls and not client.closed:
                            client.transport.pause_reading()  # type: ignore[attr-defined]
                    both[stalls] = await block()
                    for client in clients[-some:]:
                        if stalls and not client.closed:
                            client.transport.resume_reading()  # type: ignore[attr-defined]
                pairs.append((both[False], both[True]))
                loads.append(os.getloadavg()[0])
            closed = sum(client.closed for client in clients)
        finally:
            server.stop()
    ratios = sorted(stall / calm for calm, stall in pairs)
    return {
        "sockets": args.sockets,
        "stalled": some,
        "pairs": len(pairs),
        "p99_calm_ms": statistics.median(calm for calm, _ in pairs),
        "p99_stalled_ms": statistics.median(stall for _, stall in pairs),
        "ratio_median": statistics.median(ratios),
        "ratio_quartiles": [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]],
        "ratios": ratios,
        "closed": closed,
        "load": statistics.median(loads),
    }


# ---- an act, and every screen ----------------------------------------------------------------


async def acts(args: argparse.Namespace) -> dict[str, Any]:
    """Half the sockets on each of two processes, 100 lines/s; the moderator is on one of them."""
    tally = Tally()
    refused_ms: list[float] = []
    async with a_store() as (store, bus):
        servers = [room_server(store), room_server(store)]
        try:
            half = args.sockets // 2
            for n, server in enumerate(servers):
                await connect(server, half, tally, HELLO, first=n * half)
            urls = [f"ws://127.0.0.1:{server.port}/ws/bench" for server in servers]
            async with (
                RoomClient.open(urls[0], "who=mod:moderator") as mod,
                RoomClient.open(urls[1], "who=troll:") as troll,
            ):
                started = time.monotonic()
                async with asyncio.TaskGroup() as group:
                    talking = group.create_task(talk(bus, args.seconds))
                    dropping = group.create_task(drops(bus, tally, args.seconds))
                    while time.monotonic() - started < args.seconds - 1:
                        said = await mod.post("line.post", {"text": "this goes"})
                        await asyncio.sleep(0.4)
                        line = said.body["line"]
                        await seen_by_all(tally, b'"line":"%b"' % line.encode(), "removed")
                        assert (await mod.post("line.remove", {"line": line})).ok
                        await asyncio.sleep(0.4)
                        raid = random.randrange(100, 3000)
                        await seen_by_all(tally, b'"slow_s":%d,' % raid, "mode")
                        assert (await mod.post("mode.set", {"slow_s": raid})).ok
                        assert (await mod.post("mode.set", {"slow_s": 0})).ok
                        since = time.monotonic()
                        assert (await mod.post("person.timeout", {"person": "troll", "seconds": 60})).ok
                        while (answer := await troll.post("line.post", {"text": f"still {time.monotonic()}"})).ok:
                            pass
                        assert answer.code == "silenced", answer
                        refused_ms.append(1000 * (time.monotonic() - since))
                        assert (await mod.post("person.unban", {"person": "troll"})).ok
                    await asyncio.gather(talking, dropping)
                await asyncio.sleep(1)
        finally:
            for server in servers:
                server.stop()
    what = {"drop": tally.drops_ms, "removed": [], "mode": []}
    for name, waits in of_all(tally):
        what[name] += waits
        assert len(waits) >= args.sockets, f"{name}: {len(waits)} of {args.sockets} screens"
    rows = {name: dict(zip(("p50", "p99"), percentiles(waits), strict=True)) for name, waits in what.items()}
    rows["refused on the other process"] = dict(zip(("p50", "p99"), percentiles(refused_ms), strict=True))
    return {
        "sockets": args.sockets,
        "acts": len(refused_ms),
        "ms": rows,
        "last_ms": {name: max(waits) for name, waits in what.items()},
        "load": os.getloadavg()[0],
    }


async def talk(bus: RedisBus, seconds: float, rate: int = 100) -> None:
    started = time.monotonic()
    for n in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, started + n / rate - time.monotonic()))
        await bus.publish("bench", "line.posted", {"n": n, "filler": "x" * 120})


async def drops(bus: RedisBus, tally: Tally, seconds: float) -> None:
    for n in range(int(2 * seconds)):
        await asyncio.sleep(0.5)
        await bus.publish("bench", "card.dropped", {"td": time.monotonic_ns(), "n": n})


_waited: dict[bytes, str] = {}


async def seen_by_all(tally: Tally, mark: bytes, name: str) -> None:
    """Every screen notes when it gets `mark`, from now on."""
    _waited[mark] = name
    tally.marks[mark] = (time.monotonic(), [])


def of_all(tally: Tally) -> list[tuple[str, list[float]]]:
    return [(name, tally.marks[mark][1]) for mark, name in _waited.items()]


# ---- overload --------------------------------------------------------------------------------


async def overload(args: argparse.Namespace) -> dict[str, Any]:
    """Everyone talks through her own socket, at `--lines` a second together, with hearts; two drops a second go on."""
    tally, told = Tally(), []
    async with a_store() as (store, bus):
        server = room_server(store, "--busy-share", "0.85")
        try:
            clients = await connect(server, args.sockets, tally, HELLO)
            started = time.monotonic()

            def hear(envelope: dict[str, Any]) -> None:
                if envelope["kind"] == "service.changed":
                    service = envelope["body"]["service"]
                    off = [name for name, on in service.items() if not on and name != "read_only"]
                    told.append((round(time.monotonic() - started, 1), off))

            url = f"ws://127.0.0.1:{server.port}/ws/bench"
            async with RoomClient.open(url, "who=watcher:", on_envelope=hear):
                await drops(bus, tally, 5)
                calm, tally.drops_ms = tally.drops_ms, []
                storm_from, cpu_s = time.monotonic(), server.cpu_s()
                async with asyncio.TaskGroup() as group:
                    group.create_task(drops(bus, tally, args.seconds))
                    n = 0
                    while (late := time.monotonic() - storm_from) < args.seconds:
                        await asyncio.sleep(max(0.0, n / args.lines - late))
                        client, words = clients[n * 7 % len(clients)], f"line {n} of what everybody says at once"
                        client.send(b'{"kind":"line.post","op":"l%d","body":{"text":"%b"}}' % (n, words.encode()))
                        if n % 2:
                            client.send(b'{"kind":"heart.send","op":"h%d","body":{"n":1}}' % n)
                        n += 1
                storm_s = time.monotonic() - storm_from
                share = (server.cpu_s() - cpu_s) / storm_s
                under, tally.drops_ms = tally.drops_ms, []
                over_at = round(time.monotonic() - started, 1)
                load = os.getloadavg()[0]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(100):
                        while told and told[-1][1]:  # noqa: ASYNC110 - heard above
                            await asyncio.sleep(0.1)
                back_at = round(time.monotonic() - started, 1)
            closed = sum(client.closed for client in clients)
        finally:
            server.stop()
    return {
        "sockets": args.sockets,
        "lines_sent_s": n / storm_s,
        "core_busy": share,
        "drop_p50_p99_calm_ms": percentiles(calm),
        "drop_p50_p99_overloaded_ms": percentiles(under),
        "switches_off": told,
        "storm_over_s": over_at,
        "all_back_s": back_at if not told or not told[-1][1] else None,
        "closed": closed,
        "load": load,
    }


MEASURES = {"reconnects": reconnects, "stalled": stalled, "acts": acts, "overload": overload}


async def main(args: argparse.Namespace) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 3 * args.sockets + 1_000)), hard))
    result = await MEASURES[args.what](args)
    for name, value in result.items():
        print(f"| {name} | {value:.2f} |" if isinstance(value, float) else f"| {name} | {value} |")
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--sockets", type=int, default=0, help="5,000, and 1,000 for stalled and acts")
    parser.add_argument("--webs", type=int, default=1)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--lines", type=int, default=400)
    options = parser.parse_args()
    options.sockets = options.sockets or (1_000 if options.what in ("stalled", "acts") else 5_000)
    uvloop.run(main(options))
