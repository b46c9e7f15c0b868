"""Runs the processes of the Procfile as one: labelled output, one stop for all, nothing left behind.

The Procfile is read by honcho and the output printed by its printer; the loop is ours, because honcho's gives a process
5 s to drain and leaves orphans when it is killed. Source: docs/decisions/0050-our-own-loop-around-honchos-parts.md

Where an understudy of a process waits (`wings.py`), its first start is that one's cue.
A process that ends by itself is started again after 0.5, 1, 2 … 10 s. Exit code 2 means "started wrongly" (a port that
is taken, a folder that can't be written): everything stops, with that code. So does the third end in a row within 5 s.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from honcho.colour import get_colours
from honcho.environ import parse_procfile
from honcho.printer import Message, Printer

from live.formation import names
from live.store.embedded import die_with_parent
from live.wings import Understudy, Wings

DRAIN_S = 25.0  # web gives requests in flight 20
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0
SETTLED_S = 5.0
ENDS_IN_A_ROW = 3
STARTED_WRONGLY = 2
LINE_BYTES = 1 << 20
PROCFILE = Path(__file__).parent.parent / "Procfile"
OURSELVES = [sys.executable, "-m", "live.cli"]
Sink = Callable[[str, str], None]
Running = asyncio.subprocess.Process | Understudy


class Child(NamedTuple):
    """A process: its label, its command line, and what it has in the environment beyond ours."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = {}


def of_procfile(env: Mapping[str, str], formation: Mapping[str, int] | None = None) -> list[Child]:
    """The Procfile's processes, each as often as `formation` says (else once). `frontrow …` is this very program, also
    when it isn't on the PATH. Each is told its name as honcho tells it, so that it knows which of its kind it is."""
    found = parse_procfile(PROCFILE.read_text() if PROCFILE.exists() else _LINES).processes
    children = []
    for name, command in found.items():
        program, *arguments = command.split()
        head = OURSELVES if program == "frontrow" else [program]
        for label in names(name, (formation or {}).get(name, 1)):
            children.append(Child(label, [*head, *arguments], {**env, "HONCHO_PROCESS_NAME": label}))
    return children


# An installed wheel has no Procfile beside it; a test holds the two equal.
_LINES = "web: frontrow web\nrelay: frontrow relay\ntail: frontrow tail\nworker: frontrow work\n"


class Supervisor:
    """Starts children and owns them until `run` returns; `returncode` is what this process should exit with."""

    def __init__(self, sink: Sink, wings: Wings | None = None) -> None:
        self._sink = sink
        self._wings = wings
        self._running: dict[str, Running] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self.returncode = 0

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def start(self, child: Child) -> None:
        self._tasks[child.name] = asyncio.create_task(self._keep(child), name=f"child {child.name}")

    def stop(self, returncode: int = 0) -> None:
        if not self._stopping.is_set():
            self.returncode = returncode
            self._stopping.set()

    async def wait(self) -> None:
        """Until `stop`."""
        await self._stopping.wait()

    async def close(self) -> None:
        """SIGTERM to all at once, DRAIN_S to finish, then SIGKILL to what is left of their process groups."""
        self._stopping.set()
        for process in self._running.values():
            _signal(process, signal.SIGTERM)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=DRAIN_S)
            if late:
                for name, process in self._running.items():
                    self._sink("system", f"{name} did not stop within {DRAIN_S:.0f} s: killed")
                    _signal(process, signal.SIGKILL, group=True)
                await asyncio.wait(late)
            await asyncio.gather(*self._tasks.values())
        if self._wings is not None:
            self._wings.close()

    async def _keep(self, child: Child) -> None:
        wait_s, ends = FIRST_WAIT_S, 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._once(child)
            if self._stopping.is_set():
                return
            self._sink("system", f"{child.name} ended ({_how(code)})")
            if code == STARTED_WRONGLY:
                self.stop(STARTED_WRONGLY)
                return
            if time.monotonic() - began > SETTLED_S:
                wait_s, ends = FIRST_WAIT_S, 0
            ends += 1
            if ends == ENDS_IN_A_ROW:
                self._sink("system", f"{child.name} ended {ends} times in a row: stopping everything")
                self.stop(1)
                return
            self._sink("system", f"{child.name} starts again in {wait_s:g} s")
            try:
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
            except TimeoutError:
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _once(self, child: Child) -> int:
        process = await self._spawn(child)
        self._running[child.name] = process
        try:
            if self._stopping.is_set():
                _signal(process, signal.SIGTERM)  # it was being started when the others were told
            assert process.stdout is not None
            async for line in process.stdout:
                self._sink(child.name, line.decode("utf-8", "replace").rstrip("\n"))
            return await process.wait()
        finally:
            del self._running[child.name]

    async def _spawn(self, child: Child) -> Running:
        if self._wings is not None and list(child.command[: len(OURSELVES)]) == OURSELVES:
            understudy = self._wings.go_on(child.name, child.command[len(OURSELVES) :], child.env)
            if understudy is not None:
                await understudy.listen(LINE_BYTES)
                return understudy
        return await asyncio.create_subprocess_exec(
            *child.command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **child.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES,
            # A session of its own: Ctrl-C in the terminal reaches us alone, and we stop them in order.
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )


class Labelled:
    """honcho's printer as a sink: `12:00:00 web | …`, a colour a process on a terminal."""

    def __init__(self) -> None:
        self._printer = Printer(sys.stdout, width=8)
        self._colours = get_colours()
        self._of: dict[str, str | None] = {"system": None}

    def __call__(self, name: str, line: str) -> None:
        colour = self._of.setdefault(name, None)
        if colour is None and name != "system":
            colour = self._of[name] = next(self._colours)
        now = datetime.datetime.now()  # the clock on the wall, for the person at the terminal
        self._printer.write(Message(type="line", data=line, time=now, name=name, colour=colour))


def stop_on_signals(supervisor: Supervisor) -> None:
    """SIGINT and SIGTERM stop everything in order; a second one is the same request, not a harder one."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop)


def _signal(process: Running, number: signal.Signals, *, group: bool = False) -> None:
    if process.returncode is None:
        try:
            if group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        except ProcessLookupError:
            pass  # it was quicker


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
