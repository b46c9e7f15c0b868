"""What the import of a feed does a second, beside the bare writes of the same rows.

Everything is real: a file on disk, SQLite with synchronous=FULL, the import as `frontrow catalogue import` runs it. The
floor is one connection that executes the same INSERTs of variants, products and prices, 500 rows a commit, with
nothing read or compared: what the store alone can take. They take turns, so that a neighbour's load meets both.

    python -m bench.catalogue [--rows 100000] [--runs 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from live.clock import SystemClock
from live.settings import Settings
from live.shop.catalogue import Catalogue
from live.shop.feed_import import BATCH, FeedImport, Report
from live.shop.feeds import read
from live.store.sql import Database

SIZES = ("XS", "S", "M", "L", "XL")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as folder:
        feed, changed = Path(folder) / "feed.tsv", Path(folder) / "changed.tsv"
        write_feed(feed, options.rows, price=100)
        write_feed(changed, options.rows, price=120)
        for turn in range(options.runs):
            where = Path(folder) / str(turn)
            where.mkdir()
            for name, rate in (
                ("bare INSERTs", floor(where / "floor.sqlite3", options.rows)),
                *(await imports(where, feed, changed, options.rows)),
            ):
                rates.setdefault(name, []).append(rate)
                print(f"  run {turn + 1}: {name:<28}{rate:>10,.0f} rows/s", file=sys.stderr, flush=True)
    rows = [{"name": name, "rows_a_second": statistics.median(runs), "runs": runs} for name, runs in rates.items()]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratio = statistics.median(
        new / bare for new, bare in zip(rates["import, new rows"], rates["bare INSERTs"], strict=True)
    )
    for row in rows:
        print(f"{row['name']:<28}{row['rows_a_second']:>10,.0f} rows/s")
    print(f"{'new rows / bare INSERTs':<28}{ratio:>10.2f}\n{'memory at its peak':<28}{peak_mb:>10,.0f} MiB")
    if options.json:
        machine = f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}"
        result = {"machine": machine, "rows": rows, "ratio": ratio, "peak_mib": peak_mb}
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")  # noqa: ASYNC240 - nothing else runs


async def imports(folder: Path, feed: Path, changed: Path, rows: int) -> list[tuple[str, float]]:
    """Rows a second: all new, all the same, all changed (price), and the dry run of a change."""
    db = await Database.open(Settings(_env_file=None, data_dir=folder))  # type: ignore[call-arg]
    try:
        brand = await Catalogue(db).add_brand(slug="b", name="B", currency="EUR", country="DE")
        return [
            ("import, new rows", await timed(db, brand, feed, Report(new=rows))),
            ("import, same rows", await timed(db, brand, feed, Report(same=rows))),
            ("dry run, changed rows", await timed(db, brand, changed, Report(changed=rows), dry_run=True)),
            ("import, changed rows", await timed(db, brand, changed, Report(changed=rows))),
        ]
    finally:
        await db.close()


async def timed(db: Database, brand: str, feed: Path, expected: Report, *, dry_run: bool = False) -> float:
    began = time.perf_counter()
    with feed.open(encoding="utf-8", newline="") as lines:
        rows = read(lines, "google-tsv", currency="EUR")
        report = await FeedImport(db, SystemClock()).run(brand, rows, dry_run=dry_run)
    took_s = time.perf_counter() - began
    assert report == expected, report  # the premise: it did what is being measured
    return expected.rows / took_s


def floor(path: Path, rows: int) -> float:
    """The same rows by bare executemany into the tables as the migrations make them."""
    from live.store.migrate import upgrade

    upgrade(f"sqlite:///{path}", path.parent)
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(
        "INSERT INTO brands (id, slug, name, currency, country, created_ms) VALUES ('b', 'b', 'B', 'EUR', 'DE', 1)"
    )
    began = time.perf_counter()
    for start in range(0, rows, BATCH):
        numbers = range(start, min(start + BATCH, rows))
        connection.execute("BEGIN IMMEDIATE")
        made = [(f"p{n // 5}", "b", f"piece-{n // 5}", f"Piece {n // 5}", "Wool.", "", "", 1) for n in numbers[::5]]
        connection.executemany(
            "INSERT INTO products (id, brand_id, slug, title, blurb, picture, picture_alt, created_ms)"
            " VALUES (?,?,?,?,?,?,?,?)",
            made,
        )
        connection.executemany(
            "INSERT INTO variants (sku, product_id, position, size, colour, colour_hex, gtin, price_minor, on_hand,"
            " sold) VALUES (?,?,?,?,?,'','',?,?,0)",
            [(f"S{n:07}", f"p{n // 5}", n, SIZES[n % 5], "Ink", 10_000, 7) for n in numbers],
        )
        connection.executemany(
            "INSERT INTO prices (sku, price_minor, from_ms) VALUES (?, 10000, 1)", [(f"S{n:07}",) for n in numbers]
        )
        connection.execute("COMMIT")
    took_s = time.perf_counter() - began
    connection.close()
    return rows / took_s


def write_feed(path: Path, rows: int, *, price: int) -> None:
    """Products of five sizes each, as a house's own system writes them."""
    with path.open("w", encoding="utf-8") as out:
        out.write("id\ttitle\tdescription\titem_group_id\tprice\tsize\tcolor\tquantity\tavailability\n")
        for n in range(rows):
            out.write(
                f"S{n:07}\tPiece {n // 5}\tWool.\tpiece-{n // 5}\t{price}.00 EUR\t{SIZES[n % 5]}\tInk\t7\tin_stock\n"
            )


if __name__ == "__main__":
    asyncio.run(main())
