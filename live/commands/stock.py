"""`frontrow stock …`: the stock gate of a show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from live.commands.parts import with_services

if TYPE_CHECKING:
    from live.desk.wiring import Services

app = typer.Typer(help="The stock gate of a show.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group, though it has one command yet."""


@app.command()
def rebuild(show: str) -> None:
    """Make the gate of SHOW (its slug) anew from SQL: on hand less sold, and nothing held.

    It happens by itself when the store comes back empty. Holds are dropped and their buyers see them lapsed; what is
    being paid takes its units again, or the money goes back.
    """

    async def run(s: Services) -> None:
        show_id = (await s.shows.by_slug(show)).id
        held = await s.gate.held(show_id)
        levels = await s.gate.rebuild(show_id)
        await s.desk.stock_rebuilt(show_id)
        left = sum(level.left for level in levels.values())
        typer.echo(f"{len(levels)} SKUs, {left} units to sell. {held} units were held.")

    with_services(run)
