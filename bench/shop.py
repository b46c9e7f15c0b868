"""What the shop does a second: holds, paid orders, and the race of a thousand for a hundred.

Everything is real and durable: a store with `appendfsync always`, SQLite with synchronous=FULL, the sandbox provider's
own books. Beside each figure, in the same run, its floor: the bare script over a bare socket, the bare commits. Runs
take turns (floor, figure, floor, figure), so that a neighbour's load meets both; ratios are medians of each run's own.
CPU is this process's, a figure that a busy machine blurs least; Python's collector walks as seldom as in a web process.

    python -m bench.shop [--runs 5] [--seconds 2] [--json FILE] [--http]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # the worlds that tests build are the ones measured

import hiredis
import uvloop
from processes import ShowServer
from shop_world import LIMIT, TTL_S, World

from live.clock import SystemClock
from live.errors import SoldOut
from live.ids import new_id
from live.settings import Settings
from live.store import keys
from live.store.redis import connect, source
from live.store.sql import PRAGMAS, Database
from live.web.process import COLLECT

AT_ONCE, MANY_AT_ONCE = 64, 256
MOST_ORDERS = 4_000  # a second: so many bags are held before the clock starts
PLENTY = 10_000_000
BUYERS, UNITS = 1000, 100
PAGES_A_SECOND, PAGE_PEOPLE = 500, 200


async def main() -> None:
    options = _options()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)
    runs: dict[str, list[Figure]] = {name: [] for name in MEASURES}
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as folder:
        server = ShowServer(Path(folder))
        server.start("store")
        try:
            for turn in range(options.runs):
                for number, (name, measure) in enumerate(MEASURES.items()):
                    figure = await _run(server, Path(folder) / f"{turn}-{number}", measure, options)
                    runs[name].append(figure)
                    print(f"  run {turn + 1}: {name:<44}{figure.rate:>10,.0f}", file=sys.stderr, flush=True)
        finally:
            server.stop_all()
        if options.http:
            runs["holds over HTTP /s"] = [
                await _over_http(Path(folder) / f"http-{n}", options) for n in range(options.runs)
            ]
            pages = [await _pages(Path(folder) / f"pages-{n}", options) for n in range(options.runs)]
            runs["page of the show at 500/s: p99, ms"] = [p99 for p99, _ in pages]
            runs["page of the show at 500/s: came back /s"] = [rate for _, rate in pages]
    rows = [_row(name, figures) for name, figures in runs.items()]
    print("\n".join(_line(row) for row in rows))
    result = {"machine": _machine(), "command": " ".join(sys.argv), "rows": rows, "ratios": _ratios(runs)}
    for name, ratio in result["ratios"].items():
        print(f"{name:<44}{ratio:>10.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")  # noqa: ASYNC240 - nothing else runs


class Figure(NamedTuple):
    """What one run came to. `cpu_us` is this process's CPU an act, 0 where that is not looked at."""

    rate: float
    cpu_us: float = 0.0


async def _run(
    server: ShowServer, data_dir: Path, measure: Callable[..., Awaitable[Figure]], options: argparse.Namespace
) -> Figure:
    settings = Settings(data_dir=data_dir, redis_url=server.settings.redis_url, secret_key="k" * 32)
    redis = await connect(settings)
    await redis.flushall()
    db = await Database.open(settings)
    try:
        return await measure(World(settings, redis, db, SystemClock()), options.seconds)
    finally:
        await db.close()
        await redis.aclose()


async def _rate(act: Callable[[int], Awaitable[object]], seconds: float, at_once: int = AT_ONCE) -> Figure:
    """Acts a second, `at_once` under way, after a warm-up of a fifth of the time."""
    count = 0
    numbers = iter(range(10**9))
    end = time.perf_counter() + seconds / 5

    async def worker() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await act(next(numbers))
            count += 1

    await asyncio.gather(*(worker() for _ in range(at_once)))
    count, start, end = 0, time.perf_counter(), time.perf_counter() + seconds
    cpu = time.process_time()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return Figure(count / (time.perf_counter() - start), (time.process_time() - cpu) / count * 1e6)


# ---- what is measured --------------------------------------------------------------------------


async def bare_script(world: World, seconds: float) -> Figure:
    """The floor of a hold: EVALSHA of hold.lua on a blocking socket, 64 in a pipeline, packed and read by hiredis."""
    show = await world.stock_a_show({"COAT-38": PLENTY})
    sha = await world.redis.script_load(source("hold"))
    address = str(world.settings.redis_url).removeprefix("unix://")

    def run() -> Figure:
        numbers = iter(range(10**9))
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(address)
            count, start, cpu = 0, time.perf_counter(), time.process_time()
            while time.perf_counter() - start < seconds:
                wire.sendall(b"".join(_packed_hold(world, show, sha, next(numbers)) for _ in range(AT_ONCE)))
                reader, got = hiredis.Reader(), 0
                while got < AT_ONCE:
                    reader.feed(wire.recv(65_536))
                    while (reply := reader.gets()) is not False:
                        assert reply.startswith(b"OK"), reply
                        got += 1
                count += AT_ONCE
            took = time.perf_counter() - start
        return Figure(count / took, (time.process_time() - cpu) / count * 1e6)

    return await asyncio.to_thread(run)


def _packed_hold(world: World, show: str, sha: str, n: int) -> bytes:
    cart, now = f"per_{n}", world.clock.now_ms()
    where = [keys.gate(show), keys.holds(show), keys.held(show), keys.lapsed(show), keys.cart(show, cart)]
    where += [keys.op(show, cart, "hold", "COAT-38", "1"), keys.owned(show), keys.queue(show, "COAT-38")]
    where += [keys.stage(show)]
    args = (now, cart, "COAT-38", 1, now + 300_000, 4, "{}", 600, 604_800, 0, 0, "*", 0)
    return bytes(hiredis.pack_command(("EVALSHA", sha, 9, *where, *args)))  # type: ignore[arg-type]


async def gate_holds(world: World, seconds: float) -> Figure:
    """StockGate.hold: the stock decision and the bag's line."""
    show = await world.stock_a_show({"COAT-38": PLENTY})

    async def act(n: int) -> None:
        await world.gate.hold(
            show, "COAT-38", 1, cart=f"per_{n}", ttl_s=TTL_S, limit=LIMIT, op="1", line=b'{"sku":"COAT-38"}'
        )

    return await _rate(act, seconds)


async def bag_holds(world: World, seconds: float) -> Figure:
    """Carts.add: the hold, and the whole bag read back, as a page gets it."""
    await world.stock_a_show({"COAT-38": PLENTY})
    return await _rate(lambda n: world.add(f"per_{n}", "COAT-38", op="1"), seconds)


async def bare_commits(world: World, seconds: float) -> Figure:
    """The floor of an order: the rows of place() and settle(), sqlite3 by itself, 64 orders a commit."""
    await world.stock_a_show({"COAT-38": PLENTY})

    def run() -> Figure:
        connection = sqlite3.connect(world.settings.data_dir / "frontrow.sqlite3", isolation_level=None)
        for pragma in PRAGMAS:
            connection.execute(f"pragma {pragma}")
        count, start, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - start < seconds:
            connection.execute("begin immediate")
            for _ in range(AT_ONCE):
                count += 1
                _bare_order(connection, world.show, f"{count}")
            connection.execute("commit")
        took, cpu = time.perf_counter() - start, time.process_time() - cpu
        connection.close()
        return Figure(count / took, cpu / count * 1e6)

    return await asyncio.to_thread(run)


def _bare_order(connection: sqlite3.Connection, show: str, n: str) -> None:
    run = connection.execute
    run(
        "insert into orders (id, number, show_id, buyer, cart, idempotency_key, request_digest, status, email, name, "
        "address, currency, total_minor, created_ms, settle_after_ms, goods_minor) "
        "values (?,?,?,?,?,?,?,'pending','a@b.de','Ada','{}','EUR',12900,1,1,12900)",
        (f"ord_{n}", f"FR-{n}", show, f"per_{n}", f"per_{n}", "key", "digest"),
    )
    run(
        "insert into order_lines (order_id, sku, qty, unit_minor, title, size, colour, picture, look_id, at_ms) "
        "values (?,'COAT-38',1,12900,'Long coat','38','Ink','','loo_1',1)",
        (f"ord_{n}",),
    )
    run(
        "insert into payments (id, order_id, provider, idempotency_key, status, amount_minor, captured_minor, "
        "refunded_minor, reason, created_ms, updated_ms) values (?,?,'sandbox',?,'created',12900,0,0,'',1,1)",
        (f"pay_{n}", f"ord_{n}", f"pay_{n}"),
    )
    run("insert into ledger (order_id, kind, wall_ms, facts) values (?,'order.placed',1,'{}')", (f"ord_{n}",))
    run("insert into sandbox_charges values (?,?,12900,'EUR','created',0,0,'{}',1)", (f"sbx_{n}", f"pay_{n}"))
    run("update payments set provider_ref = ?, status = 'authorising' where id = ?", (f"sbx_{n}", f"pay_{n}"))
    run("update sandbox_charges set status = 'captured', captured_minor = 12900 where ref = ?", (f"sbx_{n}",))
    for kind in ("sandbox.event", "order.paid"):
        run(
            "insert into outbox (event_id, kind, body, created_ms, due_ms, attempts) values (?,?,'{}',1,1,0)",
            (f"{kind}_{n}", kind),
        )
    run("update orders set status = 'paid', paid_ms = 1 where id = ? and status = 'pending'", (f"ord_{n}",))
    run("update payments set status = 'captured', captured_minor = 12900 where id = ?", (f"pay_{n}",))
    run("update variants set sold = sold + 1 where sku = 'COAT-38' and sold + 1 <= on_hand")
    run("insert into ledger (order_id, kind, wall_ms, facts) values (?,'order.paid',1,'{}')", (f"ord_{n}",))


async def paid_orders(world: World, seconds: float) -> Figure:
    """A whole purchase: hold, place, the provider's capture, settle."""
    await world.stock_a_show({"COAT-38": PLENTY})
    rate = await _rate(lambda n: world.buy(f"per_{n}", "COAT-38"), seconds)
    wrong = await world.wrong()
    assert not wrong, wrong[:3]
    return rate


async def placed_and_settled(world: World, seconds: float, at_once: int = AT_ONCE) -> Figure:
    """Only the till: place and settle, of bags that were held, by charges that were paid before."""
    await world.stock_a_show({"COAT-38": PLENTY})
    ready: asyncio.Queue[str] = asyncio.Queue()
    carts = int(seconds * 1.2 * MOST_ORDERS) + at_once
    for start in range(0, carts, 200):
        names = [f"per_{n}" for n in range(start, start + 200)]
        await asyncio.gather(*(world.add(name, "COAT-38") for name in names))
        for name in names:
            ready.put_nowait(name)

    async def act(_: int) -> None:
        placed = await world.place(ready.get_nowait())
        await world.provider.choose(placed.payment_ref, "success")
        await world.checkout.settle(placed.payment_id)

    return await _rate(act, seconds, at_once)


async def with_many_under_way(world: World, seconds: float) -> Figure:
    """The same with 256 under way: what more in a commit gains."""
    return await placed_and_settled(world, seconds, MANY_AT_ONCE)


async def race(world: World, seconds: float) -> Figure:
    """A thousand want one of a hundred, at once: p99 of the answer to the tap, ms."""
    await world.stock_a_show({"COAT-38": UNITS})
    took: list[float] = []

    async def act(n: int) -> str:
        start = time.perf_counter()
        try:
            await world.add(f"per_{n}", "COAT-38")
        except SoldOut:
            return "sold out"
        finally:
            took.append((time.perf_counter() - start) * 1000)
        placed = await world.place(f"per_{n}")
        await world.provider.choose(placed.payment_ref, "success")
        settled = await world.checkout.settle(placed.payment_id)
        return settled.status if settled else "lost"

    outcomes = await asyncio.gather(*(act(n) for n in range(BUYERS)))
    assert outcomes.count("paid") == UNITS
    assert outcomes.count("sold out") == BUYERS - UNITS
    assert await world.wrong() == []
    return Figure(statistics.quantiles(took, n=100)[98])


async def _over_http(data_dir: Path, options: argparse.Namespace) -> Figure:
    """POST /api/shows/{slug}/cart to one real web process; the client here costs more than the server."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "faults"))
    from shopping import Buyer, go_on_air

    with ShowServer(data_dir) as server:
        async with server.services() as parts:
            await go_on_air(parts, {"COAT-38": PLENTY})
            buyers = [await Buyer.arrive(parts, server.url) for _ in range(400)]

            async def act(n: int) -> None:
                # A buyer may hold a few: each takes one and gives it back by coming again as the next.
                status, answer = await buyers[n % len(buyers)].post(
                    "/api/shows/autumn/cart", {"sku": "COAT-38", "qty": 1, "op": new_id("op")}
                )
                assert status in (200, 409), answer

            try:
                return await _rate(act, options.seconds, at_once=32)
            finally:
                for buyer in buyers:
                    await buyer.leave()


async def _pages(data_dir: Path, options: argparse.Namespace) -> tuple[Figure, Figure]:
    """GET /shows/{slug} at 500 a second from one real web process, by people with sessions: p99 from the moment each
    was to be asked, ms; and how many a second came back."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "faults"))
    from shopping import Buyer, go_on_air

    with ShowServer(data_dir) as server:
        async with server.services() as parts:
            await go_on_air(parts, {"COAT-38": 100, "COAT-40": 100})
            people = [await Buyer.arrive(parts, server.url) for _ in range(PAGE_PEOPLE)]
            free: asyncio.Queue[Buyer] = asyncio.Queue()
            for one in people:
                free.put_nowait(one)
            took: list[float] = []

            async def ask(due: float) -> None:
                person = await free.get()
                status = await person.page("/shows/autumn")
                assert status == 200, status
                took.append((time.perf_counter() - due) * 1000)
                free.put_nowait(person)

            seconds = max(options.seconds, 4.0)
            for one in people:  # a connection each, and the process has laid the page out: its first takes 80 ms
                assert await one.page("/shows/autumn") == 200
            async with asyncio.TaskGroup() as group:
                start = time.perf_counter()
                for n in range(int(PAGES_A_SECOND * seconds)):
                    due = start + n / PAGES_A_SECOND
                    if (wait := due - time.perf_counter()) > 0:
                        await asyncio.sleep(wait)
                    group.create_task(ask(due))
            rate = len(took) / (time.perf_counter() - start)
            for one in people:
                await one.leave()
    return Figure(statistics.quantiles(took, n=100)[98]), Figure(rate)


MEASURES: dict[str, Callable[..., Awaitable[Figure]]] = {
    "floor: bare EVALSHA of hold.lua /s": bare_script,
    "holds: the gate /s": gate_holds,
    "holds: the bag, as a page gets it /s": bag_holds,
    "floor: bare sqlite3, 64 orders a commit /s": bare_commits,
    "paid orders: place, capture, settle /s": placed_and_settled,
    "paid orders: the same, 256 under way /s": with_many_under_way,
    "paid orders: with the hold /s": paid_orders,
    "race, 1,000 for 100: p99 of the tap, ms": race,
}


def _row(name: str, figures: list[Figure]) -> dict[str, Any]:
    rates = [figure.rate for figure in figures]
    return {
        "what": name,
        "median": statistics.median(rates),
        "cpu_us": round(statistics.median(figure.cpu_us for figure in figures), 1),
        "runs": [round(rate, 1) for rate in rates],
    }


def _line(row: dict[str, Any]) -> str:
    runs = ", ".join(f"{run:,.0f}" for run in row["runs"])
    return f"{row['what']:<44}{row['median']:>10,.0f}{row['cpu_us']:>10,.0f} µs    runs: {runs}"


def _ratios(runs: dict[str, list[Figure]]) -> dict[str, float]:
    pairs = {
        "floor ÷ holds of the gate": ("floor: bare EVALSHA of hold.lua /s", "holds: the gate /s"),
        "floor ÷ paid orders": (
            "floor: bare sqlite3, 64 orders a commit /s",
            "paid orders: place, capture, settle /s",
        ),
        "floor ÷ paid orders, 256 under way": (
            "floor: bare sqlite3, 64 orders a commit /s",
            "paid orders: the same, 256 under way /s",
        ),
    }
    return {
        name: round(statistics.median(f.rate / g.rate for f, g in zip(runs[floor], runs[figure], strict=True)), 2)
        for name, (floor, figure) in pairs.items()
    }


def _machine() -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_before": os.getloadavg(),
        "commit": commit.stdout.strip(),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", default="")
    parser.add_argument("--http", action="store_true", help="also through a real web process")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main())  # the loop of the web process
