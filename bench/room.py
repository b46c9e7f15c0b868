"""What the room's fan-out costs, beside a bare write loop, node's `ws` and Debian's nats-server, in the same run.

    python bench/room.py --sockets 1000 --seconds 5 --runs 2            the servers beside each other
    python bench/room.py --sockets 1000 --only-room --loads storm-25,storm,storm-400,drop,stalled
    python bench/room.py --reconnects 5000                               a process dies, all come to another

Each server is a process of its own; its CPU is what /proc says of it. The loads, 200 bytes an event:

    quiet     1 event/s that may not wait
    paced     20 events/s that may not wait (commerce): the cost of one event at a time
    storm     100 lines of talk/s: what gathering into ticks saves (storm-25, storm-400: so many)
    drop      a storm, and 2 drops a second in it; p50 and p99 are the drops'
    calm      40 events/s of 8 KiB that may not wait; everyone reads
    stalled   the same, while a tenth of the sockets never read

The room does more than its peers here: every event is read from the store's bus, and was numbered and kept there. The
clients count events, not frames. Median of the runs; p50 and p99 are from publishing to the last read of a sample of
sockets in this process, which shares the machine with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from store_server import StoreServer, redis_client  # noqa: E402 - the store of the tests

from bench.room_client import Client, NatsServer, Server, Tally, connect, percentiles  # noqa: E402
from chat.bus import RedisBus  # noqa: E402

# kind, events a second, bytes an event, drops a second among them, share of sockets that stall
LOADS: dict[str, tuple[str, int, int, int, float]] = {
    "quiet": ("card.dropped", 1, 200, 0, 0),
    "paced": ("card.dropped", 20, 200, 0, 0),
    "storm-25": ("line.posted", 25, 200, 0, 0),
    "storm": ("line.posted", 100, 200, 0, 0),
    "storm-400": ("line.posted", 400, 200, 0, 0),
    "drop": ("line.posted", 100, 200, 2, 0),
    "calm": ("card.dropped", 40, 8192, 0, 0),
    "stalled": ("card.dropped", 40, 8192, 0, 0.1),
}
WARM_UP_S = 1.0
ARRIVE_S = 10.0
HELLO = b'{"kind":"hello","body":{}}'
NATS_HELLO = b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB room 1\r\nPING\r\n'


async def measure(server: Server, load: str, sockets: int, seconds: float, room: RedisBus | None) -> dict[str, Any]:
    kind, rate, size, drops, stalled_share = LOADS[load]
    tally = Tally()
    is_nats = isinstance(server, NatsServer)
    says = HELLO if room is not None else NATS_HELLO if is_nats else b""
    stalled = int(sockets * stalled_share)
    before_kib = server.rss_kib()
    clients = await connect(server, sockets, tally, says, stalled=stalled)
    kib = (server.rss_kib() - before_kib) / sockets

    async def send(kind: str, key: str, n: int) -> None:
        # The clock sits inside the event, so that it is written once for all.
        body = {key: time.monotonic_ns(), "filler": "x" * (size - 80)}
        if room is not None:
            await room.publish("bench", kind, body)
            return
        envelope = json.dumps({"seq": n, "kind": kind, "body": body}, separators=(",", ":")).encode()
        clients[0].send(b"PUB room %d\r\n%b\r\n" % (len(envelope), envelope) if is_nats else envelope)

    async def publish(for_s: float) -> int:
        started, count = time.monotonic(), int(for_s * rate)
        every = rate // drops if drops else 0
        sent = 0
        for n in range(count):
            await asyncio.sleep(max(0.0, started + n / rate - time.monotonic()))
            await send(kind, "t", n)
            sent += 1
            if every and n % every == every - 1:
                await send("card.dropped", "td", n)
                sent += 1
        return sent

    async def all_arrived(expected: int) -> None:
        """What is still on its way; a server that lost something is given up after 10 s, and the row says so."""
        deadline = time.monotonic() + ARRIVE_S
        while tally.events < expected and time.monotonic() < deadline:  # noqa: ASYNC110 - counting is all there is
            await asyncio.sleep(0.02)

    readers = sockets - stalled
    await all_arrived(readers * await publish(WARM_UP_S))
    tally.events, tally.waits_ms, tally.drops_ms = 0, [], []
    cpu_s, started = server.cpu_s(), time.monotonic()
    published = await publish(seconds)
    await all_arrived(readers * published)
    cpu_s, took_s = server.cpu_s() - cpu_s, time.monotonic() - started
    closed = sum(client.closed for client in clients)
    for client in clients:
        client.transport.abort()
    p50, p99 = percentiles(tally.drops_ms if drops else tally.waits_ms)
    return {
        "deliveries": tally.events,
        "complete": tally.events >= published * readers,
        "closed": closed,
        "deliveries_s": tally.events / took_s,
        "deliveries_cpu_s": tally.events / cpu_s if cpu_s else 0.0,
        "cpu_us_a_delivery": 1e6 * cpu_s / tally.events if tally.events else 0.0,
        "cpu_us_a_socket_second": 1e6 * cpu_s / (took_s * sockets),
        "p50_ms": p50,
        "p99_ms": p99,
        "kib_a_socket": kib,
    }


async def beside_each_other(args: argparse.Namespace, store: StoreServer, folder: Path) -> dict[str, Any]:
    servers: dict[str, Callable[[], Server]] = {"room": lambda: room_server(store)}
    if not args.only_room:
        servers["bare write loop"] = lambda: Server([sys.executable, str(ROOT / "bench/room_peers/bare_loop.py")])
        if modules := install_ws(folder):
            servers["node ws"] = lambda: Server(
                ["node", str(ROOT / "bench/room_peers/node_ws.cjs")], NODE_PATH=str(modules)
            )
        if shutil.which("nats-server"):
            servers["nats-server"] = lambda: NatsServer(folder)
        else:
            print("nats-server is missing: no rows for it", file=sys.stderr)
    redis = redis_client(store.url)
    bus = RedisBus(redis, now_ms=lambda: time.time_ns() // 1_000_000)
    taken: dict[tuple[str, str], list[dict[str, Any]]] = {}
    try:
        # Runs are interleaved, so that a noisy minute of the machine is shared by all.
        for _ in range(args.runs):
            for load in args.loads.split(","):
                for name, start in servers.items():
                    await redis.flushall()
                    server = start()
                    try:
                        row = await measure(server, load, args.sockets, args.seconds, bus if name == "room" else None)
                    finally:
                        server.stop()
                    print(f"  {load}, {name}: {row['cpu_us_a_delivery']:.2f} µs a delivery", file=sys.stderr)
                    taken.setdefault((load, name), []).append(row)
    finally:
        await redis.aclose()
    return report(taken, {"sockets": args.sockets, "seconds": args.seconds, "runs": args.runs})


async def reconnects(sockets: int, store: StoreServer) -> dict[str, Any]:
    """A process with all the sockets is killed; each comes to another after the pause that static/js/wire.js takes."""
    one, two = room_server(store), room_server(store)
    tally, loop = Tally(), asyncio.get_running_loop()
    try:
        clients = await connect(one, sockets, tally, HELLO)
        redis = redis_client(store.url)
        bus = RedisBus(redis, now_ms=lambda: time.time_ns() // 1_000_000)
        epoch, seq = await bus.history.position("bench")
        for n in range(20):
            await bus.publish("bench", "card.dropped", {"n": n})
        await redis.aclose()
        resume = b'{"kind":"hello","body":{"epoch":"%b","seq":%d}}' % (epoch.encode(), seq)
        took_s: list[float] = []

        async def back(client: Client) -> None:
            await client.lost
            await asyncio.sleep(0.125 + random.random() * 0.5)  # wire.js: a first failure waits so long
            while True:
                try:
                    _, again = await loop.create_connection(
                        lambda: Client(client.name, tally, resume, False), "127.0.0.1", two.port
                    )
                    await again.in_room
                    break
                except OSError:
                    await asyncio.sleep(0.125 + random.random())
            took_s.append(time.monotonic() - killed)

        cpu_s, killed = two.cpu_s(), time.monotonic()
        one.process.kill()
        await asyncio.gather(*(back(client) for client in clients))
        took_s.sort()
        cpu_s = two.cpu_s() - cpu_s
    finally:
        one.stop()
        two.stop()
    row = {
        "reconnects": sockets,
        "p50_s": took_s[len(took_s) // 2],
        "p99_s": took_s[int(0.99 * len(took_s))],
        "last_s": took_s[-1],
        "cpu_ms_a_reconnect": 1000 * cpu_s / sockets,
    }
    print("| reconnects | p50 s | p99 s | last s | CPU ms each |\n|---|---|---|---|---|")
    print(
        f"| {sockets:,} | {row['p50_s']:.2f} | {row['p99_s']:.2f} | {row['last_s']:.2f} "
        f"| {row['cpu_ms_a_reconnect']:.2f} |"
    )
    return row


def room_server(store: StoreServer) -> Server:
    return Server([sys.executable, str(ROOT / "bench/room_server.py"), "--redis", store.url], PYTHONPATH=str(ROOT))


def install_ws(folder: Path) -> Path | None:
    """npm's `ws`, for this run only. Without node or the network its rows are left out, and that is said."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        print("node or npm is missing: no rows for node ws", file=sys.stderr)
        return None
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder), "ws@8"]
    if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode != 0:
        print("npm could not install ws: no rows for node ws", file=sys.stderr)
        return None
    return folder / "node_modules"


def report(taken: dict[tuple[str, str], list[dict[str, Any]]], how: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for (load, name), runs in taken.items():
        numbers = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "complete"}
        rows.append({"load": load, "server": name, "complete": all(run["complete"] for run in runs), **numbers})
    ratios = {
        f"{load}: room against {name}": next(
            r["cpu_us_a_delivery"] for r in rows if r["load"] == load and r["server"] == "room"
        )
        / row["cpu_us_a_delivery"]
        for row in rows
        if (name := row["server"]) != "room" and (load := row["load"]) and row["cpu_us_a_delivery"]
    }
    print(f"{how['sockets']} sockets, {how['seconds']} s, median of {how['runs']} runs\n")
    print("| load | server | deliveries/s | deliveries a CPU second | CPU µs a delivery ", end="")
    print("| CPU µs a socket and second | p50 ms | p99 ms | KiB a socket | all arrived |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        closed = f", {row['closed']:.0f} closed" if row["closed"] else ""
        print(
            f"| {row['load']} | {row['server']} | {row['deliveries_s']:,.0f} | {row['deliveries_cpu_s']:,.0f} "
            f"| {row['cpu_us_a_delivery']:.2f} | {row['cpu_us_a_socket_second']:.1f} | {row['p50_ms']:.1f} "
            f"| {row['p99_ms']:.1f} | {row['kib_a_socket']:.1f} | {'yes' if row['complete'] else 'NO'}{closed} |"
        )
    print("\nCPU a delivery, as a ratio (below 1: the room is cheaper)")
    for what, ratio in ratios.items():
        print(f"  {what}: {ratio:.2f}")
    return {**how, "rows": rows, "ratios": ratios}


async def main(args: argparse.Namespace) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * max(args.sockets, args.reconnects) + 1_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, needed)), hard))
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as temp:
        store = StoreServer(Path(temp))
        store.start()
        try:
            if args.reconnects:
                result = await reconnects(args.reconnects, store)
            else:
                result = await beside_each_other(args, store, Path(temp))
        finally:
            store.stop()
    machine = {"python": platform.python_version(), "kernel": platform.release(), "cores": os.cpu_count()}
    text = json.dumps({"machine": machine, **result})
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")
    print("\n" + text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--loads", default="paced,storm", help=", ".join(LOADS))
    parser.add_argument("--only-room", action="store_true", help="without the peers")
    parser.add_argument("--reconnects", type=int, default=0, help="instead: so many come back after a process died")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    uvloop.run(main(parser.parse_args()))
