"""The command line. Expected failures are one sentence on stderr that says what to do: exit code 1, or 2 when it was
started wrongly (a port, a folder, a setting). Only our own bugs show a traceback.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if sys.version_info < (3, 11):  # noqa: UP036 - said before anything newer is imported
    sys.exit("Frontrow needs Python 3.11 or newer; this is " + sys.version.split()[0] + ".")

from live.commands import audit, catalogue, person, recordings, shows, staff, stock, terms, token, webhook
from live.commands.backup import backup, restore
from live.commands.flood import flood
from live.commands.start import Stop, check_ports, check_tcp, check_udp, checked, formation_of, settings_of
from live.commands.words import FAILED, STARTED_WRONGLY, words
from live.errors import Error
from live.formation import index_of, names, of_relay
from live.settings import Settings

if TYPE_CHECKING:
    from live.demo.feed import Feed
    from live.wings import Wings

app = typer.Typer(
    name="frontrow",
    help="See now, buy now: a livestream shopping server that a fashion brand runs itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(staff.app, name="staff")
app.add_typer(shows.brand_app, name="brand")
app.add_typer(shows.app, name="show")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(stock.app, name="stock")
app.add_typer(terms.shipping_app, name="shipping")
app.add_typer(terms.promotion_app, name="promotion")
app.add_typer(terms.tax_app, name="tax")
app.add_typer(audit.app, name="audit")
app.add_typer(person.app, name="person")
app.add_typer(token.app, name="token")
app.add_typer(webhook.app, name="webhook")
app.add_typer(recordings.app, name="recordings")
app.command()(backup)
app.command()(restore)
app.command()(flood)


def main() -> None:
    """The program `frontrow`."""
    try:
        app()
    except Stop as stop:
        typer.echo(stop.sentence, err=True)
        sys.exit(stop.code)
    except Error as error:
        sentence, code = words(error)
        typer.echo(sentence, err=True)
        sys.exit(code)


# ---- running -----------------------------------------------------------------------------------


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(help="Port of the web process; also PORT.")] = None,
    formation: Annotated[
        str | None, typer.Option(help="How many of each process: relay=2,worker=2; also FRONTROW_FORMATION.")
    ] = None,
) -> None:
    """Run everything here: the stores, web, relay, tail and worker. Ctrl-C stops all, in order.

    Without REDIS_URL an embedded store is started in the data folder, without DATABASE_URL a SQLite file.
    """
    settings = settings_of(port)
    if formation is not None:
        settings = settings.model_copy(update={"formation": formation})
    with checked(settings):
        counts = formation_of(settings)
        check_ports(settings)
        from live.wings import Wings

        wings = Wings(main)
        _rehearse(wings, counts)
        raise typer.Exit(asyncio.run(_serve(settings, wings, counts)))


def _rehearse(wings: Wings, counts: dict[str, int]) -> None:
    """The processes, loading side by side from here on."""
    from live.desk import wiring  # noqa: F401 - what all of them share, loaded once
    from live.store import migrate  # noqa: F401

    modules = {
        "web": "live.web.process",
        "relay": "live.relay.server",
        "tail": "live.tail.server",
        "worker": "live.worker.main",
    }
    for process, module in modules.items():
        for name in names(process, counts[process]):
            wings.rehearse(name, module)


async def _serve(settings: Settings, wings: Wings, counts: dict[str, int]) -> int:
    from live.store.embedded import embedded_store
    from live.supervisor import Labelled, Supervisor, of_procfile, stop_on_signals

    supervisor = Supervisor(Labelled(), wings)
    stop_on_signals(supervisor)
    async with embedded_store(settings) as url:
        try:
            for child in of_procfile({"REDIS_URL": url, "PORT": str(settings.port)}, counts):
                supervisor.start(child)
            await supervisor.wait()
        finally:
            await supervisor.close()
    return supervisor.returncode


@app.command()
def web(port: Annotated[int | None, typer.Option(help="Port to listen on; also PORT.")] = None) -> None:
    """Run a web process: pages, API, WHIP and WHEP, the room. SIGTERM drains it."""
    settings = settings_of(port)
    with checked(settings):
        check_tcp(settings)
        from live.web.process import run

        run(settings)


@app.command()
def relay() -> None:
    """Run a relay process: the picture, one UDP port. SIGTERM drains it.

    Of several on a host (relay.2 of a Procfile host) each takes the next port.
    """
    settings = of_relay(settings_of(), index_of("relay", os.environ))
    with checked(settings):
        check_udp(settings)
        import uvloop

        from live import logs
        from live.relay.server import run

        logs.configure(settings)
        uvloop.run(run(settings))


@app.command()
def tail() -> None:
    """Run a tail process: the shows of this machine's relays as low-latency HLS. SIGTERM says the end to players."""
    settings = settings_of()
    with checked(settings):
        import uvloop

        from live import logs
        from live.tail.server import run

        logs.configure(settings)
        uvloop.run(run(settings))


@app.command()
def work() -> None:
    """Run a worker process: lapsed holds, payments, webhooks, recordings. SIGTERM lets it finish its job."""
    settings = settings_of()
    with checked(settings):
        from live import logs
        from live.worker.main import run

        logs.configure(settings)
        asyncio.run(run(settings))


@app.command()
def demo(
    video: Annotated[
        Path | None, typer.Option(help="Stream this file in a loop instead of the drawn runway.", dir_okay=False)
    ] = None,
    bots: Annotated[int, typer.Option(min=0, max=6, help="Demo viewers; 0 also sends the host bot home.")] = 5,
    port: Annotated[int | None, typer.Option(help="Port of the web process; also PORT.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the processes' logs.")] = False,
) -> None:
    """Run a demo brand with a show on air, and print the links for viewer, host and moderator."""
    began = time.monotonic()
    typer.echo("Frontrow demo")
    settings = settings_of(port)
    if video is not None and not video.is_file():
        raise Stop(f"There is no file {video}.", STARTED_WRONGLY)
    with checked(settings):
        counts = formation_of(settings)
        check_ports(settings)
        # The children read the environment: they must hear of a --port too.
        os.environ["PORT"] = str(settings.port)
        from live.wings import Wings

        wings = Wings(main)
        # First: it shares little with the others, and loads while that is loaded.
        wings.rehearse("publisher", "live.demo.feed", "live.demo.publisher")
        _rehearse(wings, counts)
        from live.demo.main import run

        code = asyncio.run(run(settings, wings, began, video=video, viewers=bots, verbose=verbose, say=typer.echo))
        raise typer.Exit(code)


@app.command()
def publish(
    to: Annotated[str, typer.Option(help="The show's WHIP address, http://…/whip/SHOW.")],
    file: Annotated[Path | None, typer.Argument(help="A video. Left out: the drawn runway.", dir_okay=False)] = None,
    key: Annotated[
        str, typer.Option(envvar="FRONTROW_PUBLISH_KEY", help="The show's key; better in FRONTROW_PUBLISH_KEY.")
    ] = "",
) -> None:
    """Publish FILE by WHIP, in a loop, until Ctrl-C. When the server goes away, it tries again.

    H.264 is passed through as it is; another codec, or H.264 with B-frames, is encoded once before going on air.
    """
    if not key:
        raise Stop("No key: give --key or set FRONTROW_PUBLISH_KEY. The host's page shows it.", STARTED_WRONGLY)
    if file is not None and not file.is_file():
        raise Stop(f"There is no file {file}.", STARTED_WRONGLY)
    settings = settings_of()
    with checked(settings, writes=True):
        from live.demo.feed import FileFeed, RunwayFeed, prepare
        from live.demo.publisher import publish as send

        feed: Feed
        if file is None:
            feed = RunwayFeed(settings.data_dir / "runway")
        else:
            feed = FileFeed(prepare(file, settings.data_dir / "publish", _say))
        stop = threading.Event()
        # On a thread of its own: FFmpeg blocks while it connects, and a signal must not wait for that.
        failed: list[Error] = []

        def go() -> None:
            try:
                send(to, key, feed, stop=stop, say=_say)
            except Error as error:
                failed.append(error)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        sending = threading.Thread(target=go, name="publisher", daemon=True)
        sending.start()
        while sending.is_alive() and not stop.is_set():
            sending.join(0.2)
        sending.join(3.0)  # time for the DELETE
        feed.close()
        if failed:
            raise failed[0]


# ---- looking after it --------------------------------------------------------------------------


@app.command()
def doctor() -> None:
    """Check versions, folder, stores, ports, clock and the shop's invariants. Exit code 1 when something is wrong."""
    settings = settings_of()
    from live.doctor import examine

    findings = asyncio.run(examine(settings))
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        typer.echo(f"{finding.mark} {finding.what:{width}}  {finding.said}")
    if not all(finding.well for finding in findings):
        raise typer.Exit(FAILED)


@app.command()
def version() -> None:
    """Print the version that is installed."""
    from importlib.metadata import version as installed

    typer.echo(installed("frontrow"))


def _say(line: str) -> None:
    typer.echo(line)


if __name__ == "__main__":
    main()
