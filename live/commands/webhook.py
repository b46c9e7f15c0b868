"""`frontrow webhook …`: where a brand's events go, and what became of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from live.commands.parts import Brand, brand_of, with_services
from live.commands.start import Stop

if TYPE_CHECKING:
    from live.desk.wiring import Services

app = typer.Typer(
    help="Where a brand's events go: add, list, the log, replay, a new secret, off and on.", no_args_is_help=True
)
Which = Annotated[str, typer.Argument(help="The endpoint's id, as `frontrow webhook list` shows it.")]


@app.command("add")
def add_endpoint(
    url: Annotated[str, typer.Argument(help="https://…")],
    kind: Annotated[list[str] | None, typer.Option(help="A kind it hears, once each; left out: every kind.")] = None,
    brand: Brand = "",
) -> None:
    """Post the brand's events to URL, and print the secret that signs them, this once."""

    async def add(s: Services) -> None:
        endpoint, secret = await s.endpoints.add(await brand_of(s, brand), url, kind or ())
        typer.echo(secret)
        typer.echo(f"{endpoint} is on; write the secret down now. `frontrow webhook test` tries it.", err=True)

    with_services(add)


@app.command("list")
def list_endpoints() -> None:
    """List every endpoint: whether it is on, what waits and what was given up."""

    async def show(s: Services) -> None:
        endpoints = await s.endpoints.list()
        for one in endpoints:
            state = "on" if one.disabled_ms is None else f"off ({one.disabled_why})"
            counts = f"{one.waiting} waiting, {one.failed} failed"
            typer.echo(f"{one.id}  {state:14} {counts:24} {one.url}  {' '.join(one.kinds) or 'every kind'}")
        if not endpoints:
            typer.echo("No endpoint yet. `frontrow webhook add URL` adds the first.")

    with_services(show)


@app.command("log")
def show_log(
    endpoint: Which,
    failed: Annotated[bool, typer.Option("--failed", help="Only what was given up.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 30,
) -> None:
    """What was sent to ENDPOINT, the newest first, and what it answered."""
    from live.shop.webhooks import deliveries

    async def show(s: Services) -> None:
        await s.endpoints.by_id(endpoint)
        outcome = "failed" if failed else ""
        for one in await s.db.read(lambda sql: deliveries.log(sql, endpoint, outcome=outcome, limit=limit)):
            when = datetime.fromtimestamp(one.created_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
            typer.echo(f"{one.id:8}  {when}  {one.kind:18} {one.outcome:8} {one.attempts:2} tries  {one.answer}")

    with_services(show)


@app.command("replay")
def replay(
    endpoint: Which,
    delivery: Annotated[int | None, typer.Argument(help="One entry of the log, by its number.")] = None,
    hours: Annotated[float, typer.Option(min=0, help="Without a number: all that failed of the last so many.")] = 72,
) -> None:
    """Send one entry of the log again, or all that failed; under the ids they had."""
    from live.shop.webhooks import deliveries

    async def again(s: Services) -> None:
        await s.endpoints.by_id(endpoint)
        now = s.clock.now_ms()
        since = now - int(hours * 3_600_000)

        def send(sql: Any) -> int:
            if delivery is not None:
                deliveries.replay(sql, endpoint, delivery, now)
                return 1
            return deliveries.replay_failed(sql, endpoint, since, now)

        typer.echo(f"{await s.db.write(send)} on the way again.")

    with_services(again)


@app.command("rotate")
def rotate(endpoint: Which) -> None:
    """Print a new secret. For 24 hours the old one signs too."""

    async def change(s: Services) -> None:
        typer.echo(await s.endpoints.rotate(endpoint))
        typer.echo("Both secrets sign for 24 hours; change it at the receiver until then.", err=True)

    with_services(change)


@app.command("test")
def try_out(
    endpoint: Which,
    wait: Annotated[int, typer.Option(min=0, max=60, help="Seconds to wait for the worker's answer.")] = 20,
) -> None:
    """Send an event of the kind webhook.test, and say what was answered."""
    from live.shop.webhooks import deliveries

    async def send(s: Services) -> None:
        import asyncio

        found = await s.endpoints.by_id(endpoint)
        now = s.clock.now_ms()
        one = await s.db.write(lambda sql: deliveries.test(sql, endpoint, found.brand_id, now))
        ends = time.monotonic() + wait
        while time.monotonic() < ends:
            (entry,) = await s.db.read(lambda sql: deliveries.log(sql, endpoint, before=one + 1, limit=1))
            if entry.attempts and entry.answer:
                typer.echo(f"{entry.outcome}: {entry.answer} after {entry.took_ms} ms")
                return
            await asyncio.sleep(0.5)
        raise Stop("No answer yet: is a worker running? `frontrow webhook log` will say.")

    with_services(send)


@app.command("off")
def off(endpoint: Which) -> None:
    """Send nothing to ENDPOINT any more."""

    async def disable(s: Services) -> None:
        await s.endpoints.disable(endpoint)
        typer.echo(f"{endpoint} is off. `frontrow webhook on {endpoint}` turns it on again.")

    with_services(disable)


@app.command("on")
def on(endpoint: Which) -> None:
    """Send to ENDPOINT again, what waited first."""

    async def enable(s: Services) -> None:
        await s.endpoints.enable(endpoint)
        typer.echo(f"{endpoint} is on.")

    with_services(enable)


@app.command("remove")
def remove(endpoint: Which, yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False) -> None:
    """Remove ENDPOINT and its log. `off` keeps both."""

    async def forget(s: Services) -> None:
        found = await s.endpoints.by_id(endpoint)
        if not yes:
            typer.confirm(f"Remove {found.url} with its log?", abort=True)
        await s.endpoints.remove(endpoint)
        typer.echo(f"{found.url} hears nothing any more.")

    with_services(forget)
