"""How many of each process run, and which port each relay has."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from ports import free_port, free_udp_pair

from live import formation, supervisor
from live.commands.start import Stop, check_ports
from live.formation import BadFormation
from live.settings import Settings

ROOT = Path(__file__).parents[2]
STARTS_WITHIN_S = 60.0


@pytest.mark.parametrize(
    ("text", "relays", "workers"),
    [("", 1, 1), ("relay=2", 2, 1), ("relay=3, worker=2", 3, 2), ("worker=0", 1, 0), ("web=1,relay=2", 2, 1)],
)
def test_a_formation_is_read_as_honcho_writes_it(text: str, relays: int, workers: int) -> None:
    counts = formation.parse(text)
    assert (counts["web"], counts["relay"], counts["worker"]) == (1, relays, workers)


@pytest.mark.parametrize("text", ["relay", "relay=", "relay=x", "relay=-1", "stage=2", "relay=2;worker=2", "relay=999"])
def test_what_is_no_formation_is_said(text: str) -> None:
    with pytest.raises(BadFormation):
        formation.parse(text)


def test_two_webs_on_one_port_are_refused_in_a_sentence() -> None:
    with pytest.raises(Stop, match="web=2"):
        check_ports(Settings(_env_file=None, formation="web=2", port=free_port(), relay_udp_port=0))


@pytest.mark.parametrize(
    ("env", "index"),
    [
        ({}, 0),
        ({"HONCHO_PROCESS_NAME": "relay"}, 0),
        ({"HONCHO_PROCESS_NAME": "relay.1"}, 0),
        ({"HONCHO_PROCESS_NAME": "relay.3"}, 2),
        ({"PS": "relay.2"}, 1),
        ({"HONCHO_PROCESS_NAME": "worker.3"}, 0),
        ({"HONCHO_PROCESS_NAME": "relay.x"}, 0),
        ({"HONCHO_PROCESS_NAME": "relay.0"}, 0),
    ],
)
def test_a_process_reads_which_of_its_kind_it_is(env: dict[str, str], index: int) -> None:
    assert formation.index_of("relay", env) == index


def test_each_relay_has_the_next_port_unless_any_will_do() -> None:
    settings = Settings(_env_file=None, relay_udp_port=8189, relay_control_port=0)
    assert [formation.of_relay(settings, index).relay_udp_port for index in range(3)] == [8189, 8190, 8191]
    assert formation.of_relay(settings, 2).relay_control_port == 0
    assert formation.of_relay(settings.model_copy(update={"relay_udp_port": 0}), 2).relay_udp_port == 0


def test_several_of_a_kind_have_names_and_are_told_them() -> None:
    children = supervisor.of_procfile({"REDIS_URL": "x"}, formation.parse("relay=2"))
    relays = [child for child in children if child.name.startswith("relay")]
    assert [child.name for child in relays] == ["relay.1", "relay.2"]
    assert [child.env["HONCHO_PROCESS_NAME"] for child in relays] == ["relay.1", "relay.2"]
    assert all(child.env["REDIS_URL"] == "x" for child in children)


def test_the_second_relays_port_is_looked_at_before_anything_starts() -> None:
    first = free_udp_pair()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", first + 1))
        settings = Settings(
            _env_file=None,
            formation="relay=2",
            port=free_port(),
            relay_udp_host="127.0.0.1",
            relay_udp_port=first,
        )
        with pytest.raises(Stop, match=str(first + 1)):
            check_ports(settings)


async def test_serve_runs_two_relays_on_two_ports(tmp_path: Path) -> None:
    first = free_udp_pair()
    env = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL")} | {
        "FRONTROW_DATA_DIR": str(tmp_path),
        "FRONTROW_RELAY_UDP_HOST": "127.0.0.1",
        "FRONTROW_RELAY_UDP_PORT": str(first),
        "FRONTROW_RELAY_KERNEL": "0",
    }
    command = [sys.executable, "-m", "live.cli", "serve", "--port", str(free_port())]
    process = await asyncio.create_subprocess_exec(
        *command, "--formation", "relay=2", env=env, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    ports: set[tuple[str, int]] = set()
    try:
        async with asyncio.timeout(STARTS_WITHIN_S):
            while len(ports) < 2:
                line = (await process.stdout.readline()).decode()
                assert line, "serve ended"
                found = re.search(r"(relay\.\d).*relay\.ready.*?'127\.0\.0\.1', (\d+)", line)
                if found:
                    ports.add((found[1], int(found[2])))
        process.send_signal(signal.SIGTERM)
        rest = (await asyncio.wait_for(process.communicate(), 40))[0].decode()
        assert process.returncode == 0, rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert ports == {("relay.1", first), ("relay.2", first + 1)}
