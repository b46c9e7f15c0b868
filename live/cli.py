"""The command line. Expected failures are one sentence on stderr that says what to do: exit code 1, or 2 when it was
started wrongly (a port, a folder, a setting). Only our own bugs show a traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if sys.version_info < (3, 11):  # noqa: UP036 - said before anything newer is imported
    sys.exit("Frontrow needs Python 3.11 or newer; this is " + sys.version.split()[0] + ".")

from pydantic import ValidationError

from live.errors import Error, StoreDown
from live.settings import Settings

if TYPE_CHECKING:
    from live.desk.wiring import Services

FAILED, STARTED_WRONGLY = 1, 2
LINK_TTL_S = 15 * 60

app = typer.Typer(
    name="frontrow",
    help="See now, buy now: a livestream shopping server that a fashion brand runs itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
staff_app = typer.Typer(help="The people who run shows: add, list, remove, and one-click links.", no_args_is_help=True)
app.add_typer(staff_app, name="staff")


class Stop(Exception):
    """An expected end: a sentence for a person, and the exit code."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


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
) -> None:
    """Run everything here: the stores, web, relay and worker. Ctrl-C stops all, in order.

    Without REDIS_URL an embedded store is started in the data folder, without DATABASE_URL a SQLite file.
    """
    settings = _settings(port)
    with _checked(settings):
        _check_ports(settings)
        raise typer.Exit(asyncio.run(_serve(settings)))


async def _serve(settings: Settings) -> int:
    from live.store.embedded import embedded_store
    from live.supervisor import Labelled, Supervisor, of_procfile, stop_on_signals

    supervisor = Supervisor(Labelled())
    stop_on_signals(supervisor)
    async with embedded_store(settings) as url:
        try:
            for child in of_procfile({"REDIS_URL": url, "PORT": str(settings.port)}):
                supervisor.start(child)
            await supervisor.wait()
        finally:
            await supervisor.close()
    return supervisor.returncode


@app.command()
def web(port: Annotated[int | None, typer.Option(help="Port to listen on; also PORT.")] = None) -> None:
    """Run a web process: pages, API, WHIP and WHEP, the room. SIGTERM drains it."""
    settings = _settings(port)
    with _checked(settings):
        _check_tcp(settings)
        from live.web.process import run

        run(settings)


@app.command()
def relay() -> None:
    """Run a relay process: the picture, one UDP port. SIGTERM drains it."""
    settings = _settings()
    with _checked(settings):
        _check_udp(settings)
        from live.relay.server import run

        asyncio.run(run(settings))


@app.command()
def work() -> None:
    """Run a worker process: lapsed holds, payments, webhooks, recordings. SIGTERM lets it finish its job."""
    settings = _settings()
    with _checked(settings):
        from live.worker.main import run

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
    settings = _settings(port)
    if video is not None and not video.is_file():
        raise Stop(f"There is no file {video}.", STARTED_WRONGLY)
    with _checked(settings):
        _check_ports(settings)
        # The children read the environment: they must hear of a --port too.
        os.environ["PORT"] = str(settings.port)
        from live.demo.main import run

        code = asyncio.run(run(settings, video=video, viewers=bots, verbose=verbose, say=typer.echo))
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
    settings = _settings()
    with _checked(settings, writes=True):
        from live.demo.feed import Feed, FileFeed, RunwayFeed, prepare
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


# ---- staff -------------------------------------------------------------------------------------

Brand = Annotated[str, typer.Option(help="The brand's slug; needless where there is only one.")]


@staff_app.command("add")
def staff_add(
    email: str,
    role: Annotated[str, typer.Option(help="host, moderator or staff.")] = "staff",
    name: Annotated[str, typer.Option(help="As others see it. Left out: what is before the @.")] = "",
    brand: Brand = "",
    password: Annotated[
        bool, typer.Option("--password", help="Ask for a password. Else they sign in by link.")
    ] = False,
) -> None:
    """Add EMAIL with a role over a brand's every show, and print a link to sign in with."""
    asked = typer.prompt("Password", hide_input=True, confirmation_prompt=True) if password else None

    async def add(s: Services) -> None:
        brand_id = await _brand(s, brand)
        person = await s.staff.by_email(email) or await s.staff.add(email, name, asked)
        await s.people.grant(person.id, role, brand_id=brand_id)  # type: ignore[arg-type]  # checked there
        typer.echo(f"{person.email} is {role} now.")
        typer.echo(await _link(s, person.id))

    _with_services(add)


@staff_app.command("list")
def staff_list() -> None:
    """List everybody with their roles."""

    async def show(s: Services) -> None:
        people = await s.staff.list()
        for person in people:
            roles = ", ".join(sorted({grant.role for grant in await s.staff.grants(person.id)})) or "no role"
            typer.echo(f"{person.email:36} {person.name:20} {'removed' if person.disabled else roles}")
        if not people:
            typer.echo("Nobody yet. `frontrow staff add EMAIL --role host` adds the first.")

    _with_services(show)


@staff_app.command("remove")
def staff_remove(email: str) -> None:
    """Let EMAIL in no more; what they are connected with closes at once. Their acts stay in the audit."""

    async def remove(s: Services) -> None:
        await s.people.dismiss(await _person(s, email))
        typer.echo(f"{email} is removed.")

    _with_services(remove)


@staff_app.command("link")
def staff_link(email: str) -> None:
    """Print a link that signs EMAIL in, good for 15 minutes."""

    async def link(s: Services) -> None:
        typer.echo(await _link(s, await _person(s, email)))

    _with_services(link)


async def _link(s: Services, staff_id: str) -> str:
    token = await s.signin.issue_link(staff_id=staff_id, ttl_s=LINK_TTL_S)
    return f"{s.settings.base_url}/sign-in/{token}  (good for {LINK_TTL_S // 60} minutes)"


async def _person(s: Services, email: str) -> str:
    person = await s.staff.by_email(email)
    if person is None:
        raise Stop(f"There is nobody with the address {email}. `frontrow staff list` shows everybody.")
    return person.id


async def _brand(s: Services, slug: str) -> str:
    from sqlalchemy import select

    from live.store.tables import brands

    rows = await s.db.read(lambda sql: list(sql.execute(select(brands.c.slug, brands.c.id))))
    known = {str(row.slug): str(row.id) for row in rows}
    if slug and slug not in known:
        raise Stop(f"There is no brand {slug}. Known: {', '.join(sorted(known)) or 'none'}.")
    if not slug and len(known) != 1:
        raise Stop(f"Say which brand, by --brand. Known: {', '.join(sorted(known)) or 'none yet'}.")
    return known[slug or next(iter(known))]


# ---- looking after it --------------------------------------------------------------------------


@app.command()
def doctor() -> None:
    """Check versions, folder, stores, ports, clock and the shop's invariants. Exit code 1 when something is wrong."""
    settings = _settings()
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


# ---- what can be wrong at the start ------------------------------------------------------------


def _settings(port: int | None = None) -> Settings:
    if sys.platform not in ("linux", "darwin"):
        raise Stop(f"Frontrow runs on Linux and macOS; this is {sys.platform}. On Windows, use WSL.", STARTED_WRONGLY)
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        names = {str(field.validation_alias): key for key, field in Settings.model_fields.items()}
        shown = name if name in names else f"FRONTROW_{name.upper()}"
        sentence = f"The setting {shown} is wrong: {first['msg']}. It is {first['input']!r}."
        raise Stop(sentence, STARTED_WRONGLY) from None
    return settings if port is None else settings.model_copy(update={"port": port})


@contextlib.contextmanager
def _checked(settings: Settings, *, writes: bool = True) -> Iterator[None]:
    """Says expected failures of the start in a sentence."""
    if writes:
        check_folder(settings.data_dir)
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except Exception as error:
        # A task group wraps what one of its tasks met.
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if isinstance(first, OSError):
            raise Stop(f"{first.strerror or first}", FAILED) from first
        if isinstance(first, (Error, Stop, typer.Exit)):
            raise first from None
        raise


def check_folder(path: Path) -> None:
    """Raises: Stop when nothing can be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Stop(
            f"Can't write in the data folder {path.absolute()}: {error.strerror}. "
            "Give it to this user (chown), or set FRONTROW_DATA_DIR to another folder.",
            STARTED_WRONGLY,
        ) from None


def _check_ports(settings: Settings) -> None:
    _check_tcp(settings)
    _check_udp(settings)


def _check_tcp(settings: Settings) -> None:
    why = cannot_bind(settings.host, settings.port, socket.SOCK_STREAM)
    if why == errno.EADDRINUSE:
        other = settings.port + 1
        raise Stop(
            f"Port {settings.port} is taken by another program. Stop that one, or take another port: PORT={other}.",
            STARTED_WRONGLY,
        )
    if why:
        raise Stop(
            f"Can't listen on {settings.host}:{settings.port}: {os.strerror(why)}. Change FRONTROW_HOST or PORT.",
            STARTED_WRONGLY,
        )


def _check_udp(settings: Settings) -> None:
    why = cannot_bind(settings.relay_udp_host or "", settings.relay_udp_port, socket.SOCK_DGRAM)
    if why == errno.EADDRINUSE:
        raise Stop(
            f"UDP port {settings.relay_udp_port} is taken, perhaps by another relay. Stop that one, or set "
            f"FRONTROW_RELAY_UDP_PORT to another (0 takes a free one).",
            STARTED_WRONGLY,
        )
    if why:
        raise Stop(
            f"Can't open UDP port {settings.relay_udp_port}: {os.strerror(why)}. Change FRONTROW_RELAY_UDP_HOST or "
            "FRONTROW_RELAY_UDP_PORT.",
            STARTED_WRONGLY,
        )


def cannot_bind(host: str, port: int, kind: socket.SocketKind) -> int:
    """The errno that binding there gives, or 0."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            # As uvicorn does it: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            return errno.EADDRNOTAVAIL
        except OSError as error:
            return error.errno or errno.EIO
    return 0


def words(error: Error) -> tuple[str, int]:
    """An expected failure as a sentence that says what to do, and the exit code."""
    facts = error.facts
    match error.code:
        case "no_store_server":
            return (
                "No embedded store for this machine: "
                f"{facts['why']}. Install valkey-server or redis-server 7 or newer, or set REDIS_URL.",
                STARTED_WRONGLY,
            )
        case "folder_not_writable":
            return (
                f"Can't write in {facts['path']}: {facts['why']}. Set FRONTROW_DATA_DIR to another folder.",
                STARTED_WRONGLY,
            )
        case "store_corrupt":
            return (
                f"The embedded store's file in {facts['path']} is damaged, so it does not start. Copy the folder, then "
                f"let redis-check-aof cut the file at its first bad byte:\n  {facts['repair']}",
                STARTED_WRONGLY,
            )
        case "store_too_old":
            return (
                f"The embedded store's data was written by a newer server than {facts['server']} {facts['version']}. "
                "Update that one, or take it off the PATH so that the bundled one is used.",
                STARTED_WRONGLY,
            )
        case "store_wont_start":
            return f"The embedded store {facts['server']} does not start. It says:\n{facts['log']}", FAILED
        case "unplayable":
            return f"Can't play {facts['path']}: {facts['why']}.", STARTED_WRONGLY
        case "publish_refused":
            said = {
                401: "the key is not right. The host's page shows the show's key.",
                403: "the key belongs to another show.",
                404: "there is no such show.",
            }
            return f"{facts['url']} refuses: {said.get(facts['status'], 'it answers ' + str(facts['status']))}", FAILED
    if isinstance(error, StoreDown):
        setting = "REDIS_URL" if facts["store"] == "redis" else "DATABASE_URL"
        return f"The {facts['store']} store does not answer. Check that it runs, and {setting}.", FAILED
    return f"{error.code.replace('_', ' ')}: " + ", ".join(f"{name} {value}" for name, value in facts.items()), FAILED


def _say(line: str) -> None:
    typer.echo(line)


def _with_services(job: Callable[[Services], Coroutine[Any, Any, None]]) -> None:
    settings = _settings()

    async def run() -> None:
        async with _services(settings) as s:
            await job(s)

    with _checked(settings):
        asyncio.run(run())


@asynccontextmanager
async def _services(settings: Settings) -> AsyncIterator[Services]:
    from live.desk.wiring import services

    async with services(settings) as s:
        yield s


if __name__ == "__main__":
    main()
