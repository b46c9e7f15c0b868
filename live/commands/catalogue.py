"""`frontrow catalogue …`: what is sold, from other systems and to them."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from live.commands.parts import Brand, brand_of, with_services

if TYPE_CHECKING:
    from live.desk.wiring import Services
    from live.shop.feed_import import Change, Report
    from live.shop.feeds import RowError

app = typer.Typer(help="What is sold: import and export feeds.", no_args_is_help=True)


@app.command("import")
def import_feed(
    file: Annotated[Path, typer.Argument(help="Google's feed (.tsv or RSS) or Shopify's product CSV.", exists=True)],
    brand: Brand = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say rejected rows and the sums only.")] = False,
) -> None:
    """Bring FILE into the catalogue. Again with the same file: nothing changes.

    Each row that can't be taken is said with its line, column and reason; the others are taken. Pictures are other
    servers' addresses and are not fetched. A struck-through price is shown when the price history has it.
    """
    from live.shop.feed_import import FeedImport, currency_of
    from live.shop.feeds import format_of, read

    def tell(outcome: Change | RowError) -> None:
        said = words(outcome)
        if not quiet or said.startswith("line"):
            typer.echo(said)

    def progress(report: Report) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{report.rows:,} rows", err=True, nl=False)

    async def run(s: Services) -> None:
        brand_id = await brand_of(s, brand)
        with file.open(encoding="utf-8-sig", errors="strict", newline="") as lines:
            kind = format_of(lines.read(4096))
            lines.seek(0)
            rows = read(lines, kind, currency=await currency_of(s.db, brand_id))
            feed = FeedImport(s.db, s.clock)
            report = await feed.run(brand_id, rows, dry_run=dry_run, tell=tell, progress=progress)
        done = "would be " if dry_run else ""
        typer.echo(
            f"{report.new:,} {done}new, {report.changed:,} {done}changed, {report.same:,} the same, "
            f"{report.rejected:,} rejected."
        )
        if not dry_run:
            await tell_shows(s)

    with_services(run)


@app.command("export")
def export_feed(
    file: Annotated[Path | None, typer.Argument(help="Where to. Left out: standard output.")] = None,
    brand: Brand = "",
) -> None:
    """Write the catalogue as Google's tab-separated feed, which `import` takes back."""

    async def run(s: Services) -> None:
        from live.shop.feed_import import export

        brand_id = await brand_of(s, brand)
        with file.open("w", encoding="utf-8", newline="") if file else sys.stdout as out:
            writer = csv.writer(out, delimiter="\t", lineterminator="\n")
            async for cells in export(s.db, brand_id):
                writer.writerow(cells)

    with_services(run)


async def tell_shows(s: Services) -> None:
    """Shows on air read their pieces again; what moved in their stock is told."""
    for show_id in await s.gate.shows_open():
        await s.programmes.changed(show_id)
        if await s.gate.reconcile(show_id):
            await s.desk.stock_rebuilt(show_id)


def words(outcome: Change | RowError) -> str:
    """A line of the diff: `+ SKU`, `~ SKU price_minor 14950 → 12000`, or why a row was left out."""
    from live.shop.feeds import RowError

    if isinstance(outcome, RowError):
        return f"line {outcome.line}, {outcome.column}: {outcome.why}"
    changes = "; ".join(f"{name} {was!r} → {becomes!r}" for name, (was, becomes) in outcome.fields.items())
    return f"+ {outcome.sku}" if outcome.kind == "new" else f"~ {outcome.sku} {changes}"
