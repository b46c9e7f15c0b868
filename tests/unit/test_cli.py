"""The command line: every expected failure is a sentence and an exit code, nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from live import cli, supervisor
from live.commands.start import Stop
from live.commands.words import words
from live.errors import Error
from live.store import embedded
from live.supervisor import Child, Supervisor

ROOT = Path(__file__).parents[2]


def frontrow(*arguments: str, data: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL", "PORT")}
    return subprocess.run(
        [sys.executable, "-m", "live.cli", *arguments],
        env={**clean, "FRONTROW_DATA_DIR": str(data), **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@contextmanager
def taken(kind: socket.SocketKind) -> Iterator[int]:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        yield holder.getsockname()[1]


COMMANDS = ["serve", "web", "relay", "tail", "work", "demo", "publish", "doctor", "version", "staff add", "staff list",
            "staff remove", "staff link", "brand add", "show add", "show look", "show list",
            "token add", "token list", "token revoke", "person export", "person erase",
            "webhook add", "webhook list", "webhook log", "webhook replay", "webhook rotate"]  # fmt: skip


def test_every_command_has_help() -> None:
    from typer.testing import CliRunner

    for command in COMMANDS:
        answer = CliRunner().invoke(cli.app, [*command.split(), "--help"])
        assert answer.exit_code == 0, command
        assert len(answer.output.split("\n")[2].strip()) > 20, command


def test_a_taken_port_is_said_with_the_way_out(tmp_path: Path) -> None:
    with taken(socket.SOCK_STREAM) as port:
        said = frontrow("web", data=tmp_path, PORT=str(port))
    assert said.returncode == 2
    assert f"Port {port} is taken" in said.stderr
    assert f"PORT={port + 1}" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_taken_udp_port_is_said_with_the_way_out(tmp_path: Path) -> None:
    with taken(socket.SOCK_DGRAM) as port:
        said = frontrow("relay", data=tmp_path, FRONTROW_RELAY_UDP_PORT=str(port), FRONTROW_RELAY_UDP_HOST="127.0.0.1")
    assert said.returncode == 2
    assert f"UDP port {port} is taken" in said.stderr
    assert "FRONTROW_RELAY_UDP_PORT" in said.stderr


def test_a_data_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = frontrow("staff", "list", data=tmp_path / "file" / "data")
    assert said.returncode == 2
    assert "FRONTROW_DATA_DIR" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    said = frontrow("staff", "list", data=tmp_path, PORT="eighty")
    assert said.returncode == 2
    assert "PORT" in said.stderr
    assert "eighty" in said.stderr
    said = frontrow("staff", "list", data=tmp_path, FRONTROW_HOLD_TTL_S="3")
    assert "FRONTROW_HOLD_TTL_S" in said.stderr


def test_a_store_that_is_away_is_said(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        said = frontrow("staff", "list", data=tmp_path, REDIS_URL=f"redis://127.0.0.1:{nobody.getsockname()[1]}")
    assert said.returncode == 1
    assert "REDIS_URL" in said.stderr
    assert "Traceback" not in said.stderr


def test_publishing_without_a_key_says_where_it_is(tmp_path: Path) -> None:
    said = frontrow("publish", "--to", "http://127.0.0.1:1/whip/x", data=tmp_path)
    assert said.returncode == 2
    assert "FRONTROW_PUBLISH_KEY" in said.stderr


def test_doctor_finds_a_fresh_folder_well_and_a_taken_port_not(tmp_path: Path) -> None:
    with taken(socket.SOCK_STREAM) as port:
        said = frontrow("doctor", data=tmp_path, PORT=str(port), FRONTROW_RELAY_UDP_PORT="0")
    assert said.returncode == 1
    assert [line.split()[1] for line in said.stdout.splitlines() if line.startswith("✗")] == ["web"]
    assert "I1–I5 hold" in said.stdout


FEED = (
    "id\ttitle\tdescription\tlink\timage_link\tavailability\tprice\titem_group_id\tsize\tcolor\n"
    "COAT-38\tCamel coat\tLong\thttps://example.com/coat\thttps://example.com/coat.jpg\tin_stock\t320.00 EUR\tcoat\t38\tcamel\n"  # noqa: E501
)


def test_a_fresh_house_comes_to_its_first_show_by_the_commands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    for name in ("REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FRONTROW_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "feed.tsv").write_text(FEED)

    def said(line: str, *, code: int = 0) -> str:
        answer = CliRunner().invoke(cli.app, line.split())
        stop = answer.exception
        assert code == (1 if isinstance(stop, (Stop, Error)) else answer.exit_code), (line, answer.output, stop)
        return str(stop) if isinstance(stop, Stop) else answer.output

    assert "frontrow brand add" in said("staff add ada@example.org --role host", code=1)
    said("brand add maison --name Maison")
    assert "/sign-in/" in said("staff add ada@example.org --role host")
    assert "emperor" in said("staff add eve@example.org --role emperor", code=2)
    assert "ada@example.org" in said("staff list")
    assert "eve" not in said("staff list")
    said(f"catalogue import {tmp_path}/feed.tsv")
    assert "/shows/spring" in said("show add spring --title Spring")
    assert "There is no product hat" in said("show look spring hat", code=1)
    assert "Look 1: Camel coat" in said("show look spring coat")
    assert "Look 2" in said("show look spring coat --title Again")
    assert "spring" in said("show list")
    said("promotion add AUTUMN --percent 10 --cap 500 --min 50")
    assert "holds so from now on" in said("promotion change autumn --cap 700 --cap-each 1 --without min")
    assert said("promotion list") == "AUTUMN: 10 % off, used 0 of 700, 1 a person\n"
    assert "--without takes" in said("promotion change AUTUMN --without percent", code=1)
    assert "No code SPRING" in said("promotion change SPRING --cap 7", code=1)
    way = said("shipping add Post --price 4.90 --to EU").strip()
    said(f"shipping remove {way}")
    said("promotion retire AUTUMN")
    said("tax set DE=5")
    said("tax reset")
    with closing(sqlite3.connect(tmp_path / "data" / "frontrow.sqlite3")) as sql:
        booked = sql.execute("SELECT act, actor FROM audit WHERE room = 'house' ORDER BY id").fetchall()
    acts = ("promotion.add", "promotion.change", "shipping.add", "shipping.retire", "promotion.retire")
    assert booked == [(act, "cli") for act in (*acts, "tax.set", "tax.reset")], "each change by whom it was"
    said("webhook add https://example.com/orders")
    with sqlite3.connect(tmp_path / "data" / "frontrow.sqlite3") as sql:
        sql.execute("UPDATE webhook_endpoints SET made_by = (SELECT id FROM staff WHERE email = 'ada@example.org')")
    sql.close()
    assert "still hear of orders" in (left := said("staff remove ada@example.org"))
    assert "https://example.com/orders" in left
    assert "nobody" in said("staff link ada@example.org", code=1)


def all_of(kind: type[Error]) -> Iterator[type[Error]]:
    for one in kind.__subclasses__():
        yield one
        yield from all_of(one)


def test_every_failure_of_the_embedded_store_has_its_words() -> None:
    failures = [
        embedded.NoServer(["valkey-server"], "why"),
        embedded.FolderNotWritable(Path("/x"), "why"),
        embedded.StoreCorrupt(Path("/x"), "redis-check-aof --fix /x", "log"),
        embedded.StoreTooOld(Path("/x"), "7.0.1", "log"),
        embedded.StoreWontStart(Path("/x"), "log"),
    ]
    assert {type(failure) for failure in failures} == set(all_of(embedded.StoreError))
    for failure in failures:
        sentence, code = words(failure)
        assert code in (1, 2)
        assert sentence[0].isupper()
        assert not sentence.lower().startswith(failure.code.replace("_", " ")), "it fell through to the general words"


# ---- the supervisor ----------------------------------------------------------------------------


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


READY = "import signal, sys, time\nprint('ready', flush=True)\n"


async def test_stopping_stops_all_and_leaves_no_process() -> None:
    lines: list[tuple[str, str]] = []
    ready = asyncio.Event()

    def sink(name: str, line: str) -> None:
        lines.append((name, line))
        if sum(text.startswith("ready") for _, text in lines) == 2:
            ready.set()

    runs = Supervisor(sink)
    for name in ("one", "two"):
        runs.start(Child(name, python(READY + "import os; print('pid', os.getpid(), flush=True)\ntime.sleep(60)")))
    async with asyncio.timeout(90):
        await ready.wait()
        while sum(text.startswith("pid") for _, text in lines) < 2:  # noqa: ASYNC110 - lines, not an event
            await asyncio.sleep(0.01)
        await runs.close()
    for pid in [int(text.split()[1]) for _, text in lines if text.startswith("pid")]:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert runs.returncode == 0


async def test_a_process_that_ends_is_started_again(tmp_path: Path) -> None:
    again = asyncio.Event()
    lines: list[str] = []

    def sink(_name: str, line: str) -> None:
        lines.append(line)
        if line == "second":
            again.set()

    mark = tmp_path / "ran"
    program = f"""
import pathlib, time
mark = pathlib.Path({str(mark)!r})
if mark.exists():
    print("second", flush=True); time.sleep(60)
mark.touch()
"""
    runs = Supervisor(sink)
    runs.start(Child("web", python(program)))
    async with asyncio.timeout(90):
        await again.wait()
        await runs.close()
    assert any("exit code 0" in line for line in lines)


async def test_a_process_that_was_started_wrongly_stops_everything_with_its_code() -> None:
    runs = Supervisor(lambda _name, _line: None)
    runs.start(Child("worker", python("import time; time.sleep(60)")))
    runs.start(Child("web", python("import sys; sys.exit(2)")))
    async with asyncio.timeout(90):
        await runs.wait()
        await runs.close()
    assert runs.returncode == 2


async def test_a_process_that_will_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_S", 0.3)
    ready = asyncio.Event()
    runs = Supervisor(lambda _name, line: ready.set() if line == "ready" else None)
    runs.start(
        Child(
            "web", python("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "time.sleep(60)")
        )
    )
    async with asyncio.timeout(90):
        await ready.wait()
        await runs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
async def test_a_supervisor_that_is_killed_takes_its_children_along() -> None:
    program = """
import asyncio, sys
from live.supervisor import Child, Supervisor
async def main():
    runs = Supervisor(lambda name, line: print(line, flush=True))
    runs.start(Child("web", [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]))
    await runs.wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(*python(program), cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    async with asyncio.timeout(90):
        child = int(await parent.stdout.readline())
        os.kill(child, 0)
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        while runs(child):  # noqa: ASYNC110 - the kernel's doing: there is no event to wait for
            await asyncio.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_an_installed_wheel_runs_the_same_processes_as_the_procfile() -> None:
    assert (ROOT / "Procfile").read_text() == supervisor._LINES
    assert [child.name for child in supervisor.of_procfile({})] == ["web", "relay", "tail", "worker"]


# ---- the wings ---------------------------------------------------------------------------------

# What `serve` does, in small: rehearse, load the loop, give the cue. The part played prints what it was told.
PLAY = """
import asyncio, json, os, signal, sys, time
from live.supervisor import OURSELVES, Child, Supervisor, stop_on_signals
from live.wings import Wings

def play():
    print("plays", sys.argv[1:], os.environ["CUE"], os.getpid(), os.getsid(0), "wave" in sys.modules, flush=True)
    if sys.argv[1] == "end":
        sys.exit(3)
    time.sleep(60)

wings = Wings(play)
wings.rehearse("web", "wave")
wings.rehearse("idle")

async def main():
    runs = Supervisor(lambda name, line: print(name, line, flush=True), wings)
    stop_on_signals(runs)
    runs.start(Child("web", [*OURSELVES, ARGUMENT], {"CUE": "told"}))
    await runs.wait()
    await runs.close()
    print("closed", flush=True)

if __name__ == "__main__":
    asyncio.run(main())
"""

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every process is a fresh one")


@asynccontextmanager
async def playing(argument: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    program = PLAY.replace("ARGUMENT", repr(argument))
    parent = await asyncio.create_subprocess_exec(*python(program), cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    try:
        async with asyncio.timeout(90):
            yield parent, parent.stdout
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()


@ON_LINUX
async def test_an_understudy_plays_with_its_arguments_and_environment_and_stops_when_told() -> None:
    async with playing("hello") as (parent, said):
        line = (await said.readline()).decode()
        assert line.startswith("web plays ['hello'] told")
        pid, session, loaded = line.split()[4:7]
        assert pid == session, "it has a session of its own: Ctrl-C is its supervisor's"
        assert loaded == "True"
        assert int(pid) != parent.pid
        parent.send_signal(signal.SIGTERM)
        assert (await said.readline()).decode().strip() == "closed"
        assert await parent.wait() == 0
        assert not runs(int(pid))


@ON_LINUX
async def test_an_understudy_that_ends_is_followed_by_a_fresh_process() -> None:
    async with playing("end") as (_parent, said):
        await said.readline()
        assert b"web ended (exit code 3)" in await said.readline()
        assert b"starts again" in await said.readline()
        # The fresh one is the command line itself, which knows no command of that name.
        assert b"end" in await said.readuntil(b"'end'")


@ON_LINUX
async def test_understudies_go_when_their_supervisor_is_killed() -> None:
    async with playing("hello") as (parent, said):
        pid = int((await said.readline()).split()[4])
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        while runs(pid):  # noqa: ASYNC110 - the kernel's doing: there is no event to wait for
            await asyncio.sleep(0.02)
        # Nobody holds their output open any more: the one that was never called has gone too.
        await said.read()
