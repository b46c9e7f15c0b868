"""The server that is measured: a process of its own on one core, in this network namespace or in one behind a veth.

libnice leaves loopback out, so Janus has to be measured over a veth pair; our relay is measured on the same one then.
CPU is the process's own utime + stime, memory its VmRSS, both from /proc.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.relay_load import Camera, Viewer
from live.ids import sign
from live.settings import Settings

SPACE = "frontrow-bench"
_NEAR, _FAR = "10.199.7.1", "10.199.7.2"
RELAY = """
import uvloop
from live.settings import Settings
from live.relay.server import run
uvloop.run(run(Settings()))
"""


@dataclass(frozen=True)
class Place:
    """Where the server listens, where the load does, and what to put before the server's command."""

    server: str = "127.0.0.1"
    load: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()


LOOPBACK = Place()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def veth() -> Iterator[Place]:
    """A namespace for the server, joined to this one by a veth pair; needs root. Gone again afterwards."""
    with contextlib.suppress(subprocess.CalledProcessError):
        ip("netns", "del", SPACE)
    ip("netns", "add", SPACE)
    try:
        ip("link", "add", "frbench0", "type", "veth", "peer", "name", "frbench1", "netns", SPACE)
        ip("addr", "add", f"{_NEAR}/30", "dev", "frbench0")
        ip("link", "set", "frbench0", "up")
        ip("-n", SPACE, "addr", "add", f"{_FAR}/30", "dev", "frbench1")
        ip("-n", SPACE, "link", "set", "frbench1", "up")
        ip("-n", SPACE, "link", "set", "lo", "up")
        yield Place(_FAR, _NEAR, ("ip", "netns", "exec", SPACE))
    finally:
        ip("netns", "del", SPACE)  # takes the pair along


class ServerProcess:
    """A process and what /proc says of it."""

    process: subprocess.Popen[bytes]

    def start(self, command: list[str], place: Place, log: Path, core: int, env: dict[str, str] | None = None) -> None:
        with log.open("wb") as out:  # not a pipe: one that nobody drains would stop the server
            self.process = subprocess.Popen([*place.prefix, *command], env=env, stdout=out, stderr=out)
        if core >= 0:
            os.sched_setaffinity(self.process.pid, {core})

    def said(self, pattern: str, log: Path, within_s: float = 30) -> re.Match[str]:
        """What the process wrote, once it did."""
        deadline = time.monotonic() + within_s
        while not (found := re.search(pattern, log.read_text(errors="replace"))):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        return found

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    async def stop(self) -> None:
        self.process.terminate()
        await asyncio.to_thread(self.process.communicate)


class RelayUnderTest(ServerProcess):
    """Our relay, the real process."""

    def __init__(self, folder: Path, core: int, capacity: int, *, place: Place = LOOPBACK, kernel: bool = True) -> None:
        environment = os.environ | {
            "FRONTROW_DATA_DIR": str(folder), "FRONTROW_RELAY_UDP_HOST": place.server, "FRONTROW_RELAY_UDP_PORT": "0",
            "FRONTROW_RELAY_CONTROL_HOST": place.server, "FRONTROW_RELAY_CONTROL_PORT": "0",
            "FRONTROW_RELAY_CAPACITY": str(capacity), "FRONTROW_LOG_FORMAT": "text",
            "FRONTROW_RELAY_KERNEL": str(int(kernel)), "FRONTROW_RECORD": "0", "FRONTROW_RELAY_BUSY_PERCENT": "0",
        }  # fmt: skip
        environment.pop("REDIS_URL", None)
        log = folder / "relay.log"
        self.start([sys.executable, "-c", RELAY], place, log, core, environment)
        self.control = self.said(r"relay.ready.*control=(\S+)", log)[1]
        token = sign(Settings(_env_file=None, data_dir=folder).key, "relay-control", "v1")
        self.http = httpx.AsyncClient(
            base_url=self.control, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
        )

    async def on_air(self, camera: Camera) -> None:
        """The camera publishes; returns when viewers may come."""
        await camera.caller.connect(await self.order("/publish", offer=camera.caller.offer("sendonly")))
        camera.start()
        while (await self.stats())["shows"]["bench"]["state"] != "live":  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async def join(self, viewer: Viewer) -> None:
        answer = await self.order("/play", offer=viewer.caller.offer("recvonly"))
        await viewer.caller.connect(answer)

    async def order(self, path: str, **body: str) -> str:
        answer = await self.http.post(path, json={"show": "bench", **body})
        answer.raise_for_status()
        text: str = answer.json()["answer"]
        return text

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/stats")).json()
        return found

    async def stop(self) -> None:
        await self.http.aclose()
        await super().stop()
