"""A program that has loaded the server once and forks `web` and `worker` on request: the real processes, with two
things that only tests have.

*The clock* reads how far it is off from a file, so that a test moves it for every process at once.
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

CLOCK, DIE, DIED = "clock", "die.", "died."

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


def step(folder: Path, name: str) -> None:
    """Die here when a test asked for it; of several processes one does."""
    with contextlib.suppress(FileNotFoundError):
        (folder / f"{DIE}{name}").rename(folder / f"{DIED}{name}")
        os.kill(os.getpid(), signal.SIGKILL)


def lay_steps(folder: Path) -> None:
    """Wrap every function of STEPS."""
    for name, (module, owner, function, when) in STEPS.items():
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
            _play(line.split(), settings, FileClock(folder))
            os._exit(0)
        print(pid, flush=True)


def _play(line: list[str], settings: Any, clock: FileClock) -> None:
    from live import logs

    name, *port = line

    logs.configure(settings)
    if name == "worker":
        from live.worker.main import run

        asyncio.run(run(settings, clock=clock))
    else:
        from live.web.app import create_app
        from live.web.process import new_server

        settings = settings.model_copy(update={"port": int(port[0])})
        new_server(settings, create_app(settings, clock=clock)).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
