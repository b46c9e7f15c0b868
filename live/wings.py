"""Processes that wait in the wings: forked from one that has loaded what all share, told later when to go on.

Loading is most of a start: 2 s of CPU for each of web, relay and worker, and nine tenths of it are the same modules.
So `serve` and `demo` load those once, and fork an understudy a process before they have a thread, a loop or anything
to clean up. Each loads its own rest, on whichever core is free, and waits for its cue: arguments and environment.
What a supervisor starts again later is a fresh process; so is everything where forking is not safe (macOS).

Source: docs/decisions/0053-understudies.md
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from live.store.embedded import die_with_parent

PR_SET_NAME = 15  # prctl(2)
NAME_BYTES = 15


class _Waiting(NamedTuple):
    pid: int
    cue: int  # our end: what is written here, up to its end, is the cue
    output: int  # our end of its stdout and stderr


class Wings:
    """The understudies of one program, by the names of their processes. `play` runs its command line from sys.argv."""

    def __init__(self, play: Callable[[], None]) -> None:
        self._play = play
        self._waiting: dict[str, _Waiting] = {}

    def rehearse(self, name: str, *modules: str) -> None:
        """Fork the process `name`, which loads `modules` and waits. Does nothing where that is not to be had.

        Call it from the main thread, with nothing open that is to be left in order: in the fork this call never
        returns, it raises SystemExit when its part is over.
        """
        if not _can_fork():
            return
        cue, our_cue = os.pipe()
        our_output, output = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        # What is loaded by now stays shared: the collector must not touch every object's page in each fork.
        gc.freeze()
        die = die_with_parent(signal.SIGTERM)
        pid = os.fork()
        if pid:
            os.close(cue)
            os.close(output)
            self._waiting[name] = _Waiting(pid, our_cue, our_output)
            return
        # Or an earlier one's cue would not end with its writer, and ours neither.
        for other in self._waiting.values():
            os.close(other.cue)
            os.close(other.output)
        os.close(our_cue)
        os.close(our_output)
        # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops us in order.
        os.setsid()
        die()
        sys.exit(self._wait(name, modules, cue, output))

    def _wait(self, name: str, modules: Sequence[str], cue: int, output: int) -> int:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, end in ((0, nothing), (1, output), (2, output)):
            os.dup2(end, number)
        os.close(nothing)
        os.close(output)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # they are files
        _call_oneself(f"frontrow {name}")
        for module in modules:
            importlib.import_module(module)
        with os.fdopen(cue) as line:
            text = line.read()
        if not text:
            return 0  # who would have called us has gone, or does without us
        told = json.loads(text)
        os.environ.update(told["env"])
        sys.argv = ["frontrow", *told["arguments"]]
        self._play()
        return 0

    def go_on(self, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> Understudy | None:
        """The process `name`, running `arguments` from now on; None when nobody waits under that name."""
        waiting = self._waiting.pop(name, None)
        if waiting is None:
            return None
        try:
            with os.fdopen(waiting.cue, "w") as line:
                json.dump({"arguments": list(arguments), "env": dict(env)}, line)
        except BrokenPipeError:
            pass  # it ended while loading: its output and exit code say why, as after any start that failed
        return Understudy(waiting.pid, waiting.output)

    def close(self) -> None:
        """Those who were never called go home."""
        for waiting in self._waiting.values():
            os.close(waiting.cue)
            os.close(waiting.output)
            os.kill(waiting.pid, signal.SIGTERM)  # it may be loading still
            os.waitpid(waiting.pid, 0)
        self._waiting.clear()


class Understudy:
    """A process that went on: as much of asyncio's Process as a supervisor needs."""

    def __init__(self, pid: int, output: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: asyncio.StreamReader | None = None
        self._output = output
        self._ended = asyncio.get_running_loop().create_future()
        self._handle = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._handle, self._reap)

    async def listen(self, limit: int) -> None:
        """Opens `stdout`, whose lines may be `limit` bytes long."""
        loop = asyncio.get_running_loop()
        reader = self.stdout = asyncio.StreamReader(limit)
        pipe = os.fdopen(self._output, "rb", buffering=0)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)

    async def wait(self) -> int:
        """The exit code; the negative number of the signal that ended it."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set_result(self.returncode)


def _can_fork() -> bool:
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))  # Linux 5.3
    except OSError:
        return False
    return True


def _call_oneself(name: str) -> None:
    """What `ps -o comm`, `top` and `pgrep` show; the command line stays the one of whom we were forked from."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:NAME_BYTES], 0, 0, 0)
