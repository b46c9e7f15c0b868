"""`frontrow recordings …`: what was recorded, what stays and what goes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from live.commands.parts import with_services
from live.commands.start import Stop

if TYPE_CHECKING:
    from live.desk.wiring import Services

app = typer.Typer(help="Recordings of shows: list them, keep one, remove one.", no_args_is_help=True)

WHY = {
    "": "",
    "disk_full": "the disk was full",
    "file": "the file could not be written",
    "media": "the stream could not be written or read",
    "gone": "the file is gone",
    "age": "older than FRONTROW_RECORDING_DAYS",
    "space": "over FRONTROW_RECORDING_GB",
    "hand": "by hand",
}


@app.command("list")
def list_recordings(
    show: Annotated[str, typer.Argument(help="The show's slug; left out: every show.")] = "",
) -> None:
    """List recordings: id, show, when, length, size, what became of them."""

    async def listed(s: Services) -> None:
        known = {one.id: one.slug for one in await s.shows.list()}
        wanted = (await s.shows.by_slug(show)).id if show else None
        rows = await s.recordings.list(wanted)
        for one in rows:
            when = dt.datetime.fromtimestamp(one.started_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
            state = one.state + (f": {WHY.get(one.why, one.why)}" if one.why else "") + (", kept" if one.kept else "")
            told = f"{length(one.duration_ms):>8} {one.bytes / 1e6:9.1f} MB"
            typer.echo(f"{one.id}  {known.get(one.show_id, one.show_id):24} {when} {told}  {state}")
        if not rows:
            typer.echo("Nothing was recorded. FRONTROW_RECORD=true records every show.")

    with_services(listed)


@app.command("keep")
def keep(
    recording: str,
    off: Annotated[bool, typer.Option("--off", help="Let retention take it again.")] = False,
) -> None:
    """Keep RECORDING, whatever its age and size."""

    async def kept(s: Services) -> None:
        await s.recordings.keep(recording, not off)
        typer.echo(f"{recording} goes with its time." if off else f"{recording} is kept.")

    with_services(kept)


@app.command("remove")
def remove(recording: str) -> None:
    """Remove RECORDING's file for good. Its row stays, and says so."""

    async def removed(s: Services) -> None:
        one = await s.recordings.by_id(recording)
        if one.state == "recording":
            raise Stop(f"{recording} is being recorded. End its show first.")
        if not await s.recordings.remove(one, "hand"):
            raise Stop(f"{recording} was removed before.")
        typer.echo(f"{recording} is removed, {one.bytes / 1e6:.1f} MB.")

    with_services(removed)


def length(ms: int) -> str:
    """1:02:03"""
    seconds = ms // 1000
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
