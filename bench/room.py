"""What the room's fan-out costs, beside a bare write loop and node's `ws`, in the same run.

    python bench/room.py --sockets 200 --seconds 5 --runs 3

Each server is a process of its own; its CPU is what /proc says of it. Two loads, 200 bytes an event:

    paced   20 events/s that may not wait (commerce): the cost of one event at a time
    storm   100 lines of talk/s: what gathering into ticks saves

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
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from store_server import StoreServer, redis_client  # noqa: E402 - the store of the tests

from chat.bus import RedisBus  # noqa: E402

LOADS = {"paced": ("card.dropped", 20), "storm": ("line.posted", 100)}
EVENT_BYTES = 200
SAMPLED = 10  # sockets on which latency is taken
MARK, TIME = b'"filler"', b'"t":'
WARM_UP_S = 1.0
ARRIVE_S = 10.0
Publish = Callable[[str, dict[str, Any]], Awaitable[None]]


class Client(asyncio.Protocol):
    """Shakes hands, says hello, counts events."""

    def __init__(self, name: str, tally: Tally, sampled: bool) -> None:
        self.name, self.tally, self.sampled = name, tally, sampled
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rest = b""
        self.closed = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(
            b"GET /ws/bench HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Cookie: who=" + self.name.encode() + b":\r\n\r\n"
        )

    def send(self, text: bytes) -> None:
        size = len(text)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self.transport.write(head + b"\0\0\0\0" + text)

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
            return
        data = self.rest + data
        self.tally.events += data.count(MARK)
        # A mark that was cut in two is counted with the next chunk.
        self.rest = b"" if data.endswith(b"}") else data[-len(MARK) + 1 :]
        if self.sampled and TIME in data:
            now = time.monotonic_ns()
            for part in data.split(TIME)[1:]:
                sent_ns, comma, _ = part.partition(b",")
                if comma:
                    self.tally.waits_ms.append((now - int(sent_ns)) / 1e6)


class Tally:
    def __init__(self) -> None:
        self.events = 0
        self.waits_ms: list[float] = []


class Server:
    """A process that prints its port."""

    def __init__(self, command: list[str], **env: str) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **env})
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["port"])

    def cpu_s(self) -> float:
        """Of all its threads, user and system: schedstat counts nanoseconds where `stat` counts hundredths."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def rss_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


async def connect(server: Server, sockets: int, tally: Tally, *, hello: bool) -> list[Client]:
    loop = asyncio.get_running_loop()
    clients = []
    for n in range(sockets):
        _, client = await loop.create_connection(
            lambda n=n: Client(f"per{n}", tally, n < SAMPLED), "127.0.0.1", server.port
        )
        await client.ready
        if hello:
            # At once: the room gives a socket ten seconds to say it.
            client.send(b'{"kind":"hello","body":{}}')
        clients.append(client)
    return clients


async def measure(server: Server, load: str, sockets: int, seconds: float, room: RedisBus | None) -> dict[str, Any]:
    kind, rate = LOADS[load]
    tally = Tally()
    before_kib = server.rss_kib()
    clients = await connect(server, sockets, tally, hello=room is not None)
    if room is not None:
        async with asyncio.timeout(120):
            while await room.history.viewers("bench") < sockets:  # noqa: ASYNC110 - the store counts them
                await asyncio.sleep(0.05)
    kib = (server.rss_kib() - before_kib) / sockets

    async def publish(for_s: float) -> int:
        started = time.monotonic()
        count = int(for_s * rate)
        for n in range(count):
            await asyncio.sleep(max(0.0, started + n / rate - time.monotonic()))
            # The clock sits inside the event, so that it is written once for all.
            body = {"t": time.monotonic_ns(), "filler": "x" * (EVENT_BYTES - 80)}
            if room is not None:
                await room.publish("bench", kind, body)
            else:
                envelope = {"seq": n, "kind": kind, "body": body}
                clients[-1].send(json.dumps(envelope, separators=(",", ":")).encode())
        return count

    async def all_arrived(expected: int) -> None:
        """What is still on its way; a server that lost something is given up after 10 s, and the row says so."""
        deadline = time.monotonic() + ARRIVE_S
        while tally.events < expected and time.monotonic() < deadline:  # noqa: ASYNC110 - counting is all there is
            await asyncio.sleep(0.02)

    await all_arrived(sockets * await publish(WARM_UP_S))
    tally.events, tally.waits_ms = 0, []
    cpu_s, started = server.cpu_s(), time.monotonic()
    published = await publish(seconds)
    await all_arrived(sockets * published)
    cpu_s, took_s = server.cpu_s() - cpu_s, time.monotonic() - started
    closed = sum(client.closed for client in clients)
    for client in clients:
        client.transport.abort()
    waits = sorted(tally.waits_ms)
    return {
        "deliveries": tally.events,
        "complete": tally.events == published * sockets,
        "closed": closed,
        "deliveries_s": tally.events / took_s,
        "deliveries_cpu_s": tally.events / cpu_s if cpu_s else 0.0,
        "cpu_us_a_delivery": 1e6 * cpu_s / tally.events if tally.events else 0.0,
        "p50_ms": waits[len(waits) // 2] if waits else 0.0,
        "p99_ms": waits[int(len(waits) * 0.99)] if waits else 0.0,
        "kib_a_socket": kib,
    }


async def main(sockets: int, seconds: float, runs: int, out: Path | None) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * sockets + 500)), hard))
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as temp:
        folder = Path(temp)
        store = StoreServer(folder)
        store.start()
        redis = redis_client(store.url)
        bus = RedisBus(redis, now_ms=lambda: time.time_ns() // 1_000_000)
        servers: dict[str, Callable[[], Server]] = {
            "room": lambda: Server(
                [sys.executable, str(ROOT / "bench/room_server.py"), "--redis", store.url], PYTHONPATH=str(ROOT)
            ),
            "bare write loop": lambda: Server([sys.executable, str(ROOT / "bench/room_peers/bare_loop.py")]),
        }
        if modules := install_ws(folder):
            servers["node ws"] = lambda: Server(
                ["node", str(ROOT / "bench/room_peers/node_ws.cjs")], NODE_PATH=str(modules)
            )
        taken: dict[tuple[str, str], list[dict[str, Any]]] = {}
        try:
            # Runs are interleaved, so that a noisy minute of the machine is shared by all.
            for _ in range(runs):
                for load in LOADS:
                    for name, start in servers.items():
                        await redis.flushall()
                        server = start()
                        try:
                            row = await measure(server, load, sockets, seconds, bus if name == "room" else None)
                        finally:
                            server.stop()
                        taken.setdefault((load, name), []).append(row)
        finally:
            await redis.aclose()
            store.stop()
    report(taken, {"sockets": sockets, "seconds": seconds, "runs": runs}, out)


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


def report(taken: dict[tuple[str, str], list[dict[str, Any]]], how: dict[str, Any], out: Path | None) -> None:
    rows = []
    for (load, name), runs in taken.items():
        numbers = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "complete"}
        rows.append({"load": load, "server": name, "complete": all(run["complete"] for run in runs), **numbers})
    rows.sort(key=lambda row: (row["load"], row["server"] != "room"))
    ratios = {
        f"{load}: room against {name}": next(
            r["cpu_us_a_delivery"] for r in rows if r["load"] == load and r["server"] == "room"
        )
        / row["cpu_us_a_delivery"]
        for row in rows
        if (name := row["server"]) != "room" and (load := row["load"]) and row["cpu_us_a_delivery"]
    }
    print(f"{how['sockets']} sockets, {EVENT_BYTES} bytes, {how['seconds']} s, median of {how['runs']} runs\n")
    print("| load | server | deliveries/s | deliveries a CPU second | CPU µs a delivery ", end="")
    print("| p50 ms | p99 ms | KiB a socket | all arrived |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['load']} | {row['server']} | {row['deliveries_s']:,.0f} | {row['deliveries_cpu_s']:,.0f} "
            f"| {row['cpu_us_a_delivery']:.1f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | {row['kib_a_socket']:.1f} "
            f"| {'yes' if row['complete'] else 'NO'} |"
        )
    print("\nCPU a delivery, as a ratio (below 1: the room is cheaper)")
    for what, ratio in ratios.items():
        print(f"  {what}: {ratio:.2f}")
    machine = {"python": platform.python_version(), "kernel": platform.release(), "cores": os.cpu_count()}
    result = json.dumps({"machine": machine, **how, "rows": rows, "ratios": ratios})
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(result + "\n")
    print("\n" + result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    args = parser.parse_args()
    uvloop.run(main(args.sockets, args.seconds, args.runs, args.out))
