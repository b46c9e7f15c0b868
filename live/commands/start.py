"""How a command starts: its settings, and what can be wrong with the folder and the ports, said in a sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from pydantic import ValidationError

from live import formation
from live.commands.words import FAILED, STARTED_WRONGLY
from live.errors import Error
from live.settings import Settings


class Stop(Exception):
    """An expected end: a sentence for a person, and the exit code."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


def settings_of(port: int | None = None) -> Settings:
    if sys.platform not in ("linux", "darwin"):
        raise Stop(f"Frontrow runs on Linux and macOS; this is {sys.platform}. On Windows, use WSL.", STARTED_WRONGLY)
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # settings that don't go together: their values may be secrets
            raise Stop(
                f"FRONTROW_MEDIA_ENGINE=livekit is not whole: {first['ctx']['error']}.", STARTED_WRONGLY
            ) from None
        name = str(first["loc"][0])
        names = {str(field.validation_alias): key for key, field in Settings.model_fields.items()}
        shown = name if name in names else f"FRONTROW_{name.upper()}"
        sentence = f"The setting {shown} is wrong: {first['msg']}. It is {first['input']!r}."
        raise Stop(sentence, STARTED_WRONGLY) from None
    return settings if port is None else settings.model_copy(update={"port": port})


@contextlib.contextmanager
def checked(settings: Settings, *, writes: bool = True) -> Iterator[None]:
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


def formation_of(settings: Settings) -> dict[str, int]:
    """How many of each process. Raises: Stop."""
    try:
        return formation.parse(settings.formation)
    except formation.BadFormation as bad:
        raise Stop(f"The formation is wrong: {bad.why}.", STARTED_WRONGLY) from None


def check_ports(settings: Settings) -> None:
    check_tcp(settings)
    for index in range(formation_of(settings)["relay"]):
        check_udp(formation.of_relay(settings, index))


def check_tcp(settings: Settings) -> None:
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


def check_udp(settings: Settings) -> None:
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
