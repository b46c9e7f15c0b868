"""`frontrow brand …` and `frontrow show …`: what stands before the studio has something to show."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from live.commands.parts import Brand, brand_of, with_services
from live.commands.start import Stop

if TYPE_CHECKING:
    from live.desk.wiring import Services

brand_app = typer.Typer(help="The brands of this house.", no_args_is_help=True)
app = typer.Typer(help="Shows to come: add, list, and the looks in their order.", no_args_is_help=True)


@brand_app.command("add")
def add_brand(
    slug: str,
    name: Annotated[str, typer.Option(help="As buyers read it.")] = "",
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "EUR",
    country: Annotated[str, typer.Option(help="ISO 3166, two letters.")] = "FR",
) -> None:
    """Add the brand SLUG. It sells in one currency."""
    if not (re.fullmatch("[a-z0-9-]{1,64}", slug) and re.fullmatch("[A-Z]{3} [A-Z]{2}", f"{currency} {country}")):
        raise Stop("A slug takes small letters, digits and hyphens; a currency is like EUR, a country like FR.")

    async def add(s: Services) -> None:
        await s.catalogue.add_brand(slug=slug, name=name or slug, currency=currency, country=country)
        typer.echo(f"{slug} stands. Next: `frontrow staff add EMAIL --role host`, `frontrow catalogue import FILE`.")

    with_services(add)


@app.command("add")
def add_show(
    slug: str,
    title: Annotated[str, typer.Option(help="As viewers read it.")] = "",
    starts: Annotated[datetime | None, typer.Option(help="This machine's time; its page counts down to it.")] = None,
    brand: Brand = "",
) -> None:
    """Add a show; its page is /shows/SLUG."""

    async def add(s: Services) -> None:
        starts_ms = None if starts is None else int(starts.timestamp() * 1000)
        show = await s.shows.create(
            await brand_of(s, brand),
            slug,
            title or slug,
            starts_ms=starts_ms,
            hold_ttl_s=s.settings.hold_ttl_s,
            max_per_buyer=s.settings.max_per_buyer,
        )
        typer.echo(f"{s.settings.base_url}/shows/{show.slug}\n{s.settings.base_url}/studio/shows/{show.slug}")

    with_services(add)


@app.command("look")
def add_look(
    slug: str,
    products: Annotated[list[str], typer.Argument(help="Slugs of the catalogue's products, in the card's order.")],
    title: Annotated[str, typer.Option(help="Left out: the first product's.")] = "",
) -> None:
    """Put a look of PRODUCTS at the end of the show's run."""

    async def add(s: Services) -> None:
        show = await s.shows.by_slug(slug)
        known = await products_of(s, show.brand_id)
        for product in products:
            if product not in known:
                raise Stop(f"There is no product {product}. Known: {', '.join(sorted(known)) or 'none yet'}.")
        number = len((await s.runsheets.of(show.id)).looks) + 1
        named = title or known[products[0]][1]
        await s.runsheets.add_look(show.id, number, named, [known[product][0] for product in products])
        typer.echo(f"Look {number}: {named}")

    with_services(add)


@app.command("terms")
def look_terms(
    slug: str,
    number: Annotated[int, typer.Argument(help="The look's number in the run.")],
    limit: Annotated[int, typer.Option(help="Units of its pieces one buyer may have; 0: no cap of its own.")] = 0,
    hot: Annotated[bool, typer.Option("--hot/--not-hot", help="Buyers stand in a line, drawn at the opening.")] = False,
    work: Annotated[int, typer.Option(help="Zero bits of work asked of each browser (18: a second); 0: none.")] = 0,
) -> None:
    """Set the terms of a look's drop, all of them: what is left out goes back to none."""

    async def set_terms(s: Services) -> None:
        show = await s.shows.by_slug(slug)
        looks = {look.number: look for look in (await s.runsheets.of(show.id)).looks}
        if number not in looks:
            raise Stop(f"There is no look {number}. {slug} has looks {', '.join(map(str, looks)) or 'none yet'}.")
        await s.desk.rule_look(show.id, looks[number].id, limit=limit or None, hot=hot, work_bits=work)
        said = [f"{limit} a person" if limit else "no cap of its own", "hot" if hot else "not hot"]
        typer.echo(f"Look {number}: {', '.join([*said, f'{work} bits of work' if work else 'no work'])}")

    with_services(set_terms)


@app.command("list")
def list_shows() -> None:
    """List every show, the live ones first."""

    async def listed(s: Services) -> None:
        shows = await s.shows.list()
        for show in shows:
            typer.echo(f"{show.slug:32} {show.status:10} {show.title}")
        if not shows:
            typer.echo("No show yet. `frontrow show add SLUG --title TITLE` adds the first.")

    with_services(listed)


async def products_of(s: Services, brand_id: str) -> dict[str, tuple[str, str]]:
    """A brand's products by slug: id and title."""
    from sqlalchemy import select

    from live.store.tables import products

    query = select(products.c.slug, products.c.id, products.c.title).where(products.c.brand_id == brand_id)
    return {row.slug: (row.id, row.title) for row in await s.db.read(lambda sql: sql.execute(query).all())}
