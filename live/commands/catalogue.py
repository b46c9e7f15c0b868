"""`frontrow catalogue …`: what is sold, from other systems and to them."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from live.commands.parts import Brand, brand_of, with_services

if TYPE_CHECKING:
    from live.desk.wiring import Services
    from live.shop.feed_import import Change, Report
    from live.shop.feeds import RowError

PROGRESS_S = 1.0

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

    size = max(1, file.stat().st_size)

    async def run(s: Services) -> None:
        brand_id = await brand_of(s, brand)
        async with contextlib.AsyncExitStack() as stack:
            raw = stack.enter_context(file.open("rb"))
            lines = stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8-sig", errors="strict", newline=""))
            kind = format_of(lines.read(4096))
            lines.seek(0)
            rows = read(lines, kind, currency=await currency_of(s.db, brand_id))
            # The page shows this one too, and is refused meanwhile, as this is while another writes.
            beat = None if dry_run else await stack.enter_async_context(s.imports.by_hand(brand_id, file.name, "CLI"))
            said_s = time.monotonic()

            async def progress(report: Report) -> None:
                nonlocal said_s
                if time.monotonic() - said_s < PROGRESS_S:
                    return
                said_s = time.monotonic()
                if beat is not None:
                    await beat(report)
                share = f"{report.rows:,} rows, {min(99, 100 * raw.tell() // size)} %"
                typer.echo(f"\r{share}" if sys.stderr.isatty() else share, err=True, nl=not sys.stderr.isatty())

            feed = FeedImport(s.db, s.clock)
            report = await feed.run(brand_id, rows, dry_run=dry_run, tell=tell, progress=progress, wrote=s.rail.changed)
            if beat is not None:
                await beat(report)
        if sys.stderr.isatty():
            typer.echo("\r", err=True, nl=False)
        done = "would be " if dry_run else ""
        typer.echo(
            f"{report.new:,} {done}new, {report.changed:,} {done}changed, {report.same:,} the same, "
            f"{report.rejected:,} rejected."
        )

    from live.commands.start import Stop
    from live.errors import Conflict
    from live.shop.imports import Stopped

    try:
        with_services(run)
    except Conflict as other:
        raise Stop(
            f"{other.facts.get('name')} is being brought in (by {other.facts.get('by')}). Wait for it, or stop it on "
            "the page /studio/catalogue/import."
        ) from None
    except Stopped:
        raise Stop("It was stopped on the page. What was brought in stays; import again to go on.") from None


@app.command("export")
def export_feed(
    file: Annotated[Path | None, typer.Argument(help="Where to. Left out: standard output.")] = None,
    to: Annotated[
        Literal["google", "shopify"], typer.Option(help="Google's tab-separated feed, or Shopify's product CSV.")
    ] = "google",
    brand: Brand = "",
) -> None:
    """Write the catalogue as Google's tab-separated feed or Shopify's product CSV, which `import` takes back."""

    async def run(s: Services) -> None:
        from live.shop.feed_export import EXPORTS

        brand_id = await brand_of(s, brand)
        with file.open("w", encoding="utf-8", newline="") if file else sys.stdout as out:
            writer = csv.writer(out, delimiter="\t" if to == "google" else ",", lineterminator="\n")
            async for cells in EXPORTS[to](s.db, brand_id):
                writer.writerow(cells)

    with_services(run)


def words(outcome: Change | RowError) -> str:
    """A line of the diff: `+ SKU`, `~ SKU price_minor 14950 → 12000`, or why a row was left out."""
    from live.shop.feeds import RowError

    if isinstance(outcome, RowError):
        return f"line {outcome.line}, {outcome.column}: {outcome.why}"
    changes = "; ".join(f"{name} {was!r} → {becomes!r}" for name, (was, becomes) in outcome.fields.items())
    return f"+ {outcome.sku}" if outcome.kind == "new" else f"~ {outcome.sku} {changes}"
