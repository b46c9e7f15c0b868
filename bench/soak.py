"""Hours on air: viewers come and go, the publisher is cut off and comes back, and nothing piles up.

    python -m bench.soak [--minutes 120] [--viewers 200] [--light]

The relay is the real process. Every few seconds some viewers leave (most say goodbye, some just vanish) and as many
come; the publisher leaves without a word every couple of minutes and publishes anew. The camera is a small one: what
grows does so by events, not by megabits. Memory, open files, sessions and tasks are sampled through all that; a line is
fitted to the second half of each, because memory goes up by a MiB in the first minute of leaving and stays there; its
rise over that half has to stay within the noise (three times the spread around it) or within a bound that is small by
itself. The show's ring of packets is filled before. Some viewers read and
check every packet: none may be missing. Ends with 1 and says why when something grew or was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from bench import relay_load  # noqa: E402
from bench.relay_load import Camera, Viewer, joined  # noqa: E402
from bench.relay_process import RelayUnderTest  # noqa: E402
from live.relay.errors import HandshakeFailed  # noqa: E402
from live.relay.peer import RelayCertificate  # noqa: E402
from live.relay.ring import SIZE  # noqa: E402

CHURN_S = 4.0
VANISH = 0.25  # of those who leave say nothing
CHECKERS = 4
# A rise over the second half that is no leak: by itself, and for each session that ended in it.
GROWN_KIB, GROWN_KIB_A_SESSION, GROWN_FILES = 1024, 0.25, 4


@dataclass(frozen=True)
class Sample:
    at_s: float
    resident_kib: float
    files: float
    sessions: float
    tasks: float
    went: float  # sessions that ended so far


@dataclass(frozen=True)
class Trend:
    """A straight line through the second half of the samples: its rise, and the spread around it."""

    name: str
    rise: float
    spread: float
    bound: float

    @property
    def flat(self) -> bool:
        return self.rise <= max(self.bound, 3 * self.spread)


def second_half(samples: list[Sample]) -> list[Sample]:
    return samples[len(samples) // 2 :]


def trend(name: str, samples: list[Sample], bound: float) -> Trend:
    """Least squares."""
    kept = second_half(samples)
    xs, ys = [one.at_s for one in kept], [float(getattr(one, name)) for one in kept]
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    wide = math.fsum((x - mean_x) ** 2 for x in xs) or 1.0
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / wide
    off = [y - mean_y - slope * (x - mean_x) for x, y in zip(xs, ys, strict=True)]
    spread = math.sqrt(math.fsum(one * one for one in off) / len(off))
    return Trend(name, slope * (xs[-1] - xs[0]), spread, bound)


class Soak:
    """One relay, its camera, and a crowd that is never the same."""

    def __init__(self, relay: RelayUnderTest, viewers: int, minutes: float, *, seed: int) -> None:
        self.relay, self.count, self.seconds = relay, viewers, minutes * 60
        self.certificate = RelayCertificate.generateCertificate()
        self.camera = Camera(self.certificate)
        self.crowd: list[Viewer] = []
        self.samples: list[Sample] = []
        self.joins: list[float] = []
        self.came = self.went = self.reconnects = self.lost = self.checked = self.failed = 0
        self.dice = random.Random(seed)
        self.recut_s = max(20.0, min(120.0, self.seconds / 6))

    async def run(self) -> None:
        await self.relay.on_air(self.camera)
        await self.camera.fill(SIZE)
        await self._arrive(self.count)
        begun = time.monotonic()
        churned = cut = begun
        while (now := time.monotonic()) - begun < self.seconds:
            if now - churned >= CHURN_S:
                churned = now
                await self._churn()
            if now - cut >= self.recut_s:
                cut = now
                await self._recut()
            stats = await self.relay.stats()
            self.samples.append(
                Sample(
                    now - begun,
                    self.relay.resident_kib(),
                    self.relay.descriptors(),
                    stats["sessions"],
                    stats["tasks"],
                    self.went,
                )
            )
            await asyncio.sleep(1.0)
        self._count_losses()

    async def _churn(self) -> None:
        some = self.dice.sample(self.crowd, min(len(self.crowd), max(1, self.count // 12)))
        for viewer in some:
            self.crowd.remove(viewer)
            await self._part(viewer, silently=self.dice.random() < VANISH)
        await self._arrive(self.count - len(self.crowd))

    async def _part(self, viewer: Viewer, *, silently: bool = False) -> None:
        self._count(viewer)
        await viewer.leave(silently=silently)
        self.went += 1

    async def _arrive(self, count: int) -> None:
        checking = sum(viewer.checks for viewer in self.crowd)
        new = [Viewer(self.certificate, checks=checking + place < CHECKERS) for place in range(count)]
        self.joins += await joined(new, self.relay.join)
        for viewer in new:
            if viewer.here:
                viewer.forget()
                self.crowd.append(viewer)
                self.came += 1
            else:
                self.failed += 1
                await viewer.leave(silently=True)

    async def _recut(self) -> None:
        """The camera's process dies; another one publishes."""
        self._count_losses()
        await self.camera.stop(silently=True)
        self.camera = Camera(self.certificate)
        await self.relay.on_air(self.camera)
        self.reconnects += 1

    def _count_losses(self) -> None:
        for viewer in self.crowd:
            self._count(viewer)

    def _count(self, viewer: Viewer) -> None:
        if viewer.checks:
            self.lost += viewer.lost
            self.checked += viewer.received
            viewer.forget()

    async def close(self) -> None:
        for viewer in self.crowd:
            await viewer.leave()
        await self.camera.stop()


async def soak(minutes: float, viewers: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="frontrow-soak-") as folder:
        relay = RelayUnderTest(Path(folder), -1, viewers * 2 + 50)
        running = Soak(relay, viewers, minutes, seed=seed)
        try:
            await running.run()
            stats = await relay.stats()
            left_over = stats["sessions"] - len(running.crowd) - 1
        finally:
            await running.close()
            await relay.stop()
        half = second_half(running.samples)
        ended = half[-1].went - half[0].went
        trends = [
            trend("resident_kib", running.samples, GROWN_KIB + GROWN_KIB_A_SESSION * ended),
            trend("files", running.samples, GROWN_FILES),
            trend("sessions", running.samples, max(4, viewers * VANISH)),
            trend("tasks", running.samples, max(4, viewers * VANISH)),
        ]
        warnings = [line for line in (Path(folder) / "relay.log").read_text().splitlines() if "error" in line.lower()]
    faults = [f"{one.name} rose by {one.rise:.0f} (spread {one.spread:.0f})" for one in trends if not one.flat]
    if running.lost:
        faults.append(f"{running.lost} of {running.checked} checked packets were lost")
    if running.failed > 0.01 * running.came:
        faults.append(f"{running.failed} viewers could not come in")
    if warnings:
        faults.append(f"the log has errors: {warnings[0][:200]}")
    return {
        "minutes": minutes, "viewers": viewers, "came": running.came, "went": running.went,
        "did_not_join": running.failed,
        "ended_in_the_second_half": ended,
        "reconnects": running.reconnects, "packets_checked": running.checked, "lost": running.lost,
        "join_ms_p95": round(sorted(running.joins)[int(len(running.joins) * 0.95) - 1] * 1000, 1),
        "left_over_sessions": left_over, "faults": faults,
        "trends": [asdict(one) | {"flat": one.flat} for one in trends],
    }  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=120)
    options.add_argument("--viewers", type=int, default=200)
    options.add_argument("--light", action="store_true", help="a small camera and few viewers, beside other tests")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "soak.json")
    asked = options.parse_args()
    if asked.light:
        asked.viewers = 20
    # A few packets a frame are enough: the ways of a packet are the same, and the machine may have other work.
    relay_load.FRAME_PACKETS, relay_load.KEY_PACKETS = (1, 3) if asked.light else (3, 9)
    if asked.light:
        relay_load.FRAME_HZ = 10
    try:
        found = asyncio.run(soak(asked.minutes, asked.viewers, asked.seed))
    except (TimeoutError, HandshakeFailed, httpx.HTTPError) as error:
        raise SystemExit(f"the soak broke off: {error!r}") from error
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=2) + "\n")
    for name, value in found.items():
        print(f"  {name.replace('_', ' '):20} {value}")
    if found["faults"]:
        raise SystemExit("the soak failed: " + "; ".join(found["faults"]))


if __name__ == "__main__":
    main()
