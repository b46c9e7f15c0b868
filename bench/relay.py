"""What a viewer costs the relay: CPU a packet, viewers a core, memory, join time, loss; beside a bare C loop.

    python bench/relay.py --viewers 50 100 200 --seconds 8 --runs 3 [--no-kernel]

The relay is the real process (`live.relay.server.run`), alone on one core; the load is on the others. Viewers do
ICE and DTLS, answer checks, and send RTCP as Chromium does (3 RR and 2 REMB a second). Ten of them, spread over the
room, read, decrypt and check every packet; the others leave theirs in their sockets, as the C loop's do: on loopback
the receiving half of the kernel runs in the sender's time, so both are charged alike.

`load_busy` is the load's own share of its core: where it comes near 1 the load was the bottleneck, joins are slow for
its sake, and the table says so. A join that takes longer than 20 s is counted as failed; its viewer is missing from
the run. 720p30 at 2.5 Mbit/s is 30 frames of nine packets a second, a key frame of 36 every two seconds, and 50
packets of Opus.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from cffi import FFI
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi as srtp_ffi
from pylibsrtp._binding import lib as srtp_lib

from live.ids import sign
from live.relay import rtcp, rtp
from live.relay.caller import Caller
from live.relay.errors import HandshakeFailed
from live.relay.peer import RelayCertificate
from live.settings import Settings

RESULTS = Path(__file__).parent / "results"
FRAME_PACKETS, PAYLOAD_BYTES, SOUND_BYTES = 9, 1157, 160
KEY_PACKETS, KEY_EVERY_FRAMES = 36, 60
FRAME_HZ, SOUND_HZ = 30, 50
PACKETS_A_SECOND = FRAME_HZ * FRAME_PACKETS + (KEY_PACKETS - FRAME_PACKETS) // 2 + SOUND_HZ
UNTIL_BUSY = 0.8
CHECKERS = 10
JOINS_AT_ONCE = 4
JOINED_WITHIN_S = 20
LOAD_TOO_BUSY = 0.9
RELAY = """
import asyncio
from live.settings import Settings
from live.relay.server import run
asyncio.run(run(Settings()))
"""


# ---- the relay's process -----------------------------------------------------------------------


class RelayUnderTest:
    """The process, its clock and its size, from /proc."""

    def __init__(self, folder: Path, core: int, capacity: int, *, kernel: bool) -> None:
        environment = os.environ | {
            "FRONTROW_DATA_DIR": str(folder), "FRONTROW_RELAY_UDP_HOST": "127.0.0.1", "FRONTROW_RELAY_UDP_PORT": "0",
            "FRONTROW_RELAY_CAPACITY": str(capacity), "FRONTROW_LOG_FORMAT": "text",
            "FRONTROW_RELAY_KERNEL": str(int(kernel)), "FRONTROW_RECORD": "0",
        }  # fmt: skip
        log = folder / "relay.log"
        with log.open("wb") as out:  # not a pipe: one that nobody drains would stop the relay
            self.process = subprocess.Popen([sys.executable, "-c", RELAY], env=environment, stdout=out, stderr=out)
        deadline = time.monotonic() + 30
        while not (ready := re.search(r"relay.ready.*control=(\S+)", log.read_text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the relay did not start:\n{log.read_text()}")
            time.sleep(0.05)
        self.control = ready[1]
        os.sched_setaffinity(self.process.pid, {core})
        token = sign(Settings(_env_file=None, data_dir=folder).key, "relay-control", "v1")
        self.http = httpx.AsyncClient(
            base_url=self.control, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
        )

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    async def order(self, path: str, **body: str) -> str:
        answer = await self.http.post(path, json={"show": "bench", **body})
        answer.raise_for_status()
        text: str = answer.json()["answer"]
        return text

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/stats")).json()
        return found

    async def stop(self) -> None:
        await self.http.aclose()
        self.process.terminate()
        await asyncio.to_thread(self.process.communicate)


# ---- the load ----------------------------------------------------------------------------------


class Camera:
    """720p30 at 2.5 Mbit/s with sound, made of random bytes behind H.264's headers."""

    def __init__(self, certificate: RelayCertificate) -> None:
        self.caller = Caller(certificate)
        self._numbers = {102: 1, 111: 1}
        self._body = secrets.token_bytes(PAYLOAD_BYTES)
        self._frame = 0

    async def run(self) -> None:
        begun = time.perf_counter()
        sounds = 0
        while True:
            self.frame()
            while sounds * FRAME_HZ < self._frame * SOUND_HZ:
                self._packet(111, sounds * 960, True, self._body[:SOUND_BYTES])
                sounds += 1
            await asyncio.sleep(max(0.0, begun + self._frame / FRAME_HZ - time.perf_counter()))

    def frame(self) -> None:
        key = self._frame % KEY_EVERY_FRAMES == 0
        count = KEY_PACKETS if key else FRAME_PACKETS
        for place in range(count):
            start = (0x80 if place == 0 else 0x40 if place == count - 1 else 0) | (5 if key else 1)
            self._packet(102, self._frame * 3000, place == count - 1, bytes((0x7C, start)) + self._body[2:])
        self._frame += 1

    def _packet(self, number: int, timestamp: int, marker: bool, payload: bytes) -> None:
        seq = self._numbers[number] = self._numbers[number] + 1 & 0xFFFF
        packet = rtp.Packet(seq, timestamp & 0xFFFFFFFF, 0x80 * marker, payload)
        built = rtp.build(packet, payload_type=number, ssrc=number, seq=seq, timestamp=packet.timestamp)
        self.caller.send(built)


class Viewer:
    """Joins; then either reads and checks everything, or only keeps its session alive."""

    def __init__(self, certificate: RelayCertificate, *, checks: bool) -> None:
        self.caller = Caller(certificate)
        self.checks = checks
        self.received = 0
        self.lost = 0
        self._last: int | None = None
        self._ssrc = 1
        self._first = asyncio.Event()
        self.here = False
        self.caller.on_rtp = self._rtp

    async def join(self, relay: RelayUnderTest) -> float:
        begun = time.perf_counter()
        answer = await relay.order("/play", offer=self.caller.offer("recvonly"))
        await self.caller.connect(answer)
        await self._first.wait()
        took_s = time.perf_counter() - begun
        if not self.checks:
            self.caller.pause()
        return took_s

    async def talk(self) -> None:
        """RTCP as Chromium sends it downstream."""
        await asyncio.sleep(secrets.randbelow(1000) / 1000)
        beat = 0
        while True:
            compound = rtcp.receiver_report(1, [rtcp.Report(self._ssrc, 0, 0, self._last or 0, 0, 0, 0)])
            if beat % 3:
                compound += rtcp.remb(1, 5_000_000, [self._ssrc])
            self.caller.send_rtcp(compound)
            beat += 1
            await asyncio.sleep(1 / 3)

    def forget(self) -> None:
        self.received = self.lost = 0

    def _rtp(self, packet: bytes) -> None:
        header = rtp.parse(packet)
        assert header is not None
        if header.payload_type == 102:
            self._ssrc = header.ssrc
            if self._last is not None:
                self.lost += (header.seq - self._last & 0xFFFF) - 1
            self._last = header.seq
            self.received += 1
            self._first.set()


async def joined(audience: list[Viewer], relay: RelayUnderTest) -> list[float]:
    """How long each took who came in; one who did not is out of the audience. No wait here is without an end."""

    async def one(viewer: Viewer) -> float | None:
        try:
            async with asyncio.timeout(JOINED_WITHIN_S):
                return await viewer.join(relay)
        except (TimeoutError, HandshakeFailed, httpx.HTTPError):
            return None

    took: list[float] = []
    for start in range(0, len(audience), JOINS_AT_ONCE):
        some = audience[start : start + JOINS_AT_ONCE]
        for viewer, seconds in zip(some, await asyncio.gather(*map(one, some)), strict=True):
            viewer.here = seconds is not None
            took += [seconds] if seconds is not None else []
    return took


async def measure(viewers: int, seconds: float, core: int, *, kernel: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as folder:
        relay = RelayUnderTest(Path(folder), core, viewers + 1, kernel=kernel)
        certificate = RelayCertificate.generateCertificate()
        camera = Camera(certificate)
        every = max(1, viewers // CHECKERS)
        audience = [Viewer(certificate, checks=index % every == 0) for index in range(viewers)]
        owned: list[asyncio.Task[None]] = []
        try:
            await camera.caller.connect(await relay.order("/publish", offer=camera.caller.offer("sendonly")))
            owned.append(asyncio.create_task(camera.run()))
            while (await relay.stats())["shows"]["bench"]["state"] != "live":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            before_kib = relay.resident_kib()
            begun_cpu_s, begun = _cpu_s(), time.perf_counter()
            joins = await joined(audience, relay)
            joining_busy = (_cpu_s() - begun_cpu_s) / (time.perf_counter() - begun)
            present = [viewer for viewer in audience if viewer.here]
            if not present:
                raise SystemExit("nobody could join")
            owned += [asyncio.create_task(viewer.talk()) for viewer in present]
            await asyncio.sleep(1.0)  # warm-up: joiners caught up
            memory_kib = (relay.resident_kib() - before_kib) / viewers
            for viewer in present:
                viewer.forget()
            load_cpu_s = _cpu_s()
            before, cpu_s, begun = await relay.stats(), relay.cpu_s(), time.perf_counter()
            await asyncio.sleep(seconds)
            after = await relay.stats()
            cpu_s, took_s = relay.cpu_s() - cpu_s, time.perf_counter() - begun
            load_busy = (_cpu_s() - load_cpu_s) / took_s
            packets = after["packets"] - before["packets"]
            checked = [viewer for viewer in present if viewer.checks]
            received, lost = sum(v.received for v in checked), sum(v.lost for v in checked)
            return {
                "viewers": viewers,
                "did_not_join": viewers - len(present),
                "packets_a_second": round(packets / took_s),
                "core_busy": round(cpu_s / took_s, 4),
                "us_a_packet": round(cpu_s / max(1, packets) * 1e6, 3),
                "memory_kib_a_viewer": round(memory_kib, 1),
                "join_ms_p50": round(statistics.median(joins) * 1000, 1),
                "join_ms_p95": round(sorted(joins)[int(len(joins) * 0.95) - 1] * 1000, 1),
                "lost_share": round(lost / max(1, received + lost), 5),
                "load_busy": round(load_busy, 3),
                "load_busy_joining": round(joining_busy, 3),
                "dropped": after["dropped"] - before["dropped"],
                "gso": after["gso"],
            }
        finally:
            for task in owned:
                task.cancel()
            await asyncio.gather(*owned, return_exceptions=True)
            for viewer in audience:
                await viewer.caller.close()
            await camera.caller.close()
            await relay.stop()


# ---- the floor ---------------------------------------------------------------------------------


class Floor:
    """The C loop, compiled here, on the same libsrtp as the relay's."""

    def __init__(self, folder: Path, viewers: int) -> None:
        library = folder / "relay_floor.so"
        source = Path(__file__).with_name("relay_floor.c")
        subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, source], check=True)
        self._ffi = FFI()
        self._ffi.cdef(
            "long floor_loop(uintptr_t, const uintptr_t *, const uint16_t *, int, int, int, int, int, int, int, int);"
        )
        self._lib = self._ffi.dlopen(str(library))
        self._protect = int(srtp_ffi.cast("uintptr_t", srtp_ffi.addressof(srtp_lib, "srtp_protect")))
        profile = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        self._sessions = [
            Session(Policy(key=secrets.token_bytes(28), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
            for _ in range(viewers)
        ]
        self._contexts = [int(srtp_ffi.cast("uintptr_t", session._srtp[0])) for session in self._sessions]
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(viewers)]
        for sock in self._sockets:
            sock.bind(("127.0.0.1", 0))
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._seq = 1

    def us_a_packet(self, *, gso: bool, seconds: float) -> float:
        frames = max(10, int(seconds * FRAME_HZ))
        begun = _cpu_s()
        sent = self._lib.floor_loop(
            self._protect, self._contexts, [sock.getsockname()[1] for sock in self._sockets], len(self._sockets),
            self._out.fileno(), frames, FRAME_PACKETS, PAYLOAD_BYTES + 12, SOUND_BYTES + 12, gso, self._seq,
        )  # fmt: skip
        self._seq = self._seq + frames * FRAME_PACKETS & 0xFFFF
        if sent <= 0:
            raise SystemExit("the C loop could not send")
        return (_cpu_s() - begun) / sent * 1e6

    def close(self) -> None:
        for sock in (*self._sockets, self._out):
            sock.close()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure_floor(viewers: int, seconds: float, core: int, others: set[int]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        floor = Floor(Path(folder), viewers)
        try:
            os.sched_setaffinity(0, {core})
            floor.us_a_packet(gso=True, seconds=0.5)
            found = {
                "c_gso_us_a_packet": round(floor.us_a_packet(gso=True, seconds=seconds), 3),
                "c_sendto_us_a_packet": round(floor.us_a_packet(gso=False, seconds=seconds), 3),
            }
        finally:
            os.sched_setaffinity(0, others)
            floor.close()
        return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--viewers", type=int, nargs="+", default=[50])
    options.add_argument("--seconds", type=float, default=8)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--no-kernel", action="store_true", help="the Python fan-out, to compare")
    options.add_argument("--json", type=Path, default=RESULTS / "relay.json")
    asked = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the relay, one for the load")
    core, others = cores[-1], set(cores[:-1])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.sched_setaffinity(0, others)
    rows = []
    for viewers in asked.viewers:
        runs = []
        for _ in range(asked.runs):  # the floor beside each run: the machine is shared, so only ratios count
            found = asyncio.run(measure(viewers, asked.seconds, core, kernel=not asked.no_kernel))
            found |= measure_floor(viewers, min(asked.seconds, 4), core, others)
            found["times_the_floor"] = round(found["us_a_packet"] / found["c_gso_us_a_packet"], 2)
            found["viewers_a_core"] = int(UNTIL_BUSY * 1e6 / (found["us_a_packet"] * PACKETS_A_SECOND))
            runs.append(found)
            print(f"  run {len(runs)} of {asked.runs}, {viewers} viewers: {found}", file=sys.stderr, flush=True)
        rows.append({name: statistics.median(run[name] for run in runs) for name in runs[0]})
        result = {
            "machine": f"{os.uname().sysname} {os.uname().release} {os.uname().machine}, {os.cpu_count()} cores",
            "command": " ".join(["python", *sys.argv]),
            "kernel": not asked.no_kernel,
            "packets_a_second_and_viewer": PACKETS_A_SECOND,
            "rows": rows,
        }
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(result, indent=2) + "\n")
    _table(result)


def _table(result: dict[str, Any]) -> None:
    print(f"{result['machine']}; {result['packets_a_second_and_viewer']} packets a second and viewer; medians")
    for row in result["rows"]:
        print()
        for name, value in row.items():
            print(f"  {name.replace('_', ' '):24} {value:>12}")
        if row["load_busy"] > LOAD_TOO_BUSY:
            print("  The load client was the bottleneck: the relay could have had more to do.")
        elif row["load_busy_joining"] > LOAD_TOO_BUSY:
            print("  Joins took as long as the load client needed for its side of them.")


if __name__ == "__main__":
    main()
