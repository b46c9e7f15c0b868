"""`frontrow token …`: keys of programs that use the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from live.commands.parts import Brand, brand_of, with_services
from live.commands.start import Stop

if TYPE_CHECKING:
    from live.accounts.scopes import ApiToken
    from live.desk.wiring import Services

app = typer.Typer(help="Tokens by which programs use the API: add, list, revoke.", no_args_is_help=True)


@app.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="What it is for: `till`, `warehouse`, `chat bot`.")],
    scope: Annotated[list[str], typer.Option(help="What it may do, once a scope: `stock:write`. docs/api.md has all.")],
    brand: Brand = "",
    show: Annotated[str, typer.Option(help="Only for this show, by its slug; else for the brand's every show.")] = "",
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days until it ends. Left out: never.")] = None,
) -> None:
    """Make a token called NAME and print it, this once."""

    async def add(s: Services) -> None:
        place = {"show_id": (await s.shows.by_slug(show)).id} if show else {"brand_id": await brand_of(s, brand)}
        secret, token = await s.tokens.make(name, scope, by="cli", days=days, **place)
        typer.echo(secret)
        typer.echo(f"Kept nowhere but here: write it down now. It may {', '.join(token.scopes)}.", err=True)

    with_services(add)


@app.command("list")
def list_tokens(brand: Brand = "") -> None:
    """List every token with what it may do; of all brands, where none is named."""

    async def show(s: Services) -> None:
        tokens = await s.tokens.list(brand_id=await brand_of(s, brand) if brand else None)
        for token in tokens:
            state = _state(token, s.clock.now_ms())
            typer.echo(f"{token.prefix}…  {token.id}  {token.name:24} {state:18} {' '.join(token.scopes)}")
        if not tokens:
            typer.echo("No token yet. `frontrow token add NAME --scope stock:write` makes one.")

    with_services(show)


@app.command("revoke")
def revoke_token(which: Annotated[str, typer.Argument(help="Its id, or its first characters (fr_…).")]) -> None:
    """Let WHICH in no more, from this moment on."""

    async def revoke(s: Services) -> None:
        wanted = which.rstrip("…")
        found = [token for token in await s.tokens.list() if wanted == token.id or wanted[:9] == token.prefix]
        if len(found) != 1:
            raise Stop(f"There is no one token {which}. `frontrow token list` shows all.")
        await s.tokens.revoke(found[0].id)
        typer.echo(f"{found[0].name} ({found[0].prefix}…) opens nothing any more.")

    with_services(revoke)


def _state(token: ApiToken, now_ms: int) -> str:
    if token.revoked_ms is not None:
        return "revoked"
    if not token.works(now_ms):
        return "over"
    if token.last_used_ms is None:
        return "never used"
    return f"used {datetime.fromtimestamp(token.last_used_ms / 1000, UTC):%Y-%m-%d}"
