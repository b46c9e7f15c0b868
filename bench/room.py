"""What the room's fan-out costs, beside a bare write loop, node's `ws` and Debian's nats-server, in the same run.

    python bench/room.py --sockets 1000 --seconds 5 --runs 2            the servers beside each other
    python bench/room.py --sockets 1000 --only-room --loads storm-25,storm,storm-400,drop

On a machine that has other things to do bench/room_turns.py compares better. What happens to a room is in
bench/room_storms.py: a process that dies, readers who stall, acts, overload.

Each server is a process of its own; its CPU is what /proc says of it. The loads are in bench/room_load.py.

The room does more than its peers here: every event is read from the store's bus, and was numbered and kept there. The
clients count events, not frames. Median of the runs; p50 and p99 are from publishing to the last read of a sample of
sockets in this process, which shares the machine with the server.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
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

from bench.room_client import NatsServer, Server  # noqa: E402
from bench.room_load import LOADS, Crowd  # noqa: E402
from chat.bus import RedisBus  # noqa: E402

# So long a load goes on before it is measured.
SETTLE_S = 2.0


async def measure(server: Server, load: str, sockets: int, seconds: float, room: RedisBus | None) -> dict[str, Any]:
    crowd = await Crowd.come(server, sockets, room)
    try:
        return await crowd.under(load, seconds, SETTLE_S)
    finally:
        crowd.go()


async def beside_each_other(args: argparse.Namespace, store: StoreServer, folder: Path) -> dict[str, Any]:
    servers: dict[str, Callable[[], Server]] = {"room": lambda: room_server(store)}
    if not args.only_room:
        servers |= peers(folder)
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


def peers(folder: Path) -> dict[str, Callable[[], Server]]:
    """Those of them that there are: what is missing is said."""
    servers: dict[str, Callable[[], Server]] = {
        "bare write loop": lambda: Server([sys.executable, str(ROOT / "bench/room_peers/bare_loop.py")])
    }
    if modules := install_ws(folder):
        servers["node ws"] = lambda: Server(
            ["node", str(ROOT / "bench/room_peers/node_ws.cjs")], NODE_PATH=str(modules)
        )
    if shutil.which("nats-server"):
        servers["nats-server"] = lambda: NatsServer(folder)
    else:
        print("nats-server is missing: no rows for it", file=sys.stderr)
    return servers


def room_server(store: StoreServer, *more: str, root: Path = ROOT) -> Server:
    command = [sys.executable, str(root / "bench/room_server.py"), "--redis", store.url, *more]
    return Server(command, PYTHONPATH=str(root))


def install_ws(folder: Path) -> Path | None:
    """npm's `ws`, for this run only. Without node or the network its rows are left out, and that is said."""
    modules = folder / "node_modules"
    if modules.exists():
        return modules
    if shutil.which("npm") is None or shutil.which("node") is None:
        print("node or npm is missing: no rows for node ws", file=sys.stderr)
        return None
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder), "ws@8"]
    if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode != 0:
        print("npm could not install ws: no rows for node ws", file=sys.stderr)
        return None
    return modules


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
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * args.sockets + 1_000)), hard))
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as temp:
        store = StoreServer(Path(temp))
        store.start()
        try:
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
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    uvloop.run(main(parser.parse_args()))
