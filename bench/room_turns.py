"""The room and its peers in turns, all up at once with their sockets: what else the machine does meets each alike.

    python bench/room_turns.py --sockets 10000 --loads quiet             beside its peers
    python bench/room_turns.py --sockets 10000 --loads quiet --against ../before      beside another checkout's room
    python bench/room_turns.py --slope 1000,3000 --loads storm-25,storm,storm-400     what one more viewer costs

A round gives each server each load once (bench/room_load.py); what is compared are two servers in the same round, by
the median of the rounds. Each server has a process of clients of its own.

The slope: two rooms that differ in their sockets alone get the same lines. What more sockets cost, by sockets, is a
viewer's; what is left is the lines' own: reading them off the bus, whoever is there. Ticks are full (a quarter of a
second) from 20,000 deliveries a second on: at 25 lines/s from 800 sockets on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from store_server import StoreServer, redis_client  # noqa: E402 - the store of the tests

from bench.room import peers, room_server  # noqa: E402
from bench.room_load import LOADS, Crowd  # noqa: E402
from chat.bus import RedisBus  # noqa: E402

COME_S = 300.0
Taken = dict[str, dict[str, list[dict[str, Any]]]]  # load -> server -> a row a round


class Side:
    """One server and its clients, in a process of their own."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name, self._process = name, process

    @classmethod
    async def start(cls, name: str, server: str, sockets: int, folder: Path) -> Side:
        command = [__file__, "--side", server, "--sockets", str(sockets), "--folder", str(folder)]
        pipe = asyncio.subprocess.PIPE
        side = cls(name, await asyncio.create_subprocess_exec(sys.executable, *command, stdin=pipe, stdout=pipe))
        async with asyncio.timeout(COME_S):
            assert await side._answer() == "here"
        return side

    async def under(self, load: str, seconds: float, settle_s: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([load, seconds, settle_s]).encode() + b"\n")
        row: dict[str, Any] = await self._answer()
        return row

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())


async def serve_side(args: argparse.Namespace) -> None:
    """The other end of `Side`: a line in, a load; a line out, what it cost. Ends with its stdin."""
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as temp:
        store = StoreServer(Path(temp))
        store.start()
        redis = redis_client(store.url)
        bus = RedisBus(redis, now_ms=lambda: time.time_ns() // 1_000_000)
        name, _, root = args.side.partition("@")
        is_room = name == "room"
        server = room_server(store, root=Path(root or ROOT)) if is_room else peers(args.folder)[name]()
        try:
            crowd = await Crowd.come(server, args.sockets, bus if is_room else None)
            print(json.dumps("here"), flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                print(json.dumps(await crowd.under(*json.loads(line))), flush=True)
        finally:
            server.stop()
            await redis.aclose()
            store.stop()


async def take_turns(sides: list[Side], args: argparse.Namespace) -> Taken:
    taken: Taken = {load: {side.name: [] for side in sides} for load in args.loads.split(",")}
    for turn in range(args.rounds):
        for load, rows in taken.items():
            for side in sides if turn % 2 == 0 else reversed(sides):
                row = await side.under(load, args.seconds, args.settle)
                rows[side.name].append(row)
                cost = f"{row['cpu_us_a_delivery']:.2f} µs a delivery, {row['cpu_us_a_socket_second']:.1f} a second"
                print(f"  {load}, {side.name}: {cost}", file=sys.stderr)
    return taken


def middle(values: list[float]) -> str:
    """The median and the quartiles."""
    values = sorted(values)
    return f"{statistics.median(values):.2f} ({values[len(values) // 4]:.2f}–{values[-1 - len(values) // 4]:.2f})"


async def beside_peers(args: argparse.Namespace, folder: Path) -> Taken:
    others = list(peers(folder))
    if args.against:
        others = [f"room@{args.against.resolve()}"]
    sides = [await Side.start(name, name, args.sockets, folder) for name in ("room", *others)]
    try:
        taken = await take_turns(sides, args)
    finally:
        for side in sides:
            await side.stop()
    print(f"{args.sockets} sockets, {args.rounds} rounds of {args.seconds} s\n")
    print("| load | server | CPU µs a delivery | room against it | p50 / p99 ms | KiB a socket | all arrived |")
    # Of the two rooms one may have shown more of what nobody needs: beside each other their seconds count.
    cost_of = "cpu_us_a_socket_second" if args.against else "cpu_us_a_delivery"
    print("|---|---|---|---|---|---|---|")
    for load, servers in taken.items():
        for name, rows in servers.items():
            cost = middle([row["cpu_us_a_delivery"] for row in rows])
            pairs = zip(servers["room"], rows, strict=True)
            ratio = middle([mine[cost_of] / its[cost_of] for mine, its in pairs])
            p50, p99 = (statistics.median(row[key] for row in rows) for key in ("p50_ms", "p99_ms"))
            arrived = "yes" if all(row["complete"] for row in rows) else "NO"
            shown = name.partition("@")[0] + (", before" if "@" in name else "")
            print(f"| {load} | {shown} | {cost} | {ratio if name != 'room' else ''} ", end="")
            print(f"| {p50:.1f} / {p99:.1f} | {rows[0]['kib_a_socket']:.1f} | {arrived} |")
    return taken


async def slope(args: argparse.Namespace, folder: Path) -> Taken:
    few, many = sorted(int(sockets) for sockets in args.slope.split(","))
    sides = [await Side.start(str(sockets), "room", sockets, folder) for sockets in (few, many)]
    try:
        taken = await take_turns(sides, args)
    finally:
        for side in sides:
            await side.stop()
    print(f"{few} and {many} sockets, {args.rounds} rounds of {args.seconds} s\n")
    print(f"| load | CPU µs a second: one viewer more | a line, whoever is there | at {few:,} | at {many:,} |")
    print("|---|---|---|---|---|")
    for load, servers in taken.items():
        viewer, line = [], []
        for one, other in zip(servers[str(few)], servers[str(many)], strict=True):
            one_us, other_us = (1e6 * row["cpu_s"] / row["took_s"] for row in (one, other))
            viewer.append((other_us - one_us) / (many - few))
            line.append((one_us - few * viewer[-1]) / LOADS[load][1])
        each = [middle([row["cpu_us_a_socket_second"] for row in rows]) for rows in servers.values()]
        print(f"| {load} | {middle(viewer)} | {middle(line)} | {each[0]} | {each[1]} |")
    return taken


async def main(args: argparse.Namespace) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * args.sockets + 1_000)), hard))
    if args.side:
        await serve_side(args)
        return
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as temp:
        load_before = os.getloadavg()[0]
        taken = await (slope if args.slope else beside_peers)(args, Path(temp))
        print(f"\nload average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after")
        print(json.dumps({"cores": os.cpu_count(), **vars(args), "taken": taken}, default=str))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=1_000)
    parser.add_argument("--loads", default="quiet", help=", ".join(LOADS))
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--settle", type=float, default=2, help="seconds of the load before it is measured")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--slope", default="", metavar="FEW,MANY", help="of the room alone")
    parser.add_argument("--against", type=Path, help="another checkout, in place of the peers")
    parser.add_argument("--side", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    uvloop.run(main(parser.parse_args()))
