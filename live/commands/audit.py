"""`frontrow audit …`: what moderators did, and whether the record of it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from live.commands.parts import with_services
from live.commands.start import Stop

if TYPE_CHECKING:
    from live.desk.wiring import Services

app = typer.Typer(help="The record of moderators' acts.", no_args_is_help=True)


@app.callback()
def _several() -> None:
    """Keeps `verify` a command of its own while it is the only one."""


@app.command("verify")
def verify(
    show: Annotated[str, typer.Argument(help="The show's slug; left out: every show that has acts.")] = "",
) -> None:
    """Check that no act was taken out of the record or rewritten: each is hashed over the one before.

    What was cut off at the very end can't be seen this way: keep the number of acts that is printed, and compare.
    """

    async def check(s: Services) -> None:
        rooms = [(await s.shows.by_slug(show)).id] if show else await s.archive.rooms_audited()
        broken = []
        for room in rooms:
            found = await s.archive.verify(room)
            if found is not None:
                broken.append(f"{room}: act {found.row} does not follow from the one before.")
            else:
                acts, erased = await s.archive.acts(room)
                of_them = f", the words of {erased} erased at a person's wish" if erased else ""
                typer.echo(f"{room}: {acts} acts, whole{of_them}.")
        if not rooms:
            typer.echo("No moderator has acted yet.")
        if broken:
            raise Stop("\n".join(broken))

    with_services(check)
