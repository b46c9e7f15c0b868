"""A program that has loaded the server once and forks `web` and `worker` on request: the real processes, with three
things that only tests have.

*The clock* reads how far it is off from a file, so that a test moves it for every process at once.
*The bell*: the worker's jobs run at their own pace, and all at once when a test rings. The one that sets stock right
(every ten seconds) runs only then: whether there was something to set right is what a test wants to see first.
*Named steps* of a purchase, where a process dies by SIGKILL when a test laid a file of that name. The product has no
hook for it: the functions are wrapped here, before forking, and one that was renamed fails this program's start.

stdin has a line a process, `worker` or `web <port>`; stdout answers its pid. Everything dies with stdin's writer.
Source: docs/decisions/0121-faults-come-from-outside.md
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLOCK, BELL, DIE, DIED = "clock", "bell", "die.", "died."
RUNG_FOR = {"reconcile stock"}
LOOK_S = 0.05  # how often a job looks whether the bell rang
NOT_RUNG_S = 30.0  # jobs that run so seldom have nothing to do with a purchase

# step -> (module, owner or "", function, dies "before" or "after" it)
STEPS = {
    "hold.asked": ("live.shop.stock", "StockGate", "hold", "before"),
    "hold.held": ("live.shop.stock", "StockGate", "hold", "after"),
    "checkout.kept": ("live.shop.stock", "StockGate", "extend", "after"),
    "checkout.written": ("live.shop.order_rows", "", "insert_order", "after"),  # not committed yet
    "checkout.committed": ("live.shop.payments.sandbox", "SandboxProvider", "create", "before"),
    "checkout.charged": ("live.shop.payments.sandbox", "SandboxProvider", "create", "after"),
    "checkout.noted": ("live.shop.order_rows", "", "note_ref", "after"),
    "settle.fetched": ("live.shop.stock", "StockGate", "claim", "before"),
    "settle.claimed": ("live.shop.stock", "StockGate", "claim", "after"),
    "settle.written": ("live.shop.order_rows", "", "sell", "after"),  # not committed yet
    "settle.committed": ("live.shop.stock", "StockGate", "consume", "before"),
    "settle.consumed": ("live.shop.stock", "StockGate", "consume", "after"),
    "refund.decided": ("live.shop.payments.sandbox", "SandboxProvider", "refund", "before"),
    "refund.paid": ("live.shop.payments.sandbox", "SandboxProvider", "refund", "after"),
    "outbox.claimed": ("live.shop.outbox", "", "claim", "after"),
    "outbox.told": ("live.shop.outbox", "", "done", "before"),
    "post.claimed": ("live.shop.webhooks.deliveries", "", "claim", "after"),  # not committed yet
    "post.sent": ("live.shop.webhooks.deliveries", "", "record", "before"),
    "act.written": ("live.shop.order_acts", "", "finish", "after"),  # of staff; not committed yet
    "act.repaid": ("live.shop.refund_books", "", "settle", "before"),
}
# Those that test_kill_at_a_step.py alone goes to: a schedule's chance is not spent on them.
MORE_STEPS = {
    "offer.made": ("live.shop.waitlist", "Waitlist", "offer", "after"),  # by the gate; nobody was told
    "offer.told": ("live.shop.stock", "StockGate", "told", "before"),  # … and she is among the untold still
}


class FileClock:
    """The machine's clock plus what `<folder>/clock` says, in ms; the file is made when it is missing."""

    def __init__(self, folder: Path) -> None:
        path = folder / CLOCK
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._off = mmap.mmap(file.fileno(), 8)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + int(struct.unpack("<q", self._off[:8])[0])

    def advance(self, ms: int) -> None:
        self._off[:8] = struct.pack("<q", struct.unpack("<q", self._off[:8])[0] + ms)


class Bell:
    """Two numbers in `<folder>/bell`: how often a test rang, and the last ring that every job of a worker heard."""

    def __init__(self, folder: Path) -> None:
        path = folder / BELL
        if not path.exists():
            path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._numbers = mmap.mmap(file.fileno(), 16)

    def rung(self) -> int:
        return int(struct.unpack("<q", self._numbers[:8])[0])

    def answered(self) -> int:
        return int(struct.unpack("<q", self._numbers[8:])[0])

    def ring(self) -> int:
        """The ring's number."""
        number = self.rung() + 1
        self._numbers[:8] = struct.pack("<q", number)
        return number

    def answer(self, number: int) -> None:
        self._numbers[8:] = struct.pack("<q", number)


def by_the_bell(jobs: list[Any], bell: Bell) -> list[Any]:
    """The worker's jobs, each of which runs at its own pace, and from its beginning after a ring."""
    heard = {job.name: -1 for job in jobs if job.every_s < NOT_RUNG_S}

    def paced(job: Any) -> Any:
        due_s = 0.0

        async def run() -> None:
            nonlocal due_s
            rung = bell.rung()
            if rung == heard[job.name] and (job.name in RUNG_FOR or time.monotonic() < due_s):
                return
            try:
                await job.run()
            finally:  # also one that failed had its turn
                due_s = time.monotonic() + job.every_s
                heard[job.name] = rung
                bell.answer(min(heard.values()))

        return type(job)(job.name, min(LOOK_S, job.every_s), run)

    assert heard.keys() >= RUNG_FOR
    return [paced(job) if job.name in heard else job for job in jobs]


def step(folder: Path, name: str) -> None:
    """Die here when a test asked for it; of several processes one does."""
    with contextlib.suppress(FileNotFoundError):
        (folder / f"{DIE}{name}").rename(folder / f"{DIED}{name}")
        os.kill(os.getpid(), signal.SIGKILL)


def lay_steps(folder: Path) -> None:
    """Wrap every function of a step."""
    for name, (module, owner, function, when) in (STEPS | MORE_STEPS).items():
        place: Any = __import__(module, fromlist=["x"])
        place = getattr(place, owner) if owner else place
        setattr(place, function, _stepped(getattr(place, function), functools.partial(step, folder, name), when))


def _stepped(real: Callable[..., Any], dies: Callable[[], None], when: str) -> Callable[..., Any]:
    @functools.wraps(real)
    def plainly(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            dies()
        answer = real(*args, **kwargs)
        if when == "after":
            dies()
        return answer

    @functools.wraps(real)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            dies()
        answer = await real(*args, **kwargs)
        if when == "after":
            dies()
        return answer

    return awaited if inspect.iscoroutinefunction(real) else plainly


def main(folder: Path) -> None:
    from live.settings import Settings
    from live.store import migrate as _migrate  # noqa: F401 - loaded once, for every fork
    from live.store.embedded import die_with_parent
    from live.web import app as _app  # noqa: F401
    from live.web import process as _process  # noqa: F401
    from live.worker import main as _worker  # noqa: F401

    lay_steps(folder)
    settings = Settings()
    die = die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are gone at once
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            die()
            os.dup2(2, 1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            _play(line.split(), settings, folder)
            os._exit(0)
        print(pid, flush=True)


def _play(line: list[str], settings: Any, folder: Path) -> None:
    from live import logs

    name, *port = line
    clock = FileClock(folder)

    logs.configure(settings)
    if name == "worker":
        from live.worker import main as worker

        jobs, bell = worker.jobs, Bell(folder)
        worker.jobs = lambda *parts: by_the_bell(jobs(*parts), bell)  # type: ignore[assignment]
        asyncio.run(worker.run(settings, clock=clock))
    else:
        from live.web.app import create_app
        from live.web.process import new_server

        settings = settings.model_copy(update={"port": int(port[0])})
        new_server(settings, create_app(settings, clock=clock)).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
