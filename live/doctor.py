"""What `frontrow doctor` looks at. Each finding is a line: what was examined, whether it is well, what was found."""

from __future__ import annotations

import asyncio
import platform
import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from live.desk.wiring import Services, services
from live.errors import Error
from live.formation import BadFormation, of_relay, parse
from live.settings import Settings
from live.shop import invariants
from live.store.embedded import find_server, running_store

LEAST_FREE_BYTES = 1 << 30
MOST_SKEW_S = 1.0


class Finding(NamedTuple):
    """`well` False makes the exit code 1."""

    what: str
    well: bool
    said: str

    @property
    def mark(self) -> str:
        return "✓" if self.well else "✗"


async def examine(settings: Settings) -> list[Finding]:
    """Everything, in the order in which one thing needs the other. Stores that aren't up end the list early."""
    running = None if settings.redis_url else await running_store(settings)
    findings = [_python(), _folder(settings), _picture_tools()]
    if not settings.redis_url:
        findings.append(_embedded(running))
    findings.append(await asyncio.to_thread(_web_port, settings))
    for index in range(_relays(settings)):
        findings.append(await asyncio.to_thread(_udp_port, of_relay(settings, index)))
    try:
        async with services(settings) as s:
            for look in (_redis, _clock, _sql, _shows):
                findings.append(await _safely(look, s))
    except (Error, OSError) as error:
        findings.append(Finding("stores", False, f"{error}"))
    return findings


async def _safely(look: Callable[[Services], Awaitable[Finding]], s: Services) -> Finding:
    try:
        return await look(s)
    except Exception as error:  # a broken thing is a finding, not the end of the examination
        return Finding(look.__name__.strip("_"), False, f"{type(error).__name__}: {error}")


def _python() -> Finding:
    well = sys.version_info >= (3, 11) and sys.platform in ("linux", "darwin")
    return Finding("python", well, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _folder(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".probe").touch()
        (folder / ".probe").unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("data folder", False, f"{folder}: {error.strerror}. Set FRONTROW_DATA_DIR.")
    return Finding("data folder", free > LEAST_FREE_BYTES, f"{folder}, {free / (1 << 30):.1f} GiB free")


def _picture_tools() -> Finding:
    import av

    missing = [name for name in ("libx264", "libopus", "aac", "libdav1d") if name not in av.codecs_available]
    if "whip" not in av.formats_available:
        missing.append("whip")
    said = f"PyAV {av.__version__}"
    return Finding("ffmpeg", not missing, said if not missing else f"{said} lacks {', '.join(missing)}")


def _embedded(running: str | None) -> Finding:
    try:
        server = find_server()
    except Error as error:
        return Finding("embedded store", False, str(error))
    state = "running" if running else "not running"
    return Finding(
        "embedded store", True, f"{server.path.name} {server.version}{' (bundled)' * server.bundled}, {state}"
    )


def _web_port(settings: Settings) -> Finding:
    taken = _is_taken(settings.host, settings.port, socket.SOCK_STREAM)
    if not taken:
        return Finding("web port", True, f"{settings.port} is free")
    ours = _is_ours(settings)
    said = f"{settings.port} is ours" if ours else f"{settings.port} is taken by another program: set PORT"
    return Finding("web port", ours, said)


def _relays(settings: Settings) -> int:
    try:
        return parse(settings.formation)["relay"]
    except BadFormation:
        return 1  # `serve` says what is wrong with it


def _udp_port(settings: Settings) -> Finding:
    port = settings.relay_udp_port
    if not _is_taken(settings.relay_udp_host, port, socket.SOCK_DGRAM):
        return Finding("UDP port", True, f"{port or 'any'} can be opened")
    ours = _is_ours(settings)
    said = f"{port} is in use, by our relay it seems" if ours else f"{port} is taken: set FRONTROW_RELAY_UDP_PORT"
    return Finding("UDP port", ours, said)


def _is_taken(host: str, port: int, kind: socket.SocketKind) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _is_ours(settings: Settings) -> bool:
    import httpx

    try:
        return httpx.get(f"{settings.base_url}/healthz", timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


async def _redis(s: Services) -> Finding:
    facts = await s.redis.info("server")
    version = str(facts.get("valkey_version") or facts["redis_version"])
    name = "Valkey" if "valkey_version" in facts else "Redis"
    well = int(version.split(".")[0]) >= 7
    return Finding("redis", well, f"{name} {version}" + ("" if well else ": 7 or newer is needed"))


async def _clock(s: Services) -> Finding:
    seconds, micros = await s.redis.time()
    skew = abs(time.time() - (seconds + micros / 1e6))
    return Finding("clock", skew < MOST_SKEW_S, f"{skew * 1000:.0f} ms from the store's")


async def _sql(s: Services) -> Finding:
    from sqlalchemy import Connection, text

    from live.store import migrate

    def read(sql: Connection) -> tuple[str, str | None]:
        name = sql.dialect.name
        query = "select sqlite_version()" if name == "sqlite" else "show server_version"
        return f"{name} {sql.execute(text(query)).scalar()}", migrate.current(sql)

    version, at = await s.db.read(read)
    head = migrate.head()
    return Finding("sql", at == head, f"{version}, schema {at}" + ("" if at == head else f", should be {head}"))


async def _shows(s: Services) -> Finding:
    shows = await s.shows.list()
    wrong = [f"{show.slug}: {line}" for show in shows for line in await invariants.check(s.db, s.redis, show.id)]
    if wrong:
        return Finding("invariants", False, "; ".join(wrong))
    return Finding("invariants", True, f"I1–I5 hold in {len(shows)} show{'s' * (len(shows) != 1)}")
