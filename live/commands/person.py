"""`frontrow person …`: what is kept of one person, and its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from live.commands.parts import with_services

if TYPE_CHECKING:
    from live.desk.wiring import Services

app = typer.Typer(help="One person's data: export, erase.", no_args_is_help=True)

Person = Annotated[str, typer.Argument(help="The person's id, `per_…`: the moderator's page shows it beside her name.")]


@app.command("export")
def export_person(
    person: Person,
    to: Annotated[Path | None, typer.Option(help="File to write; left out: printed.", dir_okay=False)] = None,
) -> None:
    """Everything that is kept of PERSON, as JSON: lines, questions, bans, notes, acts on her, orders, coupons, and
    what her devices were asked to remember: address, and a saved card's label."""

    async def export(s: Services) -> None:
        import msgspec

        found = await s.person_data.export(person)
        text = msgspec.json.format(msgspec.json.encode(found)).decode()
        if to is None:
            typer.echo(text)
        else:
            to.touch(mode=0o600)
            to.write_text(text + "\n")
            typer.echo(f"Written to {to}.")
        if found.is_empty:
            typer.echo(f"Nothing is kept of {person}.", err=True)

    with_services(export)


@app.command("erase")
def erase_person(
    person: Person,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Erase PERSON: what she said and asked, notes on her, her bans with what identifies her; her sessions end,
    and what her devices were asked to remember is forgotten, here and at the payment provider.

    Orders are kept, as accounting law asks. That moderators acted is kept too, without the words. There is no way back.
    """
    if not yes:
        typer.confirm(f"Erase {person} for good? `frontrow person export` shows what there is", abort=True)

    async def erase(s: Services) -> None:
        done = await s.person_data.erase(person, by="cli")
        typer.echo(
            f"Erased: {done.lines} lines, {done.questions} questions, {done.silences} bans and timeouts, "
            f"{done.notes} notes; the words of {done.acts} acts. Kept: {done.orders_kept} orders."
        )
        for why in done.kept:
            typer.echo(why)

    with_services(erase)
