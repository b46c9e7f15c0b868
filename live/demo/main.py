"""`frontrow demo`: everything at once, seeded and on air, and the addresses to open."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from live import formation
from live.settings import Settings
from live.store.embedded import embedded_store
from live.supervisor import OURSELVES, Child, Supervisor, of_procfile, stop_on_signals
from live.wings import Wings

if TYPE_CHECKING:
    from live.demo.seed import Seeded

READY_WITHIN_S = 40.0
ON_AIR_WITHIN_S = 30.0
LOOK_EVERY_S = 0.1
TOLD_ON_FAILURE = 25  # lines of log
Say = Callable[[str], None]


class Log:
    """Everything the processes say, in a file; the last lines are kept for when something goes wrong."""

    def __init__(self, path: Path, say: Say, *, verbose: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("w")
        self._say = say
        self._verbose = verbose
        self.last: deque[str] = deque(maxlen=TOLD_ON_FAILURE)

    def __call__(self, name: str, line: str) -> None:
        text = f"{name:9}| {line}"
        self.last.append(text)
        self._file.write(text + "\n")
        self._file.flush()
        if self._verbose or name == "system":
            self._say(text)

    def close(self) -> None:
        self._file.close()


async def run(
    settings: Settings, wings: Wings, began: float, *, video: Path | None, viewers: int, verbose: bool, say: Say
) -> int:
    """Until Ctrl-C; the exit code. `began`: the command's start on the monotonic clock.

    Raises: StoreError, Unplayable.
    """
    if video is not None:
        from live.demo.feed import prepare

        # Before anything runs: a long film takes its time, and one that can't be played ends here.
        await asyncio.to_thread(prepare, video, settings.data_dir / "publish", say)
    log = Log(settings.data_dir / "demo.log", say, verbose=verbose)
    supervisor = Supervisor(log, wings)
    stop_on_signals(supervisor)
    try:
        async with embedded_store(settings) as url:
            settings = settings.model_copy(update={"redis_url": url})
            say("  ✓ store" + ("" if url.startswith("redis") else ", embedded"))
            try:
                await _on_air(settings, supervisor, video, viewers, say, began, log)
            finally:
                # Before the store goes: what drains still needs it.
                await supervisor.close()
    finally:
        log.close()
    if supervisor.returncode:
        say("\n".join(log.last))
        say(f"The demo stopped. The whole log is in {log.path}.")
    else:
        say("Stopped. Orders and data are kept; `make demo` goes on from here.")
    return supervisor.returncode


async def _on_air(
    settings: Settings, supervisor: Supervisor, video: Path | None, viewers: int, say: Say, began: float, log: Log
) -> None:
    # The processes first: they load while this one does, and starting is mostly loading.
    for child in of_procfile({"REDIS_URL": settings.redis_url or ""}, formation.parse(settings.formation)):
        supervisor.start(child)
    await asyncio.sleep(0.02)  # until they are started: the imports below hold this thread
    from live.demo import bots, pictures
    from live.demo.seed import seed
    from live.desk.wiring import services

    drawing = asyncio.create_task(asyncio.to_thread(pictures.draw_all, settings.data_dir / "pictures"))
    try:
        async with services(settings) as parts:
            say("  ✓ database")
            seeded = await seed(parts)
            say(f"  ✓ {seeded.show.title}: 10 looks on the rail")
            # It warms up while web does, and knocks until somebody opens.
            supervisor.start(_publisher(settings, seeded, video))
            await drawing
            say("  ✓ pictures drawn")
            if not await _until(supervisor, lambda: _answers(settings, "/readyz"), READY_WITHIN_S):
                if not supervisor.stopping:
                    log("system", f"web was not ready within {READY_WITHIN_S:.0f} s")
                    supervisor.stop(1)
                return
            say("  ✓ web, relay, worker")
            await bots.open_show(settings.base_url, seeded.show.slug, seeded.bot_link)

            async def picture() -> bool:
                return (await parts.media.picture(seeded.show.id)).state == "live"

            if await _until(supervisor, picture, ON_AIR_WITHIN_S):
                say("  ✓ on air")
            elif not supervisor.stopping:
                say(f"  ✗ no picture yet; it keeps trying ({log.path} says why)")
        if supervisor.stopping:
            return
        say(_addresses(settings, seeded, time.monotonic() - began))
        async with asyncio.TaskGroup() as group:
            crowd = None
            if viewers:
                crowd = group.create_task(
                    bots.run(
                        settings.base_url,
                        seeded.show.slug,
                        seeded.bot_link,
                        viewers=min(viewers, len(bots.NAMES)),
                        say=lambda line: log("bots", line),
                    )
                )
            await supervisor.wait()
            say("\nStopping …")
            if crowd is not None:
                crowd.cancel()
    finally:
        with contextlib.suppress(Exception):
            await drawing


def _publisher(settings: Settings, seeded: Seeded, video: Path | None) -> Child:
    to = f"{settings.base_url}/whip/{seeded.show.slug}"
    command = [*OURSELVES, "publish", *([str(video)] if video else []), "--to", to]
    # In the environment, not on the command line: `ps` shows that to everybody.
    return Child("publisher", command, {"FRONTROW_PUBLISH_KEY": seeded.publish_key})


async def _until(supervisor: Supervisor, true: Callable[[], object], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and not supervisor.stopping:
        if await true():  # type: ignore[misc]
            return True
        await asyncio.sleep(LOOK_EVERY_S)
    return False


async def _answers(settings: Settings, path: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            return (await http.get(settings.base_url + path)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _addresses(settings: Settings, seeded: Seeded, seconds: float) -> str:
    base, slug = settings.base_url, seeded.show.slug
    return "\n".join(
        [
            "",
            f"  {seeded.show.brand} · {seeded.show.title} is on air ({seconds:.1f} s).",
            "",
            f"  Watch and buy   {base}/shows/{slug}",
            f"  Host            {base}/sign-in/{seeded.host_link}?next=/studio/shows/{slug}",
            f"  Moderator       {base}/sign-in/{seeded.moderator_link}?next=/studio/shows/{slug}/room",
            "",
            "  The links sign you in for a day: open host and moderator in windows of their own (private ones).",
            "  Ctrl-C stops everything.",
            "",
        ]
    )
