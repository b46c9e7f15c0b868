"""What commands share that work on the stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from live.commands.start import Stop, checked, settings_of

if TYPE_CHECKING:
    from live.desk.wiring import Services

Brand = Annotated[str, typer.Option(help="The brand's slug; needless where there is only one.")]


def with_services(job: Callable[[Services], Coroutine[Any, Any, None]]) -> None:
    """Run `job` on the stores that the settings name."""
    settings = settings_of()

    async def run() -> None:
        from live.desk.wiring import services

        async with services(settings) as s:
            await job(s)

    with checked(settings):
        asyncio.run(run())


async def brand_of(s: Services, slug: str) -> str:
    """The id of the brand `slug`, or of the only one. Raises Stop."""
    from sqlalchemy import select

    from live.store.tables import brands

    rows = await s.db.read(lambda sql: list(sql.execute(select(brands.c.slug, brands.c.id))))
    known = {str(row.slug): str(row.id) for row in rows}
    if not known:
        raise Stop("There is no brand yet. `frontrow brand add SLUG --name NAME --currency EUR --country FR` adds it.")
    if slug and slug not in known:
        raise Stop(f"There is no brand {slug}. Known: {', '.join(sorted(known))}.")
    if not slug and len(known) != 1:
        raise Stop(f"Say which brand, by --brand. Known: {', '.join(sorted(known))}.")
    return known[slug or next(iter(known))]
