"""`frontrow stock …`: the stock gate of a show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from live.commands.parts import Brand, brand_of, with_services
from live.commands.start import Stop

if TYPE_CHECKING:
    from live.desk.wiring import Services

app = typer.Typer(help="The stock gate of a show.", no_args_is_help=True)


@app.command()
def cap(
    product: Annotated[str, typer.Argument(help="Slug of a product.")],
    units: Annotated[int, typer.Argument(help="Units one buyer may hold or own in a show; 0: no cap of its own.")],
    brand: Brand = "",
) -> None:
    """Cap what one buyer may have of PRODUCT, all its sizes and colours together."""

    async def run(s: Services) -> None:
        from live.commands.shows import products_of

        known = await products_of(s, await brand_of(s, brand))
        if product not in known:
            raise Stop(f"There is no product {product}. Known: {', '.join(sorted(known)) or 'none yet'}.")
        await s.desk.cap_product(known[product][0], units or None)
        typer.echo(f"{product}: {f'{units} a buyer' if units else 'no cap of its own'}")

    with_services(run)


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
