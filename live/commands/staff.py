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
def remove_person(
    email: str,
    keep_tokens: Annotated[
        bool, typer.Option("--keep-tokens", help="API tokens they made go on: a till in the middle of a show.")
    ] = False,
    stop_webhooks: Annotated[
        bool, typer.Option("--stop-webhooks", help="Webhook endpoints they made are told nothing any more.")
    ] = False,
    webhooks_to: Annotated[str, typer.Option(help="Whose their webhook endpoints are from now on: an address.")] = "",
) -> None:
    """Let EMAIL in no more; what they are connected with closes at once, and the API tokens they made are revoked: they
    may have kept the secrets. Their acts stay in the audit, and so does this."""

    async def remove(s: Services) -> None:
        left = await s.people.dismiss(
            await _person(s, email),
            keep_tokens=keep_tokens,
            stop_webhooks=stop_webhooks,
            webhooks_to=await _person(s, webhooks_to) if webhooks_to else "",
        )
        made = left.tokens
        typer.echo(f"{email} is removed.")
        if made and keep_tokens:
            typer.echo("API tokens that they made still work. `frontrow token revoke ID` ends one:")
        elif made:
            typer.echo("API tokens that they made are revoked. What used them needs new ones (`frontrow token add`):")
        for token in made:
            typer.echo(f"  {token.id}  {token.prefix}…  {token.name}: {', '.join(token.scopes)}")
        if left.endpoints and stop_webhooks:
            typer.echo("Webhook endpoints that they made are off (`frontrow webhook on ID`):")
        elif left.endpoints and webhooks_to:
            typer.echo(f"Webhook endpoints that they made are {webhooks_to}'s now:")
        elif left.endpoints:
            typer.echo("Webhook endpoints that they made still hear of orders. `frontrow webhook off ID` stops one:")
        for hook in left.endpoints:
            typer.echo(f"  {hook.id}  {hook.url}")

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
