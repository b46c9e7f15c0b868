"""`frontrow staff …`: the people who run shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from live.commands.parts import Brand, brand_of, with_services
from live.commands.start import Stop

if TYPE_CHECKING:
    from live.desk.wiring import Services

LINK_TTL_S = 15 * 60

app = typer.Typer(help="The people who run shows: add, list, remove, and one-click links.", no_args_is_help=True)


@app.command("add")
def add_person(
    email: str,
    role: Annotated[Literal["host", "moderator", "staff"], typer.Option(help="What they may do.")] = "staff",
    name: Annotated[str, typer.Option(help="As others see it. Left out: what is before the @.")] = "",
    brand: Brand = "",
    password: Annotated[
        bool, typer.Option("--password", help="Ask for a password. Else they sign in by link.")
    ] = False,
) -> None:
    """Add EMAIL with a role over a brand's every show, and print a link to sign in with."""
    asked = typer.prompt("Password", hide_input=True, confirmation_prompt=True) if password else None

    async def add(s: Services) -> None:
        brand_id = await brand_of(s, brand)
        person = await s.staff.by_email(email) or await s.staff.add(email, name, asked)
        await s.people.grant(person.id, role, brand_id=brand_id)
        typer.echo(f"{person.email} is {role} now.")
        typer.echo(await _link(s, person.id))

    with_services(add)


@app.command("list")
def list_people() -> None:
    """List everybody with their roles."""

    async def show(s: Services) -> None:
        people = await s.staff.list()
        for person in people:
            roles = ", ".join(sorted({grant.role for grant in await s.staff.grants(person.id)})) or "no role"
            typer.echo(f"{person.email:36} {person.name:20} {'removed' if person.disabled else roles}")
        if not people:
            typer.echo("Nobody yet. `frontrow staff add EMAIL --role host` adds the first.")

    with_services(show)


@app.command("remove")
def remove_person(email: str) -> None:
    """Let EMAIL in no more; what they are connected with closes at once. Their acts stay in the audit."""

    async def remove(s: Services) -> None:
        person = await _person(s, email)
        await s.people.dismiss(person)
        typer.echo(f"{email} is removed.")
        # A token is the brand's: a till must not stop in the middle of a show. But she may have kept its secret.
        tokens = [one for one in await s.tokens.list(by=person) if one.works(s.clock.now_ms())]
        if tokens:
            typer.echo("API tokens that she made still work. `frontrow token revoke ID` ends one:")
        for token in tokens:
            typer.echo(f"  {token.id}  {token.prefix}…  {token.name}")

    with_services(remove)


@app.command("link")
def link_person(email: str) -> None:
    """Print a link that signs EMAIL in, good for 15 minutes."""

    async def link(s: Services) -> None:
        typer.echo(await _link(s, await _person(s, email)))

    with_services(link)


async def _link(s: Services, staff_id: str) -> str:
    token = await s.signin.issue_link(staff_id=staff_id, ttl_s=LINK_TTL_S)
    return f"{s.settings.base_url}/sign-in/{token}  (good for {LINK_TTL_S // 60} minutes)"


async def _person(s: Services, email: str) -> str:
    person = await s.staff.by_email(email)
    if person is None or person.disabled:
        raise Stop(f"There is nobody with the address {email}. `frontrow staff list` shows everybody.")
    return person.id
