"""What a viewer costs the relay: CPU a packet, viewers a core, memory, join time, loss; beside a C loop and Janus.

    python -m bench.relay [--quick] [--viewers 10 100 500 1000] [--janus 10 50 100] [--no-kernel]

1. Our relay, the real process, alone on one core, over loopback; the load is on the others. Beside each run the floor.
2. Over a veth pair between two network namespaces, in turns and with the same load client: our relay, Janus
   (bench/peers/janus.py) and the floor. Without root or Debian's `janus` this part is left out, and the table says so.

Viewers do ICE and DTLS, answer checks and send RTCP as Chromium does (bench/relay_load.py); ten of them, spread over
the room, decrypt and check every packet and ask for what they miss. 720p30 at 2.5 Mbit/s is 30 frames of nine packets
a second, a key frame of 36 every two seconds, and 50 packets of Opus.

Packets are those that arrived: what the camera sent, times the viewers, less the share the checkers missed. `load_busy`
is the load's own share of its core: near 1 it was the bottleneck, and the table says so. A join that takes longer than
20 s is counted as failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from bench.peers.janus import JanusUnderTest, missing  # noqa: E402
from bench.relay_floor import measure_floor  # noqa: E402
from bench.relay_load import PACKETS_A_SECOND, Camera, Viewer, joined  # noqa: E402
from bench.relay_process import LOOPBACK, Place, RelayUnderTest, veth  # noqa: E402
from live.relay.peer import RelayCertificate  # noqa: E402
from live.relay.ring import SIZE  # noqa: E402

RESULTS = ROOT / "bench" / "results"
UNTIL_BUSY = 0.8
CHECKERS = 10
LOAD_TOO_BUSY = 0.9
CLEAN = 0.001  # a run that lost more than this says nothing about how many a core serves


def new_server(name: str, folder: Path, core: int, viewers: int, place: Place, *, kernel: bool) -> Any:
    if name == "janus":
        return JanusUnderTest(folder, core, place)
    return RelayUnderTest(folder, core, viewers + 1, place=place, kernel=kernel)


async def measure(
    viewers: int, seconds: float, core: int, *, name: str = "relay", place: Place = LOOPBACK, kernel: bool = True
) -> dict[str, Any]:
    """One server, one room full of viewers."""
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as folder:
        certificate = RelayCertificate.generateCertificate()
        camera = Camera(certificate, host=place.load)
        every = max(1, viewers // CHECKERS)
        audience = [
            Viewer(certificate, checks=index % every == 0, host=place.load, answers=name == "janus")
            for index in range(viewers)
        ]
        server = new_server(name, Path(folder), core, viewers, place, kernel=kernel)
        try:
            await server.on_air(camera)
            await camera.fill(SIZE)
            await asyncio.sleep(1.0)
            cpu_s, begun = server.cpu_s(), time.perf_counter()
            await asyncio.sleep(2.0)
            empty_busy = (server.cpu_s() - cpu_s) / (time.perf_counter() - begun)
            before_kib = server.resident_kib()
            begun_cpu_s, begun = _cpu_s(), time.perf_counter()
            joins = await joined(audience, server.join)
            joining_busy = (_cpu_s() - begun_cpu_s) / (time.perf_counter() - begun)
            present = [viewer for viewer in audience if viewer.here]
            if not present:
                raise SystemExit("nobody could join")
            await asyncio.sleep(2.0)  # warm-up: joiners caught up
            memory_kib = (server.resident_kib() - before_kib) / len(present)
            for viewer in present:
                viewer.forget()
            before = await server.stats() if name == "relay" else {}
            load_cpu_s, cpu_s, sent, begun = _cpu_s(), server.cpu_s(), camera.sent, time.perf_counter()
            await asyncio.sleep(seconds)
            took_s, cpu_s = time.perf_counter() - begun, server.cpu_s() - cpu_s
            sent, load_busy = camera.sent - sent, (_cpu_s() - load_cpu_s) / took_s
            after = await server.stats() if name == "relay" else {}
            checked = [viewer for viewer in present if viewer.checks]
            received, lost = sum(v.received for v in checked), sum(v.lost for v in checked)
            lost_share = lost / max(1, received + lost)
            packets = sent * len(present) * (1 - lost_share)
            us_a_packet = cpu_s / packets * 1e6
            row: dict[str, Any] = {
                "server": name,
                "path": "veth" if place.prefix else "loopback",
                "viewers": viewers,
                "did_not_join": viewers - len(present),
                "packets_a_second": round(packets / took_s),
                "core_busy": round(cpu_s / took_s, 4),
                "core_busy_empty": round(empty_busy, 4),
                "us_a_packet": round(us_a_packet, 3),
                "us_a_viewer_and_second": round((cpu_s / took_s - empty_busy) / len(present) * 1e6, 1),
                "viewers_a_core": int(UNTIL_BUSY * 1e6 / (us_a_packet * PACKETS_A_SECOND)),
                "memory_kib_a_viewer": round(memory_kib, 1),
                "join_ms_p50": round(statistics.median(joins) * 1000, 1),
                "join_ms_p95": round(sorted(joins)[max(0, int(len(joins) * 0.95) - 1)] * 1000, 1),
                "lost_share": round(lost_share, 5),
                "asked_again": sum(v.asked for v in checked),
                "load_busy": round(load_busy, 3),
                "load_busy_joining": round(joining_busy, 3),
            }
            if name == "relay":
                row |= {"dropped": after["dropped"] - before["dropped"], "gso": after["gso"]}
            return row
        finally:
            for viewer in audience:
                await viewer.leave()
            await camera.stop()
            await server.stop()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Bench:
    """The runs, their rows, and what is written of them."""

    def __init__(self, asked: argparse.Namespace, core: int) -> None:
        self.asked, self.core = asked, core
        self.result: dict[str, Any] = {
            "machine": f"{os.uname().sysname} {os.uname().release} {os.uname().machine}, {os.cpu_count()} cores",
            "load_average": [round(one, 2) for one in os.getloadavg()],
            "command": " ".join(["python", "-m", "bench.relay", *sys.argv[1:]]),
            "kernel": not asked.no_kernel,
            "packets_a_second_and_viewer": PACKETS_A_SECOND,
            "rows": [],
            "janus": "",
        }

    def ours(self) -> None:
        """Our relay over loopback, the floor beside each run: the machine may be shared, so ratios count."""
        for viewers in self.asked.viewers:
            runs = [self._beside_the_floor("relay", viewers, LOOPBACK) for _ in range(self.asked.runs)]
            self._keep(runs)

    def peers(self) -> None:
        """Relay, Janus, relay, Janus … over a veth pair, one load client for both."""
        self.result["janus"] = missing() and f"left out: it needs {missing()}"
        if self.result["janus"] or not self.asked.janus:
            return
        with veth() as place:
            for viewers in self.asked.janus:
                turns: dict[str, list[dict[str, Any]]] = {"relay": [], "janus": []}
                for _ in range(self.asked.turns):
                    for name, runs in turns.items():
                        runs.append(self._beside_the_floor(name, viewers, place))
                for runs in turns.values():
                    self._keep(runs)
            if self.asked.janus_top:
                self._keep([self._beside_the_floor("relay", self.asked.janus_top, place)])

    def _beside_the_floor(self, name: str, viewers: int, place: Place) -> dict[str, Any]:
        seconds = self.asked.seconds
        kernel = not self.asked.no_kernel
        row = uvloop.run(measure(viewers, seconds, self.core, name=name, place=place, kernel=kernel))
        row |= measure_floor(viewers, min(seconds, 3, 400 / viewers), self.core, place)
        row["times_the_floor"] = round(row["us_a_packet"] / row["c_gso_us_a_packet"], 2)
        print(f"  {row}", file=sys.stderr, flush=True)
        return row

    def _keep(self, runs: list[dict[str, Any]]) -> None:
        row = {
            name: statistics.median(run[name] for run in runs) if isinstance(value, int | float) else value
            for name, value in runs[0].items()
        }
        self.result["rows"].append(row | {"runs": len(runs)})
        self.write()

    def write(self) -> None:
        self._ratios()
        self.asked.json.parent.mkdir(parents=True, exist_ok=True)
        self.asked.json.write_text(json.dumps(self.result, indent=2) + "\n")

    def _ratios(self) -> None:
        rows = self.result["rows"]
        loop = {row["viewers"]: row for row in rows if row["path"] == "loopback"}
        ratios: dict[str, Any] = {}
        if len(loop) > 1:
            per = {viewers: row["us_a_packet"] for viewers, row in loop.items() if viewers >= 100}
            if len(per) > 1:
                ratios["cost_a_viewer_dearest_to_cheapest_from_100"] = round(max(per.values()) / min(per.values()), 3)
        theirs = [row for row in rows if row["server"] == "janus" and row["lost_share"] <= CLEAN]
        ours = {row["viewers"]: row for row in rows if row["server"] == "relay" and row["path"] == "veth"}
        if theirs:
            best = max(theirs, key=lambda row: row["viewers_a_core"])
            ratios["janus_viewers_a_core"] = best["viewers_a_core"]
            for viewers, row in ours.items():
                name = f"viewers_a_core_times_janus_at_{viewers}"
                ratios[name] = round(row["viewers_a_core"] / best["viewers_a_core"], 2)
        self.result["ratios"] = ratios


_COLUMNS = {
    "server": "server", "path": "path", "viewers": "viewers", "core_busy": "core busy", "us_a_packet": "µs a packet",
    "c_gso_us_a_packet": "C, GSO", "c_sendto_us_a_packet": "C, sendto", "times_the_floor": "× C",
    "us_a_viewer_and_second": "µs/s a viewer more", "viewers_a_core": "viewers a core",
    "memory_kib_a_viewer": "KiB a viewer",
    "join_ms_p50": "join p50 ms", "join_ms_p95": "p95", "lost_share": "lost", "load_busy": "load busy",
}  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """Markdown, as docs/benchmarks.md has it."""
    lines = [f"{result['machine']}; {result['packets_a_second_and_viewer']} packets a second and viewer; medians", ""]
    lines += ["| " + " | ".join(_COLUMNS.values()) + " |", "|---" * len(_COLUMNS) + "|"]
    lines += ["| " + " | ".join(f"{row.get(name, '')}" for name in _COLUMNS) + " |" for row in result["rows"]]
    lines += [""] + [f"- {name.replace('_', ' ')}: {value}" for name, value in result.get("ratios", {}).items()]
    if result["janus"]:
        lines.append(f"- Janus: {result['janus']}")
    for row in result["rows"]:
        if max(row["load_busy"], row["load_busy_joining"]) > LOAD_TOO_BUSY:
            lines.append(f"- {row['server']}, {row['viewers']} viewers: the load was the bottleneck, or nearly.")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--viewers", type=int, nargs="*", default=[10, 100, 500, 1000])
    options.add_argument("--janus", type=int, nargs="*", default=[10, 50, 100], help="viewers of the turns with Janus")
    options.add_argument("--janus-top", type=int, default=500, help="our relay alone over the same veth pair; 0: not")
    options.add_argument("--seconds", type=float, default=8)
    options.add_argument("--runs", type=int, default=2)
    options.add_argument("--turns", type=int, default=1, help="of our relay and Janus at each number of viewers")
    options.add_argument("--quick", action="store_true", help="one short run of the small rooms: does it work?")
    options.add_argument("--no-kernel", action="store_true", help="the Python fan-out, to compare")
    options.add_argument("--json", type=Path, default=RESULTS / "relay.json")
    asked = options.parse_args()
    if asked.quick:
        asked.viewers, asked.janus, asked.janus_top, asked.seconds, asked.runs = [10, 100], [10, 50], 0, 3, 1
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the server, one for the load")
    core, others = cores[-1], set(cores[:-1])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.sched_setaffinity(0, others)
    bench = Bench(asked, core)
    bench.ours()
    bench.peers()
    bench.write()
    text = table(bench.result)
    asked.json.with_suffix(".md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
