"""`frontrow flood`: a crowd of bots in a show's room, to see what a machine carries before a show does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from live.commands.start import Stop, settings_of

BOTS = Path(__file__).parent.parent / "flood" / "flood.mjs"
WIRE = Path(__file__).parents[2] / "static" / "js" / "wire.js"


def flood(
    show: Annotated[str, typer.Argument(help="The show's slug.")],
    to: Annotated[str, typer.Option(help="Address of the server. Default: FRONTROW_PUBLIC_URL.")] = "",
    bots: Annotated[int, typer.Option(min=1, max=20_000, help="Pages, each with a session and a socket.")] = 100,
    lines: Annotated[float, typer.Option(min=0, help="Lines of talk a second, by all together.")] = 10,
    hearts: Annotated[float, typer.Option(min=0, help="Times a second that a bot sends hearts.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="How long, once all are in.")] = 30,
    cut: Annotated[bool, typer.Option("--cut", help="Half-way, cut every socket: how fast are all back?")] = False,
) -> None:
    """Fill SHOW's room with bots that talk, and say what came of it.

    They run the very module that pages run (static/js/wire.js), so they come back, resume and wait as pages do, and
    they check that numbers reach them without a gap. It needs node 18 or newer. What they say is real talk in a real
    room: flood a rehearsal, not a show that people watch.
    """
    node = shutil.which("node")
    if node is None:
        raise Stop("`frontrow flood` runs the browser's module in node, which is missing: apt-get install nodejs.")
    origin = (to or settings_of().base_url).rstrip("/")
    if urlsplit(origin).scheme not in ("http", "https") or urlsplit(origin).path:
        raise Stop(f"{origin} is no server's address. It looks like https://shop.example.com.", 2)
    options = {"origin": origin, "show": show, "wire": str(WIRE), "bots": bots, "lines": lines, "hearts": hearts}
    command = [node, str(BOTS), json.dumps({**options, "seconds": seconds, "cut": cut})]
    last: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - node, on our own file
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last = json.loads(line)
                if not last.get("over"):
                    _now(last, bots)
        except KeyboardInterrupt:
            process.terminate()
    if "error" in last:
        raise Stop(f"The bots could not go on: {last['error']}.")
    if last:
        _sum(last)
    if last.get("gaps"):
        raise Stop(f"{last['gaps']} times a number was missing or came twice. That must never be.")


def _now(figures: dict[str, Any], bots: int) -> None:
    seen = f", seen after {figures['p50_ms']} ms, p99 {figures['p99_ms']}" if figures["p50_ms"] is not None else ""
    typer.echo(f"{figures['open']} of {bots} in the room, {figures['lines']} lines said{seen}")


def _sum(figures: dict[str, Any]) -> None:
    refused = ", ".join(f"{code} {n}" for code, n in figures["refused"].items()) or "none"
    closed = ", ".join(f"{code} {n}" for code, n in figures["closed"].items())
    typer.echo()
    typer.echo(f"events received     {figures['events']:,}")
    typer.echo(f"lines said          {figures['lines']:,}, answered {figures['answered']:,}")
    typer.echo(f"refused             {refused}")
    if figures["p50_ms"] is not None:
        typer.echo(f"said to own screen  p50 {figures['p50_ms']} ms, p99 {figures['p99_ms']} ms")
    typer.echo(f"came back           {figures['resumes']:,} resumed, {figures['resets']:,} from a new snapshot")
    if figures.get("back_ms") is not None:
        typer.echo(f"all cut, all back   after {figures['back_ms'] / 1000:.1f} s")
    if figures["skipped"]:
        typer.echo(f"left out, and said  {figures['skipped']:,} (slow readers, or a room that thins its talk)")
    if closed:
        typer.echo(f"closed for good     {closed}")
    typer.echo(f"gaps                {figures['gaps']}")
